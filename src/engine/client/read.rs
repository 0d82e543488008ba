//! The client's task: reads input, cuts it into requests and dispatches each.
//!
//! An idle client owns no buffer: reads go into the worker's scratch, and only an incomplete request, or input that a pause
//! has left, is copied out of it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::engine::worker::Worker;
use crate::engine::worker::turn::poll_again;
use slotmux_core::resp::scan::{Boundary, Scan, scan_request};
use slotmux_core::resp::{Limits, Malformed, inline, write};

use super::dispatch::{Dispatched, dispatch};
use super::memory_use::WORTH_COUNTING;
use super::{Client, ClientPhase, Pause};
use crate::engine::client::long_request::Progress;
use slotmux_core::resp::request::{Request, from_inline};

/// Reads per poll before other tasks get their turn.
const READS_PER_TURN: usize = 4;

/// Bytes that were read and not dispatched yet.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    /// Bytes needed before the next scan can succeed.
    need: usize,
    boundary: Boundary,
}

/// The future that is a client's task.
pub struct ClientTask {
    worker: Rc<Worker>,
    client: Rc<Client>,
    input: Option<Box<Input>>,
}

impl Future for ClientTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = self.get_mut();
        task.client.waker.get_or_init(|| cx.waker().clone());
        // A task that panicked is over; its client leaves as any other.
        let worker = task.worker.clone();
        worker
            .contained("a client's task", || task.poll_io(cx))
            .unwrap_or(Poll::Ready(()))
    }
}

impl Drop for ClientTask {
    /// The only place where a client leaves, even after a panic of its task. No other client is affected.
    fn drop(&mut self) {
        self.client.waiting.set_pending_input(0);
        self.client.close(&self.worker);
        self.client.end_long_request(&self.worker);
        self.client.unsubscribe_all(&self.worker);
        self.client.end_watch(&self.worker);
        self.worker.forget(&self.client);
    }
}

