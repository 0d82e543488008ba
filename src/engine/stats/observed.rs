//! Changes that observing policies would have made: the last few distinct examples of each namespace. They are a sample,
//! which costs next to nothing, kept by each worker. `SLOTMUX TTL STATS` shows them.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::stats::sample::Sampler;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::worker::Worker;
use crate::engine::worker::clock::unix_milliseconds;
use slotmux_core::command::CommandRef;
use slotmux_core::explain::terms::{KeyGets, terms};
use slotmux_core::explain::{lifetimes, names, words};
use slotmux_core::policy::{NamespaceId, Policies, govern};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::write;
use slotmux_core::slot::Slot;

/// Examples of a namespace that a worker keeps.
const KEPT: usize = 16;
/// Requests of a namespace that are all sampled, before it is one in [`RATE`], so that a test run is seen.
const FIRST: u32 = 64;
/// A sample costs some microseconds, as it asks the policies once more.
const RATE: u32 = 256;
/// Keys of a request that are searched for the one that would be changed.
const KEYS: usize = 16;

/// A change that enforcement would have made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Example {
    /// The command's name.
    pub command: String,
    /// The key, shortened.
    pub key: String,
    /// The actions that would have been taken, by their names in metrics.
    pub actions: Vec<&'static str>,
    /// The lifetime in the request.
    pub given: String,
    /// The lifetime that the key would have got.
    pub would_be: String,
    /// How often it was seen, by estimate.
    pub seen: u64,
    /// When it was last seen, in unix milliseconds.
    pub last: u64,
}

/// The examples of one worker.
#[derive(Debug, Default)]
pub struct Observed {
    rings: RefCell<Vec<Ring>>,
    /// The policies as if all were enforced.
    enforced: OnceCell<Policies>,
}

#[derive(Debug)]
struct Ring {
    sampler: Sampler,
    /// The newest last.
    examples: VecDeque<Example>,
}

impl Default for Ring {
    fn default() -> Ring {
        Ring {
            sampler: Sampler::new(FIRST, RATE),
            examples: VecDeque::new(),
        }
    }
}

impl Ring {
    /// Adds an example. One that differs only in its numbers replaces the older one.
    fn add(&mut self, mut example: Example) {
        let is_same = |other: &Example| {
            (&other.command, &other.key, &other.actions)
                == (&example.command, &example.key, &example.actions)
        };
        if let Some(at) = self.examples.iter().position(is_same) {
            example.seen += self.examples.remove(at).map_or(0, |other| other.seen);
        } else if self.examples.len() == KEPT {
            self.examples.pop_front();
        }
        self.examples.push_back(example);
    }
}

impl Observed {
    /// Samples a request or not. Returns for how many requests it stands.
    fn pick(&self, namespace: NamespaceId) -> Option<u32> {
        let mut rings = self.rings.borrow_mut();
        let at = usize::from(namespace.0);
        if rings.len() <= at {
            rings.resize_with(at + 1, Ring::default);
        }
        rings[at].sampler.pick()
    }

    /// The latest examples of a namespace.
    pub fn examples(&self, namespace: NamespaceId) -> Vec<Example> {
        let rings = self.rings.borrow();
        let ring = rings.get(usize::from(namespace.0));
        ring.map_or(Vec::new(), |ring| ring.examples.iter().cloned().collect())
    }
}

/// One list of the examples of several workers, newest first.
pub fn merged(workers: Vec<Vec<Example>>) -> Vec<Example> {
    let mut all: Vec<Example> = workers.concat();
    all.sort_by_key(|example| example.last);
    let mut ring = Ring::default();
    for example in all {
        ring.add(example);
    }
    ring.examples.into_iter().rev().collect()
}

