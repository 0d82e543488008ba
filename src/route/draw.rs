//! RANDOMKEY over all primaries: the key of one node, drawn by how many keys each has. Where rules hide the key that was
//! drawn, another is drawn, so that each key that may be seen has the same chance.

use std::rc::Rc;

use crate::client::Client;
use crate::policy::Policies;
use crate::resp::integer_of as integer;
use crate::resp::write;
use crate::upstream::lost::unreachable;
use crate::worker::Worker;

use super::broadcast::DBSIZE;
use super::gather::Gather;
use super::hiding::is_shown;

const RANDOMKEY: &[u8] = b"*1\r\n$9\r\nRANDOMKEY\r\n";

/// Keys that are drawn in vain before the answer is nil. With one key in 20 that may be seen, 99 of 100 calls bring one.
const TRIES: u8 = 100;

/// The end of one draw.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The client's reply.
    Key(Vec<u8>),
    /// A key that is hidden: draw again.
    Again,
}

/// Draws from `parts`, which no rule has seen yet. `None`: the nodes' replies do not fit together.
pub fn outcome(
    parts: &[Vec<u8>],
    policies: &Policies,
    tries: u8,
    below: impl Fn(std::ops::Range<u64>) -> u64,
) -> Option<Outcome> {
    let key = parts.get(drawn(parts, below)?)?;
    Some(if is_shown(key, policies) {
        Outcome::Key(key.clone())
    } else if tries < TRIES {
        Outcome::Again
    } else {
        Outcome::Key(b"$-1\r\n".to_vec())
    })
}

/// Asks all primaries for keys once more, for the request of `before`.
pub fn again(worker: &Rc<Worker>, client: &Rc<Client>, before: &Gather, tries: u8) {
    let primaries = worker.primaries();
    let nodes = primaries.len();
    let gather = Rc::new(before.drawn_again(tries, nodes.max(1)));
    let error = |part: usize, text: &str| {
        let mut reply = Vec::new();
        write::error(&mut reply, text);
        gather.take(worker, part as u32, &reply, true);
    };
    if nodes == 0 {
        for part in 0..2 {
            error(part, super::page::NO_NODE);
        }
    }
    for (at, node) in primaries.into_iter().enumerate() {
        let lane = worker.shared_lane(node, client);
        let requests = [(at, RANDOMKEY), (nodes + at, DBSIZE)];
        if lane.is_given_up(worker) {
            for (part, _) in requests {
                error(part, &unreachable(worker, &lane));
            }
            continue;
        }
        for (part, request) in requests {
            let entry = gather.entry(part as u32, None, request.len());
            lane.send(worker, entry, request);
        }
    }
}

/// The part with the key that is drawn. The first half of the parts are keys, the second half the numbers of keys on the
/// same nodes; `below` draws a number below its argument. Nil only where every node said so: a node may have lost or got
/// its last key between its two replies.
pub fn drawn(parts: &[Vec<u8>], below: impl Fn(std::ops::Range<u64>) -> u64) -> Option<usize> {
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
    // A node that lies may claim any number.
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
    use super::*;
    use crate::config::{Config, Unmatched};

    fn bytes(parts: &[&str]) -> Vec<Vec<u8>> {
        parts.iter().map(|part| part.as_bytes().to_vec()).collect()
    }

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
                drawn(&parts, |range| {
                    assert_eq!(range, 0..5);
                    number
                })
            })
            .collect();
        assert_eq!(all, [Some(0), Some(0), Some(2), Some(2), Some(2)]);
        // The node got its first key between the two replies, or all have none.
        for (parts, expected) in [
            (["_\r\n", "$1\r\na\r\n", ":0\r\n", ":0\r\n"], Some(1)),
            (["_\r\n", "_\r\n", ":0\r\n", ":0\r\n"], Some(0)),
            (["_\r\n", "_\r\n", ":0\r\n", "+OK\r\n"], None),
        ] {
            assert_eq!(drawn(&bytes(&parts), |_| 0), expected, "{parts:?}");
        }
        let most = [["$1\r\na\r\n"; 3], [":9223372036854775807\r\n"; 3]].concat();
        assert_eq!(drawn(&bytes(&most), |range| range.end - 1), Some(2));
    }

    #[test]
    fn a_hidden_key_is_drawn_again_and_not_for_ever() {
        let hiding = Policies::new(&Config {
            unmatched: Unmatched::Reject,
            ..Config::default()
        });
        let key = bytes(&["$1\r\na\r\n", ":1\r\n"]);
        let none = bytes(&["_\r\n", ":0\r\n"]);
        let first = |parts: &[Vec<u8>], policies: &Policies, tries| {
            outcome(parts, policies, tries, |range| range.start)
        };
        assert_eq!(first(&key, &hiding, 0), Some(Outcome::Again));
        let nil = Outcome::Key(b"$-1\r\n".to_vec());
        assert_eq!(first(&key, &hiding, TRIES), Some(nil));
        let open = Policies::new(&Config::default());
        assert_eq!(first(&key, &open, 0), Some(Outcome::Key(key[0].clone())));
        assert_eq!(
            first(&none, &hiding, 0),
            Some(Outcome::Key(none[0].clone()))
        );
        assert_eq!(first(&bytes(&["$1\r\na\r\n"]), &open, 0), None);
    }
}
