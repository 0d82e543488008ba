//! Command flags, named as the `COMMAND` reply of a server names them.

use std::fmt;
use std::ops::BitOr;

/// A set of command flags.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u32);

/// One flag per line: constant, bit, word in the `COMMAND` reply.
macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $word:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)*
            /// Every flag with its word, in the order in which a server lists them.
            pub const ALL: &'static [(Flags, &'static str)] = &[$((Flags::$name, $word)),*];
        }
    };
}

flags! {
    /// May change data.
    WRITE = 0, "write";
    /// Reads data and changes none.
    READONLY = 1, "readonly";
    /// Refused by a server that is out of memory.
    DENYOOM = 2, "denyoom";
    /// Comes from a module.
    MODULE = 3, "module";
    /// Administers the server.
    ADMIN = 4, "admin";
    /// Concerns publish/subscribe.
    PUBSUB = 5, "pubsub";
    /// Not allowed in scripts.
    NOSCRIPT = 6, "noscript";
    /// May block the client.
    BLOCKING = 7, "blocking";
    /// Allowed while the server loads its data.
    LOADING = 8, "loading";
    /// Allowed on a replica with stale data.
    STALE = 9, "stale";
    /// Not shown by MONITOR.
    SKIP_MONITOR = 10, "skip_monitor";
    /// Not shown by SLOWLOG.
    SKIP_SLOWLOG = 11, "skip_slowlog";
    /// Accepted by the importing node of a slot.
    ASKING = 12, "asking";
    /// Constant or logarithmic time.
    FAST = 13, "fast";
    /// Allowed before authentication.
    NO_AUTH = 14, "no_auth";
    /// May be called with no key at all.
    NO_MANDATORY_KEYS = 15, "no_mandatory_keys";
    /// Not allowed during an asynchronous load.
    NO_ASYNC_LOADING = 16, "no_async_loading";
    /// Not allowed in a transaction.
    NO_MULTI = 17, "no_multi";
    /// Its keys are not at fixed positions.
    MOVABLE_KEYS = 18, "movablekeys";
    /// Allowed while a script keeps the server busy.
    ALLOW_BUSY = 19, "allow_busy";
}

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    pub const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// The flags of both.
    pub const fn union(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// The flag that a server calls `word`.
    pub fn from_word(word: &str) -> Option<Flags> {
        Flags::ALL
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(flag, _)| *flag)
    }

    /// The words of the set flags, in the order of [`Flags::ALL`].
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Flags::ALL
            .iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, word)| *word)
    }

    /// Flags from words parted by one space. For the table, where a wrong word must stop the build.
    pub(super) const fn parse(words: &str) -> Flags {
        let bytes = words.as_bytes();
        let mut flags = Flags::NONE;
        let mut start = 0;
        while start < bytes.len() {
            let mut end = start;
            while end < bytes.len() && bytes[end] != b' ' {
                end += 1;
            }
            let mut known = false;
            let mut i = 0;
            while i < Flags::ALL.len() {
                if same(bytes, start, end, Flags::ALL[i].1.as_bytes()) {
                    flags = flags.union(Flags::ALL[i].0);
                    known = true;
                }
                i += 1;
            }
            assert!(known, "a flag in the command table that no server has");
            start = end + 1;
        }
        flags
    }
}

/// Whether `bytes[start..end]` is `word`.
const fn same(bytes: &[u8], start: usize, end: usize, word: &[u8]) -> bool {
    if end - start != word.len() {
        return false;
    }
    let mut i = 0;
    while i < word.len() {
        if bytes[start + i] != word[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        self.union(other)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.words()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_flags_are_each_others_inverse() {
        for (flag, word) in Flags::ALL {
            assert_eq!(Flags::from_word(word), Some(*flag));
            assert_eq!(Flags::parse(word), *flag);
            assert_eq!(flag.words().collect::<Vec<_>>(), [*word]);
        }
        assert_eq!(Flags::from_word("sentinel"), None);
        let set = Flags::parse("write denyoom fast");
        assert_eq!(set, Flags::WRITE | Flags::DENYOOM | Flags::FAST);
        assert!(
            set.contains(Flags::WRITE | Flags::FAST) && !set.contains(Flags::WRITE | Flags::ADMIN)
        );
        assert!(set.intersects(Flags::WRITE | Flags::ADMIN) && !set.intersects(Flags::ADMIN));
    }
}
