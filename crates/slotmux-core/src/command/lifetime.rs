//! The effect of each command on the lifetime of the keys that it writes: the column of the command table that the TTL
//! policy reads. Source: the commands' pages on redis.io and `setKey` and its callers in Redis and Valkey.

use crate::command::Flags;

/// The effect of a command on the lifetime of its keys, by which a policy decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifetime {
    /// Nothing: it reads, deletes, or changes only keys that are there.
    Untouched,
    /// `SET key value [NX | XX | IFEQ … | …] [GET] [EX | PX | EXAT | PXAT | KEEPTTL]`
    Set,
    /// `SETEX key seconds value`
    SetEx,
    /// `PSETEX key milliseconds value`
    PSetEx,
    /// `SETNX key value`
    SetNx,
    /// `GETSET key value`
    GetSet,
    /// `GETEX key [EX | PX | EXAT | PXAT | PERSIST]`
    GetEx,
    /// `INCREX key [BYINT … | BYFLOAT …] … [EX | PX | EXAT | PXAT | PERSIST] [ENX]`
    IncrEx,
    /// `MSET key value [key value …]`
    MSet,
    /// `MSETNX key value [key value …]`
    MSetNx,
    /// `MSETEX numkeys key value [key value …] [NX | XX] [EX | PX | EXAT | PXAT | KEEPTTL]`
    MSetEx,
    /// `EXPIRE key seconds [NX | XX | GT | LT]`
    Expire,
    /// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
    PExpire,
    /// `EXPIREAT key unix-seconds [NX | XX | GT | LT]`
    ExpireAt,
    /// `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`
    PExpireAt,
    /// `PERSIST key`
    Persist,
    /// `RESTORE key ttl value [REPLACE] [ABSTTL] …`
    Restore,
    /// May leave the key in argument `at` without an expiry, or with the expiry of another key.
    Creates {
        /// Index of the key.
        at: u8,
    },
    /// As [`Lifetime::Creates`] for the key after `STORE` or `STOREDIST`, if there is one: SORT, GEORADIUS.
    Stores,
    /// May do anything to its declared keys: EVAL, EVALSHA, FCALL.
    Script,
    /// May leave any of its keys without an expiry: what is not known better.
    Unknown,
}

use Lifetime::*;

/// Writes that never leave a key without an expiry that had one, and create none.
const UNTOUCHED: &[&str] = &[
    "ardel",
    "ardelrange",
    "del",
    "delex",
    "delifeq",
    "getdel",
    "hdel",
    "hexpire",
    "hexpireat",
    "hgetdel",
    "hgetex",
    "hpersist",
    "hpexpire",
    "hpexpireat",
    "linsert",
    "lmpop",
    "lpop",
    "lpushx",
    "lrem",
    "lset",
    "ltrim",
    "migrate",
    "move",
    "rpop",
    "rpushx",
    "spop",
    "srem",
    "unlink",
    "vrem",
    "vsetattr",
    "xack",
    "xackdel",
    "xautoclaim",
    "xcfgset",
    "xclaim",
    "xdel",
    "xdelex",
    "xgroup|createconsumer",
    "xgroup|delconsumer",
    "xgroup|destroy",
    "xgroup|setid",
    "xnack",
    "xreadgroup",
    "xsetid",
    "xtrim",
    "zmpop",
    "zpopmax",
    "zpopmin",
    "zrem",
    "zremrangebylex",
    "zremrangebyrank",
    "zremrangebyscore",
    "blmpop",
    "blpop",
    "brpop",
    "bzmpop",
    "bzpopmax",
    "bzpopmin",
];

