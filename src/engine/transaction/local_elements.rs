//! The elements of EXEC's reply that slotmux gives itself. They are held to the client's limits while they are made: a short
//! request may have a long answer, and a transaction has room for a million of them.

use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::answer::Once;
use slotmux_core::route::transaction::{Element, Source};

use crate::engine::client::Client;
use crate::engine::client::local_answers::answer_into;
use slotmux_core::resp::request::Request;

/// Gives slotmux' own elements of a transaction that is about to run. Returns their bytes, which count for the client from
/// now on. `None`: they were above its limit, and the client is closed.
pub fn answer_locally(
    worker: &Worker,
    client: &Rc<Client>,
    elements: &mut [Element],
    requests: &[Request],
) -> Option<usize> {
    let shared = Once::new(&*worker.shared);
    let most = worker.limits(client).output_hard;
    let mut all = 0;
    for (element, request) in elements.iter_mut().zip(requests) {
        let Source::Here(bytes) = &mut element.source else {
            continue;
        };
        if !bytes.is_empty() {
            continue;
        }
        answer_into(worker, client, request, &shared, bytes);
        all += bytes.len();
        let collected = client.change_gathered(worker, 0, bytes.len());
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
pub fn defer_local_answers(elements: &mut [Element], requests: &[Request]) {
    for (element, request) in elements.iter_mut().zip(requests) {
        if matches!(&element.source, Source::Here(bytes) if bytes.is_empty()) {
            element.source = Source::Later(request.bytes.to_vec());
        }
    }
}
