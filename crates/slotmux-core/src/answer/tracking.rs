//! `CLIENT TRACKING` and `CLIENT CACHING`: a client's wish to get an invalidation when a key changes that it has read, or
//! that begins with one of its prefixes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;

use super::session::{Redirection, Session};
use super::{AnswerOutcome, AnsweredRequest, AskingClient, NOT_AN_INTEGER, SYNTAX};
use crate::c_string;
use crate::resp::{number, write};

/// The keys that are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackingMode {
    /// No keys: tracking is off.
    #[default]
    Off,
    /// Those of all reads.
    All,
    /// Those of reads behind a `CLIENT CACHING YES`.
    OptIn,
    /// Those of all reads but the ones behind a `CLIENT CACHING NO`.
    OptOut,
    /// `BCAST`: those that begin with a prefix of the client, read or not.
    Broadcast,
}

/// The tracking of one client. A redirection and prefixes are kept in its [`Session`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// The keys that are tracked.
    pub mode: TrackingMode,
    /// Whether `CLIENT CACHING` was given for the next command.
    pub caching: bool,
    /// `NOLOOP`: whether the client's own writes are not announced to it.
    pub noloop: bool,
    /// `REDIRECT`: whether invalidations go to another client.
    pub redirects: bool,
    /// Whether that client was found to have left.
    pub is_broken: bool,
    /// Whether it has read keys of which no invalidation can reach it, as it spoke RESP2.
    pub is_behind: bool,
}

impl Tracking {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self.mode != TrackingMode::Off
    }

    /// Whether it is on and announces every change of keys with a prefix.
    pub fn is_broadcast(self) -> bool {
        self.mode == TrackingMode::Broadcast
    }

    /// Whether the next read is tracked.
    pub fn wants_next(self) -> bool {
        match self.mode {
            TrackingMode::Off | TrackingMode::Broadcast => false,
            TrackingMode::All => true,
            TrackingMode::OptIn => self.caching,
            TrackingMode::OptOut => !self.caching,
        }
    }
}

/// A `CLIENT TRACKING` that needs more than this client: the workers are asked for the client that it redirects to, or the
/// nodes have to confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRequest {
    /// The client that invalidations are redirected to. It has to exist even where the rest is refused.
    pub redirect: Option<i64>,
    /// The state that follows, or the error.
    pub change: Result<TrackingChange, Cow<'static, str>>,
}

/// The tracking of a client after a `CLIENT TRACKING`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingChange {
    /// The tracking.
    pub tracking: Tracking,
    /// Prefixes that are added to those that it has.
    pub prefixes: BTreeSet<Box<[u8]>>,
}

/// The reply to a `CLIENT TRACKING` whose `REDIRECT` names no client.
pub const NO_SUCH_CLIENT: &str = "ERR The client ID you want redirect to does not exist";
/// The reply to a `CLIENT TRACKING` in a transaction that would have to wait for other clients or nodes.
pub const NOT_IN_MULTI: &str = "ERR slotmux: CLIENT TRACKING with BCAST, REDIRECT or NOLOOP can't be used inside MULTI, \
    as it waits for other workers and nodes";

const NO_CACHING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
    OPTOUT mode enabled";
const NOT_YES: &str =
    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
const NOT_NO: &str = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";
const PREFIX_ALONE: &str = "ERR PREFIX option requires BCAST mode to be enabled";
const BCAST_SWITCHED: &str = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and \
    then re-enabling it with a different mode.";
const BCAST_AND_OPT: &str = "ERR OPTIN and OPTOUT are not compatible with BCAST";
const BOTH: &str = "ERR You can't specify both OPTIN mode and OPTOUT mode";
const OPT_SWITCHED: &str = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
    re-enabling it with a different mode.";
const REDIRECTED_TWICE: &str = "ERR A client can only redirect to a single other client";

/// The requested options.
#[derive(Default)]
struct TrackingOptions {
    redirect: Option<i64>,
    prefixes: Vec<Box<[u8]>>,
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
}