const RULES: &[(&str, Lifetime)] = &[
    ("set", Set),
    ("setex", SetEx),
    ("psetex", PSetEx),
    ("setnx", SetNx),
    ("getset", GetSet),
    ("getex", GetEx),
    ("increx", IncrEx),
    ("mset", MSet),
    ("msetnx", MSetNx),
    ("msetex", MSetEx),
    ("expire", Expire),
    ("pexpire", PExpire),
    ("expireat", ExpireAt),
    ("pexpireat", PExpireAt),
    ("persist", Persist),
    ("restore", Restore),
    ("sort", Stores),
    ("georadius", Stores),
    ("georadiusbymember", Stores),
    ("eval", Script),
    ("evalsha", Script),
    ("fcall", Script),
    ("copy", Creates { at: 2 }),
    ("rename", Creates { at: 2 }),
    ("renamenx", Creates { at: 2 }),
    ("smove", Creates { at: 2 }),
    ("lmove", Creates { at: 2 }),
    ("lmovem", Creates { at: 2 }),
    ("rpoplpush", Creates { at: 2 }),
    ("blmove", Creates { at: 2 }),
    ("blmovem", Creates { at: 2 }),
    ("brpoplpush", Creates { at: 2 }),
    ("bitop", Creates { at: 2 }),
    ("pfdebug", Creates { at: 2 }),
    ("xgroup|create", Creates { at: 2 }),
    ("bless|set", Creates { at: 2 }),
    ("bless|clear", Creates { at: 2 }),
    ("append", Creates { at: 1 }),
    ("arinsert", Creates { at: 1 }),
    ("armset", Creates { at: 1 }),
    ("arring", Creates { at: 1 }),
    ("arseek", Creates { at: 1 }),
    ("arset", Creates { at: 1 }),
    ("bitfield", Creates { at: 1 }),
    ("decr", Creates { at: 1 }),
    ("decrby", Creates { at: 1 }),
    ("geoadd", Creates { at: 1 }),
    ("geosearchstore", Creates { at: 1 }),
    ("hincrby", Creates { at: 1 }),
    ("hincrbyfloat", Creates { at: 1 }),
    ("hmset", Creates { at: 1 }),
    ("hset", Creates { at: 1 }),
    ("hsetex", Creates { at: 1 }),
    ("hsetnx", Creates { at: 1 }),
    ("incr", Creates { at: 1 }),
    ("incrby", Creates { at: 1 }),
    ("incrbyfloat", Creates { at: 1 }),
    ("lpush", Creates { at: 1 }),
    ("pfadd", Creates { at: 1 }),
    ("pfmerge", Creates { at: 1 }),
    ("rpush", Creates { at: 1 }),
    ("sadd", Creates { at: 1 }),
    ("sdiffstore", Creates { at: 1 }),
    ("setbit", Creates { at: 1 }),
    ("setrange", Creates { at: 1 }),
    ("sinterstore", Creates { at: 1 }),
    ("sunionstore", Creates { at: 1 }),
    ("vadd", Creates { at: 1 }),
    ("xadd", Creates { at: 1 }),
    ("zadd", Creates { at: 1 }),
    ("zdiffstore", Creates { at: 1 }),
    ("zincrby", Creates { at: 1 }),
    ("zinterstore", Creates { at: 1 }),
    ("zrangestore", Creates { at: 1 }),
    ("zunionstore", Creates { at: 1 }),
];

impl Lifetime {
    /// The effect of the command with this name and these flags. An unlisted write command may do anything.
    pub const fn of(full_name: &str, flags: Flags) -> Lifetime {
        let mut i = 0;
        while i < RULES.len() {
            if is_same(RULES[i].0, full_name) {
                return RULES[i].1;
            }
            i += 1;
        }
        let mut i = 0;
        while i < UNTOUCHED.len() {
            if is_same(UNTOUCHED[i], full_name) {
                return Untouched;
            }
            i += 1;
        }
        if flags.contains(Flags::WRITE) {
            Unknown
        } else {
            Untouched
        }
    }

    /// The effect of a command of which only the flags are known. Scripts of modules are flagged neither way.
    pub const fn of_unknown(flags: Flags) -> Lifetime {
        if flags.contains(Flags::READONLY) {
            Untouched
        } else {
            Unknown
        }
    }
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{self, KeySpec, Route};

    /// A write that was forgotten would still be handled, but coarsely.
    #[test]
    fn every_write_of_the_table_is_described() {
        for command in command::all().flat_map(|c| std::iter::once(c).chain(c.subcommands)) {
            let is_sent = !matches!(command.route, Route::Refused(_) | Route::Answer(_));
            if is_sent && command.keys != KeySpec::None && command.flags.contains(Flags::WRITE) {
                assert_ne!(command.lifetime, Unknown, "{}", command.full_name);
            }
        }
    }

    #[test]
    fn every_rule_names_a_command_once() {
        let named = RULES.iter().map(|(name, _)| name).chain(UNTOUCHED);
        let mut seen = std::collections::HashSet::new();
        for name in named {
            assert!(seen.insert(name), "{name} twice");
            let mut parts = name.split('|');
            let top = command::lookup(parts.next().unwrap_or_default().as_bytes()).expect(name);
            assert!(
                parts
                    .next()
                    .is_none_or(|sub| top.subcommand(sub.as_bytes()).is_some()),
                "{name}"
            );
        }
    }
}
