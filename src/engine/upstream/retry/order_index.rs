//! The commands of each client and slot that each lane carries, so that a query about their order takes a few steps
//! however much is in flight.
//!
//! A stream is the commands of one client on one slot: their order must be kept.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use slotmux_core::slot::Slot;

/// The commands of one client on one lane that a key counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Scope {
    /// Those on one slot.
    Slot(u16),
    /// All of them.
    All,
}

/// Sequence number of a request among those of its client. The numbers wrap, so two are compared by the shorter
/// distance between them: the requests of one client in flight are close to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seq(pub u32);

/// Upper bound of the distance between requests of one client in flight: half the comparable distance, so that both
/// bounds compare with all of them.
const REACH: u32 = 1 << 30;

impl Seq {
    /// Lower bound of all older requests in flight.
    pub fn oldest(self) -> Seq {
        Seq(self.0.wrapping_sub(REACH))
    }

    /// Upper bound of all newer requests in flight.
    pub fn newest(self) -> Seq {
        Seq(self.0.wrapping_add(REACH))
    }
}

impl Ord for Seq {
    fn cmp(&self, other: &Seq) -> Ordering {
        (self.0.wrapping_sub(other.0) as i32).cmp(&0)
    }
}

impl PartialOrd for Seq {
    fn partial_cmp(&self, other: &Seq) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A command and its place in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The client's id.
    pub client: u64,
    /// The slot of its keys.
    pub slot: Slot,
    /// Its sequence number at its client.
    pub seq: Seq,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    client: u64,
    scope: Scope,
    lane: u64,
    seq: Seq,
}

/// The commands on all lanes, ordered by client, slot, lane, age.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Streams {
    in_flight: BTreeMap<Key, u32>,
}

impl Streams {
    /// Lane `lane` carries one more command of `client`; `member` if it is in a stream.
    pub fn add(&mut self, lane: u64, client: u64, member: Option<Member>) {
        for key in keys(lane, client, member) {
            *self.in_flight.entry(key).or_default() += 1;
        }
    }

    /// Undoes [`Streams::add`].
    pub fn remove(&mut self, lane: u64, client: u64, member: Option<Member>) {
        for key in keys(lane, client, member) {
            if let Some(count) = self.in_flight.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.in_flight.remove(&key);
                }
            }
        }
    }

    /// Whether a lane other than `lane` carries an older command of the stream.
    pub fn has_older_elsewhere(&self, of: Member, lane: u64) -> bool {
        self.lanes(of)
            .any(|other| other != lane && self.has_older_on(of, other))
    }

    /// Whether a lane other than `but` carries a newer command of the stream.
    pub fn has_newer(&self, of: Member, but: Option<u64>) -> bool {
        self.lanes(of)
            .any(|other| Some(other) != but && self.has_newer_on(of, other))
    }

    /// Whether `lane` carries any command of the stream.
    pub fn has_any_on(&self, of: Member, lane: u64) -> bool {
        self.in_flight.contains_key(&key(of, lane, of.seq))
            || self.has_older_on(of, lane)
            || self.has_newer_on(of, lane)
    }

    /// Whether `lane` carries any command of `client`.
    pub fn has_client_on(&self, client: u64, lane: u64) -> bool {
        self.in_flight.contains_key(&all_of(client, lane))
    }

    fn has_older_on(&self, of: Member, lane: u64) -> bool {
        let older = key(of, lane, of.seq.oldest())..key(of, lane, of.seq);
        self.in_flight.range(older).next().is_some()
    }

    fn has_newer_on(&self, of: Member, lane: u64) -> bool {
        let newer = key(of, lane, Seq(of.seq.0.wrapping_add(1)))..key(of, lane, of.seq.newest());
        self.in_flight.range(newer).next().is_some()
    }

    /// The lanes that carry commands of the stream: one step per lane, for any number of commands. There are few,
    /// one for each node that owned the slot while the commands arrived.
    fn lanes(&self, of: Member) -> impl Iterator<Item = u64> {
        let end = Key {
            scope: Scope::Slot(of.slot.0 + 1),
            ..key(of, 0, of.seq)
        };
        let mut from = 0;
        std::iter::from_fn(move || {
            let start = key(of, from, of.seq.oldest());
            let (found, _) = self.in_flight.range(start..end).next()?;
            from = found.lane + 1;
            Some(found.lane)
        })
    }
}