impl TrackingOptions {
    /// Reads the options behind ON or OFF, up to the first error.
    fn read(&mut self, request: AnsweredRequest<'_>) -> Result<(), &'static str> {
        let mut at = 3;
        while at < request.len() {
            let followed = at + 1 < request.len();
            if request.is(at, "redirect") && followed {
                at += 1;
                if self.redirect.is_some_and(|id| id != 0) {
                    return Err(REDIRECTED_TWICE);
                }
                let id = number::parse_i64(request.get(at)).ok_or(NOT_AN_INTEGER)?;
                self.redirect = Some(id);
            } else if request.is(at, "prefix") && followed {
                at += 1;
                self.prefixes.push(request.get(at).into());
            } else if request.is(at, "bcast") {
                self.bcast = true;
            } else if request.is(at, "optin") {
                self.optin = true;
            } else if request.is(at, "optout") {
                self.optout = true;
            } else if request.is(at, "noloop") {
                self.noloop = true;
            } else {
                return Err(SYNTAX);
            }
            at += 1;
        }
        Ok(())
    }

    /// The mode that follows `before`, or the error. They come in the order of Redis.
    fn mode(&self, before: TrackingMode) -> Result<TrackingMode, &'static str> {
        let was_bcast = before == TrackingMode::Broadcast;
        let wrong = [
            (!self.bcast && !self.prefixes.is_empty(), PREFIX_ALONE),
            (
                before != TrackingMode::Off && was_bcast != self.bcast,
                BCAST_SWITCHED,
            ),
            (self.bcast && (self.optin || self.optout), BCAST_AND_OPT),
            (self.optin && self.optout, BOTH),
            (self.optin && before == TrackingMode::OptOut, OPT_SWITCHED),
            (self.optout && before == TrackingMode::OptIn, OPT_SWITCHED),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, error)) => Err(error),
            None if self.bcast => Ok(TrackingMode::Broadcast),
            None if self.optin => Ok(TrackingMode::OptIn),
            None if self.optout => Ok(TrackingMode::OptOut),
            None => Ok(TrackingMode::All),
        }
    }

    /// The state that follows `before`, in which the client has these prefixes.
    fn change(
        self,
        before: Tracking,
        existing: &BTreeSet<Box<[u8]>>,
    ) -> Result<TrackingChange, Cow<'static, str>> {
        let mode = self.mode(before.mode)?;
        if let Some(error) = overlap(&self.prefixes, existing) {
            return Err(error.into());
        }
        let tracking = Tracking {
            mode,
            caching: before.caching,
            noloop: self.noloop,
            redirects: self.redirect.is_some_and(|id| id != 0),
            is_broken: false,
            is_behind: before.is_behind,
        };
        let mut prefixes: BTreeSet<Box<[u8]>> = self.prefixes.into_iter().collect();
        if self.bcast && prefixes.is_empty() {
            // All keys.
            prefixes.insert(Box::default());
        }
        Ok(TrackingChange { tracking, prefixes })
    }
}

/// The error if one of the new prefixes begins with another one, or with one that the client has, or the other way round: its
/// keys would be announced twice.
fn overlap(new: &[Box<[u8]>], existing: &BTreeSet<Box<[u8]>>) -> Option<String> {
    let mut sorted: Vec<&[u8]> = new.iter().map(|prefix| &**prefix).collect();
    sorted.sort_unstable();
    for prefix in new {
        if let Some(other) = overlapping(existing, prefix) {
            return Some(overlap_error(prefix, "an existing", other));
        }
    }
    // Prefixes that overlap are neighbours in order, or have one between them that overlaps as well.
    let are_apart = sorted.windows(2).all(|pair| !pair[1].starts_with(pair[0]));
    if are_apart {
        return None;
    }
    new.iter().enumerate().find_map(|(at, prefix)| {
        let others = new[at + 1..].iter();
        let mut overlapping = others.filter(|other| are_overlapping(prefix, other));
        let other = overlapping.next()?;
        Some(overlap_error(prefix, "another provided", other))
    })
}

