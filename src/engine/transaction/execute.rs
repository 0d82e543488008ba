//! EXEC of a long transaction: its commands are planned in slices, and sent in one step, so that all or none are sent.

use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::cluster::topology::UpstreamKind;
use slotmux_core::resp::Span;
use slotmux_core::route::transaction::{BodyPlanner, TransactionBody};

use crate::engine::client::Client;
use crate::engine::client::dispatch::{Dispatched, refuse};
use crate::engine::client::long_request::{LongRequest, Progress, SLICE, SLICE_BYTES};
use crate::engine::transaction::commands::{is_watch_broken, run_body};
use crate::engine::transaction::queued::{Queue, read_again};
use crate::engine::transaction::send::LocalAnswers;
use crate::engine::transaction::watch::answer_nil;
use slotmux_core::resp::request::Request;

/// Stage of a long EXEC.
enum ExecStage {
    /// Planning the commands.
    Planning,
    /// Looking up the settings of their keys.
    Checking,
    /// Grouping the commands by slot.
    Grouping,
    /// Ready to be sent.
    Ready(TransactionBody),
}

/// A long EXEC in progress.
pub struct Executing {
    queue: Box<Queue>,
    /// Arguments of all requests, and the end of each request's arguments.
    spans: Vec<Span>,
    ends: Vec<u32>,
    planning: BodyPlanner,
    stage: ExecStage,
    /// Next request of this stage, and its offset in bytes.
    at: usize,
    start: usize,
    /// Whether one node owned every slot when the first request was planned.
    is_one_node: bool,
    /// Bytes that it counts for.
    reserved: usize,
}

impl Executing {
    /// Starts with nothing planned.
    pub fn new(worker: &Worker, client: &Client, queue: Box<Queue>) -> Executing {
        let reserved = queue.cost();
        client.change_reserved(worker, 0, reserved);
        Executing {
            queue,
            spans: Vec::new(),
            ends: Vec::new(),
            planning: BodyPlanner::watching(client.watched_slot()),
            stage: ExecStage::Planning,
            at: 0,
            start: 0,
            is_one_node: is_one_node(worker),
            reserved,
        }
    }

    /// Restarts the planning: the number of nodes has become one, or more than one, so that the plans no longer hold.
    fn restart(&mut self, worker: &Worker, client: &Client) {
        self.planning = BodyPlanner::watching(client.watched_slot());
        self.stage = ExecStage::Planning;
        (self.at, self.start) = (0, 0);
        self.is_one_node = is_one_node(worker);
    }

    /// Works on the next slice of a stage. `Some` once the stage is complete; an error ends the EXEC.
    fn slice(&mut self, worker: &Worker, client: &Client) -> Option<Result<(), String>> {
        let count = self.queue.ends.len();
        let mut until = count.min(self.at + SLICE);
        let full = self.start + SLICE_BYTES;
        worker.with_knowledge_for(client, |knowledge| {
            for at in self.at..until {
                if self.start >= full {
                    until = at;
                    break;
                }
                let end = self.queue.ends[at] as usize;
                let bytes = &self.queue.bytes[self.start..end];
                self.start = end;
                let first = at.checked_sub(1).map_or(0, |at| self.ends[at] as usize);
                if self.ends.len() <= at {
                    let mut args = worker.scratch.take_spans();
                    let read = read_again(bytes, &mut args);
                    self.spans.extend_from_slice(&args);
                    worker.scratch.return_spans(args);
                    if let Err(text) = read {
                        return Some(Err(text.to_owned()));
                    }
                    self.ends.push(self.spans.len() as u32);
                }
                let request = Request {
                    bytes,
                    args: &self.spans[first..self.ends[at] as usize],
                };
                match self.stage {
                    ExecStage::Planning => self.planning.plan(&request, knowledge),
                    ExecStage::Checking => self.planning.check(&request, knowledge),
                    ExecStage::Grouping => self.planning.add(at, &request, knowledge),
                    ExecStage::Ready(_) => {}
                }
            }
            self.at = until;
            if until < count {
                return None;
            }
            (self.at, self.start) = (0, 0);
            self.stage = match self.stage {
                ExecStage::Planning if self.planning.is_split(knowledge) => ExecStage::Checking,
                ExecStage::Planning | ExecStage::Checking => {
                    if let Err(text) = self.planning.begin(knowledge) {
                        return Some(Err(text));
                    }
                    ExecStage::Grouping
                }
                ExecStage::Grouping | ExecStage::Ready(_) => {
                    ExecStage::Ready(std::mem::take(&mut self.planning).body())
                }
            };
            Some(Ok(()))
        })
    }

    /// Sends it, if there is room for it now.
    fn run(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Dispatched {
        let ExecStage::Ready(body) = &mut self.stage else {
            return Dispatched::Deferred;
        };
        let mut first = 0;
        let requests = self.queue.requests().zip(&self.ends);
        let requests: Vec<Request> = requests
            .map(|(bytes, &end)| {
                let args = &self.spans[first..end as usize];
                first = end as usize;
                Request { bytes, args }
            })
            .collect();
        run_body(worker, client, &requests, body, LocalAnswers::Deferred)
    }

    /// Ends the request.
    fn finish(&mut self, worker: &Worker, client: &Rc<Client>) -> Progress {
        client.change_reserved(worker, std::mem::take(&mut self.reserved), 0);
        client.end_watch(worker);
        Progress::Done
    }
}

impl LongRequest for Executing {
    fn step(&mut self, worker: &Rc<Worker>, client: &Rc<Client>) -> Progress {
        if client.is_closed() {
            return self.finish(worker, client);
        }
        if is_watch_broken(client) {
            answer_nil(worker, client);
            return self.finish(worker, client);
        }
        if self.is_one_node != is_one_node(worker) {
            self.restart(worker, client);
        }
        if !matches!(self.stage, ExecStage::Ready(_)) {
            if let Some(Err(text)) = self.slice(worker, client) {
                refuse(worker, client, &text);
                return self.finish(worker, client);
            }
            return Progress::More;
        }
        match self.run(worker, client) {
            Dispatched::Accepted => self.finish(worker, client),
            Dispatched::Deferred => Progress::Waits,
        }
    }

    fn reserved(&self) -> usize {
        self.reserved
    }
}

/// Whether one node owns every slot, on which plans depend.
fn is_one_node(worker: &Worker) -> bool {
    worker.map.topology.borrow().kind == UpstreamKind::Standalone
}
