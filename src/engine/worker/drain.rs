//! The end of a worker: no new clients, replies that are due are delivered, then the connections close.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::upstream::blocking::Release;
use crate::engine::worker::Worker;

/// How often a draining worker checks whether it is done. A task tracker would need no polling, but its token would double
/// the memory of each client's task, from 128 to 256 bytes.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Worker {
    /// Begins to drain: clients are no longer read, and each closes when its last reply is sent.
    pub fn drain(self: &Rc<Self>) {
        self.drained.cancel();
        for client in self.clients.all() {
            client.finish(self);
            if client.is_blocked() {
                let worker = self.clone();
                let id = client.id;
                let unblocking = async move {
                    worker.unblock(id, Release::Error).await;
                };
                self.spawn_for(&client, "an unblocking", unblocking);
            }
        }
    }
}

/// Waits until a drain has begun, every client has left, no expiry remains to be sent, and no command over several
/// slots is in the middle of its steps.
pub async fn finished(worker: &Worker) {
    worker.drained.cancelled().await;
    while !worker.clients.is_empty() || worker.has_repairs() || worker.cross_slot.is_busy() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
