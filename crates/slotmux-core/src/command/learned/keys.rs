//! Key specifications as a server describes them, and the keys that they find in a request.

use std::iter::StepBy;
use std::ops::Range;

use redis::Value;

use super::value::{elements, field, integer, text, typed};
use crate::c_string;
use crate::command::keys::{KeyError, counted, find};
use crate::command::split::SplitShape;
use crate::resp::Span;

/// One key specification, as Redis has them: `begin_search` and `find_keys`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LearnedKeySpec {
    begin: BeginSearch,
    find: FindKeys,
    writes: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum BeginSearch {
    /// At a position.
    Index(usize),
    /// After a keyword, looked for from a position (negative: backwards, from so far before the end).
    Keyword(Vec<u8>, i64),
}

#[derive(Debug, PartialEq, Eq)]
enum FindKeys {
    /// To `last` after the beginning (negative: from the end), or of what remains the part that `limit` divides off.
    Range {
        last: i64,
        step: usize,
        limit: usize,
    },
    /// As many as the argument at `at` says, from `first` on; both count from the beginning.
    Counted {
        at: usize,
        first: usize,
        step: usize,
    },
}

impl LearnedKeySpec {
    /// From the three numbers that describe most commands. `None`: the numbers make no sense.
    pub(super) fn from_positions(
        first: i64,
        last: i64,
        step: i64,
    ) -> Option<Option<LearnedKeySpec>> {
        if first == 0 {
            return Some(None);
        }
        let last = if last < 0 {
            last
        } else {
            last.checked_sub(first).filter(|last| *last >= 0)?
        };
        let find = FindKeys::Range {
            last,
            step: positive(step)?,
            limit: 0,
        };
        Some(Some(LearnedKeySpec {
            begin: BeginSearch::Index(positive(first)?),
            find,
            writes: true,
        }))
    }

    /// The keys of a split command, which may be written.
    pub(super) fn of_shape(shape: SplitShape) -> LearnedKeySpec {
        LearnedKeySpec {
            begin: BeginSearch::Index(usize::from(shape.first)),
            find: FindKeys::Range {
                last: -1 - i64::from(shape.tail),
                step: usize::from(shape.step),
                limit: 0,
            },
            writes: true,
        }
    }

    /// Only the first of these keys.
    pub(super) fn only_first(mut self) -> LearnedKeySpec {
        if let FindKeys::Range { last, .. } = &mut self.find {
            *last = 0;
        }
        self
    }

    /// As many keys as argument `at` says, right behind it, which are only read.
    pub(super) fn read_and_counted(at: usize) -> LearnedKeySpec {
        LearnedKeySpec {
            begin: BeginSearch::Index(at),
            find: FindKeys::Counted {
                at: 0,
                first: 1,
                step: 1,
            },
            writes: false,
        }
    }

    /// From an element of the key specifications. `None`: the server says that it takes more to find all keys.
    pub(super) fn from_spec(spec: &Value) -> Option<LearnedKeySpec> {
        let flags = elements(field(spec, "flags")?);
        if has(flags, b"incomplete") {
            return None;
        }
        let (kind, spec_of_begin) = typed(field(spec, "begin_search")?)?;
        let begin = match kind {
            b"index" => BeginSearch::Index(positive(integer(field(spec_of_begin, "index")?)?)?),
            b"keyword" => BeginSearch::Keyword(
                text(field(spec_of_begin, "keyword")?)?.to_vec(),
                integer(field(spec_of_begin, "startfrom")?)?,
            ),
            _ => return None,
        };
        let (kind, spec_of_find) = typed(field(spec, "find_keys")?)?;
        let number = |name: &str| integer(field(spec_of_find, name)?);
        let natural = |name: &str| usize::try_from(number(name)?).ok();
        let step = positive(number("keystep")?)?;
        let find = match kind {
            b"range" => FindKeys::Range {
                last: number("lastkey")?,
                step,
                limit: natural("limit")?,
            },
            b"keynum" => FindKeys::Counted {
                at: natural("keynumidx")?,
                first: natural("firstkey")?,
                step,
            },
            _ => return None,
        };
        Some(LearnedKeySpec {
            begin,
            find,
            writes: writes(flags),
        })
    }

    /// Whether the command may leave these keys without an expiry, new ones or those that it overwrites.
    pub(super) fn writes(&self) -> bool {
        self.writes
    }

    /// Whether an argument says how many keys there are.
    pub(super) fn is_counted(&self) -> bool {
        matches!(self.find, FindKeys::Counted { .. })
    }

