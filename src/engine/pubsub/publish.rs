//! PUBLISH and SPUBLISH: to the node of the channel's slot, which keeps a publisher's order, with the number of receivers
//! that one Redis would report.

use std::rc::Rc;

use crate::engine::client::Client;
use crate::engine::client::dispatch::Dispatched;
use crate::engine::client::forward::{Sending, to_slot};
use crate::engine::worker::Worker;
use slotmux_core::policy::{NamespaceId, ReplyConversion};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{integer_of, write};
use slotmux_core::slot::Slot;

use super::SubscriptionKind;
use super::census::Receivers;

/// Sends a message to the node of its channel.
pub fn publish(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: &Request,
    kind: SubscriptionKind,
    slot: Slot,
) -> Dispatched {
    let receivers = worker.map.slots.owner(slot).map(|node| {
        let addr = worker.address_of(node);
        let census = &worker.shared.census;
        census.receivers(kind, request.arg(1), &addr)
    });
    let sending = Sending {
        receivers: Some(receivers.unwrap_or_default()),
        ..Sending::as_is(request, true, NamespaceId::UNMATCHED, ReplyConversion::AsIs)
    };
    to_slot(worker, client, slot, &sending)
}

/// The reply to the client where the node replied `reply`. Errors are unchanged.
pub fn corrected(receivers: Receivers, reply: &[u8]) -> Vec<u8> {
    match integer_of(reply) {
        Some(number) => {
            let mut out = Vec::new();
            write::integer(&mut out, receivers.correct(number));
            out
        }
        None => reply.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_corrected_and_an_error_is_not() {
        let receivers = Receivers {
            workers: 2,
            clients: 10,
        };
        assert_eq!(corrected(receivers, b":3\r\n"), b":11\r\n");
        assert_eq!(corrected(receivers, b"-NOPERM\r\n"), b"-NOPERM\r\n");
    }
}
