//! Counts of a run: writes by outcome, errors by text, the longest outage of each shard, findings.

use crate::book::Verdict;
use crate::fate::Fate;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Different error texts that are counted separately.
const TEXTS: usize = 30;

/// Findings that are shown in full.
const SAMPLES: usize = 10;

/// The outcomes for one shard in one phase.
#[derive(Clone, Debug, Default)]
pub struct Shard {
    /// Acknowledged writes.
    pub acked: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Writes whose error reports that they were not executed.
    pub refused: u64,
    /// Writes of unknown fate.
    pub unknown: u64,
    /// Reads that got an error.
    pub read_errors: u64,
    /// Longest time without an acknowledged write.
    pub longest_gap: Duration,
    /// Longest time of a request that succeeded.
    pub longest_wait: Duration,
    /// Longest time from an error to the next acknowledged write.
    pub recovery: Duration,
}

/// A part of the run.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// One for each shard.
    pub shards: Vec<Shard>,
    /// Errors by text.
    pub errors: BTreeMap<String, u64>,
}

/// All observations of the clients of one side.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Phases of the run; the last one is current.
    pub phases: Vec<Phase>,
    /// Requests sent.
    pub requests: u64,
    /// Connections lost.
    pub lost_connections: u64,
    /// Replies that are impossible for their requests.
    pub wrong: u64,
    /// Replies from before an acknowledged write.
    pub behind: u64,
    /// The first findings as text.
    pub samples: Vec<String>,
    progress: Vec<Progress>,
    clients: Vec<Client>,
}

/// One client, by its number in the order of arrival.
#[derive(Clone, Copy, Debug)]
struct Client {
    group: usize,
    /// Its acknowledged writes and answered reads.
    served: u64,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Last acknowledged write, or the last time from which on one could be expected.
    last: Instant,
    failing_since: Option<Instant>,
    /// When the newest acknowledged write was sent.
    newest_sent: Option<Instant>,
}

impl Tally {
    /// An empty tally for this many shards.
    pub fn new(shards: usize) -> Tally {
        let mut tally = Tally {
            phases: Vec::new(),
            requests: 0,
            lost_connections: 0,
            wrong: 0,
            behind: 0,
            samples: Vec::new(),
            progress: vec![
                Progress {
                    last: Instant::now(),
                    failing_since: None,
                    newest_sent: None,
                };
                shards
            ],
            clients: Vec::new(),
        };
        tally.start_phase("start");
        tally
    }

    /// Adds a client of this shard. Returns its number.
    pub fn enrol(&mut self, group: usize) -> usize {
        self.clients.push(Client { group, served: 0 });
        self.clients.len() - 1
    }

    /// Successful requests so far, for each client of these shards.
    pub fn served(&self, groups: &[usize]) -> Vec<u64> {
        let clients = self.clients.iter();
        clients
            .filter(|client| groups.contains(&client.group))
            .map(|client| client.served)
            .collect()
    }

    /// Starts a new phase.
    pub fn start_phase(&mut self, name: &str) {
        self.phases.push(Phase {
            name: name.to_owned(),
            shards: vec![Shard::default(); self.progress.len()],
            errors: BTreeMap::new(),
        });
    }

    fn phase(&mut self) -> &mut Phase {
        self.phases.last_mut().expect("there is one from the start")
    }

    fn shard(&mut self, group: usize) -> &mut Shard {
        &mut self.phase().shards[group]
    }

    /// Counts a successful request of this client. Returns its shard.
    fn served_one(&mut self, client: usize, sent: Instant) -> usize {
        let client = &mut self.clients[client];
        client.served += 1;
        let group = client.group;
        let shard = self.shard(group);
        shard.longest_wait = shard.longest_wait.max(sent.elapsed());
        group
    }

    /// Counts an acknowledged write of this client.
    pub fn acked(&mut self, client: usize, sent: Instant) {
        let group = self.served_one(client, sent);
        self.shard(group).acked += 1;
        self.is_there(group, sent);
    }

    /// Counts an answered read of this client. While no client writes, it also shows that the shard is available.
    pub fn answered(&mut self, client: usize, sent: Instant, nobody_writes: bool) {
        let group = self.served_one(client, sent);
        self.shard(group).reads += 1;
        if nobody_writes {
            self.is_there(group, sent);
        }
    }

    fn is_there(&mut self, group: usize, sent: Instant) {
        let now = Instant::now();
        let progress = &mut self.progress[group];
        let gap = now - std::mem::replace(&mut progress.last, now);
        let failing = progress.failing_since.take();
        progress.newest_sent = progress.newest_sent.max(Some(sent));
        let shard = self.shard(group);
        shard.longest_gap = shard.longest_gap.max(gap);
        if let Some(since) = failing {
            shard.recovery = shard.recovery.max(now - since);
        }
    }

