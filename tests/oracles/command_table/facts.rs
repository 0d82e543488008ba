//! Names, arities, flags and key positions as the server reports them.

use std::fmt::Write;

use redis::Value;
use slotmux_core::command::{Flags, KeySpec};

use crate::command_table::server::{Server, elements, find, integer, text};

/// Arities that a later version relaxed.
pub const LOOSENED: [(&str, i64); 6] = [
    ("zrank", 3),
    ("zrevrank", 3),
    ("command|getkeys", -4),
    ("command|getkeysandflags", -4),
    ("cluster|replicate", 3),
    ("script|debug", 3),
];

/// Flags in the table that some server lacks: Redis 7.0 if later versions added them, later versions if they removed
/// them.
const FLAGS_OF_SOME: [(&str, &str); 34] = [
    ("blmove", "noscript"),
    ("blpop", "noscript"),
    ("brpop", "noscript"),
    ("brpoplpush", "noscript"),
    ("bzpopmax", "noscript"),
    ("bzpopmin", "noscript"),
    ("client|caching", "allow_busy"),
    ("client|capa", "allow_busy"),
    ("client|getname", "allow_busy"),
    ("client|getredir", "allow_busy"),
    ("client|id", "allow_busy"),
    ("client|no-evict", "allow_busy"),
    ("client|no-touch", "allow_busy"),
    ("client|reply", "allow_busy"),
    ("client|reply", "no_multi"),
    ("client|setinfo", "allow_busy"),
    ("client|setname", "allow_busy"),
    ("cluster|info", "loading"),
    ("cluster|myid", "loading"),
    ("cluster|myshardid", "loading"),
    ("cluster|nodes", "loading"),
    ("cluster|shards", "loading"),
    ("cluster|slots", "loading"),
    ("exec", "skip_slowlog"),
    ("memory|malloc-stats", "loading"),
    ("memory|purge", "loading"),
    ("multi", "no_multi"),
    ("script|exists", "stale"),
    ("script|flush", "stale"),
    ("script|show", "stale"),
    ("select", "allow_busy"),
    ("wait", "blocking"),
    ("wait", "noscript"),
    ("watch", "no_multi"),
];

/// Flags of some servers that the table lacks. For BY and GET patterns they report that they cannot find all keys of
/// SORT_RO; a server in a cluster refuses patterns that reach another slot, so the key is the only one. Redis 7.4 refuses
/// the TTLs of fields without memory, later versions do not. Redis 8.8 refuses subscriptions without memory, and serves
/// more of CLUSTER while it loads.
const OTHER_FLAGS: [(&str, &str); 13] = [
    ("cluster|count-failure-reports", "loading"),
    ("cluster|keyslot", "loading"),
    ("cluster|links", "loading"),
    ("cluster|replicas", "loading"),
    ("cluster|slaves", "loading"),
    ("subscribe", "denyoom"),
    ("psubscribe", "denyoom"),
    ("ssubscribe", "denyoom"),
    ("sort_ro", "movablekeys"),
    ("hexpire", "denyoom"),
    ("hpexpire", "denyoom"),
    ("hexpireat", "denyoom"),
    ("hpexpireat", "denyoom"),
];

#[test]
fn every_command_of_the_server_is_in_the_table() {
    let server = Server::start();
    let reply: Value = redis::cmd("COMMAND").query(&mut server.client("")).unwrap();
    let mut wrong = String::new();
    let mut seen = 0;
    for entry in elements(&reply) {
        seen += 1;
        compare(entry, &mut wrong);
        for sub in elements(&elements(entry)[9]) {
            seen += 1;
            compare(sub, &mut wrong);
        }
    }
    assert!(seen > 350, "only {seen} commands in the reply");
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn compare(entry: &Value, wrong: &mut String) {
    let entry = elements(entry);
    let name = text(&entry[0]);
    let Some(command) = find(name) else {
        writeln!(wrong, "{name} is not in the table").unwrap();
        return;
    };
    assert_eq!(command.full_name, name.to_ascii_lowercase());

    let arity = integer(&entry[1]);
    if arity != i64::from(command.arity) {
        let looser = command.arity < 0 && i64::from(command.arity.unsigned_abs()) <= arity.abs();
        // The module that came with Redis 8.0 registered its commands without a bound.
        let is_of_module = name.starts_with('V') && command.arity == -1;
        if !looser || !(is_of_module || LOOSENED.contains(&(name, arity))) {
            writeln!(
                wrong,
                "{name}: arity {arity}, in the table {}",
                command.arity
            )
            .unwrap();
        }
    }

    // Unknown flags are those of newer servers and do not affect routing.
    let flags = elements(&entry[2])
        .iter()
        .filter_map(|word| Flags::from_word(text(word)));
    let flags = flags.fold(Flags::NONE, |all, flag| all | flag);
    let listed = |list: &[(&str, &str)], word| list.contains(&(name, word));
    for (flag, word) in Flags::ALL.iter().filter(|(flag, _)| *flag != Flags::MODULE) {
        match (flags.contains(*flag), command.flags.contains(*flag)) {
            (true, false) if !listed(&OTHER_FLAGS, word) => {
                writeln!(wrong, "{name} lacks {word}").unwrap()
            }
            (false, true) if !listed(&FLAGS_OF_SOME, word) => {
                writeln!(wrong, "{name} is not {word}").unwrap()
            }
            _ => {}
        }
    }

    let positions = [3, 4, 5].map(|at| integer(&entry[at]));
    match command.keys {
        KeySpec::None if positions == [0, 0, 0] => {}
        KeySpec::Range { first, last, step }
            if positions == [i64::from(first), i64::from(last), i64::from(step)] => {}
        // The three numbers are not reliable for these; the keys that are found are compared below.
        _ if command.flags.contains(Flags::MOVABLE_KEYS) => {}
        keys => writeln!(
            wrong,
            "{name}: keys at {positions:?}, in the table {keys:?}"
        )
        .unwrap(),
    }
}
