//! Merges the replies of several nodes into one: pure functions from their bytes to bytes of the same shape.
//!
//! A part that failed never turns into a missing value: the whole reply is then an error.

pub mod elements;
pub mod exists;
pub mod fields;
pub mod info;
pub mod latency;
pub mod parameters;
pub mod random_key;
mod shapes;
pub mod slowlog;
pub mod stops;
pub mod subscriptions;
pub mod texts;
pub mod totals;

use std::collections::HashSet;

use crate::command::Merge;
use crate::resp::{elements_of, integer_of as integer, write};

use elements::elements;
pub use shapes::array_body;
#[cfg(test)]
use shapes::{bytes, reply};
use shapes::{map_like, text_like};

/// The error for parts of different shapes.
pub const UNLIKE: &str = "ERR slotmux: the nodes' replies do not fit together";

/// Appends the one reply that `parts` make. Returns whether it is an error. `order` is for [`Merge::Elements`]: the
/// part that holds each element.
pub fn merged(
    parts: &[Vec<u8>],
    merge: Merge,
    order: &[u32],
    write: bool,
    out: &mut Vec<u8>,
) -> bool {
    let failed: Vec<&[u8]> = parts
        .iter()
        .map(Vec::as_slice)
        .filter(|part| part.starts_with(b"-"))
        .collect();
    match merge {
        Merge::AnyOk => return stops::any_ok(parts, out),
        Merge::Running => return stops::running(parts, out),
        Merge::Shown => return stops::shown(parts, out),
        Merge::Texts => return texts::merged(parts, &[], out),
        _ => {}
    }
    if let Some(first) = failed.first() {
        if write && failed.len() < parts.len() {
            let done = parts.len() - failed.len();
            let cause = String::from_utf8_lossy(&first[1..]);
            let text = format!(
                "ERR slotmux: partial failure, {done} of {} parts applied: {}",
                parts.len(),
                cause.trim_end()
            );
            write::error(out, &text);
        } else {
            out.extend_from_slice(first);
        }
        return true;
    }
    let start = out.len();
    let done = match merge {
        Merge::Sum => sum(parts).map(|sum| write::integer(out, sum)),
        Merge::AllOk | Merge::First => parts.first().map(|first| out.extend_from_slice(first)),
        Merge::Elements => elements(parts, order, out),
        Merge::AllTrue => exists::exist(parts, &[], out),
        Merge::Concat => concat(parts, out),
        Merge::Least => least(parts).map(|least| write::integer(out, least)),
        Merge::EachLeast => each_least(parts, out),
        Merge::Names(_) => subscriptions::union(parts, out),
        Merge::Union => union(parts, out),
        Merge::Subscribers(_) => subscriptions::total(parts, out),
        Merge::Patterns => sum(parts).map(|sum| write::integer(out, sum)),
        Merge::RandomKey => {
            random_key::choose(parts, fastrand::u64).map(|key| out.extend_from_slice(&parts[key]))
        }
        Merge::Newest(most) => slowlog::newest(parts, most, out),
        Merge::History => latency::history(parts, out),
        Merge::Latest => latency::latest(parts, out),
        Merge::Histogram => latency::histogram(parts, out),
        Merge::Totals => totals::totals(parts, out),
        // Handled above.
        Merge::AnyOk | Merge::Running | Merge::Shown | Merge::Texts => None,
    };
    if done.is_none() {
        out.truncate(start);
        write::error(out, UNLIKE);
    }
    done.is_none()
}

/// Adds up integer replies.
fn sum(parts: &[Vec<u8>]) -> Option<i64> {
    let mut numbers = parts.iter().map(|part| integer(part));
    numbers.try_fold(0i64, |sum, number| sum.checked_add(number?))
}

/// The smallest of integer replies.
fn least(parts: &[Vec<u8>]) -> Option<i64> {
    let numbers = parts.iter().map(|part| integer(part));
    numbers.collect::<Option<Vec<i64>>>()?.into_iter().min()
}

