//! The commands in flight on a broken connection that may be sent again although they may have run.
//!
//! A read may unless it would see its client's own future. A write may where its namespace says `retry_writes =
//! "idempotent"`, it has the same effect and the same reply the second time ([`slotmux_core::command::Repeatable`]), and
//! - everything that its client has written behind it on the slot is sent again behind it, so that their order holds,
//! - its client is still there: one that has hung up may be writing by another connection by now,
//! - the first one cannot run later: it could undo what its client has written since. Where the node closed
//!   the connection, it has dropped what it had not read. Where slotmux gave it up, the node may find the request when
//!   it wakes up; that does no harm only if the node has been replaced.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::rc::Rc;

use crate::engine::client::ClientPhase;
use crate::engine::worker::Worker;
use slotmux_core::command;
use slotmux_core::policy::{Policies, ReplyConversion};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, Scan, scan_request};
use slotmux_core::slot::Slot;

use crate::engine::upstream::block::Destination;
use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;
use crate::engine::upstream::read::End;
use crate::engine::upstream::retry::unanswered::Unanswered;

impl InFlight {
    /// Marks it as sent again although it may have run. No later error means that it has not run.
    pub(crate) fn mark_repeated(&mut self) {
        self.reply = ReplyConversion::Repeated;
    }
}

/// For each command, whether it may be sent again if it may have run.
pub(crate) fn repeatable(
    worker: &Worker,
    lane: &Rc<Lane>,
    end: &End,
    unanswered: &[Unanswered],
) -> Vec<bool> {
    let mut repeatable = vec![false; unanswered.len()];
    let policies = &worker.shared.policies;
    let repeats_writes = policies.repeat_any();
    // Clients and slots of newer writes that may have run, and of those that are not sent again.
    let mut written: HashSet<(u64, Slot)> = HashSet::new();
    let mut given_up: HashSet<(u64, Slot)> = HashSet::new();
    for (taken, repeatable) in unanswered.iter().zip(&mut repeatable).rev() {
        let entry = &taken.entry;
        let stream = entry.member().map(|of| (of.client, of.slot));
        let is_behind =
            |writes: &HashSet<(u64, Slot)>| stream.is_some_and(|of| writes.contains(&of));
        if !entry.write {
            *repeatable = !is_behind(&written);
            continue;
        }
        if !taken.was_written {
            continue;
        }
        let is_last = !is_behind(&written);
        let keeps_order = is_last || !is_behind(&given_up);
        *repeatable = repeats_writes
            && keeps_order
            && is_wanted(worker, entry)
            && is_over(worker, lane, end, taken)
            && is_idempotent(policies, taken);
        if is_last {
            written.extend(stream);
        }
        if !*repeatable && keeps_order {
            given_up.extend(stream);
        }
    }
    repeatable
}

/// Whether the client of a write still waits for it, and there are tries and time left.
fn is_wanted(worker: &Worker, entry: &InFlight) -> bool {
    entry.is_awaited()
        && entry.client.phase() == ClientPhase::Open
        && u32::from(entry.tries) < worker.config.cluster.retry.reads
        && worker.has_time(entry)
}

/// Whether a write that has not run by now never will.
fn is_over(worker: &Worker, lane: &Lane, end: &End, taken: &Unanswered) -> bool {
    let is_closed = match end {
        End::Closed => true,
        End::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        _ => false,
    };
    // One that followed an ASK goes to the same node again.
    is_closed || (!taken.asking && worker.is_replaced(lane, &taken.entry))
}

/// Whether the sent command has the same effect and reply when it runs again, and its namespaces allow that.
fn is_idempotent(policies: &Policies, taken: &Unanswered) -> bool {
    match &taken.entry.kind {
        OnReply::Deliver | OnReply::Part { .. } => are_idempotent(policies, &taken.request, 1),
        // Behind the client's commands stand expiries, whose replies are dropped.
        OnReply::Block(block) => match block.destination() {
            Destination::Deliver | Destination::Part { .. } => are_idempotent(
                policies,
                block.client_part(&taken.request),
                block.form().own as usize,
            ),
            Destination::Exec { .. } | Destination::Repair { .. } => false,
        },
        _ => false,
    }
}

/// Whether that is so for the first `count` commands in `bytes`.
fn are_idempotent(policies: &Policies, mut bytes: &[u8], count: usize) -> bool {
    let mut args = Vec::new();
    (0..count).all(|_| {
        let Ok(Scan::Complete { len }) = scan_request(bytes, &Limits::ACCEPTED, &mut args) else {
            return false;
        };
        let request = Request { bytes, args: &args };
        let command = command::resolve(request.bytes, request.args);
        let may = command.is_ok_and(|command| policies.may_repeat(command, &request));
        bytes = &bytes[len..];
        may
    })
}
