//! The names that a client listens to, each once and in the order in which it subscribed: it is the order in which they end.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Names in the order in which they came.
#[derive(Debug, Default)]
pub struct InOrder {
    places: HashMap<Rc<[u8]>, u64>,
    names: BTreeMap<u64, Rc<[u8]>>,
    next: u64,
}

impl InOrder {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a name behind the others. False if it is there already; it stays at its place.
    pub fn insert(&mut self, name: Rc<[u8]>) -> bool {
        if self.places.contains_key(&name) {
            return false;
        }
        self.places.insert(name.clone(), self.next);
        self.names.insert(self.next, name);
        self.next += 1;
        true
    }

    /// Takes a name out. False if it was not there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let place = self.places.remove(name);
        place.is_some_and(|place| self.names.remove(&place).is_some())
    }

    /// The names, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<[u8]>> {
        self.names.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_place_at_which_they_came() {
        let mut names = InOrder::default();
        for (name, is_new) in [("z", true), ("a", true), ("z", false), ("m", true)] {
            assert_eq!(names.insert(name.as_bytes().into()), is_new, "{name}");
        }
        assert!(names.remove(b"z") && !names.remove(b"z"));
        assert!(names.insert(b"z"[..].into()));
        let all: Vec<&[u8]> = names.iter().map(|name| &**name).collect();
        assert_eq!(all, [&b"a"[..], b"m", b"z"]);
        assert_eq!((names.len(), names.is_empty()), (3, false));
        for name in [&b"m"[..], b"a", b"z"] {
            assert!(names.remove(name));
        }
        assert!(names.is_empty() && names.names.is_empty());
    }
}