impl Worker {
    /// Notes a request that the policy of `namespace` would have changed if it were enforced. Returns whether it is in the
    /// sample.
    pub fn note_observed(&self, namespace: NamespaceId, request: &Request) -> bool {
        let Some(weight) = self.traffic.observed.pick(namespace) else {
            return false;
        };
        if let Some(example) = self.example(request, weight) {
            let mut rings = self.traffic.observed.rings.borrow_mut();
            if let Some(ring) = rings.get_mut(usize::from(namespace.0)) {
                ring.add(example);
            }
        }
        true
    }

    /// Sends a PTTL behind a command that has just been sent, for the key that it writes: an expiry would have changed only a
    /// key without a TTL.
    pub fn probe(
        self: &Rc<Self>,
        client: &Rc<Client>,
        slot: Slot,
        namespace: NamespaceId,
        command: CommandRef,
        request: &Request,
    ) {
        let Some(owner) = self.map.slots.owner(slot) else {
            return;
        };
        // Over another connection it could arrive before the command.
        if client.upstream.is_dedicated() {
            return;
        }
        let mut written = None;
        let _ = command.for_each_written_key(request.bytes, request.args, |at| {
            written.get_or_insert(at);
        });
        let Some(at) = written else {
            return;
        };
        let mut bytes = Vec::new();
        write::request(&mut bytes, &[b"PTTL", request.arg(at)]);
        let entry = InFlight {
            namespace,
            ..InFlight::internal(self, client, bytes.len(), OnReply::Probe)
        };
        self.shared_lane(owner, client).send(self, entry, &bytes);
    }

    fn example(&self, request: &Request, weight: u32) -> Option<Example> {
        let enforced = || self.shared.policies.enforced();
        let policies = self.traffic.observed.enforced.get_or_init(enforced);
        self.with_knowledge(|knowledge| {
            let command = knowledge.command(request)?;
            let mut sent = Vec::new();
            let decision = govern(request, command, policies, knowledge.now, &mut sent);
            let governed = &decision.governed;
            let terms = terms(
                request,
                command,
                policies,
                governed,
                &sent,
                knowledge.now,
                KEYS,
            );
            let is_changed = |at: &usize| terms[*at].gets != KeyGets::AsGiven;
            let term = terms.get((0..terms.len()).find(is_changed).unwrap_or(0))?;
            let (given, would_be) = lifetimes::briefly(term);
            Some(Example {
                command: command.full_name().replace('|', " ").to_uppercase(),
                key: words::word(&term.key),
                actions: names(decision.actions),
                given,
                would_be,
                seen: weight.into(),
                last: unix_milliseconds(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(key: &str, given: &str, last: u64) -> Example {
        Example {
            command: "SET".to_owned(),
            key: key.to_owned(),
            actions: vec!["defaulted"],
            given: given.to_owned(),
            would_be: "10s".to_owned(),
            seen: 1,
            last,
        }
    }

    #[test]
    fn a_ring_keeps_the_last_distinct_ones() {
        let mut ring = Ring::default();
        for at in 0..100 {
            ring.add(example(&format!("k{at}"), "none", at));
        }
        ring.add(example("k90", "EX 5", 100));
        assert_eq!(ring.examples.len(), KEPT);
        let newest = ring.examples.back().unwrap();
        assert_eq!(
            (&*newest.key, &*newest.given, newest.seen),
            ("k90", "EX 5", 2)
        );
        let kept = |key: &str| ring.examples.iter().filter(|e| e.key == key).count();
        assert_eq!(
            (kept("k90"), kept("k85"), kept("k84"), kept("k83")),
            (1, 1, 1, 0)
        );
    }

    #[test]
    fn workers_are_merged_newest_first() {
        let merged = merged(vec![
            vec![example("a", "none", 1), example("b", "none", 5)],
            vec![example("a", "none", 3)],
        ]);
        let shown: Vec<_> = merged.iter().map(|e| (&*e.key, e.seen, e.last)).collect();
        assert_eq!(shown, [("b", 1, 5), ("a", 2, 3)]);
    }
}
