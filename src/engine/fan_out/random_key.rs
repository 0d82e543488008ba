//! RANDOMKEY over all primaries: one node's key, drawn in proportion to the number of keys on each node. If rules hide
//! the drawn key, another is drawn, so that all visible keys are equally likely.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::client::Client;
use crate::engine::upstream::retry::lost::unreachable;
use crate::engine::worker::Worker;
use slotmux_core::policy::Policies;
use slotmux_core::resp::write;

use crate::engine::fan_out::broadcast::DBSIZE;
use crate::engine::fan_out::gather::Gather;
use slotmux_core::route::hidden_keys::is_visible;
use slotmux_core::route::merge::random_key::choose;

const RANDOMKEY: &[u8] = b"*1\r\n$9\r\nRANDOMKEY\r\n";

/// Hidden keys drawn before the reply is nil. If one key in 20 is visible, 99 of 100 calls return one.
const TRIES: u8 = 100;

/// How often draws that wait for room are checked.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Draws that are looked at in one turn.
const SENT_PER_LOOK: usize = 256;
const NO_ROOM: &str = "ERR slotmux: upstream timeout: the drawn keys are hidden, and a node has more to answer than fits \
    on its connection for another draw";

/// The result of one draw.
#[derive(Debug, PartialEq)]
pub enum DrawOutcome {
    /// The client's reply.
    Key(Vec<u8>),
    /// The key is hidden: draw again.
    Again,
}

/// Draws from `parts`, from which no hidden keys were removed yet. `None`: the nodes' replies do not fit together.
pub fn draw_outcome(
    parts: &[Vec<u8>],
    policies: &Policies,
    tries: u8,
    below: impl Fn(std::ops::Range<u64>) -> u64,
) -> Option<DrawOutcome> {
    let key = parts.get(choose(parts, below)?)?;
    Some(if is_visible(key, policies) {
        DrawOutcome::Key(key.clone())
    } else if tries < TRIES {
        DrawOutcome::Again
    } else {
        DrawOutcome::Key(b"$-1\r\n".to_vec())
    })
}

/// Draws of random keys that wait until the connections to all primaries have room, as any command of a client does before it is sent.
#[derive(Default)]
pub struct DrawQueue {
    waiting: RefCell<VecDeque<Draw>>,
    has_task: Cell<bool>,
}

/// One more draw for the request of a gather whose drawn key is hidden.
struct Draw {
    before: Rc<Gather>,
    client: Rc<Client>,
    tries: u8,
}

/// Asks all primaries for keys once more, for the request of `before`: at once, or as soon as there is room.
pub fn draw_again(worker: &Rc<Worker>, client: &Rc<Client>, before: &Rc<Gather>, tries: u8) {
    let draw = Draw {
        before: before.clone(),
        client: client.clone(),
        tries,
    };
    let draws = &worker.draws;
    if draws.waiting.borrow().is_empty() && lanes_have_room(worker, client) {
        return send(worker, &draw);
    }
    draws.waiting.borrow_mut().push_back(draw);
    if !draws.has_task.replace(true) {
        tokio::task::spawn_local(run_draws(worker.clone()));
    }
}

async fn run_draws(worker: Rc<Worker>) {
    while !worker.draws.waiting.borrow().is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
        let count = worker.draws.waiting.borrow().len();
        for _ in 0..count.min(SENT_PER_LOOK) {
            let next = worker.draws.waiting.borrow_mut().pop_front();
            let Some(draw) = next else {
                break;
            };
            let client = draw.client.clone();
            let looked = worker.contained("another draw of a key", || send_if_room(&worker, draw));
            if looked.is_none() {
                // No other code would answer it.
                client.close(&worker);
            }
        }
    }
    worker.draws.has_task.set(false);
}

/// Sends a draw if there is room, refuses it if its time is over, and keeps it otherwise.
fn send_if_room(worker: &Rc<Worker>, draw: Draw) {
    let is_closed = draw.client.is_closed();
    if is_closed || !draw.before.has_time(worker) {
        worker.stats.timeouts.add(u64::from(!is_closed));
        let gather = Rc::new(draw.before.next_draw(draw.tries, 1));
        (0..2).for_each(|part| fail(worker, &gather, part, NO_ROOM));
    } else if lanes_have_room(worker, &draw.client) {
        send(worker, &draw);
    } else {
        worker.draws.waiting.borrow_mut().push_back(draw);
    }
}

/// Whether a command fits on the lane to each primary. An unavailable lane refuses it at once.
fn lanes_have_room(worker: &Rc<Worker>, client: &Rc<Client>) -> bool {
    let mut nodes = worker.map.primaries().into_iter();
    nodes.all(|node| {
        let lane = worker.shared_lane(node, client);
        lane.is_unavailable(worker) || !lane.is_full(worker)
    })
}

fn send(worker: &Rc<Worker>, draw: &Draw) {
    let primaries = worker.map.primaries();
    let nodes = primaries.len();
    let gather = Rc::new(draw.before.next_draw(draw.tries, nodes.max(1)));
    if nodes == 0 {
        (0..2).for_each(|part| fail(worker, &gather, part, crate::engine::fan_out::page::NO_NODE));
    }
    for (at, node) in primaries.into_iter().enumerate() {
        let lane = worker.shared_lane(node, &draw.client);
        let requests = [(at, RANDOMKEY), (nodes + at, DBSIZE)];
        if lane.is_unavailable(worker) {
            for (part, _) in requests {
                fail(worker, &gather, part, &unreachable(worker, &lane));
            }
            continue;
        }
        for (part, request) in requests {
            let entry = gather.entry(part as u32, None, request.len());
            lane.send(worker, entry, request);
        }
    }
}

fn fail(worker: &Rc<Worker>, gather: &Rc<Gather>, part: usize, text: &str) {
    let mut reply = Vec::new();
    write::error(&mut reply, text);
    gather.take(worker, part as u32, &reply, true);
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmux_core::config::{Config, UnmatchedKeys};

    fn bytes(parts: &[&str]) -> Vec<Vec<u8>> {
        parts.iter().map(|part| part.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_hidden_key_is_next_draw_and_not_for_ever() {
        let hiding = Policies::new(&Config {
            unmatched: UnmatchedKeys::Reject,
            ..Config::default()
        });
        let key = bytes(&["$1\r\na\r\n", ":1\r\n"]);
        let none = bytes(&["_\r\n", ":0\r\n"]);
        let first = |parts: &[Vec<u8>], policies: &Policies, tries| {
            draw_outcome(parts, policies, tries, |range| range.start)
        };
        assert_eq!(first(&key, &hiding, 0), Some(DrawOutcome::Again));
        let nil = DrawOutcome::Key(b"$-1\r\n".to_vec());
        assert_eq!(first(&key, &hiding, TRIES), Some(nil));
        let open = Policies::new(&Config::default());
        assert_eq!(
            first(&key, &open, 0),
            Some(DrawOutcome::Key(key[0].clone()))
        );
        assert_eq!(
            first(&none, &hiding, 0),
            Some(DrawOutcome::Key(none[0].clone()))
        );
        assert_eq!(first(&bytes(&["$1\r\na\r\n"]), &open, 0), None);
    }
}