/// The smallest integers of arrays that hold as many of them.
fn each_least(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let mut smallest: Option<Vec<i64>> = None;
    for part in parts {
        let (count, body) = array_body(part)?;
        let numbers = body.split_inclusive(|&byte| byte == b'\n').map(integer);
        let numbers = numbers.collect::<Option<Vec<i64>>>()?;
        if usize::try_from(count) != Ok(numbers.len()) {
            return None;
        }
        let before = smallest.get_or_insert_with(|| numbers.clone());
        if before.len() != numbers.len() {
            return None;
        }
        for (least, number) in before.iter_mut().zip(numbers) {
            *least = number.min(*least);
        }
    }
    let smallest = smallest?;
    write::array(out, smallest.len());
    for number in smallest {
        write::integer(out, number);
    }
    Some(())
}

/// Concatenates arrays.
fn concat(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let arrays: Vec<(i64, &[u8])> = parts
        .iter()
        .map(|part| array_body(part))
        .collect::<Option<_>>()?;
    let count: i64 = arrays.iter().map(|(count, _)| count).sum();
    write::array(out, usize::try_from(count).ok()?);
    for (_, body) in arrays {
        out.extend_from_slice(body);
    }
    Some(())
}

/// The elements of all arrays or sets, each once, in the shape of the first.
fn union(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let (mut seen, mut all) = (HashSet::new(), Vec::new());
    for part in parts {
        array_body(part)?;
        let elements = elements_of(part)?;
        all.extend(elements.into_iter().filter(|element| seen.insert(*element)));
    }
    let start = out.len();
    write::array(out, all.len());
    out[start] = *parts.first()?.first()?;
    for element in all {
        out.extend_from_slice(element);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        assert_eq!(sum(&bytes(&[":2\r\n", ":0\r\n", ":40\r\n"])), Some(42));
        assert_eq!(sum(&bytes(&[":2\r\n", "+OK\r\n"])), None);
        assert_eq!(sum(&bytes(&[":9223372036854775807\r\n", ":1\r\n"])), None);
    }

    #[test]
    fn the_smallest_counts() {
        assert_eq!(least(&bytes(&[":7\r\n", ":3\r\n", ":9\r\n"])), Some(3));
        assert_eq!(least(&bytes(&[":7\r\n", "+OK\r\n"])), None);
    }

    #[test]
    fn of_arrays_the_smallest_of_each_place() {
        let mut out = Vec::new();
        let two = ["*2\r\n:1\r\n:2\r\n", "*2\r\n:0\r\n:3\r\n"];
        assert_eq!(each_least(&bytes(&two), &mut out), Some(()));
        assert_eq!(out, b"*2\r\n:0\r\n:2\r\n");
        for wrong in [
            "*1\r\n:1\r\n",
            "*2\r\n:1\r\n",
            "*2\r\n:1\r\n$-1\r\n",
            ":1\r\n",
        ] {
            let parts = bytes(&[two[0], wrong]);
            assert_eq!(each_least(&parts, &mut Vec::new()), None, "{wrong:?}");
        }
    }

    #[test]
    fn of_what_several_list_each_element_is_kept_once() {
        for (parts, expected) in [
            (
                &["*2\r\n+a\r\n$1\r\nb\r\n", "*2\r\n+c\r\n+a\r\n"][..],
                Some(&b"*3\r\n+a\r\n$1\r\nb\r\n+c\r\n"[..]),
            ),
            (
                &["~1\r\n+a\r\n", "~0\r\n", "~1\r\n+a\r\n"],
                Some(b"~1\r\n+a\r\n"),
            ),
            (&["*0\r\n", "+OK\r\n"], None),
        ] {
            let mut out = Vec::new();
            let done = union(&bytes(parts), &mut out);
            assert_eq!(done.map(|()| &out[..]), expected, "{parts:?}");
        }
    }

    #[test]
    fn arrays_are_joined() {
        let mut out = Vec::new();
        assert_eq!(
            concat(
                &bytes(&["*1\r\n:1\r\n", "*0\r\n", "*2\r\n:2\r\n:3\r\n"]),
                &mut out
            ),
            Some(())
        );
        assert_eq!(out, b"*3\r\n:1\r\n:2\r\n:3\r\n");
    }
}
