//! The clients of a worker that track prefixes, by prefix: each change of a key is announced to those with a prefix of it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::engine::client::Client;

use super::cover::Cover;

/// Clients by id, so that they get a change in a steady order.
type Listeners = BTreeMap<u64, Rc<Client>>;

/// Prefixes of one client.
type Prefixes = BTreeSet<Box<[u8]>>;

/// Changed keys with a prefix, and the clients that listen to it.
pub type Receivers<'k> = (Vec<&'k [u8]>, Vec<Rc<Client>>);

/// Clients by their prefixes.
#[derive(Default)]
pub struct Audience {
    by_prefix: BTreeMap<Box<[u8]>, Listeners>,
    /// Number of prefixes by length.
    lengths: BTreeMap<usize, usize>,
    /// Prefixes of each client.
    clients: BTreeMap<u64, (Rc<Client>, Prefixes)>,
}

impl Audience {
    /// Makes `client` listen to exactly these prefixes.
    pub fn set(&mut self, client: &Rc<Client>, prefixes: &Prefixes) {
        self.remove(client.id);
        for prefix in prefixes {
            let listeners = self.by_prefix.entry(prefix.clone()).or_insert_with(|| {
                *self.lengths.entry(prefix.len()).or_default() += 1;
                Listeners::new()
            });
            listeners.insert(client.id, client.clone());
        }
        let entry = (client.clone(), prefixes.clone());
        self.clients.insert(client.id, entry);
    }

    /// Removes a client.
    pub fn remove(&mut self, client: u64) {
        let Some((_, prefixes)) = self.clients.remove(&client) else {
            return;
        };
        for prefix in prefixes {
            let Some(listeners) = self.by_prefix.get_mut(&prefix) else {
                continue;
            };
            listeners.remove(&client);
            if listeners.is_empty() {
                self.by_prefix.remove(&prefix);
                if let Some(count) = self.lengths.get_mut(&prefix.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&prefix.len());
                    }
                }
            }
        }
    }

    /// Whether no client listens.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// All of its clients.
    pub fn clients(&self) -> Vec<Rc<Client>> {
        self.clients
            .values()
            .map(|(client, _)| client.clone())
            .collect()
    }

    /// The prefixes that a node has to be asked for.
    pub fn cover(&self) -> Cover {
        Cover::of(self.by_prefix.keys().map(|prefix| &**prefix))
    }

    /// Divides changed keys by prefix, with the clients of each.
    pub fn receivers<'k>(&self, keys: &[&'k [u8]]) -> Vec<Receivers<'k>> {
        let mut by_prefix: BTreeMap<&[u8], Vec<&'k [u8]>> = BTreeMap::new();
        for key in keys {
            for &length in self
                .lengths
                .keys()
                .take_while(|length| **length <= key.len())
            {
                if let Some((prefix, _)) = self.by_prefix.get_key_value(&key[..length]) {
                    by_prefix.entry(prefix).or_default().push(key);
                }
            }
        }
        let receivers = by_prefix.into_iter().map(|(prefix, keys)| {
            let listeners = self.by_prefix.get(prefix).into_iter();
            let clients = listeners.flat_map(BTreeMap::values).cloned().collect();
            (keys, clients)
        });
        receivers.collect()
    }
}
