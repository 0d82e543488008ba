//! Commands that wait for a retry, and when each is looked at again: only commands that are due are touched, however
//! many wait.
//!
//! Of each stream (see [`crate::engine::upstream::retry::order_index`]) only the oldest command is retried; the next one follows when that has left.
//! A command whose slot has no owner waits for the slot, not for a moment.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::worker::clock::Tick;
use slotmux_core::slot::Slot;

use crate::engine::upstream::retry::order_index::{Member, Seq};

/// The stream of a command among those of its client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stream {
    /// Below all streams: only the start of a range.
    First,
    /// The commands on one slot. Ages compare within it.
    Slot(u16),
    /// Outside all streams: no command is ahead of it.
    None,
}

impl From<Option<Member>> for Stream {
    fn from(member: Option<Member>) -> Stream {
        member.map_or(Stream::None, |member| Stream::Slot(member.slot.0))
    }
}

/// A place among the waiting commands. A command of a stream is ordered after the older ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    client: u64,
    stream: Stream,
    seq: Seq,
    /// Distinguishes the parts of one request, several of which may have no slot.
    number: u64,
}

/// The condition that ends a wait, besides its deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// It is retried at this moment.
    Due(Tick),
    /// It is retried once the slot has an owner, and not before this moment.
    Served(Slot, Tick),
}

#[derive(Debug)]
struct QueuedCommand<T> {
    command: T,
    until: Until,
    ends: Tick,
}

/// The waiting commands.
#[derive(Debug)]
pub struct RetryQueue<T> {
    commands: BTreeMap<Place, QueuedCommand<T>>,
    /// Commands with no older one ahead that wait for a moment.
    due: BTreeSet<(Tick, Place)>,
    /// Commands with no older one ahead that wait for a slot.
    unserved: BTreeSet<(u16, Place)>,
    /// All commands, by the end of their wait.
    ends: BTreeSet<(Tick, Place)>,
    next: u64,
}

impl<T> Default for RetryQueue<T> {
    fn default() -> RetryQueue<T> {
        RetryQueue {
            commands: BTreeMap::new(),
            due: BTreeSet::new(),
            unserved: BTreeSet::new(),
            ends: BTreeSet::new(),
            next: 0,
        }
    }
}

