//! The elements of EXEC's reply that slotmux gives itself. They are held to the client's limits while they are made: a short
//! request may have a long answer, and a transaction has room for a million of them.

use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::answer::FiguresOnce;
use slotmux_core::route::transaction::{ElementSource, ExecElement};

use crate::engine::client::Client;
use crate::engine::client::local_answers::answer_into;
use slotmux_core::resp::request::Request;

/// Gives slotmux' own elements of a transaction that is about to run. Returns their bytes, which count for the client from
/// now on. `None`: they were above its limit, and the client is closed.
pub fn answer_locally(
    worker: &Worker,
    client: &Rc<Client>,
    elements: &mut [ExecElement],
    requests: &[Request],
) -> Option<usize> {
    let shared = FiguresOnce::new(&*worker.shared);
    let most = worker.limits(client).output_hard;
    let mut all = 0;
    for (element, request) in elements.iter_mut().zip(requests) {
        if element.source != ElementSource::Own {
            continue;
        }
        let mut bytes = Vec::new();
        answer_into(worker, client, request, &shared, &mut bytes);
        let len = bytes.len();
        element.source = ElementSource::Known(bytes);
        all += len;
        let collected = client.change_gathered(worker, 0, len);
        if collected > most {
            client.close_for_reply(worker, collected);
        }
        worker.keep_within_memory();
        if client.is_closed() {
            return None;
        }
    }
    Some(all)
}

/// Defers slotmux' own elements until the transaction has run.
pub fn defer_local_answers(elements: &mut [ExecElement], requests: &[Request]) {
    for (element, request) in elements.iter_mut().zip(requests) {
        if element.source == ElementSource::Own {
            element.source = ElementSource::OwnLater(request.bytes.to_vec());
        }
    }
}
