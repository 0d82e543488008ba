//! Sends a planned transaction: one block for each slot, and one [`Exec`] that puts their replies together.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::long_request::SLICE;
use crate::engine::transaction::exec_reply::{Exec, ExecMode};
use crate::engine::transaction::held_groups::HeldGroup;
use crate::engine::transaction::lanes::ExecLanes;
use crate::engine::transaction::local_elements::{answer_locally, defer_local_answers};
use crate::engine::transaction::watch::Watch;
use crate::engine::upstream::block::{Block, Destination};
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::worker::Worker;
use slotmux_core::command::{self, Flags};
use slotmux_core::policy::{self, as_transaction};
use slotmux_core::resp::request::Request;
use slotmux_core::route::transaction::{CountedCommand, SlotGroup, TransactionBody};
use slotmux_core::slot::Slot;

/// When slotmux gives its own elements of EXEC's reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LocalAnswers {
    /// Before the transaction is sent.
    Now,
    /// Once the transaction has run, some in each turn.
    Deferred,
}

/// Sends a transaction: from here on it runs.
pub(super) fn send(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    requests: &[Request],
    mut body: TransactionBody,
    lanes: ExecLanes,
    local: LocalAnswers,
) {
    let mute = client.session.take_muted();
    let mode = ExecMode {
        is_split: body.groups.len() > 1,
        watched: match &lanes {
            ExecLanes::Watched { watches, .. } => watches.len() as u32,
            ExecLanes::ByNode(_) => 0,
        },
        watched_reads: match &lanes {
            ExecLanes::Watched { reads, .. } => *reads as u32,
            ExecLanes::ByNode(_) => 0,
        },
        names_scripts: body.names_scripts,
    };
    let tracking = client.session.tracking();
    worker.stats.transactions.inc();
    worker.stats.transactions_split.add(mode.is_split.into());
    if worker.interception.is_on() {
        show(worker, client, requests);
    }
    if body.shows_scripts {
        note_scripts(worker, requests);
    }
    count_commands(worker, &body.counted, requests);
    let local_bytes = match local {
        LocalAnswers::Deferred => {
            defer_local_answers(&mut body.elements, requests);
            Some(0)
        }
        LocalAnswers::Now => answer_locally(worker, client, &mut body.elements, requests),
    };
    let Some(local_bytes) = local_bytes else {
        // The client was closed: nothing runs.
        return lanes.release(worker, client);
    };
    let whole = exec_entry(worker, client, mute);
    let groups = std::mem::take(&mut body.groups);
    let targets = groups.iter().map(|group| group.targets.clone()).collect();
    let exec = Rc::new(Exec::new(
        whole.clone(),
        body.elements,
        local_bytes,
        targets,
        body.cells,
        mode,
    ));
    exec.count_waiting(worker);
    if groups.is_empty() {
        return exec.answer(worker);
    }
    // A CLIENT CACHING inside counts for all of it: an invalidation too many does no harm.
    let tracks = tracking.wants_next()
        || client.session.tracking().wants_next()
        || (mode.watched > 0 && tracking.is_on());
    // Each group is reported with all requests. Behind a watched group it is sent later.
    let is_held = mode.watched > 0 && mode.is_split;
    let names_keys = groups.len().saturating_mul(requests.len()) <= SLICE && !is_held;
    if tracks && !names_keys {
        client.forget_behind(worker, whole.seq);
    }
    let tracked = (tracks && names_keys).then_some(requests);
    let blocks = (0..).zip(groups).map(|(number, group)| {
        let slot = group.slot;
        let (entry, bytes) = block(&whole, &exec, number, group, mode);
        (number, slot, entry, bytes)
    });
    let lanes = match lanes {
        ExecLanes::Watched { watches, .. } => {
            return send_watched(worker, client, &exec, blocks, &watches, tracked);
        }
        ExecLanes::ByNode(lanes) => lanes,
    };
    for (_, slot, entry, bytes) in blocks {
        let node = match slot {
            Some(slot) => worker.map.slots.owner(slot),
            None => worker.any_node(client),
        };
        let lane = node.and_then(|node| lanes.to(node));
        send_block(worker, client, lane, entry, bytes, tracked);
    }
}

