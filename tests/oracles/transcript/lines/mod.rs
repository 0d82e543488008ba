//! The commands of the transcript that are written by hand, one per line, quoted and escaped like inline requests.
//!
//! Keys of one command share a hash tag unless slotmux splits it.

mod geo;
mod hashes;
mod keyspace;
mod lists;
mod scripts;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;
mod transactions;

use slotmux_core::resp::inline;

/// The command and its arguments.
pub type Words = Vec<Vec<u8>>;

/// All of them, in an order in which later ones may use keys of earlier ones of the same table.
pub fn by_hand() -> Vec<Words> {
    let mut lines = single();
    for table in [server::PROTOCOLS, transactions::LINES] {
        lines.extend(parse(table));
    }
    lines
}

/// Those that can also be sent in another protocol, or in a transaction.
pub fn single() -> Vec<Words> {
    let tables = [
        strings::LINES,
        strings::SPLIT,
        keyspace::LINES,
        lists::LINES,
        sets::LINES,
        hashes::LINES,
        sorted_sets::LINES,
        streams::LINES,
        geo::LINES,
        scripts::LINES,
        scripts::TYPES,
        server::LINES,
    ];
    tables.iter().flat_map(|table| parse(table)).collect()
}

/// The commands of a table; empty lines separate its paragraphs.
pub fn parse(table: &str) -> Vec<Words> {
    let lines = table.lines().filter(|line| !line.is_empty());
    lines.map(words).collect()
}

/// One line.
#[track_caller]
pub fn words(line: &str) -> Words {
    let words = inline::split(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(!words.is_empty(), "an empty line");
    words
}
