//! Caching clients that keep values until they are invalidated, while everything changes: in the end no cached value is
//! stale.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux_core::slot::slot_of;

use super::{keys_of, tracking};
use slotmux_testing::{
    PATIENCE, Proxy, RawClient, SetAtEnd, Value, calm_cluster, poll_until, times,
};

const CLIENTS: usize = 12;
const KEYS: usize = 60;

fn key(number: usize) -> String {
    // Some share a slot.
    format!("cache:{{{}}}:{number}", number % 20)
}

/// A client with its cache.
struct Caching {
    client: RawClient,
    /// The connection that its invalidations are redirected to.
    inbox: Option<RawClient>,
    cache: HashMap<String, Value>,
    /// Pushes so far.
    told: Arc<AtomicUsize>,
}

impl Caching {
    fn connect(proxy: &Proxy, mode: &[&str], told: Arc<AtomicUsize>) -> Caching {
        let mut inbox = None;
        let client = if mode.contains(&"REDIRECT") {
            let mut other = proxy.client();
            let id = other.call(&["CLIENT", "ID"]).integer().to_string();
            other.call(&["SUBSCRIBE", "__redis__:invalidate"]);
            inbox = Some(other);
            let mut client = proxy.client();
            let words = [&["CLIENT", "TRACKING", "ON"], mode, &[id.as_str()]].concat();
            assert_eq!(client.call(&words), Value::ok());
            client
        } else {
            tracking(proxy, mode)
        };
        Caching {
            client,
            inbox,
            cache: HashMap::new(),
            told,
        }
    }

    /// Processes redirected invalidations that have come.
    fn look_into_inbox(&mut self, within: Duration) {
        let Some(mut inbox) = self.inbox.take() else {
            return;
        };
        while inbox.has_news(within) {
            let message = inbox.read();
            let items = message.items();
            assert_eq!(items[1].text(), "__redis__:invalidate", "{message:?}");
            self.told.fetch_add(1, Ordering::Relaxed);
            match &items[2] {
                Value::Null => self.cache.clear(),
                keys => {
                    for key in keys.items() {
                        self.cache.remove(&key.text());
                    }
                }
            }
        }
        self.inbox = Some(inbox);
    }

    /// Processes a push, as every library does.
    fn take_push(&mut self, push: &Value) {
        self.told.fetch_add(1, Ordering::Relaxed);
        match keys_of(push) {
            Some(keys) => keys.iter().for_each(|key| drop(self.cache.remove(key))),
            None => self.cache.clear(),
        }
    }

    /// The next reply; pushes before it are processed.
    fn reply(&mut self) -> Value {
        loop {
            match self.client.read() {
                push @ Value::Push(_) => self.take_push(&push),
                value => return value,
            }
        }
    }

    fn keep(&mut self, key: &str, value: &Value) {
        match value {
            Value::Bulk(_) | Value::Null => drop(self.cache.insert(key.to_owned(), value.clone())),
            _ => {}
        }
    }

    fn keep_all(&mut self, keys: &[String], values: &Value) {
        if let Value::Array(values) = values {
            for (key, value) in keys.iter().zip(values) {
                self.keep(key, value);
            }
        }
    }

    /// Reads keys that are not cached yet, in one of several ways.
    fn read_some(&mut self) {
        let keys: Vec<String> = (0..fastrand::usize(1..6))
            .map(|_| key(fastrand::usize(..KEYS)))
            .collect();
        match fastrand::u8(..4) {
            0 => {
                let words: Vec<&str> = ["MGET"]
                    .into_iter()
                    .chain(keys.iter().map(String::as_str))
                    .collect();
                self.client.send(&words);
                let values = self.reply();
                self.keep_all(&keys, &values);
            }
            1 => {
                self.client.send(&["MULTI"]);
                for key in &keys {
                    self.client.send(&["GET", key]);
                }
                self.client.send(&["EXEC"]);
                for _ in 0..=keys.len() {
                    self.reply();
                }
                let values = self.reply();
                self.keep_all(&keys, &values);
            }
            _ => {
                for key in &keys {
                    self.client.send(&["GET", key]);
                }
                for key in &keys {
                    let value = self.reply();
                    self.keep(key, &value);
                }
            }
        }
    }
}

