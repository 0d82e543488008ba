//! The words that a line of the command table is written in.

pub(super) use super::super::keys::KeySpec;
pub(super) use super::super::route::Merge::{
    AllOk, AllTrue, AnyOk, Concat, EachLeast, Elements, First, Histogram, History, Latest, Least,
    Names, Newest, Patterns, RandomKey, Running, Shown, Subscribers, Sum, Texts, Totals,
};
pub(super) use super::super::route::Route::{
    Acknowledged, AllNodes, AllPrimaries, Answer, AnyNode, Blocking, ClusterScan, Debug, Keyed,
    OneDatabase, Publish, Refused, Scan, Script, Split, Transaction,
};
pub(super) use super::super::route::{
    BETWEEN_NODES, CONNECTION_STATE, EVERY_NODE, ONE_DATABASE, ONE_NODE, OwnAnswer as A, Route,
};
pub(super) use super::super::{Command, Flags};
use super::PackedName;
use crate::command::{Lifetime, Repeatable};

/// No keys.
pub(super) const NONE: KeySpec = KeySpec::None;
/// One key, right after the name.
pub(super) const KEY: KeySpec = key(1);
/// The key of SORT and the key after STORE.
pub(super) const SORT: KeySpec = KeySpec::Sort;
/// The key of MIGRATE or the keys after KEYS.
pub(super) const MIGRATE: KeySpec = KeySpec::Migrate;

/// One key at `at`.
pub(super) const fn key(at: u8) -> KeySpec {
    KeySpec::Range {
        first: at,
        last: at as i8,
        step: 1,
    }
}

/// Keys from `first` to `last` (negative: counted from the end) in steps.
pub(super) const fn range(first: u8, last: i8, step: u8) -> KeySpec {
    KeySpec::Range { first, last, step }
}

/// A count at `at`, so many keys from `first` on.
pub(super) const fn numkeys(at: u8, first: u8) -> KeySpec {
    KeySpec::NumKeys {
        dest: 0,
        at,
        first,
        step: 1,
    }
}

/// As [`numkeys`], with a value or the like after each key.
pub(super) const fn numkeys_step(at: u8, first: u8, step: u8) -> KeySpec {
    KeySpec::NumKeys {
        dest: 0,
        at,
        first,
        step,
    }
}

/// A destination key at `dest` besides the counted ones.
pub(super) const fn dest_numkeys(dest: u8, at: u8, first: u8) -> KeySpec {
    KeySpec::NumKeys {
        dest,
        at,
        first,
        step: 1,
    }
}

/// One key right after the name, and the keys after STORE and STOREDIST among the options, which begin at `from`.
pub(super) const fn geo_store(from: u8) -> KeySpec {
    KeySpec::GeoStore { from }
}

/// Keys in the first half of the arguments after STREAMS.
pub(super) const AFTER_STREAMS: KeySpec = KeySpec::Streams;

/// A command: name (`container|sub` of a subcommand), arity, keys, route, first version, flags.
pub(super) const fn cmd(
    name: &'static str,
    arity: i16,
    keys: KeySpec,
    route: Route,
    since: &'static str,
    flags: &str,
) -> Command {
    container(name, arity, keys, route, since, flags, &[])
}

/// A command with subcommands.
pub(super) const fn container(
    full_name: &'static str,
    arity: i16,
    keys: KeySpec,
    route: Route,
    since: &'static str,
    flags: &str,
    subcommands: &'static [Command],
) -> Command {
    let name = own_name(full_name);
    let Some(packed) = PackedName::new(name.as_bytes()) else {
        panic!("a name in the command table that is empty or too long");
    };
    let movable = if keys.is_movable() {
        Flags::MOVABLE_KEYS
    } else {
        Flags::NONE
    };
    let flags = Flags::parse(flags).union(movable);
    Command {
        name,
        full_name,
        arity,
        flags,
        route,
        keys,
        since,
        finds: finds(full_name),
        lifetime: Lifetime::of(full_name, flags),
        repeat: Repeatable::of(full_name),
        subcommands,
        packed,
    }
}

/// The part of a full name after the bar.
const fn own_name(full_name: &'static str) -> &'static str {
    let mut at = 0;
    while at < full_name.len() {
        if full_name.as_bytes()[at] == b'|' {
            return full_name.split_at(at + 1).1;
        }
        at += 1;
    }
    full_name
}

/// Whether a command's reply is a value or nil, or an array with one of them for each key.
const fn finds(full_name: &str) -> bool {
    matches!(
        full_name.as_bytes(),
        b"get" | b"getex" | b"getdel" | b"hget" | b"mget"
    )
}
