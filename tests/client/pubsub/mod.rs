//! Publish and subscribe in front of real clusters: the receivers, order and number of messages, also when nodes fail
//! and slots move.

mod delivery;
mod faults;
mod interleaved;
mod many;
mod moves;
mod numbers;
mod order;
mod transcript;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;
use slotmux_testing::Proxy;
use slotmux_testing::Shared;
use slotmux_testing::{RawClient, Value};

/// For these tests alone, because some count subscribers.
static SHARED: Shared = Shared::new();

fn shared_cluster() -> &'static LocalCluster {
    SHARED.cluster()
}

fn shared_proxy() -> &'static Proxy {
    SHARED.proxy()
}

/// Sends a command and reads one confirmation for each of its names.
#[track_caller]
pub fn subscribe(client: &mut RawClient, words: &[&str]) {
    client.send(words);
    for name in &words[1..] {
        let confirmation = client.read();
        let items = confirmation.items();
        assert_eq!(items[0].text(), words[0].to_lowercase(), "{items:?}");
        assert_eq!(items[1], Value::bulk(name), "{items:?}");
    }
}

/// The next message: its channel and its text.
#[track_caller]
pub fn next_message(client: &mut RawClient) -> (String, String) {
    let message = client.read();
    let items = message.items();
    match items[0].text().as_str() {
        "message" | "smessage" => (items[1].text(), items[2].text()),
        "pmessage" => (items[2].text(), items[3].text()),
        _ => panic!("not a message: {items:?}"),
    }
}

/// Asserts that the next frame of the client is this message.
#[track_caller]
pub fn expect_message(client: &mut RawClient, channel: &str, text: &str) {
    assert_eq!(next_message(client), (channel.to_owned(), text.to_owned()));
}

/// The index of the node that owns a channel's slot.
pub fn home(cluster: &LocalCluster, channel: &str) -> usize {
    let slot = slot_of(channel.as_bytes()).0;
    cluster.primary_of_slot(slot).expect("an owner")
}

/// The number of subscribers that a node reports.
pub fn subscribers_at(cluster: &LocalCluster, node: usize, question: &str, channel: &str) -> i64 {
    let (_, number): (String, i64) = cluster
        .query(node, &["PUBSUB", question, channel])
        .expect("an answer");
    number
}