impl<T> RetryQueue<T> {
    /// Number of waiting commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether no command waits.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// All waiting commands.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.commands.values().map(|kept| &kept.command)
    }

    /// Adds a command of `client`, which is `member` of a stream or of none. It is looked at by `ends` at the latest.
    /// Returns its place.
    pub fn add(
        &mut self,
        client: u64,
        member: Option<Member>,
        command: T,
        until: Until,
        ends: Tick,
    ) -> Place {
        let number = self.next;
        self.next += 1;
        let place = Place {
            client,
            stream: member.into(),
            seq: member.map_or(Seq(0), |member| member.seq),
            number,
        };
        let behind = self.commands.range(place..).next();
        let behind = behind.filter(|(behind, _)| behind.is_in_stream_of(place));
        let behind = behind.map(|(&behind, kept)| (behind, kept.until));
        if !self.has_ahead(place) {
            if let Some((behind, until)) = behind {
                self.disarm(behind, until);
            }
            self.arm(place, until);
        }
        self.ends.insert((ends, place));
        let kept = QueuedCommand {
            command,
            until,
            ends,
        };
        self.commands.insert(place, kept);
        place
    }

    /// The command at a place that [`RetryQueue::add`] returned.
    pub fn get(&self, place: Place) -> Option<&T> {
        self.commands.get(&place).map(|kept| &kept.command)
    }

    /// Removes and returns the command at a place, unless an older one of its stream waits.
    pub fn take_oldest(&mut self, place: Place) -> Option<T> {
        if self.has_ahead(place) {
            return None;
        }
        self.take(place)
    }

    /// Removes and returns a command whose wait is over, or else one that is due for a retry.
    pub fn take_next(&mut self, now: Tick) -> Option<T> {
        let has_come = |all: &BTreeSet<(Tick, Place)>| {
            let &(moment, place) = all.first()?;
            moment.has_come(now).then_some(place)
        };
        let place = has_come(&self.ends).or_else(|| has_come(&self.due))?;
        self.take(place)
    }

    /// Whether an older command of the stream waits.
    pub fn has_older(&self, of: Member) -> bool {
        self.has_ahead(Place {
            client: of.client,
            stream: Stream::Slot(of.slot.0),
            seq: of.seq,
            number: 0,
        })
    }

    /// Records that `slot` has an owner.
    pub fn serve(&mut self, slot: Slot) {
        let start = (slot.0, Place::before_all_of(0));
        while let Some(&(of, place)) = self.unserved.range(start..).next()
            && of == slot.0
        {
            self.unserved.remove(&(of, place));
            if let Some(kept) = self.commands.get_mut(&place) {
                let moment = kept.until.moment();
                kept.until = Until::Due(moment);
                self.due.insert((moment, place));
            }
        }
    }

    /// Ends the waits of a client that has left: all of its commands are looked at next.
    pub fn hasten(&mut self, client: u64, now: Tick) {
        let own = self.commands.range_mut(Place::before_all_of(client)..);
        for (&place, kept) in own.take_while(|(place, _)| place.client == client) {
            self.ends.remove(&(kept.ends, place));
            kept.ends = now;
            self.ends.insert((now, place));
        }
    }

    fn take(&mut self, place: Place) -> Option<T> {
        let kept = self.commands.remove(&place)?;
        self.ends.remove(&(kept.ends, place));
        self.disarm(place, kept.until);
        if place.stream != Stream::None && !self.has_ahead(place) {
            let next = self.commands.range(place..).next();
            let next = next.filter(|(next, _)| next.is_in_stream_of(place));
            let next = next.map(|(&next, behind)| (next, behind.until));
            if let Some((next, until)) = next {
                // The commands behind were not marked when their slot got an owner.
                let until = match kept.until {
                    Until::Due(_) => Until::Due(until.moment()),
                    Until::Served(..) => until,
                };
                if let Some(behind) = self.commands.get_mut(&next) {
                    behind.until = until;
                }
                self.arm(next, until);
            }
        }
        Some(kept.command)
    }

    fn has_ahead(&self, place: Place) -> bool {
        let oldest = Place {
            seq: place.seq.oldest(),
            number: 0,
            ..place
        };
        // A command outside all streams has none ahead of it.
        place.stream != Stream::None && self.commands.range(oldest..place).next().is_some()
    }

    fn arm(&mut self, place: Place, until: Until) {
        match until {
            Until::Due(moment) => self.due.insert((moment, place)),
            Until::Served(slot, _) => self.unserved.insert((slot.0, place)),
        };
    }

    fn disarm(&mut self, place: Place, until: Until) {
        match until {
            Until::Due(moment) => self.due.remove(&(moment, place)),
            Until::Served(slot, _) => self.unserved.remove(&(slot.0, place)),
        };
    }
}

impl Until {
    /// The moment before which it is not retried.
    fn moment(self) -> Tick {
        match self {
            Until::Due(moment) | Until::Served(_, moment) => moment,
        }
    }
}

impl Place {
    fn before_all_of(client: u64) -> Place {
        Place {
            client,
            stream: Stream::First,
            seq: Seq(0),
            number: 0,
        }
    }