    /// Whether the keyword of this specification occurs more than once. The server reports that the first one counts,
    /// but its command may parse the options and take another one.
    pub(super) fn is_ambiguous(&self, buf: &[u8], args: &[Span]) -> bool {
        let BeginSearch::Keyword(word, _) = &self.begin else {
            return false;
        };
        let words = args.iter().skip(1).map(|arg| arg.of(buf));
        words.filter(|arg| c_string::is(arg, word)).nth(1).is_some()
    }

    /// The positions of the keys that this specification finds in a request: none where its keyword is not there.
    pub(super) fn positions(
        &self,
        buf: &[u8],
        args: &[Span],
    ) -> Result<StepBy<Range<usize>>, KeyError> {
        let begin = match &self.begin {
            BeginSearch::Index(at) => Some(*at),
            BeginSearch::Keyword(word, from) => {
                let distance = usize::try_from(from.unsigned_abs()).unwrap_or(usize::MAX);
                let at = if *from < 0 {
                    find(
                        buf,
                        args,
                        (2..=args.len().saturating_sub(distance)).rev(),
                        word,
                    )
                } else {
                    find(buf, args, distance..args.len().saturating_sub(1), word)
                };
                at.map(|at| at + 1)
            }
        };
        let Some(begin) = begin else {
            return Ok((0..0).step_by(1));
        };
        match self.find {
            FindKeys::Range { last, step, limit } => {
                let room = args.len().checked_sub(begin).ok_or(KeyError::None)?;
                let distance = usize::try_from(last.unsigned_abs()).unwrap_or(usize::MAX);
                // One past the last position.
                let end = if last >= 0 {
                    begin
                        .checked_add(distance)
                        .and_then(|last| last.checked_add(1))
                } else {
                    let whole = if limit > 1 { room / limit } else { room };
                    (begin + whole + 1).checked_sub(distance)
                };
                match end {
                    Some(end) if begin < end && end <= args.len() => Ok((begin..end).step_by(step)),
                    _ => Err(KeyError::None),
                }
            }
            FindKeys::Counted { at, first, step } => {
                let (at, first) = (begin.saturating_add(at), begin.saturating_add(first));
                let count = counted(buf, args, at, first, step)?;
                // `counted` made sure that all of these are arguments.
                Ok((first..first + count * step).step_by(step))
            }
        }
    }
}

/// Whether keys with these flags may be created or overwritten: all but those that are only read, deleted, or
/// handed on. HSET's key is declared as updated, not as inserted, so that an update counts as well.
fn writes(flags: &[Value]) -> bool {
    let any = |words: &[&[u8]]| words.iter().any(|word| has(flags, word));
    if any(&[b"variable_flags"]) {
        return true;
    }
    let spares = any(&[b"access", b"delete"]) && !any(&[b"insert", b"update"]);
    !any(&[b"RO", b"RM", b"not_key"]) && (any(&[b"OW"]) || !spares)
}

fn has(flags: &[Value], word: &[u8]) -> bool {
    flags
        .iter()
        .filter_map(text)
        .any(|flag| flag.eq_ignore_ascii_case(word))
}

