//! CLIENT TRACKING in front of real clusters: each client gets invalidations for its own reads only, after the replies
//! to them, regardless of faults of connections, nodes and slots.

mod cache;
mod faults;
mod modes;
mod noloop;
mod order;
mod prefixes;
mod redirect;
mod transcript;

use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_for};

/// A client that tracks, with these options.
#[track_caller]
pub fn tracking(proxy: &Proxy, options: &[&str]) -> RawClient {
    let mut client = proxy.client_resp3();
    let words = [&["CLIENT", "TRACKING", "ON"], options].concat();
    assert_eq!(client.call(&words), Value::ok());
    client
}

/// The keys of an invalidation; `None` if it covers everything.
#[track_caller]
pub fn keys_of(push: &Value) -> Option<Vec<String>> {
    let Value::Push(items) = push else {
        panic!("not a push: {push:?}");
    };
    assert_eq!(items[0].text(), "invalidate", "{push:?}");
    match &items[1] {
        Value::Null => None,
        keys => Some(keys.items().iter().map(Value::text).collect()),
    }
}

/// Asserts that the next frame of a client is an invalidation of this key alone.
#[track_caller]
pub fn expect_invalidation(client: &mut RawClient, key: &str) {
    assert_eq!(keys_of(&client.read()), Some(vec![key.to_owned()]));
}

/// Asserts that the next frame of a client invalidates everything.
#[track_caller]
pub fn expect_all_forgotten(client: &mut RawClient) {
    assert_eq!(keys_of(&client.read()), None);
}

/// Asserts that a client has got nothing so far, by a read over the lane that has `tag`.
#[track_caller]
pub fn expect_silence(client: &mut RawClient, tag: &str) {
    let nothing = format!("{{{tag}}}nothing");
    assert_eq!(client.call(&["EXISTS", &nothing]), Value::Integer(0));
}

/// The reply to a command as text; pushes ahead of it are dropped.
pub fn text_of_reply(client: &mut RawClient, words: &[&str]) -> String {
    client.send(words);
    loop {
        let frame = client.read_bytes();
        if frame[0] != b'>' {
            return String::from_utf8_lossy(&frame).into_owned();
        }
    }
}

/// Reads `key` until the answer is a value; earlier invalidations are dropped.
pub fn read_at_last(client: &mut RawClient, key: &str) -> Value {
    poll_for(PATIENCE, "the key to be read", || {
        client.send(&["GET", key]);
        loop {
            match client.read() {
                Value::Push(_) => {}
                Value::Error(_) => return None,
                value => return Some(value),
            }
        }
    })
}