    fn is_in_stream_of(&self, other: Place) -> bool {
        self.stream != Stream::None && (self.client, self.stream) == (other.client, other.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::worker::clock::Clock;

    #[derive(Clone, Copy, PartialEq, Debug)]
    struct One {
        client: u64,
        member: Option<Member>,
        until: Until,
        ends: Tick,
        number: u32,
    }

    fn member(client: u64, slot: u16, seq: u32) -> Member {
        Member {
            client,
            slot: Slot(slot),
            seq: Seq(seq),
        }
    }

    /// Reference, by a loop over all commands: whether its wait is over, or it is due with no older one ahead.
    fn may_be_next(all: &[One], one: &One, is_served: &[bool], now: Tick) -> bool {
        let is_older = |other: &One| {
            matches!((other.member, one.member), (Some(other), Some(of))
                if (other.client, other.slot) == (of.client, of.slot) && other.seq < of.seq)
        };
        let is_due = match one.until {
            Until::Due(moment) => moment.has_come(now),
            Until::Served(slot, moment) => is_served[slot.0 as usize] && moment.has_come(now),
        };
        one.ends.has_come(now) || (is_due && !all.iter().any(is_older))
    }

    #[test]
    fn the_next_is_the_one_that_a_walk_finds() {
        let mut random = fastrand::Rng::with_seed(11);
        for start in [0, u32::MAX - 200, i32::MAX as u32 - 200] {
            let mut queue = RetryQueue::default();
            let mut all: Vec<One> = Vec::new();
            let mut is_served = [false; 3];
            let mut now = Clock::start().now();
            for step in 0..6000u32 {
                match random.u8(0..10) {
                    0..6 if all.len() < 80 => {
                        let client = random.u64(0..3);
                        let slot = random.u16(0..3);
                        let seq = start
                            .wrapping_add(step / 12)
                            .wrapping_add(random.u32(0..30));
                        let of = member(client, slot, seq);
                        let is_taken = |one: &One| one.member == Some(of);
                        let of = (random.bool() && !all.iter().any(is_taken)).then_some(of);
                        let least = now.plus(random.u64(0..50));
                        let until = match of {
                            Some(of) if !is_served[slot as usize] => Until::Served(of.slot, least),
                            _ => Until::Due(least),
                        };
                        let one = One {
                            client,
                            member: of,
                            until,
                            ends: now.plus(random.u64(0..400)),
                            number: step,
                        };
                        queue.add(client, of, one, until, one.ends);
                        all.push(one);
                    }
                    6 if random.u8(..) < 8 => {
                        let slot = random.usize(0..3);
                        is_served[slot] = true;
                        queue.serve(Slot(slot as u16));
                    }
                    7 if random.u8(..) < 20 => {
                        let client = random.u64(0..3);
                        queue.hasten(client, now);
                        for one in all.iter_mut().filter(|one| one.client == client) {
                            one.ends = now;
                        }
                    }
                    _ => {
                        now = now.plus(random.u64(0..10));
                        while let Some(taken) = queue.take_next(now) {
                            let at = all.iter().position(|one| one.number == taken.number);
                            let one = all[at.expect("it waits")];
                            assert!(may_be_next(&all, &one, &is_served, now), "{one:?}");
                            all.retain(|one| one.number != taken.number);
                        }
                        let rest = |one: &&One| may_be_next(&all, one, &is_served, now);
                        assert_eq!(all.iter().find(rest), None);
                    }
                }
                let of = member(
                    random.u64(0..3),
                    random.u16(0..3),
                    start.wrapping_add(step / 12 + 15),
                );
                let is_older = |one: &One| {
                    one.member.is_some_and(|other| {
                        (other.client, other.slot) == (of.client, of.slot) && other.seq < of.seq
                    })
                };
                assert_eq!(queue.has_older(of), all.iter().any(is_older));
                assert_eq!(queue.len(), all.len());
            }
            while queue.take_next(now.plus(1 << 40)).is_some() {}
            assert!(queue.is_empty() && queue.ends.is_empty());
            assert!(queue.due.is_empty() && queue.unserved.is_empty());
        }
    }

    /// However many wait for a slot or behind each other, a look touches only the commands that are due.
    #[test]
    fn what_has_nothing_to_do_is_not_touched() {
        let mut queue = RetryQueue::default();
        let now = Clock::start().now();
        let late = now.plus(5000);
        for seq in 0..50_000 {
            let unserved = member(1, (seq % 4000) as u16, seq);
            queue.add(
                1,
                Some(unserved),
                seq,
                Until::Served(unserved.slot, now),
                late,
            );
            queue.add(
                2,
                Some(member(2, 5, seq)),
                seq,
                Until::Due(now.plus(10)),
                late,
            );
        }
        assert_eq!((queue.due.len(), queue.unserved.len()), (1, 4000));
        assert_eq!(queue.take_next(now), None);
        queue.serve(Slot(7));
        assert_eq!((queue.due.len(), queue.unserved.len()), (2, 3999));
        // The commands of one stream follow each other, oldest first.
        let taken: Vec<u32> = std::iter::from_fn(|| queue.take_next(now)).collect();
        assert!(
            taken
                .iter()
                .eq((7..50_000).step_by(4000).collect::<Vec<_>>().iter())
        );
    }
}
