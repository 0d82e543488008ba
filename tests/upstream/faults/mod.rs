//! A node that misbehaves, byte by byte: refused and broken connections, invalid replies, too many of them, or
//! incomplete ones. Each client gets its own reply or a clear error, and no write is ever sent twice.

mod lost;
mod passing;
mod refused;
mod replies;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use slotmux_core::slot::slot_of;
use slotmux_testing::client::command;
use slotmux_testing::peer::{Gate, Request};
use slotmux_testing::{Layout, Neighbour, PATIENCE, Peer, Proxy, Step, Value, poll_until};

const UNKNOWN: &str =
    "ERR slotmux: connection to the node was lost, the command may have been executed";

/// A key in the lower or the upper half of the slots.
fn key_in(upper: bool, name: &str, number: usize) -> String {
    (0..)
        .map(|i| format!("{name}:{number}:{i}"))
        .find(|key| (slot_of(key.as_bytes()).0 >= 8192) == upper)
        .expect("a key")
}

/// Half of the slots each: the first is the faulty one, the second stores values, as a Redis would.
fn pair(
    faulty: impl Fn(&Request) -> Option<Vec<Step>> + Send + Sync + 'static,
) -> (Peer, Peer, Layout) {
    let layout = Layout::default();
    let values = std::sync::Mutex::new(HashMap::new());
    let sound = Peer::start_in(&layout, move |request| {
        let mut values = values.lock().expect("a lock");
        match request.name().as_str() {
            "SET" => {
                values.insert(request.word(1), request.word(2));
                None
            }
            "GET" => {
                let value = values.get(&request.word(1)).cloned().unwrap_or_default();
                Some(Step::reply(format!("${}\r\n{value}\r\n", value.len())))
            }
            _ => None,
        }
    });
    let faulty = Peer::start_in(&layout, faulty);
    layout.set(&[(0, 8191, faulty.port()), (8192, 16383, sound.port())]);
    (faulty, sound, layout)
}

/// A client that uses the healthy half.
fn neighbour(proxy: &Proxy) -> Neighbour {
    Neighbour::start_on(proxy.port(), |name, i| key_in(true, name, i), "sound")
}

/// `+KEY`: the reply of a healthy node to a GET in these tests.
fn named(request: &Request) -> Vec<Step> {
    Step::reply(format!("+{}\r\n", request.word(1)))
}

/// Sends 16 MB of SETs to a node that reads none of them: the tail of it can't leave slotmux. The node sends
/// `first_words` and hangs up; a new connection is answered with each SET's value. Returns the replies and the peer.
fn clogged(
    first_words: &[u8],
    configure: impl FnOnce(&mut slotmux_testing::ProxyConfig),
) -> Clogged {
    let gate = Gate::default();
    let (held_back, words) = (gate.clone(), first_words.to_vec());
    let first = AtomicUsize::new(0);
    let (faulty, _sound, _layout) = pair(move |request| {
        (request.name() == "SET").then(|| match first.fetch_add(1, Ordering::SeqCst) {
            0 => vec![
                Step::Gate(held_back.clone()),
                Step::Bytes(words.clone()),
                // A reset could overtake the bytes.
                Step::Pause(Duration::from_millis(300)),
                Step::Close,
            ],
            _ => Step::reply(format!("+{}\r\n", request.word(1))),
        })
    });
    let proxy = Proxy::start_at(&faulty.seeds(), None, |config| {
        config.set("server.workers", 1);
        config.set("cluster.timeouts.command", "60s");
        config.set("cluster.timeouts.response", "60s");
        configure(config);
    });
    let value = "v".repeat(15_000);
    let mut clients = [proxy.client(), proxy.client()];
    let mut keys = [Vec::new(), Vec::new()];
    for (client, keys) in clients.iter_mut().zip(&mut keys) {
        let bytes: Vec<u8> = (0..500)
            .flat_map(|i| {
                keys.push(key_in(
                    false,
                    &format!("clog{}", client.local_addr().port()),
                    i,
                ));
                command(&["SET", &keys[i], &value])
            })
            .collect();
        client.send_raw(&bytes);
    }
    poll_until(PATIENCE, "all commands to be in flight", || {
        proxy.metric("slotmux_in_flight") == Some(1000.0)
    });
    gate.open();
    let mut replies = Vec::new();
    for (client, keys) in clients.iter_mut().zip(keys) {
        replies.extend(keys.into_iter().map(|key| (key, client.read())));
    }
    let mut seen = HashMap::new();
    for request in faulty.requests_named("SET") {
        *seen.entry(request.word(1)).or_insert(0) += 1;
    }
    Clogged { replies, seen }
}

struct Clogged {
    /// By key.
    replies: Vec<(String, Value)>,
    /// How often the node saw each key.
    seen: HashMap<String, usize>,
}
