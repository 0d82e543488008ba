//! Names and numbers of subscriptions, as `PUBSUB` has them from the nodes.

use crate::resp::{elements_of, integer_of, text_of, write};

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

/// The elements of an array of bulks.
pub fn names(reply: &[u8]) -> Option<Vec<&[u8]>> {
    elements_of(reply)?.into_iter().map(bulk).collect()
}

/// Names and their numbers, which an array holds by turns.
pub fn counts(reply: &[u8]) -> Option<Vec<(&[u8], i64)>> {
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
}
