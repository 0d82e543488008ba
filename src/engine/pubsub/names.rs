//! Tables keyed by the name of a channel or pattern, split into shards: a table of a million names never grows in one
//! step, and can be walked one shard at a time.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, RandomState};
use std::rc::Rc;

use crate::engine::client::long_request::Portion;

/// Shards of a large table. With a million names each has four thousand, which take a millisecond or two.
pub const SHARDS: usize = 256;

/// Number of names above which a table is large. Most clients listen to a few, and 256 empty shards take 12 KiB.
const LARGE: usize = 1024;

/// A table keyed by name.
#[derive(Debug)]
pub struct Names<V, K = Rc<[u8]>> {
    /// One shard while there are few names; empty before the first.
    shards: Vec<HashMap<K, V>>,
    hasher: RandomState,
    len: usize,
}

impl<V, K> Default for Names<V, K> {
    fn default() -> Names<V, K> {
        Names {
            shards: Vec::new(),
            hasher: RandomState::new(),
            len: 0,
        }
    }
}

impl<V, K: Borrow<[u8]> + Hash + Eq> Names<V, K> {
    /// Number of names.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is split into all shards; otherwise the first holds everything.
    pub fn is_large(&self) -> bool {
        self.shards.len() > 1
    }

    fn place(&self, name: &[u8]) -> usize {
        match self.shards.len() {
            0 | 1 => 0,
            shards => self.hasher.hash_one(name) as usize % shards,
        }
    }

    /// The value of a name.
    pub fn get(&self, name: &[u8]) -> Option<&V> {
        self.shards.get(self.place(name))?.get(name)
    }

    /// The value of a name, mutable.
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut V> {
        let place = self.place(name);
        self.shards.get_mut(place)?.get_mut(name)
    }

    /// A name as stored, and its value.
    pub fn entry_mut(&mut self, name: &[u8]) -> Option<(K, &mut V)>
    where
        K: Clone,
    {
        let place = self.place(name);
        let shard = self.shards.get_mut(place)?;
        let key = shard.get_key_value(name)?.0.clone();
        shard.get_mut(name).map(|value| (key, value))
    }

    /// Inserts a new name. False, without a change, if it is there already.
    pub fn insert(&mut self, name: K, value: V) -> bool {
        self.make_room();
        let place = self.place(name.borrow());
        match self.shards[place].entry(name) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(value);
                self.len += 1;
                true
            }
        }
    }

    /// A name as stored, and its value; inserted with the default if missing.
    pub fn obtain(&mut self, name: &[u8]) -> (K, &mut V)
    where
        K: Clone + for<'a> From<&'a [u8]>,
        V: Default,
    {
        self.make_room();
        let place = self.place(name);
        let shard = &mut self.shards[place];
        let key = match shard.get_key_value(name) {
            Some((key, _)) => key.clone(),
            None => {
                self.len += 1;
                name.into()
            }
        };
        (key.clone(), shard.entry(key).or_default())
    }

    /// Makes room for another name.
    fn make_room(&mut self) {
        if self.shards.is_empty() {
            self.shards.push(HashMap::new());
        } else if self.shards.len() == 1 && self.len >= LARGE {
            self.cut();
        }
    }

    /// Splits the single table, which has just become large, into shards.
    fn cut(&mut self) {
        let one = self.shards.pop().unwrap_or_default();
        self.shards.resize_with(SHARDS, HashMap::new);
        for (name, value) in one {
            let place = self.place(name.borrow());
            self.shards[place].insert(name, value);
        }
    }

    /// Removes a name.
    pub fn remove(&mut self, name: &[u8]) -> Option<V> {
        let place = self.place(name);
        let shard = self.shards.get_mut(place)?;
        let value = shard.remove(name)?;
        // A table that was large frees its memory with its names.
        if shard.is_empty() {
            *shard = HashMap::new();
        }
        self.len -= 1;
        if self.len == 0 {
            self.shards = Vec::new();
        }
        Some(value)
    }

    /// The names of one shard, for a walk through all shards.
    pub fn shard_mut(&mut self, shard: usize) -> impl Iterator<Item = (&K, &mut V)> {
        self.shards.get_mut(shard).into_iter().flatten()
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flatten()
    }

    /// As many names as the portion has room for.
    pub fn some(&self, portion: &mut Portion) -> Vec<K>
    where
        K: Clone,
    {
        let names = self.shards.iter().flat_map(HashMap::keys);
        names
            .take_while(|&name| portion.take(name.borrow().len()))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(i: usize) -> Rc<[u8]> {
        format!("name:{i}").into_bytes().into()
    }

    #[test]
    fn every_name_is_in_one_shard() {
        let mut names: Names<usize> = Names::default();
        for i in 0..10_000 {
            assert!(names.insert(name(i), i));
            assert!(!names.insert(name(i), 0));
        }
        let mut seen = vec![false; 10_000];
        let mut largest = 0;
        for shard in 0..SHARDS {
            let values: Vec<usize> = names.shard_mut(shard).map(|(_, value)| *value).collect();
            largest = largest.max(values.len());
            for value in values {
                assert!(!std::mem::replace(&mut seen[value], true));
            }
        }
        assert!(seen.iter().all(|seen| *seen));
        assert!(largest < 10 * 10_000 / SHARDS, "{largest}");
    }

    #[test]
    fn what_is_empty_holds_nothing() {
        let mut names: Names<usize> = Names::default();
        for i in 0..100 {
            names.insert(name(i), i);
        }
        while !names.is_empty() {
            let some = names.some(&mut Portion::of(7, usize::MAX));
            assert!(!some.is_empty() && some.len() <= 7);
            for name in some {
                assert!(names.remove(&name).is_some());
                assert_eq!(names.remove(&name), None);
            }
        }
        assert!(names.shards.is_empty());
        assert_eq!(names.get(b"name:1"), None);
    }
}
