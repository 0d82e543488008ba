//! The command table against a real server: its `COMMAND` reply, the keys that it finds in requests, its error texts;
//! and the document that is generated from the table.

mod errors;
mod facts;
mod keys;
mod learned;
mod server;
mod touched;

#[test]
fn the_document_is_generated_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
    let made = slotmux_core::command::docs::markdown();
    if std::env::var_os("SLOTMUX_BLESS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    let differs = there
        .lines()
        .zip(made.lines())
        .find(|(there, made)| there != made);
    assert!(
        there == made,
        "run SLOTMUX_BLESS=1 cargo test --test oracles command_table; first difference: {differs:?}"
    );
}

/// The table of `docs/ttl-policies.md` is between two marks.
#[test]
fn the_table_of_lifetimes_is_generated_from_the_table() {
    const MARKS: (&str, &str) = ("<!-- commands -->\n", "<!-- end of commands -->\n");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ttl-policies.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (head, rest) = page.split_once(MARKS.0).expect("the first mark");
    let (there, tail) = rest.split_once(MARKS.1).expect("the last mark");
    let made = slotmux_core::policy::docs::commands();
    if std::env::var_os("SLOTMUX_BLESS").is_some() {
        let page = [head, MARKS.0, &made, MARKS.1, tail].concat();
        std::fs::write(path, page).unwrap();
        return;
    }
    assert!(
        there == made,
        "run SLOTMUX_BLESS=1 cargo test --test oracles command_table"
    );
}
