//! Panics: a panic costs a client or the commands of a lane, never a worker. All work of a worker runs in here: between two
//! awaits, or one poll of a task at a time. So do the tasks of the control thread, which are restarted.
//!
//! A panic leaves no borrow behind, since unwinding drops it. It can leave a command that was taken out of a queue and is in
//! none now, and a request without its entry: see `Worker::mend`.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::engine::client::Client;
use crate::engine::shared::Shared;
use crate::engine::worker::Worker;

/// Pause of a task of the control thread after a panic, before it is restarted. Doubles while the task fails soon.
const FIRST_REST: Duration = Duration::from_millis(100);
/// The longest such pause; a task that ran for longer begins with the first pause again.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Makes every panic of the process a line of the log, with its backtrace.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::force_capture();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(%backtrace, "thread {thread} {panic}");
    }));
}

impl Worker {
    /// Calls `f`. `None` if it panicked: the panic is logged as one in `what` and counted, and its damage is mended.
    pub fn contained<T>(self: &Rc<Self>, what: &str, f: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(f)).ok();
        if done.is_none() {
            self.stats.panics.inc();
            tracing::error!(worker = self.id, "panic in {what}: the worker goes on");
            if catch_unwind(AssertUnwindSafe(|| self.mend())).is_err() {
                self.stats.panics.inc();
            }
        }
        done
    }

    /// Spawns a task. If it panics it ends, and `then` is called.
    pub fn spawn(
        self: &Rc<Self>,
        what: &'static str,
        task: impl Future<Output = ()> + 'static,
        then: impl FnOnce(&Rc<Worker>) + 'static,
    ) {
        let worker = self.clone();
        tokio::task::spawn_local(async move {
            let mut task = Box::pin(task);
            let held = std::future::poll_fn(|cx| {
                match worker.contained(what, || task.as_mut().poll(cx)) {
                    Some(Poll::Pending) => Poll::Pending,
                    Some(Poll::Ready(())) => Poll::Ready(true),
                    None => Poll::Ready(false),
                }
            })
            .await;
            if !held {
                worker.contained(what, || {
                    drop(task);
                    then(&worker);
                });
            }
        });
    }

    /// Runs a task whose outcome `client` waits for. A panic closes that client's connection, since no other code would
    /// answer it.
    pub fn spawn_for(
        self: &Rc<Self>,
        client: &Rc<Client>,
        what: &'static str,
        task: impl Future<Output = ()> + 'static,
    ) {
        let client = client.clone();
        self.spawn(what, task, move |worker| client.close(worker));
    }

    /// Mends the damage of a panic: the client whose command was being processed would wait for ever, and a lane whose
    /// requests do not match its entries would deliver replies to the wrong clients.
    fn mend(self: &Rc<Self>) {
        if let Some(client) = self.clients.take_in_process() {
            client.close(self);
        }
        for lane in self.lanes() {
            if !lane.is_consistent() {
                tracing::error!(node = %lane.addr, "a request has no entry: the connection is closed");
                lane.close();
            }
        }
    }
}

impl Shared {
    /// Runs a task on the control thread. `None` if it panicked: the panic is logged as one in `what` and counted.
    pub async fn contained<T>(&self, what: &str, task: impl Future<Output = T>) -> Option<T> {
        let mut task = Box::pin(task);
        let done = std::future::poll_fn(|cx| {
            match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
                Ok(polled) => polled.map(Some),
                Err(_) => Poll::Ready(None),
            }
        });
        let done = done.await;
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(task)));
        if done.is_none() || dropped.is_err() {
            self.control.panics.inc();
            tracing::error!("panic in {what}: the control thread goes on");
        }
        done
    }

    /// Runs a task of the control thread until it ends by itself, and restarts it after a panic. `None` if `cancel` was
    /// cancelled meanwhile.
    pub async fn restarted<T, F: Future<Output = T>>(
        &self,
        what: &str,
        cancel: &CancellationToken,
        mut begin: impl FnMut() -> F,
    ) -> Option<T> {
        let mut rest = FIRST_REST;
        loop {
            let began = Instant::now();
            let ended = self.contained(what, begin()).await;
            if ended.is_some() {
                return ended;
            }
            if began.elapsed() > LONGEST_REST {
                rest = FIRST_REST;
            }
            cancel.run_until_cancelled(sleep(rest)).await?;
            rest = (rest * 2).min(LONGEST_REST);
        }
    }
}