/// Sends the blocks of a transaction with watched keys, over the lanes on which these are watched.
fn send_watched(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    exec: &Rc<Exec>,
    blocks: impl Iterator<Item = (u32, Option<Slot>, InFlight, Vec<u8>)>,
    watches: &[Rc<Watch>],
    tracked: Option<&[Request]>,
) {
    let mut held = VecDeque::new();
    for (number, slot, entry, bytes) in blocks {
        if let Some(requests) = tracked {
            client.track_all(worker, None, &entry, requests);
        }
        let of_slot = |watch: &&Rc<Watch>| slot.is_none_or(|slot| watch.covers(slot));
        let watch = watches.iter().find(of_slot).cloned();
        client.add_request_bytes(worker, bytes.len());
        held.push_back(HeldGroup::new(number, entry, bytes, watch));
    }
    exec.start(worker, held);
}

/// The in-flight entry of EXEC itself, in the next place of the client's order.
fn exec_entry(worker: &Worker, client: &Rc<Client>, mute: bool) -> InFlight {
    InFlight {
        seq: client.take_seq(),
        mute,
        ..InFlight::internal(worker, client, 0, OnReply::Discard)
    }
}

/// The block of one group, and its in-flight entry.
fn block(
    whole: &InFlight,
    exec: &Rc<Exec>,
    number: u32,
    group: SlotGroup,
    mode: ExecMode,
) -> (InFlight, Vec<u8>) {
    let form = policy::BlockShape {
        atomic: group.is_block(mode.is_split),
        commands: group.targets.len() as u32,
        own: 1,
    };
    let bytes = if form.atomic {
        as_transaction(&group.commands)
    } else {
        group.commands
    };
    let then = Destination::Exec {
        exec: exec.clone(),
        group: number,
    };
    let entry = InFlight {
        len: bytes.len() as u32,
        slot: group.slot.into(),
        write: group.write,
        kind: OnReply::Block(Block::new(form, then, &bytes)),
        ..whole.clone()
    };
    (entry, bytes)
}

/// Sends a block over `lane`; without a lane it waits for a retry.
fn send_block(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    lane: Option<&Rc<Lane>>,
    entry: InFlight,
    bytes: Vec<u8>,
    tracked: Option<&[Request]>,
) {
    if let Some(lane) = lane {
        lane.send_scripts_ahead(worker, &entry, &bytes);
    }
    if let Some(requests) = tracked {
        client.track_all(worker, lane, &entry, requests);
    }
    match lane {
        Some(lane) => lane.send_owned(worker, entry, bytes),
        None => {
            worker.refresh.request();
            client.add_request_bytes(worker, bytes.len());
            worker.retry_later(entry, bytes);
        }
    }
}

/// Counts what the transaction sends, and what the policies did.
fn count_commands(worker: &Worker, counted: &[CountedCommand], requests: &[Request]) {
    for counted in counted {
        let request = &requests[counted.command];
        if counted.is_sent {
            worker.count_operation(counted.namespace, request);
        }
        if !counted.actions.is_empty() {
            let (namespace, actions) = (counted.namespace, counted.actions);
            worker.count_actions(namespace, actions, counted.is_refused, request);
        }
    }
}

/// Notes the scripts that a transaction shows, before a block names them.
fn note_scripts(worker: &Worker, requests: &[Request]) {
    for request in requests {
        if let Ok(command) = command::resolve(request.bytes, request.args) {
            worker
                .traffic
                .scripts
                .note(&worker.shared.scripts, command, request);
        }
    }
}

/// Shows the commands of a transaction to monitoring clients, in their order; EXEC itself comes behind.
fn show(worker: &Worker, client: &Client, requests: &[Request]) {
    let is_admin = |request: &&Request| {
        command::resolve(request.bytes, request.args)
            .is_ok_and(|command| command.flags.contains(Flags::ADMIN))
    };
    for request in requests.iter().filter(|request| !is_admin(request)) {
        worker.show_to_monitors(client, request);
    }
}