fn positive(number: i64) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{entry, flagged, keys_of, request, simple, spec, words};
    use super::super::{Learned, LearnedRoute};
    use super::*;

    #[test]
    fn keys_that_move_are_found_by_their_specifications() {
        let index = |at| ("index", vec![("index", Value::Int(at))]);
        let keyword = |from| {
            (
                "keyword",
                vec![
                    ("keyword", Value::BulkString(b"KEYS".to_vec())),
                    ("startfrom", Value::Int(from)),
                ],
            )
        };
        let find = |kind, fields: [(&'static str, i64); 3]| {
            (
                kind,
                fields
                    .into_iter()
                    .map(|(name, number)| (name, Value::Int(number)))
                    .collect::<Vec<_>>(),
            )
        };
        let range = |last, limit| {
            find(
                "range",
                [("lastkey", last), ("keystep", 1), ("limit", limit)],
            )
        };
        let counted = |at, first, step| {
            find(
                "keynum",
                [("keynumidx", at), ("firstkey", first), ("keystep", step)],
            )
        };
        for resp3 in [false, true] {
            let learned = |specs: Vec<Value>| {
                let entry = entry("m.op -2 0 0 0: write movablekeys", specs, Vec::new());
                Learned::from_reply(&Value::Array(vec![entry]))
            };
            let check = |specs: Vec<Value>, lines: &[(&str, Option<&str>)]| {
                let learned = learned(specs);
                let command = learned.get(b"M.OP").expect("it was learned");
                assert_eq!(command.route, LearnedRoute::Keyed);
                for (line, keys) in lines {
                    let found = keys_of(command, line).ok().map(|keys| keys.join(" "));
                    assert_eq!(found.as_deref(), *keys, "{line}");
                }
            };
            check(
                vec![
                    spec(resp3, index(1), range(0, 0)),
                    spec(resp3, index(2), counted(0, 1, 1)),
                ],
                &[
                    ("m.op d 2 a b", Some("d a b")),
                    ("m.op d 0", None),
                    ("m.op d 2 a", None),
                    ("m.op d -1 a", None),
                    ("m.op d x a", None),
                    ("m.op d 18446744073709551615 a", None),
                    ("m.op", None),
                ],
            );
            check(
                vec![spec(resp3, keyword(2), range(-1, 2))],
                &[
                    ("m.op x keys a b i j", Some("a b")),
                    ("m.op x y", Some("")),
                    ("m.op x keys a", None),
                ],
            );
            let streams = learned(vec![spec(resp3, keyword(2), range(-1, 2))]);
            let command = streams.get(b"M.OP").expect("it was learned");
            for (line, is_ambiguous) in [
                ("m.op x keys a 0", false),
                ("m.op x keys Keys a 0", true),
                ("m.op keys keys\0x a 0", true),
            ] {
                let (buf, args) = request(line);
                assert_eq!(command.is_ambiguous(&buf, &args), is_ambiguous, "{line}");
            }
            check(
                vec![spec(resp3, keyword(-2), range(-1, 0))],
                &[
                    ("m.op x KEYS a b", Some("a b")),
                    ("m.op x", Some("")),
                    ("m.op", Some("")),
                ],
            );
            check(
                vec![spec(resp3, index(2), counted(0, 1, 2))],
                &[("m.op x 2 a 1 b 2 z", Some("a b"))],
            );
            let unknown = spec(resp3, ("unknown", Vec::new()), ("unknown", Vec::new()));
            let hidden = learned(vec![spec(resp3, index(1), range(0, 0)), unknown]);
            assert_eq!(
                hidden.get(b"m.op").map(|command| command.route),
                Some(LearnedRoute::HiddenKeys)
            );
            let far = learned(vec![spec(
                resp3,
                keyword(i64::MIN),
                range(i64::MIN, i64::MAX),
            )]);
            assert_eq!(
                keys_of(far.get(b"m.op").expect("it was learned"), "m.op a keys b"),
                Ok(Vec::new())
            );
            let far = learned(vec![spec(resp3, index(1), range(i64::MAX, 0))]);
            assert_eq!(
                keys_of(far.get(b"m.op").expect("it was learned"), "m.op a"),
                Err(KeyError::None)
            );
        }
    }

    #[test]
    fn what_may_be_left_without_an_expiry() {
        for (flags, expected) in [
            ("RW UPDATE", true),
            ("RW INSERT", true),
            ("RW ACCESS UPDATE", true),
            ("OW UPDATE", true),
            ("OW", true),
            // Nothing is said about what is done, or it depends on the arguments.
            ("RW", true),
            ("", true),
            ("RO ACCESS variable_flags", true),
            ("RO ACCESS", false),
            ("RO", false),
            ("RM DELETE", false),
            ("RW ACCESS DELETE", false),
            ("RW DELETE", false),
            ("not_key", false),
        ] {
            assert_eq!(writes(&words(flags)), expected, "{flags}");
        }
    }

    #[test]
    fn keys_that_are_only_read_are_told_apart() {
        let at = |flags: &str, at: i64| {
            flagged(
                flags,
                ("index", vec![("index", Value::Int(at))]),
                (
                    "range",
                    vec![
                        ("lastkey", Value::Int(0)),
                        ("keystep", Value::Int(1)),
                        ("limit", Value::Int(0)),
                    ],
                ),
            )
        };
        let entry = entry(
            "m.merge 3 1 2 1: write",
            vec![at("OW UPDATE", 1), at("RO ACCESS", 2)],
            Vec::new(),
        );
        let learned =
            Learned::from_reply(&Value::Array(vec![entry, simple("m.put 3 1 2 1: write")]));
        for (line, all, expected) in [("m.merge d s", 2, "d"), ("m.put a b", 2, "a b")] {
            let (buf, args) = request(line);
            let command = learned.resolve(&buf, &args).expect(line);
            assert_eq!(keys_of(command, line).map(|keys| keys.len()), Ok(all));
            let mut written = Vec::new();
            let found =
                command.for_each_written_key(&buf, &args, |at| written.push(args[at].of(&buf)));
            assert_eq!(found, Ok(()));
            assert_eq!(written.join(&b' '), expected.as_bytes(), "{line}");
        }
    }
}
