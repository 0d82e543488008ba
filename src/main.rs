//! STUB of builder D's branch: builder C's file replaces it.
fn main() -> std::process::ExitCode {
    let mut args = std::env::args().skip(1);
    let mut options = slotmux::demo::DemoOptions::default();
    if args.next().as_deref() == Some("demo") {
        while let Some(word) = args.next() {
            if word == "--port" {
                options.port = args.next().and_then(|p| p.parse().ok()).unwrap_or(6379);
            }
        }
        if let Err(error) = slotmux::demo::run(&options) {
            eprintln!("slotmux demo: {error}");
            return std::process::ExitCode::FAILURE;
        }
    }
    std::process::ExitCode::SUCCESS
}
