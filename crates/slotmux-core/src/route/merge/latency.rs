//! LATENCY over several nodes.

use std::collections::BTreeMap;

use super::map_like;
use crate::resp::{elements_of, integer_of, pairs_of, text_of, write};

/// LATENCY HISTORY: pairs of a second and the milliseconds measured in it, by time. Of one second, the worst.
pub fn history(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let mut by_second: BTreeMap<i64, i64> = BTreeMap::new();
    for part in parts {
        for sample in elements_of(part)? {
            let [second, took] = numbers(sample)?;
            let worst = by_second.entry(second).or_insert(took);
            *worst = took.max(*worst);
        }
    }
    write::array(out, by_second.len());
    for (second, took) in by_second {
        write::array(out, 2);
        write::integer(out, second);
        write::integer(out, took);
    }
    Some(())
}

fn numbers<const N: usize>(list: &[u8]) -> Option<[i64; N]> {
    let numbers = elements_of(list)?;
    let numbers = numbers.iter().map(|number| integer_of(number));
    numbers.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// LATENCY LATEST: per event its name, the second of its last time, the milliseconds it took then, and the most that it
/// ever took. Valkey adds the sum and the number of the times; whatever follows the first four fields is added up.
pub fn latest(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let mut events: Vec<(&[u8], Vec<i64>)> = Vec::new();
    for part in parts {
        for event in elements_of(part)? {
            let fields = elements_of(event)?;
            let (name, numbers) = fields.split_first()?;
            let numbers = numbers.iter().map(|number| integer_of(number));
            let numbers: Vec<i64> = numbers.collect::<Option<_>>()?;
            let [second, took, most, totals @ ..] = &numbers[..] else {
                return None;
            };
            match events.iter_mut().find(|(other, _)| other == name) {
                None => events.push((name, numbers)),
                Some((_, before)) => {
                    if (*second, *took) > (before[0], before[1]) {
                        (before[0], before[1]) = (*second, *took);
                    }
                    before[2] = before[2].max(*most);
                    // Of servers of different versions, some may not count as much: what all count is added up.
                    before.truncate(numbers.len());
                    for (sum, total) in before[3..].iter_mut().zip(totals) {
                        *sum = sum.checked_add(*total)?;
                    }
                }
            }
        }
    }
    write::array(out, events.len());
    for (name, numbers) in events {
        write::array(out, 1 + numbers.len());
        out.extend_from_slice(name);
        for number in numbers {
            write::integer(out, number);
        }
    }
    Some(())
}

/// The calls of one command: how many, and how many of them took at most so many microseconds.
struct CommandCalls<'a> {
    /// Its value as a node wrote it, whose form the merged one takes.
    like: &'a [u8],
    count: i64,
    /// Calls that took at most this long, and longer than the next lower bound.
    took: BTreeMap<i64, i64>,
}

/// LATENCY HISTOGRAM: a map of commands, each with its calls and its histogram, whose counts run up from the shortest time.
pub fn histogram(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let mut commands: Vec<(&[u8], CommandCalls)> = Vec::new();
    for part in parts {
        for (name, value) in pairs_of(part)? {
            let place = commands.iter().position(|(other, _)| *other == name);
            let place = place.unwrap_or_else(|| {
                let calls = CommandCalls {
                    like: value,
                    count: 0,
                    took: BTreeMap::new(),
                };
                commands.push((name, calls));
                commands.len() - 1
            });
            add(&mut commands[place].1, value)?;
        }
    }
    map_like(parts.first()?, commands.len(), out);
    for (name, calls) in commands {
        out.extend_from_slice(name);
        map_like(calls.like, 2, out);
        write::bulk(out, b"calls");
        write::integer(out, calls.count);
        write::bulk(out, b"histogram_usec");
        map_like(calls.like, calls.took.len(), out);
        let mut sum = 0i64;
        for (bound, count) in calls.took {
            sum = sum.checked_add(count)?;
            write::integer(out, bound);
            write::integer(out, sum);
        }
    }
    Some(())
}

/// Adds the calls that one node counted.
fn add(calls: &mut CommandCalls, value: &[u8]) -> Option<()> {
    for (field, value) in pairs_of(value)? {
        match text_of(field)? {
            b"calls" => calls.count = calls.count.checked_add(integer_of(value)?)?,
            b"histogram_usec" => {
                let mut before = 0;
                for (bound, sum) in pairs_of(value)? {
                    let (bound, sum) = (integer_of(bound)?, integer_of(sum)?);
                    let count = calls.took.entry(bound).or_insert(0);
                    *count = count.checked_add(sum.checked_sub(before)?)?;
                    before = sum;
                }
            }
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::{bytes, reply};
    use super::*;

    type Join = fn(&[Vec<u8>], &mut Vec<u8>) -> Option<()>;

    fn check(join: Join, parts: &[&str], expected: &str) {
        for is_resp3 in [false, true] {
            let replies: Vec<String> = parts.iter().map(|part| reply(part, is_resp3)).collect();
            let replies: Vec<&str> = replies.iter().map(String::as_str).collect();
            let mut out = Vec::new();
            assert_eq!(join(&bytes(&replies), &mut out), Some(()), "{parts:?}");
            assert_eq!(String::from_utf8(out).unwrap(), reply(expected, is_resp3));
        }
    }

    #[test]
    fn samples_are_joined_by_time() {
        check(
            history,
            &["[[10 5] [12 7]]", "[]", "[[11 1] [12 9]]"],
            "[[10 5] [11 1] [12 9]]",
        );
        check(
            latest,
            &[
                "[[command 10 5 300]]",
                "[]",
                "[[fork 3 2 2] [command 12 7 9]]",
            ],
            "[[command 12 7 300] [fork 3 2 2]]",
        );
    }

    #[test]
    fn histograms_are_added_up() {
        check(
            histogram,
            &[
                "{get {calls 5 histogram_usec {1 2 4 5}}}",
                "{}",
                "{set {calls 1 histogram_usec {8 1}} get {calls 3 histogram_usec {2 1 4 3}}}",
            ],
            "{get {calls 8 histogram_usec {1 2 2 3 4 8}} set {calls 1 histogram_usec {8 1}}}",
        );
    }

    #[test]
    fn what_does_not_fit_is_no_reply() {
        for join in [history as Join, latest, histogram] {
            for wrong in ["x", "[1]", "[[1]]", "[[x x x x]]", "[[get 1]]"] {
                let part = reply(wrong, false);
                assert_eq!(join(&bytes(&[&part]), &mut Vec::new()), None, "{wrong}");
            }
        }
    }
}
