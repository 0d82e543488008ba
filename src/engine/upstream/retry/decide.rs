//! Whether a command may be sent again: pure decisions.

use slotmux_core::cluster::redirect::ErrorVerdict;

/// Redirects of one command that are followed at once. A cluster in order needs two (MOVED, then ASK); nodes that
/// disagree about a slot need a moment to agree.
pub const PROMPT_REDIRECTS: u8 = 3;

/// Redirects and retries of one command before it fails: a loop between nodes must end.
pub const MAX_TRIES: u8 = 20;

/// The facts about a command that got an error reply.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The slot of its keys.
    pub slot: Option<u16>,
    /// Times it was sent again already.
    pub tries: u8,
    /// Whether its deadline leaves time for another try.
    pub has_time: bool,
    /// Whether the same client has sent something after it that must not come before it.
    pub has_followers: bool,
    /// Whether so few commands wait for another try that its followers may join them.
    pub may_queue: bool,
}

/// The next step for a command that got an error reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next<'a> {
    /// The error is the client's.
    Deliver,
    /// Send it to this node; the slot is there now.
    Follow {
        /// Announced host, see [`slotmux_core::cluster::redirect::target`].
        host: &'a str,
        /// Announced port.
        port: u16,
    },
    /// Send it to this node behind `ASKING`.
    Ask {
        /// Announced host.
        host: &'a str,
        /// Announced port.
        port: u16,
    },
    /// Send it again in a moment, by the map as it is then.
    Later,
    /// It was redirected too often: slotmux answers it with an error.
    Fail,
}

/// Decides what an error reply means for its command, if it is its node's: then the command has not run.
///
/// Order beats hiding: a retry in a moment keeps the order only while the client has sent nothing behind it on that
/// slot; otherwise the error is delivered. A node that serves nothing refuses the following commands too, and all of
/// them wait in their order; should the node come to itself between them, the ones that were refused do not run any
/// more (see [`crate::engine::upstream::retry::overtaken`]).
pub fn decide<'a>(verdict: ErrorVerdict<'a>, facts: Facts) -> Next<'a> {
    match verdict {
        ErrorVerdict::Deliver => Next::Deliver,
        // A script may return any text. A redirect of the cluster names the command's own slot.
        ErrorVerdict::Moved { slot, .. } | ErrorVerdict::Ask { slot, .. }
            if facts.slot != Some(slot) =>
        {
            Next::Deliver
        }
        ErrorVerdict::Moved { .. } | ErrorVerdict::Ask { .. } if facts.tries >= MAX_TRIES => {
            Next::Fail
        }
        ErrorVerdict::Moved { host, port, .. } => Next::Follow { host, port },
        ErrorVerdict::Ask { host, port, .. } => Next::Ask { host, port },
        ErrorVerdict::ClusterDown | ErrorVerdict::Loading
            if facts.has_time && facts.slot.is_some() && facts.may_queue =>
        {
            Next::Later
        }
        ErrorVerdict::TryAgain
        | ErrorVerdict::ClusterDown
        | ErrorVerdict::Loading
        | ErrorVerdict::ReadOnly
        | ErrorVerdict::MasterDown => {
            if facts.has_time && !facts.has_followers {
                Next::Later
            } else {
                Next::Deliver
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let fresh = Facts {
            slot: Some(7),
            tries: 0,
            has_time: true,
            has_followers: false,
            may_queue: true,
        };
        let late = Facts {
            has_time: false,
            ..fresh
        };
        let followed = Facts {
            has_followers: true,
            ..fresh
        };
        let crowded = Facts {
            may_queue: false,
            ..followed
        };
        let keyless = Facts {
            slot: None,
            ..fresh
        };
        let weary = Facts {
            tries: MAX_TRIES,
            ..fresh
        };
        let moved = ErrorVerdict::Moved {
            slot: 7,
            host: "h",
            port: 1,
        };
        let foreign = ErrorVerdict::Moved {
            slot: 8,
            host: "h",
            port: 1,
        };
        let ask = ErrorVerdict::Ask {
            slot: 7,
            host: "h",
            port: 1,
        };
        let table = [
            (moved, fresh, Next::Follow { host: "h", port: 1 }),
            (moved, followed, Next::Follow { host: "h", port: 1 }),
            (moved, late, Next::Follow { host: "h", port: 1 }),
            (moved, weary, Next::Fail),
            (moved, keyless, Next::Deliver),
            (foreign, fresh, Next::Deliver),
            (ask, fresh, Next::Ask { host: "h", port: 1 }),
            (ask, weary, Next::Fail),
            (ErrorVerdict::TryAgain, fresh, Next::Later),
            (ErrorVerdict::TryAgain, followed, Next::Deliver),
            (ErrorVerdict::ClusterDown, fresh, Next::Later),
            (ErrorVerdict::ClusterDown, followed, Next::Later),
            (ErrorVerdict::ClusterDown, crowded, Next::Deliver),
            (ErrorVerdict::ClusterDown, late, Next::Deliver),
            (ErrorVerdict::Loading, followed, Next::Later),
            (ErrorVerdict::Loading, keyless, Next::Later),
            (ErrorVerdict::Loading, weary, Next::Later),
            (ErrorVerdict::ReadOnly, fresh, Next::Later),
            (ErrorVerdict::MasterDown, followed, Next::Deliver),
            (ErrorVerdict::Deliver, fresh, Next::Deliver),
        ];
        for (verdict, facts, next) in table {
            assert_eq!(decide(verdict, facts), next, "{verdict:?} {facts:?}");
        }
    }
}
