//! The steps of a program, and how they are shown.

use std::fmt;

use crate::transcript::lines::Words;
use slotmux_testing::alike::show;

/// One action on both sides, compared before the next.
#[derive(Clone)]
pub enum Step {
    /// Pipelines of several clients, sent before any reply is read. Clients use disjoint keys.
    Send(Vec<Pipeline>),
    /// Clients whose first command may block, each started once the previous one blocks; then the commands that feed
    /// them. The remaining ones are unblocked.
    Block {
        waiters: Vec<Pipeline>,
        feed: Pipeline,
        /// How the rest is unblocked: with an error, or like a timeout.
        with_error: bool,
    },
    /// Changes of a client's subscriptions, with an unknown number of replies.
    Listen(Pipeline),
    /// Behind CLIENT REPLY OFF.
    Quiet(Pipeline),
    /// A whole scan, by the call with the cursor 0.
    Scan(Pipeline),
}

/// Commands of one client.
#[derive(Clone)]
pub struct Pipeline {
    pub client: usize,
    pub commands: Vec<Words>,
}

impl Pipeline {
    /// Several commands.
    pub fn new(client: usize, commands: Vec<Words>) -> Pipeline {
        Pipeline { client, commands }
    }
}

impl Step {
    /// Its pipelines.
    pub fn pipelines(&self) -> Vec<&Pipeline> {
        match self {
            Step::Send(all) => all.iter().collect(),
            Step::Block { waiters, feed, .. } => waiters.iter().chain([feed]).collect(),
            Step::Listen(one) | Step::Quiet(one) | Step::Scan(one) => vec![one],
        }
    }

    /// The same, mutable.
    pub fn pipelines_mut(&mut self) -> Vec<&mut Pipeline> {
        match self {
            Step::Send(all) => all.iter_mut().collect(),
            Step::Block { waiters, feed, .. } => waiters.iter_mut().chain([feed]).collect(),
            Step::Listen(one) | Step::Quiet(one) | Step::Scan(one) => vec![one],
        }
    }
}

/// The protocols of the clients, and the steps.
#[derive(Clone)]
pub struct Program {
    pub protocols: Vec<u8>,
    pub steps: Vec<Step>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (client, protocol) in self.protocols.iter().enumerate() {
            writeln!(f, "client {client} speaks RESP{protocol}")?;
        }
        for step in &self.steps {
            let what = match step {
                Step::Send(_) => "send",
                Step::Block {
                    with_error: true, ..
                } => "block, at the end with an error",
                Step::Block { .. } => "block",
                Step::Listen(_) => "listen",
                Step::Quiet(_) => "with CLIENT REPLY OFF",
                Step::Scan(_) => "scan",
            };
            writeln!(f, "{what}")?;
            for Pipeline { client, commands } in step.pipelines() {
                for words in commands {
                    writeln!(f, "  {client}: {}", show(words))?;
                }
            }
        }
        Ok(())
    }
}
