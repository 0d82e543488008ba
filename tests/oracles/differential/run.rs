//! Runs a program on both sides, step by step.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::differential::both::{Both, Difference, name};
use crate::differential::bus::Bus;
use crate::differential::step::{Pipeline, Program, Step};
use crate::transcript::lines::{Words, words};
use crate::transcript::pair::Pair;
use slotmux_testing::{PATIENCE, RawClient, Value, poll_until};

/// More pages than a scan of so few keys has.
const MOST_PAGES: usize = 1000;

/// Commands that count subscribers.
const COUNTED: [&str; 3] = [
    "PUBSUB NUMSUB ch1 ch2 ch3",
    "PUBSUB NUMPAT",
    "PUBSUB SHARDNUMSUB sh1 sh2",
];

/// The first difference, if there is one.
pub fn run(pair: &Pair, program: &Program) -> Option<Difference> {
    pair.empty();
    let connect = |protocol: &u8| Both::connect(pair.proxy.port(), pair.redis.port(), *protocol);
    let ports = pair.cluster.nodes().iter().map(|node| node.port);
    let mut run = Run {
        clients: program.protocols.iter().map(connect).collect(),
        redis: RawClient::connect(pair.redis.port()),
        slotmux: RawClient::connect(pair.proxy.port()),
        nodes: ports.clone().map(RawClient::connect).collect(),
        bus: Bus::connect(ports),
        // The previous program may have published at its end.
        has_published: true,
    };
    for (at, step) in program.steps.iter().enumerate() {
        run.drain_bus(step);
        if let Err(difference) = run.step(step).and_then(|()| run.settle(step)) {
            let text = format!("step {at}: {}", difference.text);
            return Some(Difference { text, ..difference });
        }
    }
    None
}

struct Run {
    clients: Vec<Both>,
    /// Connections for looking at both sides and at the nodes.
    redis: RawClient,
    slotmux: RawClient,
    nodes: Vec<RawClient>,
    bus: Bus,
    /// Whether messages may be on the bus.
    has_published: bool,
}

impl Run {
    fn step(&mut self, step: &Step) -> Result<(), Difference> {
        match step {
            Step::Send(pipelines) => self.send(pipelines),
            Step::Block {
                waiters,
                feed,
                with_error,
            } => self.block(waiters, feed, *with_error),
            Step::Listen(one) => match self.clients[one.client].is_queueing() {
                true => Ok(()),
                false => self.clients[one.client].listen(&one.commands),
            },
            Step::Quiet(one) => self.quiet(one),
            Step::Scan(one) => one
                .commands
                .iter()
                .try_for_each(|words| self.scan(one.client, words)),
        }
    }

    /// Before a subscription begins or ends, published messages must have arrived: one Redis delivers a message to its
    /// subscribers when it answers PUBLISH, a cluster to the subscribers when the bus has brought it.
    fn drain_bus(&mut self, step: &Step) {
        if changes_listeners(step) && self.has_published {
            self.bus.drain();
            self.has_published = false;
        }
    }

    /// Waits until both sides know all subscribers, and compares the messages of this step.
    fn settle(&mut self, step: &Step) -> Result<(), Difference> {
        if changes_listeners(step) {
            self.settle_listeners();
        }
        if !has_any(step, &["publish", "spublish", "exec"]) {
            return Ok(());
        }
        self.has_published = true;
        self.clients
            .iter_mut()
            .filter(|client| !client.is_queueing())
            .try_for_each(Both::collect)
    }

    /// Waits until both sides count the same: slotmux leaves a channel a moment later than its last client.
    fn settle_listeners(&mut self) {
        let (slotmux, redis) = (&mut self.slotmux, &mut self.redis);
        poll_until(
            PATIENCE,
            "equal numbers of subscribers on both sides",
            || {
                COUNTED.iter().all(|line| {
                    let words = words(line);
                    slotmux.call(&words) == redis.call(&words)
                })
            },
        );
    }

    fn send(&mut self, pipelines: &[Pipeline]) -> Result<(), Difference> {
        for one in pipelines {
            let client = &mut self.clients[one.client];
            let bytes: Vec<u8> = one
                .commands
                .iter()
                .flat_map(|words| crate::differential::encode(words))
                .collect();
            client.theirs.connection.send_raw(&bytes);
            client.ours.connection.send_raw(&bytes);
        }
        for one in pipelines {
            let client = &mut self.clients[one.client];
            one.commands
                .iter()
                .try_for_each(|words| client.compare(words))?;
        }
        Ok(())
    }

