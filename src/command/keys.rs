//! Where the keys of a request are, for every form that commands have, without an allocation.

use super::{Command, Route};
use crate::resp::Span;

/// Where a command has its keys. Positions count the command's name as 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeySpec {
    /// Nowhere.
    None,
    /// From `first` to `last` in steps of `step`; a negative `last` counts from the end, -1 being the last argument.
    Range {
        /// Position of the first key.
        first: u8,
        /// Position of the last key, or of the last argument that can belong to one.
        last: i8,
        /// Distance of one key to the next.
        step: u8,
    },
    /// A count at `at`, and so many keys from `first` on; `dest`, if it is not 0, is one more.
    NumKeys {
        /// Position of a key that is written, 0 if there is none.
        dest: u8,
        /// Position of the count.
        at: u8,
        /// Position of the first counted key.
        first: u8,
        /// Distance of one key to the next.
        step: u8,
    },
    /// XREAD: the first half of what follows STREAMS, which stands at `from` or later.
    Streams {
        /// Where the search for STREAMS begins.
        from: u8,
    },
    /// SORT: the first argument and what follows the last STORE. What BY and GET name is a pattern and no key; a
    /// server in a cluster refuses patterns that reach another slot.
    Sort,
    /// GEORADIUS: the first argument and what follows STORE or STOREDIST among the options.
    GeoStore {
        /// Position of the first option.
        from: u8,
    },
    /// MIGRATE: the third argument, or what follows KEYS if that is empty.
    Migrate,
}

impl KeySpec {
    /// Whether the keys move with other arguments: what servers flag as `movablekeys`.
    pub const fn is_movable(&self) -> bool {
        !matches!(self, KeySpec::None | KeySpec::Range { .. })
    }
}

/// Why the keys of a request cannot be told. The request is wrong in a way that every server sees before it looks at
/// any key, so that any node may be asked to word the error; its keys route nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyError {
    /// The number of keys is no number, is negative, is 0 where a destination is to be filled, or exceeds the
    /// number of arguments.
    NumKeys,
    /// No argument is where a key must be, or the last key lacks what belongs to it.
    None,
}

/// Calls `f` with the index of each key argument, in order. Where the result is an error, `f` was not called.
///
/// A request may have no key at all (`EVAL … 0`): that is no error, `f` is just never called.
///
/// # Errors
/// [`KeyError`]: let any node say what is wrong.
#[inline]
pub fn for_each_key(
    spec: &KeySpec,
    buf: &[u8],
    args: &[Span],
    mut f: impl FnMut(usize),
) -> Result<(), KeyError> {
    match *spec {
        KeySpec::None => Ok(()),
        KeySpec::Range { first, last, step } => {
            let (first, step) = (usize::from(first), usize::from(step).max(1));
            let last = if last < 0 {
                args.len().checked_sub(usize::from(last.unsigned_abs()))
            } else {
                usize::try_from(last).ok()
            };
            match last {
                Some(last)
                    if last < args.len()
                        && first <= last
                        && (step == 1 || (last + 1 - first) % step == 0) =>
                {
                    // Nearly every request has one key; without the loop it costs next to nothing.
                    if first == last {
                        f(first);
                    } else {
                        (first..=last).step_by(step).for_each(f);
                    }
                    Ok(())
                }
                _ => Err(KeyError::None),
            }
        }
        KeySpec::NumKeys {
            dest,
            at,
            first,
            step,
        } => {
            let (first, step) = (usize::from(first), usize::from(step).max(1));
            let count = counted(buf, args, usize::from(at), first, step)?;
            if dest != 0 {
                if count == 0 {
                    return Err(KeyError::NumKeys);
                }
                f(usize::from(dest));
            }
            (first..).step_by(step).take(count).for_each(f);
            Ok(())
        }
        KeySpec::Streams { from } => {
            // A server does not take the very last argument for the keyword.
            let candidates = usize::from(from)..args.len().saturating_sub(1);
            let first = find(buf, args, candidates, b"streams").ok_or(KeyError::None)? + 1;
            let count = (args.len() - first) / 2;
            if count == 0 {
                return Err(KeyError::None);
            }
            (first..first + count).for_each(f);
            Ok(())
        }
        KeySpec::Sort => {
            if args.len() < 2 {
                return Err(KeyError::None);
            }
            f(1);
            if let Some(dest) = sort_destination(buf, args) {
                f(dest);
            }
            Ok(())
        }
        KeySpec::GeoStore { from } => {
            if args.len() < 2 {
                return Err(KeyError::None);
            }
            f(1);
            let options = usize::from(from)..args.len().saturating_sub(1);
            for keyword in [&b"store"[..], b"storedist"] {
                if let Some(at) = find(buf, args, options.clone(), keyword) {
                    f(at + 1);
                }
            }
            Ok(())
        }
        KeySpec::Migrate => migrate_keys(buf, args, f),
    }
}

