//! Invalidations of a client that go to another one: `CLIENT TRACKING … REDIRECT`. The other client may belong to another
//! worker, and may have left.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::client::tracking::{FORGET_ALL, INVALIDATE};
use crate::engine::client::{Client, ClientPhase};
use crate::engine::shared::Mail;
use crate::engine::worker::Worker;
use slotmux_core::answer::session::Redirection;
use slotmux_core::resp::reply::ReplyScanner;
use slotmux_core::resp::{Protocol, write};

/// Bytes of invalidations in the mailbox of a worker beyond which clients there forget everything instead.
const MAILBOX: usize = 4 * 1024 * 1024;
/// Bytes of a letter besides its frames.
const LETTER: usize = 128;

/// Start of a message of RESP2 about changed keys.
const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";

/// A client that redirects: its worker, its place there, its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sender {
    worker: usize,
    place: usize,
    id: u64,
}

/// Invalidations for a client of another worker.
#[derive(Debug)]
pub struct Redirected {
    from: Sender,
    to: Redirection,
    frames: Box<[u8]>,
}

/// Bytes of invalidations in the mailbox of each worker.
#[derive(Debug)]
pub struct MailboxBytes(Vec<AtomicUsize>);

impl MailboxBytes {
    /// Empty mailboxes of `workers` workers.
    pub fn new(workers: usize) -> MailboxBytes {
        MailboxBytes((0..workers).map(|_| AtomicUsize::new(0)).collect())
    }