    /// Counts a write of this client that was not acknowledged, for this reason.
    pub fn failed(&mut self, client: usize, fate: Fate, why: &str) {
        let group = self.clients[client].group;
        match fate {
            Fate::Refused => self.shard(group).refused += 1,
            Fate::Unknown => self.shard(group).unknown += 1,
        }
        self.error(group, why);
    }

    /// Counts a failed read of this client.
    pub fn read_failed(&mut self, client: usize, why: &str) {
        let group = self.clients[client].group;
        self.shard(group).read_errors += 1;
        self.error(group, why);
    }

    fn error(&mut self, group: usize, why: &str) {
        self.progress[group]
            .failing_since
            .get_or_insert_with(Instant::now);
        let errors = &mut self.phase().errors;
        let text: String = why.chars().take(160).collect();
        let text = if errors.len() < TEXTS || errors.contains_key(&text) {
            text
        } else {
            "other".to_owned()
        };
        *errors.entry(text).or_default() += 1;
    }

    /// Counts the verdict on a reply.
    pub fn judge(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Right => {}
            Verdict::Behind(what) => {
                self.behind += 1;
                self.sample(|| format!("behind: {what}"));
            }
            Verdict::Wrong(what) => {
                self.wrong += 1;
                self.sample(|| format!("wrong: {what}"));
            }
        }
    }

    /// Keeps the text of a finding, up to a limit.
    pub fn sample(&mut self, text: impl FnOnce() -> String) {
        if self.samples.len() < SAMPLES {
            self.samples.push(text());
        }
    }

    /// Ends a deliberate pause, which is no outage of any shard.
    pub fn resume(&mut self) {
        for progress in &mut self.progress {
            progress.last = Instant::now();
            progress.failing_since = None;
        }
    }

    /// Ends the run: shards that have not recovered count as unavailable until now.
    pub fn finish(&mut self) {
        let now = Instant::now();
        for group in 0..self.progress.len() {
            let Progress {
                last,
                failing_since,
                ..
            } = self.progress[group];
            let shard = self.shard(group);
            shard.longest_gap = shard.longest_gap.max(now - last);
            if let Some(since) = failing_since {
                shard.recovery = shard.recovery.max(now - since);
            }
        }
    }

    /// Shards without an acknowledged write that was sent after `moment`.
    pub fn not_recovered(&self, moment: Instant) -> Vec<usize> {
        let late = |progress: &Progress| progress.newest_sent.is_none_or(|sent| sent < moment);
        (0..self.progress.len())
            .filter(|&group| late(&self.progress[group]))
            .collect()
    }

    /// A sum over all phases and shards.
    pub fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.phases
            .iter()
            .flat_map(|phase| &phase.shards)
            .map(of)
            .sum()
    }

    /// Errors of all phases by text.
    pub fn errors(&self) -> BTreeMap<&str, u64> {
        let mut all = BTreeMap::new();
        for (text, count) in self.phases.iter().flat_map(|phase| &phase.errors) {
            *all.entry(text.as_str()).or_default() += count;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_has_recovered_when_a_later_write_was_acknowledged() {
        let mut tally = Tally::new(2);
        assert_eq!([tally.enrol(0), tally.enrol(1)], [0, 1]);
        let before = Instant::now();
        tally.failed(0, Fate::Unknown, "gone");
        tally.start_phase("next");
        let moment = Instant::now();
        tally.acked(0, before);
        assert_eq!(tally.not_recovered(moment), [0, 1]);
        tally.acked(1, moment);
        assert_eq!(tally.not_recovered(moment), [0]);
        assert_eq!(tally.sum(|shard| shard.acked), 2);
        assert!(tally.phases[1].shards[0].recovery > Duration::ZERO);
        assert_eq!(tally.errors(), BTreeMap::from([("gone", 1)]));
    }

    #[test]
    fn each_client_is_seen_and_reads_show_recovery_only_without_writes() {
        let mut tally = Tally::new(2);
        let clients = [0, 1, 1].map(|group| tally.enrol(group));
        let moment = Instant::now();
        tally.answered(clients[1], moment, false);
        assert_eq!(tally.not_recovered(moment), [0, 1]);
        tally.answered(clients[1], moment, true);
        assert_eq!(tally.not_recovered(moment), [0]);
        assert_eq!(tally.served(&[1]), [2, 0]);
        assert_eq!(tally.served(&[0, 1]), [0, 2, 0]);
        assert_eq!(tally.phases[0].shards[1].reads, 2);
    }
}
