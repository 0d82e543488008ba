//! The options of a request, parsed as servers parse them: an argument of an option is never an option itself.

use crate::c_string;
use crate::resp::Span;

/// The known options of a command, each with its number of arguments.
pub type KnownOptions = &'static [(&'static [u8], usize)];

/// Options of HELLO.
pub const OF_HELLO: KnownOptions = &[(AUTH, 2), (b"setname", 1)];
/// Options of MIGRATE. All arguments after KEYS are keys.
pub const OF_MIGRATE: KnownOptions = &[
    (b"copy", 0),
    (b"replace", 0),
    (AUTH, 1),
    (AUTH2, 2),
    (KEYS, 0),
];
/// Options of SORT.
pub(super) const OF_SORT: KnownOptions = &[
    (b"asc", 0),
    (b"desc", 0),
    (b"alpha", 0),
    (b"limit", 2),
    (BY, 1),
    (GET, 1),
    (STORE, 1),
];
/// Options of GEORADIUS and GEORADIUSBYMEMBER.
pub(super) const OF_GEORADIUS: KnownOptions = &[
    (b"withdist", 0),
    (b"withhash", 0),
    (b"withcoord", 0),
    (b"any", 0),
    (b"asc", 0),
    (b"desc", 0),
    (b"count", 1),
    (STORE, 1),
    (STOREDIST, 1),
];
/// Options of XREAD and XREADGROUP, of any version. All arguments after STREAMS are keys and ids.
pub(super) const OF_XREAD: KnownOptions = &[
    (BLOCK, 1),
    (b"count", 1),
    (STREAMS, 1),
    (b"group", 2),
    (b"noack", 0),
    (b"claim", 1),
    (b"maxcount", 1),
    (b"maxsize", 1),
];

/// As spelled in the lists of options.
pub const AUTH: &[u8] = b"auth";
/// As spelled in the lists of options.
pub const AUTH2: &[u8] = b"auth2";
/// As spelled in the lists of options.
pub const KEYS: &[u8] = b"keys";
pub(super) const BLOCK: &[u8] = b"block";
pub(super) const BY: &[u8] = b"by";
pub(super) const GET: &[u8] = b"get";
pub(super) const STORE: &[u8] = b"store";
pub(super) const STOREDIST: &[u8] = b"storedist";
pub(super) const STREAMS: &[u8] = b"streams";

/// An option of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundOption {
    /// Index of its word.
    pub at: usize,
    /// The word as spelled in the list.
    pub word: &'static [u8],
    /// Number of arguments that belong to it; fewer may be present.
    pub takes: usize,
}

/// The known options of a request, in order.
///
/// Every known server refuses a request with an unknown word, or with an option that lacks an argument. An unknown
/// server may take the word for an option with arguments, so that after it no argument is skipped: each word that could
/// be an option is returned.
#[derive(Clone)]
pub struct OptionScan<'a> {
    buf: &'a [u8],
    args: &'a [Span],
    at: usize,
    known: KnownOptions,
    is_lost: bool,
}

impl<'a> OptionScan<'a> {
    /// The options from argument `from` on.
    pub fn new(
        known: KnownOptions,
        buf: &'a [u8],
        args: &'a [Span],
        from: usize,
    ) -> OptionScan<'a> {
        OptionScan {
            buf,
            args,
            at: from,
            known,
            is_lost: false,
        }
    }

    /// Whether a word that no known server accepts was met, up to the option that was returned last.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }
}

impl Iterator for OptionScan<'_> {
    type Item = FoundOption;

    fn next(&mut self) -> Option<FoundOption> {
        while let Some(argument) = self.args.get(self.at).map(|arg| arg.of(self.buf)) {
            let at = self.at;
            self.at += 1;
            let mut known = self.known.iter();
            let Some(&(word, takes)) = known.find(|(word, _)| c_string::is(argument, word)) else {
                self.is_lost = true;
                continue;
            };
            self.is_lost |= at + takes >= self.args.len();
            if !self.is_lost {
                self.at += takes;
            }
            return Some(FoundOption { at, word, takes });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(known: KnownOptions, line: &str) -> (Vec<String>, bool) {
        let (mut buf, mut args) = (Vec::new(), Vec::new());
        for word in line.split(' ') {
            let start = buf.len() as u32;
            buf.extend_from_slice(word.as_bytes());
            let end = buf.len() as u32;
            args.push(Span { start, end });
        }
        let mut options = OptionScan::new(known, &buf, &args, 0);
        let mut shown = Vec::new();
        for FoundOption { at, word, .. } in options.by_ref() {
            shown.push(format!("{at} {}", word.escape_ascii()));
        }
        (shown, options.is_lost())
    }

    #[test]
    fn arguments_are_passed_over_until_a_word_is_not_known() {
        for (known, line, expected, is_lost) in [
            (
                OF_SORT,
                "STORE by STORE x",
                &["0 store", "2 store"][..],
                false,
            ),
            (
                OF_SORT,
                "by store\0 Limit store store",
                &["0 by", "2 limit"],
                false,
            ),
            (OF_SORT, "novel by store x", &["1 by", "2 store"], true),
            (OF_SORT, "asc store", &["0 asc", "1 store"], true),
            (OF_SORT, "limit by store x", &["0 limit"], true),
            (OF_SORT, "limit store store", &["0 limit"], false),
            (OF_SORT, "limit store", &["0 limit", "1 store"], true),
            (
                OF_MIGRATE,
                "auth keys keys\0x a",
                &["0 auth", "2 keys"],
                true,
            ),
            (
                OF_HELLO,
                "setname auth auth u p",
                &["0 setname", "2 auth"],
                false,
            ),
            (OF_HELLO, "auth u", &["0 auth"], true),
            (
                OF_XREAD,
                "group g streams streams k >",
                &["0 group", "3 streams"],
                true,
            ),
        ] {
            let (shown, lost) = walked(known, line);
            assert_eq!(
                (&shown[..], lost),
                (
                    &expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    is_lost
                ),
                "{line:?}"
            );
        }
    }
}
