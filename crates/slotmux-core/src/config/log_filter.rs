//! `log.level`: selects the log lines that are written.

use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level for slotmux itself (the libraries below it stay at `warn`), or directives such as
/// `info,slotmux::control=debug`.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    let text = match level {
        "off" | "error" | "warn" => level.to_owned(),
        _ if LEVELS.contains(&level) => format!("warn,slotmux={level}"),
        _ => level.to_owned(),
    };
    // EnvFilter reads a mistyped level as the name of a target, and then logs nothing.
    let mistyped = text
        .split(',')
        .map(str::trim)
        .find(|piece| !piece.contains(['=', '[']) && !LEVELS.contains(piece));
    if let Some(piece) = mistyped {
        let levels = LEVELS.join(", ");
        return Err(format!(
            "expected one of {levels}, or target=level directives, got {piece:?}"
        ));
    }
    EnvFilter::try_new(&text).map_err(|error| format!("not a log filter: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives() {
        for (level, shown) in [
            ("off", "off"),
            ("warn", "warn"),
            ("info", "slotmux=info,warn"),
            ("trace", "slotmux=trace,warn"),
            ("info,slotmux::control=debug", "slotmux::control=debug,info"),
        ] {
            assert_eq!(filter(level).unwrap().to_string(), shown, "{level}");
        }
        for level in [
            "",
            "inof",
            "INFO!",
            "slotmux=loud",
            "info,debgu",
            "a[b=debug",
        ] {
            assert!(filter(level).is_err(), "{level:?}");
        }
    }
}