fn key(of: Member, lane: u64, seq: Seq) -> Key {
    Key {
        client: of.client,
        scope: Scope::Slot(of.slot.0),
        lane,
        seq,
    }
}

fn all_of(client: u64, lane: u64) -> Key {
    Key {
        client,
        scope: Scope::All,
        lane,
        seq: Seq(0),
    }
}

fn keys(lane: u64, client: u64, member: Option<Member>) -> impl Iterator<Item = Key> {
    let in_stream = member.map(|of| key(of, lane, of.seq));
    std::iter::once(all_of(client, lane)).chain(in_stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(client: u64, slot: u16, seq: u32) -> Member {
        Member {
            client,
            slot: Slot(slot),
            seq: Seq(seq),
        }
    }

    /// After any changes, each query gives the same result as a loop over everything in flight. The numbers wrap
    /// meanwhile.
    #[test]
    fn answers_are_those_of_a_walk() {
        let mut random = fastrand::Rng::with_seed(7);
        for start in [0, u32::MAX - 300, i32::MAX as u32 - 300] {
            let mut streams = Streams::default();
            let mut all: Vec<(u64, u64, Option<Member>)> = Vec::new();
            for step in 0..3000u32 {
                let window = start.wrapping_add(step / 4);
                if all.len() < 60 && random.bool() {
                    let client = random.u64(0..3);
                    let seq = window.wrapping_add(random.u32(0..20));
                    let of = member(client, random.u16(0..3) * 8191, seq);
                    let one = (
                        random.u64(0..4),
                        client,
                        random.u8(..).gt(&30).then_some(of),
                    );
                    streams.add(one.0, one.1, one.2);
                    all.push(one);
                } else if !all.is_empty() {
                    let (lane, client, of) = all.swap_remove(random.usize(0..all.len()));
                    streams.remove(lane, client, of);
                }
                let of = member(
                    random.u64(0..3),
                    random.u16(0..3) * 8191,
                    window.wrapping_add(random.u32(0..20)),
                );
                let lane = random.u64(0..4);
                let walk = |f: &dyn Fn(u64, Member) -> bool| {
                    all.iter().any(|&(lane, _, other)| {
                        other.is_some_and(|other| {
                            (other.client, other.slot) == (of.client, of.slot) && f(lane, other)
                        })
                    })
                };
                assert_eq!(
                    streams.has_older_elsewhere(of, lane),
                    walk(&|on, other| on != lane && other.seq < of.seq)
                );
                assert_eq!(
                    streams.has_newer(of, None),
                    walk(&|_, other| other.seq > of.seq)
                );
                assert_eq!(
                    streams.has_newer(of, Some(lane)),
                    walk(&|on, other| on != lane && other.seq > of.seq)
                );
                assert_eq!(streams.has_any_on(of, lane), walk(&|on, _| on == lane));
                assert_eq!(
                    streams.has_client_on(of.client, lane),
                    all.iter()
                        .any(|&(on, client, _)| (on, client) == (lane, of.client))
                );
            }
            for (lane, client, of) in all.drain(..) {
                streams.remove(lane, client, of);
            }
            assert!(streams.in_flight.is_empty());
        }
    }

    /// For a long pipeline on one lane a query looks only at its ends.
    #[test]
    fn the_lanes_of_a_stream_are_visited_once_each() {
        let mut streams = Streams::default();
        for seq in 0..10_000 {
            streams.add(3, 1, Some(member(1, 5, seq)));
            streams.add(9, 1, Some(member(1, 5, 10_000 + seq)));
            streams.add(4, 1, Some(member(1, 6, seq)));
        }
        let lanes: Vec<u64> = streams.lanes(member(1, 5, 15_000)).collect();
        assert_eq!(lanes, [3, 9]);
    }
}
