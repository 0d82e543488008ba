//! The clients of one worker that listen to one channel. Most channels have one, for which a table takes too much memory.

use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::client::Client;

/// The listening clients, by id.
#[derive(Default)]
pub enum Listeners {
    /// No clients.
    #[default]
    None,
    /// One client.
    One(Rc<Client>),
    /// Several clients, or the rest of them. Boxed, as the table itself takes 48 bytes.
    Many(Box<Many>),
}

/// Several clients.
pub struct Many {
    by_id: HashMap<u64, Rc<Client>>,
}

impl Listeners {
    /// Number of clients.
    pub fn len(&self) -> usize {
        match self {
            Listeners::None => 0,
            Listeners::One(_) => 1,
            Listeners::Many(many) => many.by_id.len(),
        }
    }

    /// Whether no client listens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a client.
    pub fn add(&mut self, client: &Rc<Client>) {
        *self = match std::mem::take(self) {
            Listeners::None => Listeners::One(client.clone()),
            Listeners::One(one) if one.id == client.id => Listeners::One(one),
            Listeners::One(one) => {
                let both = [one, client.clone()].map(|client| (client.id, client));
                let by_id = HashMap::from(both);
                Listeners::Many(Box::new(Many { by_id }))
            }
            Listeners::Many(mut many) => {
                many.by_id.insert(client.id, client.clone());
                Listeners::Many(many)
            }
        };
    }

    /// Removes the client with this id.
    pub fn remove(&mut self, id: u64) {
        match self {
            Listeners::One(one) if one.id == id => *self = Listeners::None,
            Listeners::Many(many) => {
                many.by_id.remove(&id);
            }
            _ => {}
        }
    }

    /// All clients.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Client>> {
        let (one, many) = match self {
            Listeners::None => (None, None),
            Listeners::One(one) => (Some(one), None),
            Listeners::Many(many) => (None, Some(many.by_id.values())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}
