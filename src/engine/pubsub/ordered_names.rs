//! The names that a client listens to, each once, in the order of subscription, which is the order in which they end.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::engine::client::long_request::Portion;

use crate::engine::pubsub::names::Names;

/// Names in insertion order.
#[derive(Debug, Default)]
pub struct OrderedNames {
    places: Names<u64>,
    names: BTreeMap<u64, Rc<[u8]>>,
    next: u64,
}

impl OrderedNames {
    /// Number of names.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Appends a name. False if it is there already; it keeps its place.
    pub fn insert(&mut self, name: Rc<[u8]>) -> bool {
        if !self.places.insert(name.clone(), self.next) {
            return false;
        }
        self.names.insert(self.next, name);
        self.next += 1;
        true
    }

    /// Removes a name. False if it was not there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let place = self.places.remove(name);
        place.is_some_and(|place| self.names.remove(&place).is_some())
    }

    /// As many names as the portion has room for, the oldest first.
    pub fn some(&self, portion: &mut Portion) -> Vec<Rc<[u8]>> {
        let names = self.names.values();
        names
            .take_while(|name| portion.take(name.len()))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_place_at_which_they_came() {
        let mut names = OrderedNames::default();
        for (name, is_new) in [("z", true), ("a", true), ("z", false), ("m", true)] {
            assert_eq!(names.insert(name.as_bytes().into()), is_new, "{name}");
        }
        assert!(names.remove(b"z") && !names.remove(b"z"));
        assert!(names.insert(b"z"[..].into()));
        let all = names.some(&mut Portion::of(9, 9));
        assert_eq!(all, [&b"a"[..], b"m", b"z"].map(Rc::from));
        assert_eq!(names.some(&mut Portion::of(1, 9)), all[..1]);
        assert_eq!(names.some(&mut Portion::of(9, 2)), all[..2]);
        assert_eq!((names.len(), names.is_empty()), (3, false));
        for name in [&b"m"[..], b"a", b"z"] {
            assert!(names.remove(name));
        }
        assert!(names.is_empty() && names.names.is_empty());
    }
}