/// One of the prefixes, none of which overlap, that overlaps with this one.
fn overlapping<'a>(prefixes: &'a BTreeSet<Box<[u8]>>, prefix: &[u8]) -> Option<&'a [u8]> {
    if let Some(first) = prefixes.first().filter(|first| first.is_empty()) {
        return Some(first);
    }
    let up_to = (Bound::Unbounded, Bound::Included(prefix));
    let shorter = prefixes.range::<[u8], _>(up_to).next_back();
    let from = (Bound::Included(prefix), Bound::Unbounded);
    let longer = prefixes.range::<[u8], _>(from).next();
    let mut near = shorter.into_iter().chain(longer);
    near.find(|other| are_overlapping(prefix, other))
        .map(|other| &**other)
}

fn are_overlapping(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn overlap_error(prefix: &[u8], kind: &str, other: &[u8]) -> String {
    let [prefix, other] = [prefix, other].map(|text| {
        let text = String::from_utf8_lossy(c_string::of(text)).into_owned();
        text.replace(['\r', '\n'], " ")
    });
    format!(
        "ERR Prefix '{prefix}' overlaps with {kind} prefix '{other}'. Prefixes for a single client must not overlap."
    )
}

/// `CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`. A client of RESP2 may
/// switch it on without REDIRECT, as in Redis, and gets no invalidations.
pub(super) fn switch(
    request: AnsweredRequest<'_>,
    subject: &mut AskingClient<'_>,
    out: &mut Vec<u8>,
) -> AnswerOutcome {
    let before = subject.tracking;
    let mut options = TrackingOptions::default();
    let read = options.read(request);
    let redirect = options.redirect;
    let change = read.map_err(Cow::Borrowed).and_then(|()| {
        if request.is(2, "on") {
            let none = BTreeSet::new();
            let details = subject.session().and_then(|session| session.tracking());
            options.change(before, details.map_or(&none, |details| &details.prefixes))
        } else if request.is(2, "off") {
            Ok(TrackingChange {
                tracking: Tracking::default(),
                prefixes: BTreeSet::new(),
            })
        } else {
            Err(SYNTAX.into())
        }
    });
    let needs_others = |change: &TrackingChange| {
        change.tracking.is_broadcast() || change.tracking.noloop || before.noloop
    };
    if redirect.is_some() || change.as_ref().is_ok_and(needs_others) {
        return AnswerOutcome::Track(Box::new(TrackRequest { redirect, change }));
    }
    match change {
        Ok(change) => {
            subject.track(change, None);
            write::simple(out, "OK");
        }
        Err(error) => write::error(out, &error),
    }
    AnswerOutcome::Answered
}

impl AskingClient<'_> {
    /// Takes over the change of its tracking.
    pub fn track(&mut self, change: TrackingChange, redirect: Option<Redirection>) {
        self.tracking = change.tracking;
        let is_plain = redirect.is_none() && change.prefixes.is_empty();
        match &mut *self.session {
            None if is_plain => {}
            session => {
                let session = session.get_or_insert_default();
                session.track(change.tracking.is_on(), redirect, change.prefixes);
            }
        }
    }
}

/// `CLIENT CACHING YES|NO`
pub(super) fn caching(
    request: AnsweredRequest<'_>,
    subject: &mut AskingClient<'_>,
    out: &mut Vec<u8>,
) {
    let mode = subject.tracking.mode;
    let (yes, no) = (request.is(2, "yes"), request.is(2, "no"));
    let error = match mode {
        TrackingMode::Off => NO_CACHING,
        _ if yes && mode != TrackingMode::OptIn => NOT_YES,
        _ if no && mode != TrackingMode::OptOut => NOT_NO,
        _ if !yes && !no => SYNTAX,
        _ => {
            subject.tracking.caching = true;
            return write::simple(out, "OK");
        }
    };
    write::error(out, error);
}

