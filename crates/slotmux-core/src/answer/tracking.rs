//! `CLIENT TRACKING` and `CLIENT CACHING`: a client's wish to get an invalidation when a key that it has read changes.

use super::{AnsweredRequest, AskingClient, NOT_AN_INTEGER, SYNTAX};
use crate::resp::{number, write};

/// The reads that are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackingMode {
    /// No reads: tracking is off.
    #[default]
    Off,
    /// All.
    All,
    /// Those behind a `CLIENT CACHING YES`.
    OptIn,
    /// All but those behind a `CLIENT CACHING NO`.
    OptOut,
}

/// The tracking of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// The reads that are tracked.
    pub mode: TrackingMode,
    /// Whether `CLIENT CACHING` was given for the next command.
    pub caching: bool,
}

impl Tracking {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self.mode != TrackingMode::Off
    }

    /// Whether the next read is tracked.
    pub fn wants_next(self) -> bool {
        match self.mode {
            TrackingMode::Off => false,
            TrackingMode::All => true,
            TrackingMode::OptIn => self.caching,
            TrackingMode::OptOut => !self.caching,
        }
    }
}

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
const NO_BCAST: &str = "ERR slotmux: CLIENT TRACKING has no BCAST here, as an invalidation could overtake the reply that \
    it is about: leave BCAST out to be told of what was read";
const NO_REDIRECT: &str = "ERR slotmux: CLIENT TRACKING has no REDIRECT here, invalidations go to the connection that \
    reads: leave it out and use RESP3 (HELLO 3)";
const NO_NOLOOP: &str = "ERR slotmux: CLIENT TRACKING has no NOLOOP here, as clients share the connections on which \
    their writes are told apart: leave it out";

/// The requested options.
#[derive(Default)]
struct TrackingOptions {
    redirect: bool,
    prefix: bool,
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
}

impl TrackingOptions {
    /// The options behind ON or OFF, or the error.
    fn parse(request: AnsweredRequest<'_>) -> Result<TrackingOptions, &'static str> {
        let mut options = TrackingOptions::default();
        let mut at = 3;
        while at < request.len() {
            let followed = at + 1 < request.len();
            if request.is(at, "redirect") && followed {
                at += 1;
                number::parse_i64(request.get(at)).ok_or(NOT_AN_INTEGER)?;
                options.redirect = true;
            } else if request.is(at, "prefix") && followed {
                at += 1;
                options.prefix = true;
            } else if request.is(at, "bcast") {
                options.bcast = true;
            } else if request.is(at, "optin") {
                options.optin = true;
            } else if request.is(at, "optout") {
                options.optout = true;
            } else if request.is(at, "noloop") {
                options.noloop = true;
            } else {
                return Err(SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }

    /// The mode that follows `before`, or the error. Redis' own come first, in its order.
    fn mode(&self, before: TrackingMode) -> Result<TrackingMode, &'static str> {
        let wrong = [
            (!self.bcast && self.prefix, PREFIX_ALONE),
            (self.bcast && before != TrackingMode::Off, BCAST_SWITCHED),
            (self.bcast && (self.optin || self.optout), BCAST_AND_OPT),
            (self.optin && self.optout, BOTH),
            (self.optin && before == TrackingMode::OptOut, OPT_SWITCHED),
            (self.optout && before == TrackingMode::OptIn, OPT_SWITCHED),
            (self.bcast, NO_BCAST),
            (self.redirect, NO_REDIRECT),
            (self.noloop, NO_NOLOOP),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, error)) => Err(error),
            None if self.optin => Ok(TrackingMode::OptIn),
            None if self.optout => Ok(TrackingMode::OptOut),
            None => Ok(TrackingMode::All),
        }
    }
}

/// `CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`. A client of RESP2 may
/// switch it on, as in Redis, and gets no invalidations, as it has no REDIRECT.
pub(super) fn switch(
    request: AnsweredRequest<'_>,
    subject: &mut AskingClient<'_>,
    out: &mut Vec<u8>,
) {
    let before = subject.tracking;
    let after = TrackingOptions::parse(request).and_then(|options| {
        if request.is(2, "on") {
            let mode = options.mode(before.mode)?;
            Ok(Tracking { mode, ..before })
        } else if request.is(2, "off") {
            Ok(Tracking::default())
        } else {
            Err(SYNTAX)
        }
    });
    match after {
        Ok(tracking) => {
            subject.tracking = tracking;
            write::simple(out, "OK");
        }
        Err(error) => write::error(out, error),
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
pub(super) fn redirection(tracking: Tracking) -> i64 {
    if tracking.is_on() { 0 } else { -1 }
}

/// `CLIENT TRACKINGINFO`
pub(super) fn info(subject: &AskingClient<'_>, out: &mut Vec<u8>) {
    let tracking = subject.tracking;
    let flags: &[&str] = match (tracking.mode, tracking.caching) {
        (TrackingMode::Off, _) => &["off"],
        (TrackingMode::All, _) => &["on"],
        (TrackingMode::OptIn, false) => &["on", "optin"],
        (TrackingMode::OptIn, true) => &["on", "optin", "caching-yes"],
        (TrackingMode::OptOut, false) => &["on", "optout"],
        (TrackingMode::OptOut, true) => &["on", "optout", "caching-no"],
    };
    write::map(out, subject.protocol, 3);
    write::bulk(out, b"flags");
    write::set(out, subject.protocol, flags.len());
    for flag in flags {
        write::bulk(out, flag.as_bytes());
    }
    write::bulk(out, b"redirect");
    write::integer(out, redirection(tracking));
    write::bulk(out, b"prefixes");
    write::array(out, 0);
}
