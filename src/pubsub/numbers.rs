//! What the nodes say of subscriptions when PUBSUB asks them: joined, and made the answer of one Redis.

use crate::command::Merge;
use crate::resp::{elements_of, integer_of, text_of, write};

use super::census::Census;

/// Each name that a node lists, once.
pub fn union(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let mut all = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for part in parts {
        all.extend(names(part)?.into_iter().filter(|name| seen.insert(*name)));
    }
    write::array(out, all.len());
    for name in all {
        write::bulk(out, name);
    }
    Some(())
}

/// The names that each node lists in the same order, with the sums of their numbers.
pub fn total(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| counts(part))
        .collect::<Option<_>>()?;
    let first = parts.first()?;
    write::array(out, first.len() * 2);
    for (at, (name, _)) in first.iter().enumerate() {
        let mut sum = 0i64;
        for part in &parts {
            sum = sum.saturating_add(part.get(at)?.1);
        }
        write::bulk(out, name);
        write::integer(out, sum);
    }
    Some(())
}

/// Makes of the sum of all nodes' answers to a PUBSUB command that of one Redis.
pub fn amend(census: &Census, merge: Merge, reply: &mut Vec<u8>) {
    let amended = match merge {
        Merge::Names(kind) => names(reply).map(|mut names| {
            names.retain(|name| !census.is_deserted(kind, name));
            let mut out = Vec::new();
            write::array(&mut out, names.len());
            for name in names {
                write::bulk(&mut out, name);
            }
            out
        }),
        Merge::Subscribers(kind) => counts(reply).map(|counts| {
            let mut out = Vec::new();
            write::array(&mut out, counts.len() * 2);
            for (name, number) in counts {
                write::bulk(&mut out, name);
                write::integer(&mut out, census.subscribers(kind, name).correct(number));
            }
            out
        }),
        Merge::Patterns => integer_of(reply).map(|number| {
            let mut out = Vec::new();
            write::integer(&mut out, census.patterns().correct(number));
            out
        }),
        _ => None,
    };
    if let Some(amended) = amended {
        *reply = amended;
    }
}

/// The elements of an array of bulks.
fn names(reply: &[u8]) -> Option<Vec<&[u8]>> {
    elements_of(reply)?.into_iter().map(bulk).collect()
}

/// Names and their numbers, which an array holds by turns.
fn counts(reply: &[u8]) -> Option<Vec<(&[u8], i64)>> {
    let elements = elements_of(reply)?;
    let pairs = elements.chunks(2);
    pairs
        .map(|pair| match pair {
            [name, number] => Some((bulk(name)?, integer_of(number)?)),
            _ => None,
        })
        .collect()
}

fn bulk(element: &[u8]) -> Option<&[u8]> {
    let is_bulk = element.first() == Some(&b'$');
    is_bulk.then(|| text_of(element))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::addr::Addr;
    use crate::pubsub::Kind;

    #[test]
    fn the_answers_of_nodes_are_joined() {
        let parts = |parts: &[&str]| -> Vec<Vec<u8>> {
            parts.iter().map(|part| part.as_bytes().to_vec()).collect()
        };
        let mut out = Vec::new();
        let names = [
            "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            "*0\r\n",
            "*2\r\n$1\r\nb\r\n$1\r\nc\r\n",
        ];
        assert_eq!(union(&parts(&names), &mut out), Some(()));
        assert_eq!(out, b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
        out.clear();
        let numbers = [
            "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:0\r\n",
            "*4\r\n$1\r\na\r\n:2\r\n$1\r\nb\r\n:5\r\n",
        ];
        assert_eq!(total(&parts(&numbers), &mut out), Some(()));
        assert_eq!(out, b"*4\r\n$1\r\na\r\n:3\r\n$1\r\nb\r\n:5\r\n");
        for odd in ["*1\r\n$1\r\na\r\n", "*2\r\n:1\r\n:1\r\n", "+OK\r\n"] {
            assert_eq!(total(&parts(&[odd]), &mut Vec::new()), None, "{odd:?}");
        }
    }

    #[test]
    fn answers_of_nodes_become_those_of_one_redis() {
        let census = Census::default();
        let node = Addr::new("h", 1);
        census.client_joined(Kind::Channel, b"a");
        census.client_joined(Kind::Channel, b"a");
        census.worker_joined(Kind::Channel, b"a", &node);
        census.worker_joined(Kind::Channel, b"left", &node);
        census.client_joined(Kind::Pattern, b"p*");
        census.worker_joined(Kind::Pattern, b"p*", &node);
        let table: &[(Merge, &[u8], &[u8])] = &[
            (
                Merge::Names(Kind::Channel),
                b"*3\r\n$1\r\na\r\n$4\r\nleft\r\n$1\r\nx\r\n",
                b"*2\r\n$1\r\na\r\n$1\r\nx\r\n",
            ),
            (
                Merge::Subscribers(Kind::Channel),
                b"*4\r\n$1\r\na\r\n:3\r\n$1\r\nx\r\n:5\r\n",
                b"*4\r\n$1\r\na\r\n:4\r\n$1\r\nx\r\n:5\r\n",
            ),
            (Merge::Patterns, b":3\r\n", b":3\r\n"),
            (Merge::Patterns, b"-ERR no\r\n", b"-ERR no\r\n"),
        ];
        for (merge, reply, expected) in table {
            let mut reply = reply.to_vec();
            amend(&census, *merge, &mut reply);
            assert_eq!(reply, *expected, "{merge:?}");
        }
    }
}