/// The count at `at` if all of the keys it announces are there.
pub(super) fn counted(
    buf: &[u8],
    args: &[Span],
    at: usize,
    first: usize,
    step: usize,
) -> Result<usize, KeyError> {
    let count = args
        .get(at)
        .and_then(|arg| parse_count(arg.of(buf)))
        .ok_or(KeyError::NumKeys)?;
    let room = args.len().saturating_sub(first);
    if count > room.div_ceil(step) {
        Err(KeyError::NumKeys)
    } else {
        Ok(count)
    }
}

/// A count of keys as servers read it: decimal digits without sign, space or leading zero.
fn parse_count(digits: &[u8]) -> Option<usize> {
    // Nine digits are more than a request can have arguments, and cannot overflow.
    if digits.is_empty() || digits.len() > 9 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    digits.iter().try_fold(0, |count: usize, digit| {
        digit
            .is_ascii_digit()
            .then(|| count * 10 + usize::from(digit - b'0'))
    })
}

/// The first argument in `range` that is `keyword` in any case.
pub(super) fn find(
    buf: &[u8],
    args: &[Span],
    range: impl Iterator<Item = usize>,
    keyword: &[u8],
) -> Option<usize> {
    let mut range = range;
    range.find(|at| {
        args.get(*at)
            .is_some_and(|arg| is_word(arg.of(buf), keyword))
    })
}

/// Whether a server takes `option` for `keyword`: in any case, and up to a NUL byte, since it compares C strings.
fn is_word(option: &[u8], keyword: &[u8]) -> bool {
    option
        .split_at_checked(keyword.len())
        .is_some_and(|(word, rest)| {
            word.eq_ignore_ascii_case(keyword) && matches!(rest.first(), None | Some(0))
        })
}

/// What follows the last STORE among SORT's options.
fn sort_destination(buf: &[u8], args: &[Span]) -> Option<usize> {
    let mut destination = None;
    let mut at = 2;
    while let Some(option) = args.get(at).map(|arg| arg.of(buf)) {
        if is_word(option, b"limit") {
            at += 2;
        } else if is_word(option, b"get") || is_word(option, b"by") {
            at += 1;
        } else if is_word(option, b"store") && at + 1 < args.len() {
            destination = Some(at + 1);
        }
        at += 1;
    }
    destination
}

/// The key that SORT or GEORADIUS fills, if this request lets it: what follows the last STORE or STOREDIST.
///
/// Servers look for the keys of GEORADIUS after the first of each word, but fill what follows the last of both.
pub fn destination(spec: &KeySpec, buf: &[u8], args: &[Span]) -> Option<usize> {
    let mut at = match *spec {
        KeySpec::Sort => return sort_destination(buf, args),
        KeySpec::GeoStore { from } => usize::from(from),
        _ => return None,
    };
    let mut destination = None;
    while at + 1 < args.len() {
        let option = args[at].of(buf);
        let is = |word: &str| is_word(option, word.as_bytes());
        if is("store") || is("storedist") {
            destination = Some(at + 1);
            at += 1;
        } else if is("count") {
            at += 1;
        }
        at += 1;
    }
    destination
}

