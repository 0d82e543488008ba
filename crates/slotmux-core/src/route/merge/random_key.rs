//! RANDOMKEY: chooses among the nodes' keys, in proportion to the number of keys on each node.

use crate::resp::integer_of as integer;

/// Index of the part with the chosen key. The first half of the parts are keys, the second half the numbers of keys on
/// the same nodes; `below` draws a number below its argument. Nil only if every node replied nil: a node may lose its
/// last key or get its first between its two replies.
pub fn choose(parts: &[Vec<u8>], below: impl Fn(std::ops::Range<u64>) -> u64) -> Option<usize> {
    let (keys, sizes) = parts.split_at(parts.len() / 2);
    let mut weights = Vec::with_capacity(keys.len());
    for (key, size) in keys.iter().zip(sizes) {
        let size = u64::try_from(integer(size)?).ok()?;
        weights.push(if key.starts_with(b"$-") || key.starts_with(b"_") {
            0
        } else {
            size.max(1)
        });
    }
    // A faulty node may claim any number.
    let all = weights
        .iter()
        .fold(0u64, |all, &some| all.saturating_add(some));
    if all == 0 {
        return (!keys.is_empty()).then_some(0);
    }
    let mut rest = below(0..all);
    weights.iter().position(|&weight| {
        let is_here = rest < weight;
        rest = rest.saturating_sub(weight);
        is_here
    })
}

#[cfg(test)]
mod tests {
    use super::super::bytes;
    use super::*;

    #[test]
    fn a_key_is_drawn_by_how_many_there_are() {
        let parts = bytes(&[
            "$1\r\na\r\n",
            "$-1\r\n",
            "$1\r\nc\r\n",
            ":2\r\n",
            ":5\r\n",
            ":3\r\n",
        ]);
        let all: Vec<_> = (0..5)
            .map(|number| {
                choose(&parts, |range| {
                    assert_eq!(range, 0..5);
                    number
                })
            })
            .collect();
        assert_eq!(all, [Some(0), Some(0), Some(2), Some(2), Some(2)]);
        // The node got its first key between the two replies, or no node has keys.
        for (parts, expected) in [
            (["_\r\n", "$1\r\na\r\n", ":0\r\n", ":0\r\n"], Some(1)),
            (["_\r\n", "_\r\n", ":0\r\n", ":0\r\n"], Some(0)),
            (["_\r\n", "_\r\n", ":0\r\n", "+OK\r\n"], None),
        ] {
            assert_eq!(choose(&bytes(&parts), |_| 0), expected, "{parts:?}");
        }
        let most = [["$1\r\na\r\n"; 3], [":9223372036854775807\r\n"; 3]].concat();
        assert_eq!(choose(&bytes(&most), |range| range.end - 1), Some(2));
    }
}