/// Moves slots to and fro, and breaks connections.
fn disturb(cluster: &LocalCluster, round: usize) {
    let slot = slot_of(key(round % 20).as_bytes()).0;
    let from = cluster.primary_of_slot(slot).expect("an owner");
    cluster
        .migrate_slot(slot, from, (from + 1) % 3)
        .expect("moved");
    if round % 4 == 3 {
        let kill = ["CLIENT", "KILL", "TYPE", "normal"];
        cluster.query::<()>(round % 3, &kill).expect("killed");
    }
}

#[test]
fn no_cached_value_stays_stale() {
    check(&[&[]]);
}

#[test]
fn no_cached_value_stays_stale_with_prefixes() {
    check(&[&["BCAST"], &["BCAST", "PREFIX", "cache:", "PREFIX", "x"]]);
}

#[test]
fn no_cached_value_stays_stale_with_noloop() {
    check(&[&["NOLOOP"], &["BCAST", "NOLOOP"], &["OPTOUT", "NOLOOP"]]);
}

#[test]
fn no_cached_value_stays_stale_with_a_redirection_in_resp2() {
    check(&[
        &["REDIRECT"],
        &["BCAST", "REDIRECT"],
        &["NOLOOP", "REDIRECT"],
        &["BCAST", "NOLOOP", "REDIRECT"],
    ]);
}

/// Lets clients in these modes read and write.
fn check(modes: &[&[&str]]) {
    let cluster = calm_cluster(0);
    let proxy = Proxy::start(&cluster, |_| {});
    let is_over = AtomicBool::new(false);
    let written = AtomicUsize::new(0);
    let told: Vec<Arc<AtomicUsize>> = (0..CLIENTS).map(|_| Arc::default()).collect();
    let mut clients = thread::scope(|scope| {
        let end = SetAtEnd(&is_over);
        let clients: Vec<_> = told
            .iter()
            .zip(modes.iter().cycle())
            .map(|(told, mode)| {
                let mut caching = Caching::connect(&proxy, mode, Arc::clone(told));
                let (is_over, written) = (&is_over, &written);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        caching.read_some();
                        caching.look_into_inbox(Duration::from_millis(1));
                        if fastrand::u8(..8) == 0 {
                            let number = written.fetch_add(1, Ordering::Relaxed).to_string();
                            let written = key(fastrand::usize(..KEYS));
                            caching.client.send(&["SET", &written, &number]);
                            caching.reply();
                            // With NOLOOP it gets no invalidation of this.
                            caching.cache.remove(&written);
                        }
                    }
                    caching
                })
            })
            .collect();
        scope.spawn(|| {
            // Directly at the node; writes to moved keys are refused.
            while !is_over.load(Ordering::Relaxed) {
                let number = written.fetch_add(1, Ordering::Relaxed).to_string();
                let words = ["SET", &key(fastrand::usize(..KEYS)), &number];
                let _ = cluster.query::<()>(fastrand::usize(..3), &words);
                thread::sleep(Duration::from_millis(2));
            }
        });
        for round in 0..times(12, 120) {
            disturb(&cluster, round);
            thread::sleep(Duration::from_millis(50));
        }
        // On a busy machine the rounds may end before every client got many invalidations.
        poll_until(PATIENCE, "pushes to every client", || {
            told.iter().all(|told| told.load(Ordering::Relaxed) > 50)
        });
        drop(end);
        let clients = clients
            .into_iter()
            .map(|client| client.join().expect("no panic"));
        clients.collect::<Vec<Caching>>()
    });
    let mut truth = proxy.client_resp3();
    let truth: HashMap<String, Value> = (0..KEYS)
        .map(|number| (key(number), truth.call(&["GET", &key(number)])))
        .collect();
    for caching in &mut clients {
        // An invalidation under way may take a moment; a missing one leaves the value stale for ever.
        poll_until(PATIENCE, "a correct cache", || {
            while caching.client.has_news(Duration::from_millis(10)) {
                let push = caching.client.read();
                caching.take_push(&push);
            }
            caching.look_into_inbox(Duration::from_millis(10));
            caching
                .cache
                .iter()
                .all(|(key, value)| truth[key] == *value)
        });
    }
    // The caches are not empty.
    for caching in &mut clients {
        for number in 0..KEYS {
            caching.client.send(&["GET", &key(number)]);
            let value = caching.reply();
            caching.keep(&key(number), &value);
        }
        assert!(caching.cache.len() > KEYS / 2, "{}", caching.cache.len());
    }
}
