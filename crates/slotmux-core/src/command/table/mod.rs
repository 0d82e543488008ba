//! THE command table: every command of Redis 7.0 to 8 and Valkey 8 and 9, and slotmux' own, one line each, and the
//! index that finds one. Commands of loadable modules are not here: they are learned from the upstream.

mod arrays;
mod cluster;
mod connection;
mod geo;
mod hashes;
mod keyspace;
mod lists;
mod pubsub;
mod row;
mod scripting;
mod server;
mod sets;
mod slotmux;
mod sorted_sets;
mod streams;
mod strings;
mod vectors;

pub use server::DEBUG_OF_KEY;

use super::Command;
use super::name::PackedName;

/// The groups of the table, with the headings that documents give them.
pub(super) static GROUPS: [(&str, &[Command]); 17] = [
    ("Keys", keyspace::KEYSPACE),
    ("Strings, bitmaps, HyperLogLogs", strings::STRINGS),
    ("Hashes", hashes::HASHES),
    ("Lists", lists::LISTS),
    ("Sets", sets::SETS),
    ("Sorted sets", sorted_sets::SORTED_SETS),
    ("Streams", streams::STREAMS),
    ("Geographical indexes", geo::GEO),
    ("Arrays", arrays::ARRAYS),
    ("Vector sets", vectors::VECTORS),
    ("Scripts and functions", scripting::SCRIPTING),
    ("Transactions", scripting::TRANSACTIONS),
    ("Publish and subscribe", pubsub::PUBSUB),
    ("Connection", connection::CONNECTION),
    ("Cluster", cluster::CLUSTER),
    ("Server", server::SERVER),
    ("slotmux", slotmux::SLOTMUX),
];

/// The index has 2^10 places for some 310 commands, so that most names are found at the first one.
const BITS: u32 = 10;
const PLACES: usize = 1 << BITS;

/// Open addressing with linear probing: a name is at its hash or in one of the places after it, before the first
/// empty one.
static INDEX: [Option<&Command>; PLACES] = build_index();

const fn build_index() -> [Option<&'static Command>; PLACES] {
    let mut index: [Option<&'static Command>; PLACES] = [None; PLACES];
    let mut group = 0;
    while group < GROUPS.len() {
        let commands = GROUPS[group].1;
        let mut i = 0;
        while i < commands.len() {
            let mut place = commands[i].packed.hash(BITS);
            while index[place].is_some() {
                place = (place + 1) % PLACES;
            }
            index[place] = Some(&commands[i]);
            i += 1;
        }
        group += 1;
    }
    index
}

/// The command of that name in any case. Never allocates; a few nanoseconds.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let packed = PackedName::new(name)?;
    let mut place = packed.hash(BITS);
    for _ in 0..PLACES {
        let command = INDEX[place]?;
        if command.packed == packed {
            return Some(command);
        }
        place = (place + 1) % PLACES;
    }
    None
}

/// All commands without their subcommands, group by group.
pub fn all() -> impl Iterator<Item = &'static Command> {
    GROUPS.iter().flat_map(|(_, commands)| commands.iter())
}

#[cfg(test)]
mod tests {
    use super::super::{KeySpec, Merge, Route, name::LONGEST};
    use super::*;
    use crate::command::listening::SubscriptionKind;
    use std::collections::HashSet;

    /// Upper, lower, and two mixed forms of a name.
    fn spellings(name: &str) -> [Vec<u8>; 4] {
        let mixed = |odd: usize| {
            let cased = name.bytes().enumerate().map(|(i, b)| {
                if i % 2 == odd {
                    b.to_ascii_uppercase()
                } else {
                    b
                }
            });
            cased.collect()
        };
        [
            name.to_ascii_lowercase().into(),
            name.to_ascii_uppercase().into(),
            mixed(0),
            mixed(1),
        ]
    }

    #[test]
    fn every_name_is_found_in_every_case() {
        let mut names = HashSet::new();
        for command in all() {
            assert!(
                names.insert(command.name),
                "{} is there twice",
                command.name
            );
            assert!(
                command.name.len() <= LONGEST && command.name == command.name.to_ascii_lowercase()
            );
            for spelling in spellings(command.name) {
                assert!(
                    std::ptr::eq(lookup(&spelling).expect(command.name), command),
                    "{}",
                    command.name
                );
            }
            let mut subs = HashSet::new();
            for sub in command.subcommands {
                assert!(subs.insert(sub.name), "{} is there twice", sub.full_name);
                assert_eq!(sub.full_name, format!("{}|{}", command.name, sub.name));
                assert!(sub.subcommands.is_empty());
                for spelling in spellings(sub.name) {
                    assert!(
                        std::ptr::eq(command.subcommand(&spelling).expect(sub.name), sub),
                        "{}",
                        sub.full_name
                    );
                }
            }
        }
        assert!(names.len() > 300, "{}", names.len());
    }

