//! RANDOMKEY over all primaries: one node's key, drawn in proportion to the number of keys on each node. If rules hide
//! the drawn key, another is drawn, so that all visible keys are equally likely.

use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::upstream::lost::unreachable;
use crate::engine::worker::Worker;
use slotmux_core::policy::Policies;
use slotmux_core::resp::write;

use super::broadcast::DBSIZE;
use super::gather::Gather;
use slotmux_core::route::hiding::is_shown;
use slotmux_core::route::joined::drawn::drawn;

const RANDOMKEY: &[u8] = b"*1\r\n$9\r\nRANDOMKEY\r\n";

/// Hidden keys drawn before the reply is nil. If one key in 20 is visible, 99 of 100 calls return one.
const TRIES: u8 = 100;

/// The result of one draw.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The client's reply.
    Key(Vec<u8>),
    /// The key is hidden: draw again.
    Again,
}

/// Draws from `parts`, from which no hidden keys were removed yet. `None`: the nodes' replies do not fit together.
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

#[cfg(test)]
mod tests {
    use super::*;
    use slotmux_core::config::{Config, Unmatched};

    fn bytes(parts: &[&str]) -> Vec<Vec<u8>> {
        parts.iter().map(|part| part.as_bytes().to_vec()).collect()
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