    fn block(
        &mut self,
        waiters: &[Pipeline],
        feed: &Pipeline,
        with_error: bool,
    ) -> Result<(), Difference> {
        let all = waiters.iter().chain([feed]);
        let clients: BTreeSet<usize> = all.clone().map(|one| one.client).collect();
        // Commands in a transaction do not block, and a transaction of the feeder feeds no blocked client.
        if clients
            .iter()
            .any(|&client| self.clients[client].is_queueing())
        {
            return Ok(());
        }
        let mut waiting = 0;
        for one in waiters.iter().filter(|one| !one.commands.is_empty()) {
            let client = &mut self.clients[one.client];
            let bytes: Vec<u8> = one
                .commands
                .iter()
                .flat_map(|words| crate::differential::encode(words))
                .collect();
            client.theirs.connection.send_raw(&bytes);
            let redis = &mut self.redis;
            let mut has_answered = false;
            poll_until(PATIENCE, "a reply of Redis or a blocked client", || {
                has_answered = client.theirs.connection.has_news(Duration::from_millis(1));
                has_answered || blocked(redis) > waiting
            });
            client.ours.connection.send_raw(&bytes);
            if has_answered {
                let news = || client.ours.connection.has_news(Duration::from_millis(1));
                poll_until(PATIENCE, "an answer of slotmux", news);
            } else {
                waiting += 1;
                let nodes = &mut self.nodes;
                poll_until(PATIENCE, "the client to block behind slotmux too", || {
                    nodes.iter_mut().map(blocked).sum::<i64>() >= waiting
                });
            }
        }
        self.send(std::slice::from_ref(feed))?;
        for one in waiters.iter().filter(|one| !one.commands.is_empty()) {
            self.release(one.client, with_error)?;
            let client = &mut self.clients[one.client];
            one.commands
                .iter()
                .try_for_each(|words| client.compare(words))?;
        }
        Ok(())
    }

    /// Unblocks a client that waits at Redis; then it must wait here too. A client that does not wait at Redis may
    /// still get its reply here later.
    fn release(&mut self, client: usize, with_error: bool) -> Result<(), Difference> {
        let how = if with_error { "ERROR" } else { "TIMEOUT" };
        let unblock = |id: &str| ["CLIENT", "UNBLOCK", id, how].map(str::to_owned);
        let Both { ours, theirs, .. } = &self.clients[client];
        if self.redis.call(&unblock(&theirs.id)) == Value::Integer(0) {
            return Ok(());
        }
        match self.slotmux.call(&unblock(&ours.id)) {
            Value::Integer(1) => Ok(()),
            other => Err(Difference {
                kind: "unblock".to_owned(),
                text: format!(
                    "client {client} still waits at Redis, and here CLIENT UNBLOCK brings {other:?}"
                ),
            }),
        }
    }

    fn quiet(&mut self, one: &Pipeline) -> Result<(), Difference> {
        let client = &mut self.clients[one.client];
        if client.is_queueing() {
            return Ok(());
        }
        let off = words("CLIENT REPLY OFF");
        let on = words("CLIENT REPLY ON");
        let all = [&off].into_iter().chain(&one.commands).chain([&on]);
        let bytes: Vec<u8> = all
            .flat_map(|words| crate::differential::encode(words))
            .collect();
        client.theirs.connection.send_raw(&bytes);
        client.ours.connection.send_raw(&bytes);
        client.compare(&on)
    }

    /// Scans on both sides: every element of one side is also returned by the other.
    fn scan(&mut self, client: usize, words: &Words) -> Result<(), Difference> {
        let client = &mut self.clients[client];
        if client.is_queueing() {
            return Ok(());
        }
        let [ours, theirs] = [&mut client.ours, &mut client.theirs].map(|side| {
            let mut words = words.clone();
            let cursor = if name(&words) == "scan" { 1 } else { 2 };
            let mut found = BTreeSet::new();
            for _ in 0..MOST_PAGES {
                side.connection.send(&words);
                match side.reply().map(|reply| reply.value) {
                    Ok(Value::Array(page)) if page.len() == 2 => {
                        let pair = if matches!(name(&words).as_str(), "hscan" | "zscan") {
                            2
                        } else {
                            1
                        };
                        found.extend(
                            page[1]
                                .items()
                                .chunks(pair)
                                .map(|items| format!("{items:?}")),
                        );
                        words[cursor] = page[0].text().into_bytes();
                        if words[cursor] == b"0" {
                            break;
                        }
                    }
                    other => {
                        found.insert(format!("{other:?}"));
                        break;
                    }
                }
            }
            found
        });
        if ours == theirs {
            return Ok(());
        }
        let [more, less] = [ours.difference(&theirs), theirs.difference(&ours)]
            .map(|those| those.take(5).collect::<Vec<_>>());
        Err(Difference {
            kind: name(words),
            text: format!(
                "{}: slotmux alone finds {more:?}, Redis alone {less:?}",
                slotmux_testing::alike::show(words)
            ),
        })
    }
}

/// Whether a client may begin or end a subscription in this step.
fn changes_listeners(step: &Step) -> bool {
    matches!(step, Step::Listen(_)) || has_any(step, &["reset"])
}

/// Whether the step has a command of one of these names.
fn has_any(step: &Step, names: &[&str]) -> bool {
    let pipelines = step.pipelines();
    let mut commands = pipelines.iter().flat_map(|one| &one.commands);
    commands.any(|words| names.contains(&name(words).as_str()))
}

/// The number of clients that wait there.
fn blocked(server: &mut RawClient) -> i64 {
    let info = server.call(&["INFO", "clients"]).text();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("blocked_clients:"));
    line.and_then(|number| number.parse().ok())
        .expect("a number of blocked clients")
}