fn migrate_keys(buf: &[u8], args: &[Span], mut f: impl FnMut(usize)) -> Result<(), KeyError> {
    const KEY: usize = 3;
    let Some(key) = args.get(KEY) else {
        return Err(KeyError::None);
    };
    // A server does not take the very last argument for the keyword.
    let options = &args[..args.len() - 1];
    let mut at = 6;
    while let Some(option) = options.get(at).map(|arg| arg.of(buf)) {
        if option.eq_ignore_ascii_case(b"keys") {
            // A key and KEYS together are a syntax error.
            if !key.of(buf).is_empty() {
                return Err(KeyError::None);
            }
            (at + 1..args.len()).for_each(f);
            return Ok(());
        }
        at += if option.eq_ignore_ascii_case(b"auth") {
            2
        } else if option.eq_ignore_ascii_case(b"auth2") {
            3
        } else {
            1
        };
    }
    f(KEY);
    Ok(())
}

/// Whether this call may hold its connection up, so that it needs one of its own.
///
/// True for every call of a [`Route::Blocking`] command but XREAD and XREADGROUP without BLOCK.
pub fn blocks(command: &Command, buf: &[u8], args: &[Span]) -> bool {
    match (command.route, command.keys) {
        (Route::Blocking, KeySpec::Streams { .. }) => read_blocks(buf, args),
        (Route::Blocking, _) => true,
        _ => false,
    }
}

