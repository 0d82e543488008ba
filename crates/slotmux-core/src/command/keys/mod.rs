//! Where the keys of a request are, for every form that commands have, without an allocation.

mod migrate;
mod stores;
mod streams;

use super::{Command, Route};
use crate::c_string;
use crate::resp::Span;

pub use stores::for_each_destination;
pub(super) use streams::block_option;

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
    /// XREAD: the first half of what follows STREAMS.
    Streams,
    /// SORT: the first argument and what follows the last STORE. What BY and GET name is a pattern and no key; a
    /// server in a cluster refuses patterns that reach another slot.
    Sort,
    /// GEORADIUS: the first argument and what follows the last STORE or STOREDIST among the options.
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
            .is_some_and(|arg| c_string::is(arg.of(buf), keyword))
    })
}

/// Whether this call may hold its connection up, so that it needs one of its own.
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
