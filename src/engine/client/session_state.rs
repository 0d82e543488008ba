//! The session of one client: protocol, login, name, reply mode and tracking.

use std::cell::{Cell, Ref, RefCell};
use std::num::NonZeroU32;

use slotmux_core::answer::AskingClient;
use slotmux_core::answer::session::{ReplyMode, Session};
use slotmux_core::answer::tracking::Tracking;
use slotmux_core::resp::Protocol;

/// The session of one client.
pub struct SessionState {
    /// Index of the listener that it came from.
    listener: u8,
    /// RESP version of its replies, and so of the lanes that it uses.
    protocol: Cell<Protocol>,
    /// Whether it may run commands.
    is_authenticated: Cell<bool>,
    /// `CLIENT REPLY`.
    reply_mode: Cell<ReplyMode>,
    /// `CLIENT TRACKING`.
    tracking: Cell<Tracking>,
    /// Full name of its last command; empty before the first.
    last_command: Cell<&'static str>,
    /// Rare state: names, user.
    rare: RefCell<Option<Box<Session>>>,
}

impl SessionState {
    pub(super) fn new(listener: u8) -> SessionState {
        SessionState {
            listener,
            protocol: Cell::new(Protocol::Resp2),
            is_authenticated: Cell::new(false),
            reply_mode: Cell::new(ReplyMode::On),
            tracking: Cell::default(),
            last_command: Cell::new(""),
            rare: RefCell::new(None),
        }
    }

    /// Index of the listener that the client came from.
    pub fn listener(&self) -> usize {
        usize::from(self.listener)
    }

    /// RESP version of its replies.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    /// Whether it may run commands.
    pub fn is_authenticated(&self) -> bool {
        self.is_authenticated.get()
    }

    /// Sets whether it may run commands.
    pub fn set_authenticated(&self, is_authenticated: bool) {
        self.is_authenticated.set(is_authenticated);
    }

    /// `CLIENT REPLY`.
    pub fn reply_mode(&self) -> ReplyMode {
        self.reply_mode.get()
    }

    /// Sets `CLIENT REPLY`, for a command that is dispatched again.
    pub fn set_reply_mode(&self, mode: ReplyMode) {
        self.reply_mode.set(mode);
    }

    /// Whether the reply to the request that is dispatched now is suppressed. Called once per request: it uses up a
    /// `CLIENT REPLY SKIP`.
    pub fn take_muted(&self) -> bool {
        let mode = self.reply_mode.get().begin();
        self.reply_mode.set(mode);
        !mode.wanted()
    }

    /// `CLIENT TRACKING`.
    #[inline]
    pub fn tracking(&self) -> Tracking {
        self.tracking.get()
    }

    /// Switches tracking off. Returns what it was.
    pub(super) fn take_tracking(&self) -> Tracking {
        self.tracking.take()
    }

    /// The client that it redirects to was found to have left.
    pub fn mark_redirection_broken(&self) {
        let tracking = self.tracking.get();
        self.tracking.set(Tracking {
            is_broken: true,
            ..tracking
        });
    }

    /// Notes whether it has read keys of which no invalidation can reach it.
    pub(super) fn set_behind(&self, is_behind: bool) {
        let tracking = self.tracking.get();
        self.tracking.set(Tracking {
            is_behind,
            ..tracking
        });
    }

    /// `CLIENT CACHING` holds no longer.
    pub(super) fn use_up_caching(&self) {
        let tracking = self.tracking.get();
        self.tracking.set(Tracking {
            caching: false,
            ..tracking
        });
    }

    /// Full name of its last command; empty before the first.
    pub fn last_command(&self) -> &'static str {
        self.last_command.get()
    }

    /// Notes a command that is dispatched.
    pub(super) fn set_last_command(&self, full_name: &'static str) {
        self.last_command.set(full_name);
    }

    /// Its rare state, if it has any.
    pub fn rare(&self) -> Ref<'_, Option<Box<Session>>> {
        self.rare.borrow()
    }

    /// Bytes of the names that it has given itself.
    pub(super) fn named(&self) -> usize {
        let rare = self.rare.borrow();
        rare.as_ref().map_or(0, |session| session.named())
    }

    /// The number by which it monitors, if it does.
    pub(super) fn monitor(&self) -> Option<u32> {
        let rare = self.rare.borrow();
        rare.as_ref()?.monitor.map(NonZeroU32::get)
    }

    /// Makes it a monitoring client.
    pub(super) fn set_monitor(&self, number: u32) {
        let mut rare = self.rare.borrow_mut();
        rare.get_or_insert_default().monitor = NonZeroU32::new(number);
    }

    /// Runs `f` on the client as answers see it, and takes over the changes.
    pub(super) fn as_subject<T>(
        &self,
        id: u64,
        is_subscriber: bool,
        f: impl FnOnce(&mut AskingClient) -> T,
    ) -> T {
        let mut session = self.rare.borrow_mut();
        let mut subject = AskingClient {
            id,
            protocol: self.protocol.get(),
            authenticated: self.is_authenticated.get(),
            replies: self.reply_mode.get().begin(),
            tracking: self.tracking.get(),
            is_subscriber,
            session: &mut session,
        };
        let result = f(&mut subject);
        self.protocol.set(subject.protocol);
        self.is_authenticated.set(subject.authenticated);
        self.reply_mode.set(subject.replies);
        self.tracking.set(subject.tracking);
        result
    }
}