impl ClientTask {
    /// The task of `client`.
    pub fn new(worker: Rc<Worker>, client: Rc<Client>) -> ClientTask {
        ClientTask {
            worker,
            client,
            input: None,
        }
    }

    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.client.has_long_request() && !self.poll_long_request(cx) {
            return Poll::Pending;
        }
        for _ in 0..READS_PER_TURN {
            if self.client.has_long_request() {
                // The long request has just begun: other clients first.
                poll_again(cx);
                return Poll::Pending;
            }
            if self.client.output.is_blocked() {
                self.poll_blocked_write(cx);
            }
            if self.client.phase() != ClientPhase::Open && self.client.is_subscriber() {
                return self.leave(cx);
            }
            match self.client.phase() {
                ClientPhase::Closed => return Poll::Ready(()),
                ClientPhase::Finishing => return Poll::Pending,
                ClientPhase::Lingering => return self.poll_linger(cx),
                ClientPhase::Open => {}
            }
            if !self.client.try_resume() {
                if self.client.is_blocked() && self.poll_behind(cx).is_ready() {
                    self.client.close(&self.worker);
                    return Poll::Ready(());
                }
                return Poll::Pending;
            }
            if self.input.is_some() {
                self.take_input();
                if self.client.phase() != ClientPhase::Open || !self.client.try_resume() {
                    continue;
                }
            }
            match self.poll_read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => self.client.finish(&self.worker),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => self.client.close(&self.worker),
            }
        }
        poll_again(cx);
        Poll::Pending
    }

    /// Ends some subscriptions of a client that is no longer read. Its task does nothing else until all are ended.
    fn leave(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.worker.hub.claim_room(&self.client) {
            self.client.pause_for(Pause::Confirmation);
        } else {
            self.client.unsubscribe_some(&self.worker);
            poll_again(cx);
        }
        Poll::Pending
    }

    /// Does a slice of the client's long request. True once the request is complete.
    fn poll_long_request(&mut self, cx: &mut Context<'_>) -> bool {
        if self.client.output.is_blocked() {
            self.poll_blocked_write(cx);
        }
        if !self.client.try_continue() {
            return false;
        }
        let progress = if self.worker.turn.claim_slice() {
            self.client.continue_long_request(&self.worker)
        } else {
            Progress::More
        };
        if progress == Progress::More {
            poll_again(cx);
        }
        progress == Progress::Done
    }

    /// Reads the bytes after a blocking command. Ready once the client has left.
    fn poll_behind(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let worker = self.worker.clone();
        let input = &mut self.input;
        self.client.poll_behind(&worker, cx, |client, bytes| {
            let input = input.get_or_insert_default();
            input.bytes.extend_from_slice(bytes);
            client.set_pending_input(&worker, input.bytes.len());
        })
    }

    fn poll_blocked_write(&mut self, cx: &mut Context<'_>) {
        let ready = self
            .client
            .with_transport(|transport| transport.poll_write_ready(cx));
        if let Some(Poll::Ready(_)) = ready {
            // The write reports an error.
            self.client.output.unblock();
            self.client.flush(&self.worker);
        }
    }

    /// Reads once and dispatches every complete request. Ready with the number of bytes read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let worker = self.worker.clone();
        let mut scratch = worker.scratch.client.borrow_mut();
        let read = {
            let mut transport = self.client.transport.borrow_mut();
            let Some(transport) = transport.as_mut() else {
                return Poll::Ready(Ok(0));
            };
            std::task::ready!(transport.poll_read(cx, &mut scratch))?
        };
        if read == 0 {
            return Poll::Ready(Ok(0));
        }
        worker.stats.client_reads.inc();
        worker.stats.client_bytes_in.add(read as u64);
        self.client.waiting.count_in(read);
        self.client.waiting.saw(worker.clock.now());
        self.client.waiting.stop_waiting();
        let bytes = &scratch[..read];
        if let Some(input) = &mut self.input {
            input.bytes.extend_from_slice(bytes);
            self.client.set_pending_input(&worker, input.bytes.len());
            self.take_input();
        } else {
            let (taken, need) = self.take_requests(bytes);
            self.keep(&bytes[taken..], need);
        }
        Poll::Ready(Ok(read))
    }

    /// Dispatches requests from the kept input.
    fn take_input(&mut self) {
        let Some(mut input) = self.input.take() else {
            return;
        };
        if input.bytes.len() < input.need {
            self.input = Some(input);
            return;
        }
        if input.need > 0 {
            // The first request was incomplete. The boundary search goes on where it stopped, so that a request in
            // many pieces is not scanned again and again from its start.
            match input.boundary.advance(&input.bytes, &self.limits()) {
                Ok(Scan::Incomplete { need }) => {
                    input.need = need;
                    self.input = Some(input);
                    return;
                }
                Ok(Scan::Complete { .. } | Scan::Inline { .. }) => {}
                Err(malformed) => return self.refuse(&malformed),
            }
        }
        let (taken, need) = self.take_requests(&input.bytes);
        if taken == input.bytes.len() || self.client.phase() != ClientPhase::Open {
            self.client.set_pending_input(&self.worker, 0);
            return;
        }
        input.bytes.drain(..taken);
        // The buffer of a big request is not kept for the small ones after it: that memory would not be counted.
        input.bytes.shrink_to(input.bytes.len().max(WORTH_COUNTING));
        input.need = need;
        input.boundary = Boundary::default();
        self.client
            .set_pending_input(&self.worker, input.bytes.len());
        self.input = Some(input);
    }

    fn keep(&mut self, bytes: &[u8], need: usize) {
        if bytes.is_empty() || self.client.phase() != ClientPhase::Open {
            return;
        }
        self.input = Some(Box::new(Input {
            bytes: bytes.to_vec(),
            need,
            boundary: Boundary::default(),
        }));
        self.client.set_pending_input(&self.worker, bytes.len());
    }

    /// Dispatches requests until the bytes end or the client pauses. Returns the bytes taken and, if an incomplete
    /// request is next, how many bytes it needs at least (0 after a pause).
    fn take_requests(&mut self, bytes: &[u8]) -> (usize, usize) {
        let (worker, client) = (&self.worker, &self.client);
        let mut args = worker.scratch.take_spans();
        let mut taken = 0;
        let mut need = 0;
        let mut requests = 0;
        while taken < bytes.len()
            && client.phase() == ClientPhase::Open
            && client.is_read()
            && client.try_admit(worker)
        {
            let rest = &bytes[taken..];
            match scan_request(rest, &self.limits(), &mut args) {
                Ok(Scan::Complete { len }) => {
                    if !args.is_empty() {
                        let request = Request {
                            bytes: &rest[..len],
                            args: &args,
                        };
                        if dispatch(worker, client, &request) == Dispatched::Deferred {
                            break;
                        }
                        requests += 1;
                    }
                    taken += len;
                }
                Ok(Scan::Inline { len }) => match self.dispatch_inline(&rest[..len]) {
                    Ok(Dispatched::Accepted) => {
                        requests += 1;
                        taken += len;
                    }
                    Ok(Dispatched::Deferred) => break,
                    Err(malformed) => {
                        self.refuse(&malformed);
                        break;
                    }
                },
                Ok(Scan::Incomplete { need: at_least }) => {
                    need = at_least;
                    break;
                }
                Err(malformed) => {
                    self.refuse(&malformed);
                    break;
                }
            }
        }
        self.worker.stats.requests.add(requests);
        self.worker.scratch.return_spans(args);
        (taken, need)
    }

    fn dispatch_inline(&self, line: &[u8]) -> Result<Dispatched, Malformed> {
        let words = inline::split_like(line, self.worker.map.server.get())?;
        if words.is_empty() {
            return Ok(Dispatched::Accepted);
        }
        let bytes = from_inline(&words);
        let mut args = Vec::new();
        // The line itself was within the limits; Redis has no further ones for its words.
        scan_request(&bytes, &self.worker.request_limits(&self.client), &mut args)?;
        Ok(dispatch(
            &self.worker,
            &self.client,
            &Request {
                bytes: &bytes,
                args: &args,
            },
        ))
    }

    fn limits(&self) -> Limits {
        if self.client.session.is_authenticated() {
            self.worker.request_limits(&self.client)
        } else {
            Limits::UNAUTHENTICATED
        }
    }

    /// Refuses malformed input as Redis does: an error behind the replies that are due, then the end of the connection.
    fn refuse(&self, malformed: &Malformed) {
        self.worker.stats.protocol_errors.inc();
        tracing::debug!(client = self.client.id, %malformed, "protocol error");
        let reply = match malformed {
            Malformed::RequestTooBig => {
                let mut reply = Vec::new();
                let text = format!(
                    "ERR slotmux: the request is larger than listener.limits.max_request ({} bytes)",
                    self.limits().max_request
                );
                write::error(&mut reply, &text);
                reply
            }
            _ => malformed.error_reply(),
        };
        self.client.reply_now(&self.worker, &reply);
        self.client.finish(&self.worker);
    }

    /// Drops the client's input until it closes its end.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = self.worker.scratch.client.borrow_mut();
        for _ in 0..READS_PER_TURN {
            let read = match self.client.transport.borrow_mut().as_mut() {
                Some(transport) => std::task::ready!(transport.poll_read(cx, &mut scratch)),
                None => return Poll::Ready(()),
            };
            if !matches!(read, Ok(1..)) {
                return Poll::Ready(());
            }
        }
        poll_again(cx);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_task_stays_small() {
        // Ten thousand clients are ten thousand of these.
        assert!(size_of::<super::ClientTask>() <= 32);
    }
}
