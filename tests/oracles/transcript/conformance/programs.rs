//! Samples beside the lines of the transcript: those that need a connection of their own, and those on keys of several
//! slots.

use slotmux_core::command::{KeySpec, lookup};

use super::server::Listed;
use crate::transcript::lines::words;
use slotmux_testing::alike::known;

/// Each on a connection of its own, because it changes or ends the connection.
pub const ALONE: &[&str] = &[
    "HELLO 2|HELLO 3|HELLO 2",
    "RESET",
    "QUIT",
    "SUBSCRIBE channel|UNSUBSCRIBE channel",
    "PSUBSCRIBE channel*|PUNSUBSCRIBE channel*",
    "SSUBSCRIBE channel",
    "SUNSUBSCRIBE channel",
    "MULTI|PING|EXEC",
    "MULTI|DISCARD",
    "WATCH k|UNWATCH",
    "MONITOR",
];

/// Those after which EXEC has no reply.
pub const ENDS_TRANSACTIONS: &[&str] = &["QUIT"];

/// The last line of each is the sample, the others its preparation. All keys and channels are in slots of their own.
pub const OVER_SLOTS: &[&str] = &[
    "MSET a 1 b 2|DEL a b c",
    "MSET a 1 b 2|UNLINK a b c",
    "MSET a 1 b 2|EXISTS a b c a",
    "MSET a 1 b 2|TOUCH a b c",
    "MSET a 1 b 2|MGET a b c",
    "MSET a 1 b 2 c 3",
    "MSETNX a 1 b 2",
    "MSET a 1 b 2 c 3|DBSIZE",
    "MSET a 1 b 2 c 3|KEYS *",
    "MSET a 1 b 2 c 3|RANDOMKEY",
    "MSET a 1 b 2 c 3|FLUSHALL",
    "MSET a 1 b 2 c 3|FLUSHDB",
    "MSET a 1 b 2 c 3|MULTI|GET a|GET b|EXEC",
    "MSET a 1 b 2 c 3|WATCH a b",
    "SET a 1|RENAME a b",
    "SET a 1|RENAMENX a b",
    "SET a 1|COPY a b",
    "MIGRATE 127.0.0.1 1 \"\" 0 100 KEYS a b",
    "RPUSH a 2 1|SORT a STORE b",
    "SET a 1|BITOP AND c a b",
    "PFADD a 1|PFCOUNT a b",
    "PFADD a 1|PFMERGE a b",
    "MSET a xy b xz|LCS a b",
    "SADD a 1|SDIFF a b",
    "SADD a 1|SINTER a b",
    "SADD a 1|SUNION a b",
    "SADD a 1|SDIFFSTORE c a b",
    "SADD a 1|SINTERSTORE c a b",
    "SADD a 1|SUNIONSTORE c a b",
    "SADD a 1|SINTERCARD 2 a b",
    "SADD a 1|SMOVE a b 1",
    "RPUSH a 1|LMOVE a b LEFT LEFT",
    "RPUSH a 1|BLMOVE a b LEFT LEFT 0",
    "RPUSH a 1|RPOPLPUSH a b",
    "RPUSH a 1|BRPOPLPUSH a b 0",
    "RPUSH a 1|BLPOP a b 0",
    "RPUSH a 1|BRPOP a b 0",
    "RPUSH a 1|LMPOP 2 a b LEFT",
    "RPUSH a 1|BLMPOP 0 2 a b LEFT",
    "ZADD a 1 m|BZPOPMIN a b 0",
    "ZADD a 1 m|BZPOPMAX a b 0",
    "ZADD a 1 m|ZMPOP 2 a b MIN",
    "ZADD a 1 m|BZMPOP 0 2 a b MIN",
    "ZADD a 1 m|ZDIFF 2 a b",
    "ZADD a 1 m|ZINTER 2 a b",
    "ZADD a 1 m|ZUNION 2 a b",
    "ZADD a 1 m|ZINTERCARD 2 a b",
    "ZADD a 1 m|ZDIFFSTORE c 2 a b",
    "ZADD a 1 m|ZINTERSTORE c 2 a b",
    "ZADD a 1 m|ZUNIONSTORE c 2 a b",
    "ZADD a 1 m|ZRANGESTORE b a 0 -1",
    "GEOADD a 1 1 m|GEOSEARCHSTORE b a FROMMEMBER m BYRADIUS 1 m",
    "GEOADD a 1 1 m|GEORADIUS a 1 1 1 m STORE b",
    "GEOADD a 1 1 m|GEORADIUSBYMEMBER a m 1 m STORE b",
    "XADD a 1-1 f v|XREAD STREAMS a b 0 0",
    "XGROUP CREATE a g 0 MKSTREAM|XGROUP CREATE b g 0 MKSTREAM|XREADGROUP GROUP g c STREAMS a b > >",
    "EVAL \"return 1\" 2 a b",
    "EVAL_RO \"return 1\" 2 a b",
    "SCRIPT LOAD \"return 1\"|EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 2 a b",
    "SCRIPT LOAD \"return 1\"|EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 2 a b",
    "FUNCTION LOAD REPLACE \"#!lua name=lib\\nredis.register_function('f1', function() return 1 end)\"|FCALL f1 2 a b",
    "FUNCTION LOAD REPLACE \"#!lua name=lib\\nredis.register_function{function_name='f2', callback=function() return 2 end, flags={'no-writes'}}\"|FCALL_RO f2 2 a b",
    "SUBSCRIBE a b",
    "PSUBSCRIBE a* b*",
    "SSUBSCRIBE a b",
    "SUNSUBSCRIBE a b",
    "PUBSUB SHARDNUMSUB a b",
];

/// Commands that may take several keys and have no program here. Not SORT_RO and the read-only GEORADIUS, which have no
/// STORE, nor OBJECT and MEMORY USAGE.
pub fn without_one(commands: &[Listed]) -> Vec<&str> {
    let takes_several = |name: &str| {
        let (name, sub) = name
            .split_once('|')
            .map_or((name, None), |(name, sub)| (name, Some(sub)));
        let command = lookup(name.as_bytes()).expect("in the table");
        let command = sub.map_or(command, |sub| {
            command.subcommand(sub.as_bytes()).expect("in the table")
        });
        match command.keys {
            KeySpec::None => false,
            KeySpec::Range { first, last, .. } => i16::from(last) != i16::from(first),
            KeySpec::Sort | KeySpec::GeoStore { .. } => command.is_write(),
            _ => true,
        }
    };
    let has_program = |name: &str| {
        OVER_SLOTS.iter().any(|program| {
            let last = program.rsplit('|').next().expect("a line");
            known(&words(last)).is_some_and(|command| command.full_name == name)
        })
    };
    let names = commands.iter().map(|command| command.full_name.as_str());
    names
        .filter(|name| takes_several(name) && !has_program(name))
        .collect()
}