    #[test]
    fn names_that_are_none_are_not_found() {
        let get = lookup(b"get").expect("GET is a command");
        assert!(get.subcommand(b"get").is_none());
        let long = vec![b'g'; 10_000_000];
        for name in [
            &b""[..],
            b"g",
            b"ge",
            b"gett",
            b"get ",
            b" get",
            b"get\0",
            b"g\xc3\xa9t",
            b"\xff\xff\xff",
            b"\0",
            &long,
        ] {
            assert!(lookup(name).is_none(), "{:?}", &name[..name.len().min(20)]);
        }
        for command in all() {
            for (at, byte) in command.name.bytes().enumerate() {
                // The same name with a byte outside ASCII, and with the bit of the case flipped, also in bytes that
                // are not letters.
                for other in [byte | 0x80, byte ^ 0x20] {
                    let mut name = command.name.as_bytes().to_vec();
                    name[at] = other;
                    let expected = byte.is_ascii_alphabetic() && other == byte ^ 0x20;
                    assert_eq!(lookup(&name).is_some(), expected, "{name:?}");
                }
            }
        }
    }

    #[test]
    fn names_are_found_in_few_steps() {
        let steps = |command: &Command| {
            let home = command.packed.hash(BITS);
            (0..PLACES).find(|step| {
                INDEX[(home + step) % PLACES].is_some_and(|found| std::ptr::eq(found, command))
            })
        };
        let worst = all()
            .map(steps)
            .max()
            .flatten()
            .expect("no command is missing in the index");
        assert!(worst <= 3, "a name is {worst} places from its hash");
        for name in [
            "get", "set", "mget", "mset", "del", "incr", "hset", "hget", "expire", "lpush", "rpop",
            "ping",
        ] {
            assert_eq!(
                steps(lookup(name.as_bytes()).expect(name)),
                Some(0),
                "{name}"
            );
        }
    }

    #[test]
    fn routes_and_keys_agree() {
        for command in all().flat_map(|c| std::iter::once(c).chain(c.subcommands)) {
            let name = command.full_name;
            match command.route {
                Route::Keyed | Route::OneDatabase | Route::Script => assert!(
                    command.keys != KeySpec::None || command.is_container(),
                    "{name}"
                ),
                Route::Split(merge) => {
                    assert!(
                        matches!(
                            command.keys,
                            KeySpec::Range {
                                first: 1,
                                last: -1,
                                ..
                            }
                        ),
                        "{name}"
                    );
                    assert!(
                        matches!(merge, Merge::Elements | Merge::AllOk | Merge::Sum),
                        "{name}"
                    );
                }
                Route::AnyNode
                | Route::AllPrimaries(_)
                | Route::AllNodes(_)
                | Route::Debug
                | Route::Acknowledged(_)
                | Route::Scan
                | Route::Answer(_)
                | Route::Publish(SubscriptionKind::Channel | SubscriptionKind::Pattern) => {
                    assert_eq!(command.keys, KeySpec::None, "{name}");
                }
                Route::Refused(reason) => {
                    assert!(!reason.is_empty() && !reason.ends_with('.'), "{name}")
                }
                Route::Publish(SubscriptionKind::Shard) => {
                    assert!(command.keys != KeySpec::None, "{name}");
                }
                Route::Transaction | Route::Blocking | Route::Subscribe(_) | Route::ClusterScan => {
                }
            }
            assert_ne!(command.arity, 0, "{name}");
        }
    }

    /// A command that changes, blocks or takes over its connection must never reach a shared one.
    #[test]
    fn commands_that_touch_their_connection_are_never_forwarded() {
        use super::super::Flags;
        const TOUCHES: &str = "auth hello select reset quit multi exec discard watch unwatch subscribe psubscribe \
            ssubscribe unsubscribe punsubscribe sunsubscribe monitor sync psync replconf asking readonly readwrite \
            client swapdb wait waitaof script|debug failover debug shutdown replicaof slaveof cluster module acl \
            himport himport|prepare himport|set blpop brpop blmove brpoplpush blmpop bzpopmin bzpopmax bzmpop xread \
            xreadgroup";
        let forwarded = |route: Route| {
            matches!(
                route,
                Route::Keyed
                    | Route::OneDatabase
                    | Route::Split(_)
                    | Route::AnyNode
                    | Route::AllPrimaries(_)
            )
        };
        for name in TOUCHES.split_whitespace() {
            let mut parts = name.split('|');
            let top = lookup(parts.next().unwrap_or("").as_bytes()).expect(name);
            let command = parts
                .next()
                .map_or(top, |sub| top.subcommand(sub.as_bytes()).expect(name));
            assert!(!forwarded(command.route), "{name}");
        }
        let wary =
            Flags::ADMIN | Flags::BLOCKING | Flags::NO_AUTH | Flags::NO_MULTI | Flags::ASKING;
        for command in all().flat_map(|c| std::iter::once(c).chain(c.subcommands)) {
            let (name, of) = (command.full_name, |container| {
                command.full_name.starts_with(container)
            });
            let exempt = ["pfdebug", "save", "bgsave", "bgrewriteaof", "module|list"]
                .contains(&name)
                || of("slowlog|")
                || of("commandlog|")
                || of("latency|");
            assert!(
                exempt || !command.flags.intersects(wary) || !forwarded(command.route),
                "{}",
                command.full_name
            );
        }
    }
}
