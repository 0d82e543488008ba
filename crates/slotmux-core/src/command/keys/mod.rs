//! Positions of the keys in a request, for every form that commands have, without an allocation.

mod migrate;
mod stores;
mod streams;

use super::{Command, Route};
use crate::c_string;
use crate::resp::Span;

pub use stores::for_each_destination;
pub(super) use streams::block_option;

/// Positions of a command's keys. The command's name is position 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeySpec {
    /// No keys.
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
    /// A count at `at`, and as many keys from `first` on; `dest`, if not 0, is one more key.
    NumKeys {
        /// Position of a key that is written, 0 if the command writes no such key.
        dest: u8,
        /// Position of the count.
        at: u8,
        /// Position of the first counted key.
        first: u8,
        /// Distance of one key to the next.
        step: u8,
    },
    /// XREAD: the first half of the arguments after STREAMS.
    Streams,
    /// SORT: the first argument and the one after the last STORE. The arguments of BY and GET are patterns, not keys; a
    /// server in a cluster refuses patterns that reach another slot.
    Sort,
    /// GEORADIUS: the first argument and the one after the last STORE or STOREDIST among the options.
    GeoStore {
        /// Position of the first option.
        from: u8,
    },
    /// MIGRATE: the third argument, or those after KEYS if that is empty.
    Migrate,
}

impl KeySpec {
    /// Whether the positions of the keys depend on other arguments: what servers flag as `movablekeys`.
    pub const fn is_movable(&self) -> bool {
        !matches!(self, KeySpec::None | KeySpec::Range { .. })
    }
}

/// Why the keys of a request cannot be found. Every server sees the error before it looks at any key, so that any node
/// may report it; the keys do not route the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyError {
    /// The number of keys is malformed or negative, is 0 although there is a destination, or exceeds the number of
    /// arguments.
    NumKeys,
    /// A required key is missing, or the last key lacks its further arguments.
    None,
}

/// Calls `f` with the index of each key argument, in order. On an error `f` was not called.
///
/// A request may have no key at all (`EVAL … 0`): that is not an error, and `f` is not called.
///
/// # Errors
/// [`KeyError`]: any node reports the error.
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
                    // Nearly every request has one key; skipping the loop makes it almost free.
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
        KeySpec::Streams => {
            streams::keys(buf, args)?.for_each(f);
            Ok(())
        }
        KeySpec::Sort | KeySpec::GeoStore { .. } => {
            if args.len() < 2 {
                return Err(KeyError::None);
            }
            f(1);
            let mut of_nodes = match spec {
                KeySpec::Sort => stores::sort_destination_of_nodes(buf, args),
                _ => None,
            };
            for_each_destination(spec, buf, args, |at| {
                of_nodes = of_nodes.filter(|of_nodes| *of_nodes != at);
                f(at);
            });
            of_nodes.into_iter().for_each(f);
            Ok(())
        }
        KeySpec::Migrate => {
            migrate::keys(buf, args)?.for_each(f);
            Ok(())
        }
    }
}

/// The count at `at` if all of its keys are present.
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

/// A count of keys as servers parse it: decimal digits without sign, space or leading zero.
fn parse_count(digits: &[u8]) -> Option<usize> {
    // Nine digits exceed the number of arguments of any request, and cannot overflow.
    if digits.is_empty() || digits.len() > 9 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    digits.iter().try_fold(0, |count: usize, digit| {
        digit
            .is_ascii_digit()
            .then(|| count * 10 + usize::from(digit - b'0'))
    })
}

/// The first argument in `range` that equals `keyword`, ignoring case.
pub(super) fn find(
    buf: &[u8],
    args: &[Span],
    range: impl Iterator<Item = usize>,
    keyword: &[u8],
) -> Option<usize> {
    let mut range = range;
    range.find(|at| {
        args.get(*at)
            .is_some_and(|arg| c_string::is(arg.of(buf), keyword))
    })
}

/// Whether this call may block its connection, so that it needs a dedicated one.
///
/// True for every call of a [`Route::Blocking`] command but XREAD and XREADGROUP without BLOCK.
pub fn blocks(command: &Command, buf: &[u8], args: &[Span]) -> bool {
    match (command.route, command.keys) {
        (Route::Blocking, KeySpec::Streams) => block_option(buf, args).is_some(),
        (Route::Blocking, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
