//! A script is sent ahead of the command that names it, over a connection on which it was not sent yet.

use std::rc::Rc;

use crate::engine::worker::Worker;
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, Scan, scan_request, write};
use slotmux_core::slot::OptionalSlot;

use crate::engine::upstream::inflight::{InFlight, OnReply};
use crate::engine::upstream::lane::Lane;

impl Lane {
    /// Sends the script that `request` names by its SHA1 ahead of it, if the node may lack it and slotmux has it.
    pub fn send_script_ahead(
        self: &Rc<Self>,
        worker: &Worker,
        entry: &InFlight,
        request: &Request,
    ) {
        let scripts = &worker.shared.scripts;
        let Some(script) = self.scripts.borrow_mut().missing(scripts, request) else {
            return;
        };
        let mut load = Vec::new();
        write::request(&mut load, &[b"SCRIPT", b"LOAD", &script]);
        let loading = InFlight {
            len: load.len() as u32,
            slot: OptionalSlot::NONE,
            write: false,
            // Its reply is not awaited: if it fails, the reply to the EVALSHA shows that.
            kind: OnReply::Discard,
            ..entry.clone()
        };
        worker.stats.scripts_loaded.inc();
        self.send_owned(worker, loading, load);
    }

    /// The same for all commands of a block, whose bytes these are: inside it nothing can be tried again.
    pub fn send_scripts_ahead(self: &Rc<Self>, worker: &Worker, entry: &InFlight, block: &[u8]) {
        if !entry.may_name_scripts() {
            return;
        }
        let (mut rest, mut args) = (block, Vec::new());
        while let Ok(Scan::Complete { len }) = scan_request(rest, &Limits::ACCEPTED, &mut args) {
            let request = Request {
                bytes: &rest[..len],
                args: &args,
            };
            self.send_script_ahead(worker, entry, &request);
            rest = &rest[len..];
        }
    }

    /// The node has lost the script that `request` names.
    pub(super) fn forget_script(&self, request: &Request) {
        self.scripts.borrow_mut().forget(request);
    }
}
