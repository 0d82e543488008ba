//! State that few clients have. It is kept apart from the client, in a box that is allocated on first use, so that an
//! idle client stays small.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// The rare state of one client.
///
/// Names are printable ASCII without spaces: nothing else gets past `CLIENT SETNAME` and `CLIENT SETINFO`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// `CLIENT SETNAME`; never empty.
    pub name: Option<Box<str>>,
    /// `CLIENT SETINFO LIB-NAME`; never empty.
    pub lib_name: Option<Box<str>>,
    /// `CLIENT SETINFO LIB-VER`; never empty.
    pub lib_ver: Option<Box<str>>,
    /// The user that the client logged in as. `None`: its listener's default user.
    pub user: Option<Box<str>>,
    /// `CLIENT NO-EVICT`: shown in `CLIENT LIST`; slotmux evicts no client to save memory.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH`: shown in `CLIENT LIST`.
    pub no_touch: bool,
    /// `CLIENT CAPA redirect`: shown in `CLIENT LIST`; slotmux redirects no client.
    pub takes_redirects: bool,
    /// `MONITOR`: by which number of its worker.
    pub monitor: Option<NonZeroU32>,
    /// `CLIENT TRACKING`: the options that few clients use.
    pub(super) tracking: Option<Box<TrackingDetails>>,
}

/// The rare part of a client's tracking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackingDetails {
    /// The client that invalidations go to.
    pub redirect: Option<Redirection>,
    /// The prefixes of `BCAST`.
    pub prefixes: BTreeSet<Box<[u8]>>,
}

/// The client that invalidations go to, and where it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// Its id.
    pub id: u64,
    /// The worker that it belongs to.
    pub worker: usize,
    /// Its place in that worker's table of clients.
    pub place: usize,
}

/// Bytes of a prefix besides its text.
const PREFIX: usize = 64;

impl Session {
    /// Bytes of what the client has named itself.
    pub fn named(&self) -> usize {
        let texts = [&self.name, &self.lib_name, &self.lib_ver];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        let tracking = self.tracking.as_ref();
        let prefixes = tracking.into_iter().flat_map(|tracking| &tracking.prefixes);
        texts + prefixes.map(|prefix| PREFIX + prefix.len()).sum::<usize>()
    }

    /// The rare part of its tracking, if it has any.
    pub fn tracking(&self) -> Option<&TrackingDetails> {
        self.tracking.as_deref()
    }

    /// Replaces the redirection and adds prefixes; a client that does not track has neither.
    pub(super) fn track(
        &mut self,
        is_on: bool,
        redirect: Option<Redirection>,
        prefixes: BTreeSet<Box<[u8]>>,
    ) {
        let mut details = self.tracking.take().filter(|_| is_on).unwrap_or_default();
        details.redirect = redirect;
        details.prefixes.extend(prefixes);
        let is_needed = details.redirect.is_some() || !details.prefixes.is_empty();
        self.tracking = Some(details).filter(|_| is_on && is_needed);
    }

    /// Forgets what `RESET` makes Redis 7.0 forget, which is not `no_evict`. The library's name and version stay as
    /// well: it is still the same library.
    pub fn reset(&mut self) {
        self.name = None;
        self.user = None;
        self.no_touch = false;
        self.monitor = None;
        self.tracking = None;
    }
}

/// The replies that a client gets: the states of `CLIENT REPLY`.
///
/// The owner of the client calls [`begin`](ReplyMode::begin) when a request starts, lets it be answered or routed,
/// and then asks [`wanted`](ReplyMode::wanted) whether this request's reply is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// All of them.
    #[default]
    On,
    /// No replies, until `CLIENT REPLY ON` or `RESET`.
    Off,
    /// All but that of the next request.
    SkipNext,
    /// Not that of the request that is being run.
    Skipping,
}

impl ReplyMode {
    /// The mode in which the next request runs.
    #[must_use]
    pub fn begin(self) -> ReplyMode {
        match self {
            ReplyMode::On | ReplyMode::Skipping => ReplyMode::On,
            ReplyMode::Off => ReplyMode::Off,
            ReplyMode::SkipNext => ReplyMode::Skipping,
        }
    }

    /// Whether the reply of the request that ran last is delivered.
    pub fn wanted(self) -> bool {
        matches!(self, ReplyMode::On | ReplyMode::SkipNext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_stays_small() {
        assert!(size_of::<Session>() <= 80, "{}", size_of::<Session>());
        assert_eq!(size_of::<ReplyMode>(), 1);
    }

    #[test]
    fn skip_swallows_exactly_one_reply() {
        let mut mode = ReplyMode::SkipNext;
        let mut delivered = Vec::new();
        for _ in 0..3 {
            mode = mode.begin();
            delivered.push(mode.wanted());
        }
        assert_eq!(delivered, [false, true, true]);
    }

    #[test]
    fn off_lasts() {
        let mode = ReplyMode::Off.begin().begin();
        assert_eq!(mode, ReplyMode::Off);
        assert!(!mode.wanted());
    }

    #[test]
    fn reset_keeps_some() {
        let library: Option<Box<str>> = Some("redis-py".into());
        let mut session = Session {
            name: Some("a".into()),
            lib_name: library.clone(),
            lib_ver: Some("8".into()),
            user: Some("app".into()),
            no_evict: true,
            no_touch: true,
            takes_redirects: true,
            monitor: NonZeroU32::new(1),
            tracking: Some(Box::default()),
        };
        session.reset();
        let rest = Session {
            lib_name: library,
            lib_ver: Some("8".into()),
            no_evict: true,
            takes_redirects: true,
            ..Session::default()
        };
        assert_eq!(session, rest);
    }
}