    /// Counts a letter, if it fits.
    fn claim(&self, worker: usize, bytes: usize, limit: usize) -> bool {
        let before = self.0[worker].fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= limit;
        if !fits {
            self.0[worker].fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn release(&self, worker: usize, bytes: usize) {
        self.0[worker].fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Redirected {
    fn bytes(&self) -> usize {
        self.frames.len() + LETTER
    }
}

impl Client {
    /// The client that its invalidations go to; `None`: itself.
    fn redirection(&self) -> Option<Redirection> {
        if !self.session.tracking().redirects {
            return None;
        }
        let session = self.session.rare();
        session.as_ref()?.tracking()?.redirect
    }

    /// Sends invalidations, one or more frames, to it or to the client that it redirects to.
    pub fn send_invalidations(self: &Rc<Self>, worker: &Worker, frames: &[u8]) {
        let Some(to) = self.redirection() else {
            return self.push(worker, frames);
        };
        let from = Sender {
            worker: worker.id,
            place: self.key,
            id: self.id,
        };
        if to.worker == worker.id {
            return match worker.open_client(to.place, to.id) {
                Some(other) => other.take_redirected(worker, frames),
                None => self.redirection_is_broken(worker),
            };
        }
        let letter = Redirected {
            from,
            to,
            frames: frames.into(),
        };
        // One that is about to forget everything need not be told more.
        let is_overflowed = worker.announcements.overflowed.borrow().contains(&from);
        let mailboxes = &worker.shared.redirected;
        if !is_overflowed && mailboxes.claim(to.worker, letter.bytes(), MAILBOX) {
            worker.shared.send(to.worker, Mail::Redirected(letter));
        } else {
            worker.announcements.overflowed.borrow_mut().insert(from);
        }
    }

    /// Gets invalidations of another client: as pushes, or in RESP2 as messages of a channel, if it listens to any.
    fn take_redirected(self: &Rc<Self>, worker: &Worker, frames: &[u8]) {
        if self.session.protocol() == Protocol::Resp3 {
            self.push(worker, frames);
        } else if self.is_subscriber() {
            self.push_lines(worker, &as_messages(frames));
        }
    }

    /// The client that it redirects to has left.
    fn redirection_is_broken(self: &Rc<Self>, worker: &Worker) {
        let Some(to) = self.redirection() else {
            return;
        };
        self.session.mark_redirection_broken();
        if self.session.protocol() == Protocol::Resp3 {
            let mut frame = Vec::new();
            write::push(&mut frame, Protocol::Resp3, 2);
            write::bulk(&mut frame, b"tracking-redir-broken");
            write::integer(&mut frame, to.id.cast_signed());
            self.push(worker, &frame);
        }
    }
}

/// Invalidations as messages of RESP2.
fn as_messages(frames: &[u8]) -> Vec<u8> {
    let (mut messages, mut rest) = (Vec::new(), frames);
    let mut scanner = ReplyScanner::default();
    while !rest.is_empty()
        && let Ok(progress) = scanner.advance(rest)
        && progress.done
    {
        let (frame, behind) = rest.split_at(progress.consumed);
        if let Some(what) = frame.strip_prefix(INVALIDATE) {
            messages.extend_from_slice(MESSAGE);
            match what {
                b"_\r\n" => messages.extend_from_slice(b"$-1\r\n"),
                keys => messages.extend_from_slice(keys),
            }
        }
        rest = behind;
    }
    messages
}

/// Sends on to clients of workers whose mailboxes were full that they have to forget everything.
pub(super) fn send_overflowed(worker: &Worker) {
    let overflowed = worker.announcements.overflowed.take();
    for from in overflowed {
        let client = worker.open_client(from.place, from.id);
        let Some((client, to)) = client.and_then(|client| {
            let to = client.redirection()?;
            Some((client, to))
        }) else {
            continue;
        };
        let letter = Redirected {
            from,
            to,
            frames: FORGET_ALL.into(),
        };
        if to.worker == worker.id {
            client.send_invalidations(worker, FORGET_ALL);
        } else if worker
            .shared
            .redirected
            .claim(to.worker, letter.bytes(), MAILBOX)
        {
            worker.shared.send(to.worker, Mail::Redirected(letter));
        } else {
            worker.announcements.overflowed.borrow_mut().insert(from);
        }
    }
}

impl Worker {
    /// The client with this id at this place, if it is there and has not begun to leave.
    pub fn open_client(&self, place: usize, id: u64) -> Option<Rc<Client>> {
        let client = self.clients.at(place)?;
        (client.id == id && client.phase() == ClientPhase::Open).then_some(client)
    }

    /// Takes invalidations that a client of another worker redirects to one of this worker.
    pub fn take_redirected(&self, letter: &Redirected) {
        self.shared.redirected.release(self.id, letter.bytes());
        match self.open_client(letter.to.place, letter.to.id) {
            Some(client) => client.take_redirected(self, &letter.frames),
            None => {
                let from = letter.from;
                self.shared.send(from.worker, Mail::RedirectionBroken(from));
            }
        }
    }

    /// The client that a client of this worker redirects to has left.
    pub fn redirection_is_broken(&self, from: Sender) {
        if let Some(client) = self.open_client(from.place, from.id) {
            client.redirection_is_broken(self);
        }
    }

    /// The place of this client, if it belongs to this worker.
    pub fn find_client(&self, id: u64) -> Option<Redirection> {
        let clients = self.clients.all();
        let client = clients.iter().find(|client| client.id == id)?;
        (client.phase() == ClientPhase::Open).then_some(Redirection {
            id,
            worker: self.id,
            place: client.key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::client::tracking::invalidation;

    #[test]
    fn invalidations_become_messages_of_their_channel() {
        let frames = [&invalidation(&[b"a", b">\r\n"])[..], FORGET_ALL].concat();
        let messages = as_messages(&frames);
        let expected = [
            MESSAGE,
            b"*2\r\n$1\r\na\r\n$3\r\n>\r\n\r\n",
            MESSAGE,
            b"$-1\r\n",
        ];
        assert_eq!(messages, expected.concat());
    }

    #[test]
    fn a_mailbox_is_bounded() {
        let mailboxes = MailboxBytes::new(2);
        assert!(mailboxes.claim(0, 60, 100));
        assert!(!mailboxes.claim(0, 60, 100));
        assert!(mailboxes.claim(1, 60, 100));
        mailboxes.release(0, 60);
        assert!(mailboxes.claim(0, 100, 100));
    }
}