/// Whether BLOCK is among the options of XREAD or XREADGROUP.
fn read_blocks(buf: &[u8], args: &[Span]) -> bool {
    let mut at = 1;
    while let Some(option) = args.get(at).map(|arg| arg.of(buf)) {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        at += if is("block") {
            return true;
        } else if is("streams") {
            return false;
        } else if is("noack") {
            1
        } else if is("count") || is("claim") || is("maxcount") || is("maxsize") {
            2
        } else if is("group") {
            3
        } else {
            // An option that came with a newer server: better a connection too many than a shared one held up.
            return find(buf, args, at..args.len(), b"block").is_some();
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::resolve;
    use super::*;

    fn request<T: AsRef<[u8]>>(words: &[T]) -> (Vec<u8>, Vec<Span>) {
        let mut buf = Vec::new();
        let mut args = Vec::new();
        for word in words {
            let start = buf.len() as u32;
            buf.extend_from_slice(word.as_ref());
            args.push(Span {
                start,
                end: buf.len() as u32,
            });
        }
        (buf, args)
    }

    fn line(line: &str) -> (Vec<u8>, Vec<Span>) {
        request(
            &line
                .split(' ')
                .map(|word| if word == "''" { "" } else { word })
                .collect::<Vec<_>>(),
        )
    }

    fn positions(spec: &KeySpec, buf: &[u8], args: &[Span]) -> Result<Vec<usize>, KeyError> {
        let mut found = Vec::new();
        let result = for_each_key(spec, buf, args, |at| found.push(at));
        assert!(result.is_ok() || found.is_empty(), "an error after a key");
        result.map(|()| found)
    }

    #[test]
    fn keys_of_wrong_requests_are_errors_or_none_and_never_a_panic() {
        for (request, expected) in [
            ("mset a 1 b 2", Ok(vec![1, 3])),
            ("eval s 0", Ok(vec![])),
            ("eval s 0 a b", Ok(vec![])),
            ("eval s 2 a", Err(KeyError::NumKeys)),
            ("eval s -1 a", Err(KeyError::NumKeys)),
            ("eval s +1 a", Err(KeyError::NumKeys)),
            ("eval s 01 a", Err(KeyError::NumKeys)),
            ("eval s '' a", Err(KeyError::NumKeys)),
            ("eval s 1x a", Err(KeyError::NumKeys)),
            ("eval s 1.0 a", Err(KeyError::NumKeys)),
            ("eval s 999999999 a", Err(KeyError::NumKeys)),
            ("eval s 18446744073709551617 a", Err(KeyError::NumKeys)),
            ("zunionstore d 0 a", Err(KeyError::NumKeys)),
            ("zunionstore d 2 a", Err(KeyError::NumKeys)),
            ("msetex 2 a 1 b 2", Ok(vec![2, 4])),
            ("msetex 2 a 1 b", Ok(vec![2, 4])),
            ("msetex 3 a 1 b 2", Err(KeyError::NumKeys)),
            ("blmpop 0 2 a b left", Ok(vec![3, 4])),
            ("xread streams a b 0 0", Ok(vec![2, 3])),
            ("xread streams a b 0", Ok(vec![2])),
            ("xread count 1 block streams", Err(KeyError::None)),
            ("xread streams streams streams", Ok(vec![2])),
            ("xreadgroup group streams c streams k >", Ok(vec![5])),
            (
                "sort k by w_* limit 0 1 get x_* store d store e",
                Ok(vec![1, 12]),
            ),
            ("sort k store", Ok(vec![1])),
            ("sort k Store\0x d stored e", Ok(vec![1, 3])),
            ("sort k get store store d", Ok(vec![1, 5])),
            ("migrate h 1 k 0 9", Ok(vec![3])),
            (
                "migrate h 1 '' 0 9 copy auth keys keys a b",
                Ok(vec![10, 11]),
            ),
            ("migrate h 1 k 0 9 keys a", Err(KeyError::None)),
            ("migrate h 1 '' 0 9 keys", Ok(vec![3])),
            ("ssubscribe a b", Ok(vec![1, 2])),
            ("sunsubscribe", Err(KeyError::None)),
            ("object freq k", Ok(vec![2])),
        ] {
            let (buf, args) = line(request);
            let command = resolve(&buf, &args).expect(request);
            assert_eq!(positions(&command.keys, &buf, &args), expected, "{request}");
        }
    }

    /// Whatever the arguments, every position is one of an argument, and positions rise but for a destination.
    #[test]
    fn positions_are_arguments_whatever_they_say() {
        const WORDS: [&[u8]; 16] = [
            b"",
            b"0",
            b"1",
            b"2",
            b"3",
            b"-1",
            b"999999999",
            b"9999999999999999999999",
            b"STREAMS",
            b"store",
            b"storedist",
            b"keys",
            b"auth2",
            b"limit",
            b"\xff\0",
            b"k",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        for command in super::super::all().flat_map(|c| std::iter::once(c).chain(c.subcommands)) {
            for _ in 0..300 {
                let words: Vec<_> = (0..random.usize(0..14))
                    .map(|_| WORDS[random.usize(0..16)])
                    .collect();
                let (buf, args) = request(&words);
                if let Ok(found) = positions(&command.keys, &buf, &args) {
                    assert!(
                        found.iter().all(|at| (1..args.len()).contains(at)),
                        "{}",
                        command.full_name
                    );
                }
                blocks(command, &buf, &args);
            }
        }
    }

    #[test]
    fn a_key_without_its_value_is_an_error() {
        let (buf, args) = line("mset a 1 b");
        let spec = KeySpec::Range {
            first: 1,
            last: -1,
            step: 2,
        };
        assert_eq!(positions(&spec, &buf, &args), Err(KeyError::None));
    }

    #[test]
    fn blocking_is_told_by_the_options() {
        for (request, expected) in [
            ("blpop k 0", true),
            ("wait 1 0", true),
            ("lpop k", false),
            ("xread block 0 streams k $", true),
            ("xread COUNT 2 BLOCK 0 streams k $", true),
            ("xread count block streams k 0", false),
            ("xread streams block 0", false),
            ("xread streams a block 0 0", false),
            ("xreadgroup group block block noack streams k >", false),
            (
                "xreadgroup count 1 group g c noack block 5 streams k >",
                true,
            ),
            ("xreadgroup group g c claim 100 streams k >", false),
            ("xread maxcount 5 streams k 0", false),
            ("xread novel streams block 0 streams k 0", true),
            ("xread novel 5 streams k 0", false),
        ] {
            let (buf, args) = line(request);
            let command = resolve(&buf, &args).expect(request);
            assert_eq!(blocks(command, &buf, &args), expected, "{request}");
        }
    }
}
