//! The requests that are likely to bring a big reply, learned from earlier replies: a GET announces nothing.
//!
//! Requests are grouped by their command and the part of their first argument before its first `:`, or all of it
//! without a `:`. Each big reply of a group sends its next few requests over a dedicated lane. So a group of big values
//! always travels alone, a group with some big values does in proportion, and a group without them costs nothing: small
//! replies are never looked at.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::resp::request::Request;

/// Trips that one big reply buys: where one in this many is big, all travel alone.
const TRIPS: u8 = 4;
/// Most trips that a group has in store: how soon one whose values became small is forgotten.
const MOST_TRIPS: u8 = 16;
/// Groups that are remembered; two that share a place push each other out.
const GROUPS: usize = 1024;
/// Bytes of an argument without a `:` that count.
const LONGEST_PREFIX: usize = 64;

/// A command with the start of its first argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyGroup(u64);

#[derive(Clone, Copy)]
struct GroupEntry {
    group: ReplyGroup,
    trips: u8,
}

/// The groups whose replies were big, as one worker has learned them.
pub struct BigReplies {
    entries: Box<[Cell<GroupEntry>]>,
    /// Entries with a trip left. While it is 0, no request is looked up.
    known: Cell<usize>,
    hasher: RandomState,
}

impl Default for BigReplies {
    fn default() -> BigReplies {
        let nothing = Cell::new(GroupEntry {
            group: ReplyGroup(0),
            trips: 0,
        });
        BigReplies {
            entries: vec![nothing; GROUPS].into(),
            known: Cell::new(0),
            hasher: RandomState::new(),
        }
    }
}

impl BigReplies {
    /// The group of `request` if its reply is likely to be big.
    #[inline]
    pub fn expected(&self, request: &Request) -> Option<ReplyGroup> {
        if self.known.get() == 0 {
            return None;
        }
        let group = self.group(request);
        let entry = self.entry(group).get();
        (entry.group == group && entry.trips > 0).then_some(group)
    }

    /// A request of `group` has set out alone.
    pub fn spend(&self, group: ReplyGroup) {
        let entry = self.entry(group);
        let GroupEntry {
            group: owner,
            trips,
        } = entry.get();
        if owner == group && trips > 0 {
            entry.set(GroupEntry {
                group,
                trips: trips - 1,
            });
            self.known.set(self.known.get() - usize::from(trips == 1));
        }
    }

    /// The reply of `request` is big.
    pub fn learn(&self, request: &Request) {
        let group = self.group(request);
        let entry = self.entry(group);
        let before = entry.get();
        let had = if before.group == group {
            before.trips
        } else {
            0
        };
        entry.set(GroupEntry {
            group,
            trips: (had + TRIPS).min(MOST_TRIPS),
        });
        self.known
            .set(self.known.get() + usize::from(before.trips == 0));
    }

    fn group(&self, request: &Request) -> ReplyGroup {
        let mut hasher = self.hasher.build_hasher();
        for byte in request.arg(0) {
            hasher.write_u8(byte.to_ascii_lowercase());
        }
        hasher.write_u8(b' ');
        let argument = request.arg(1);
        let start = &argument[..argument.len().min(LONGEST_PREFIX)];
        let end = start.iter().position(|&byte| byte == b':');
        hasher.write(&start[..end.unwrap_or(start.len())]);
        ReplyGroup(hasher.finish())
    }

    fn entry(&self, group: ReplyGroup) -> &Cell<GroupEntry> {
        &self.entries[group.0 as usize % GROUPS]
    }
}

#[cfg(test)]
mod tests {
    use crate::resp::{Limits, scan_request, write};

    use super::*;

    fn with<T>(words: &[&str], f: impl FnOnce(&Request) -> T) -> T {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut bytes = Vec::new();
        write::request(&mut bytes, &words);
        let mut args = Vec::new();
        scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
        f(&Request {
            bytes: &bytes,
            args: &args,
        })
    }

    fn expected(learned: &BigReplies, words: &[&str]) -> bool {
        with(words, |request| learned.expected(request)).is_some()
    }

    #[test]
    fn a_group_is_a_command_and_a_prefix() {
        let learned = BigReplies::default();
        with(&["GET", "image:1"], |request| learned.learn(request));
        assert!(expected(&learned, &["get", "image:2"]));
        assert!(!expected(&learned, &["STRLEN", "image:1"]));
        assert!(!expected(&learned, &["GET", "name:1"]));
        assert!(!expected(&learned, &["GET", "images"]));
    }

    #[test]
    fn each_big_reply_buys_some_trips_and_they_run_out() {
        let learned = BigReplies::default();
        for bought in [1, 100] {
            for _ in 0..bought {
                with(&["GET", "k"], |request| learned.learn(request));
            }
            let trips = (bought * usize::from(TRIPS)).min(usize::from(MOST_TRIPS));
            for trip in 0..trips {
                let group = with(&["GET", "k"], |request| learned.expected(request));
                learned.spend(group.unwrap_or_else(|| panic!("trip {trip} of {trips}")));
            }
            assert!(!expected(&learned, &["GET", "k"]));
            assert_eq!(learned.known.get(), 0);
        }
    }

    #[test]
    fn groups_that_share_a_place_push_each_other_out_and_are_not_mixed_up() {
        let learned = BigReplies::default();
        for i in 0..GROUPS * 4 {
            with(&["GET", &format!("k{i}")], |request| learned.learn(request));
            assert!(expected(&learned, &["GET", &format!("k{i}")]));
        }
        let left = (0..GROUPS * 4)
            .filter(|i| expected(&learned, &["GET", &format!("k{i}")]))
            .count();
        assert!(left <= GROUPS && left == learned.known.get(), "{left}");
    }
}