/// `CLIENT GETREDIR`, and what `CLIENT LIST` calls `redir`: 0 is the client itself.
pub(super) fn redirection(tracking: Tracking, session: Option<&Session>) -> i64 {
    if !tracking.is_on() {
        return -1;
    }
    let redirect = session.and_then(|session| session.tracking()?.redirect);
    redirect.map_or(0, |redirect| redirect.id.cast_signed())
}

/// `CLIENT TRACKINGINFO`
pub(super) fn info(subject: &AskingClient<'_>, out: &mut Vec<u8>) {
    let tracking = subject.tracking;
    let modes: &[&str] = match (tracking.mode, tracking.caching) {
        (TrackingMode::Off, _) => &["off"],
        (TrackingMode::All, _) => &["on"],
        (TrackingMode::OptIn, false) => &["on", "optin"],
        (TrackingMode::OptIn, true) => &["on", "optin", "caching-yes"],
        (TrackingMode::OptOut, false) => &["on", "optout"],
        (TrackingMode::OptOut, true) => &["on", "optout", "caching-no"],
        (TrackingMode::Broadcast, _) => &["on", "bcast"],
    };
    let options = [
        (tracking.noloop, "noloop"),
        (tracking.is_broken, "broken_redirect"),
    ];
    let options = options.iter().filter(|(is_set, _)| *is_set);
    let flags: Vec<&str> = modes
        .iter()
        .copied()
        .chain(options.map(|(_, name)| *name))
        .collect();
    write::map(out, subject.protocol, 3);
    write::bulk(out, b"flags");
    write::set(out, subject.protocol, flags.len());
    for flag in flags {
        write::bulk(out, flag.as_bytes());
    }
    write::bulk(out, b"redirect");
    write::integer(out, redirection(tracking, subject.session()));
    write::bulk(out, b"prefixes");
    let details = subject.session().and_then(|session| session.tracking());
    let prefixes = details.map(|details| &details.prefixes);
    write::array(out, prefixes.map_or(0, BTreeSet::len));
    for prefix in prefixes.into_iter().flatten() {
        write::bulk(out, prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(prefixes: &[&str]) -> BTreeSet<Box<[u8]>> {
        prefixes
            .iter()
            .map(|prefix| prefix.as_bytes().into())
            .collect()
    }

    #[test]
    fn prefixes_of_one_client_do_not_overlap() {
        let table: &[(&[&str], &[&str], Option<&str>)] = &[
            (&["a", "b"], &[], None),
            (&["a", "b"], &["c", "d"], None),
            (
                &["FOOBAR", "FOO"],
                &[],
                Some("'FOOBAR' overlaps with another provided prefix 'FOO'"),
            ),
            (
                &["x", "FOO", "y", "FOOBAR"],
                &[],
                Some("'FOO' overlaps with another provided prefix 'FOOBAR'"),
            ),
            (
                &["FOO"],
                &["FOOBAR"],
                Some("'FOO' overlaps with an existing prefix 'FOOBAR'"),
            ),
            (
                &["FOOBAR"],
                &["FOO"],
                Some("'FOOBAR' overlaps with an existing prefix 'FOO'"),
            ),
            (
                &["FOO"],
                &["FOO"],
                Some("'FOO' overlaps with an existing prefix 'FOO'"),
            ),
            (
                &["FOO"],
                &[""],
                Some("'FOO' overlaps with an existing prefix ''"),
            ),
            (
                &["FOO", ""],
                &[],
                Some("'FOO' overlaps with another provided prefix ''"),
            ),
        ];
        for (new, existing, expected) in table {
            let new: Vec<Box<[u8]>> = new.iter().map(|prefix| prefix.as_bytes().into()).collect();
            let found = overlap(&new, &set(existing));
            match expected {
                None => assert_eq!(found, None),
                Some(text) => assert!(found.expect("an error").contains(text), "{new:?}"),
            }
        }
    }
}
