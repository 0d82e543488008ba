//! Facts that a worker has learned from requests and replies.

use crate::engine::stats::observed::Observed;
use crate::engine::stats::unmatched::Unmatched;
use slotmux_core::route::big_replies::BigReplies;
use slotmux_core::scripts::NotedScripts;

/// The facts that one worker has learned from its traffic.
#[derive(Default)]
pub struct Traffic {
    /// Which requests are likely to bring a big reply.
    pub big_replies: BigReplies,
    /// Which scripts it has added to the shared store already.
    pub scripts: NotedScripts,
    /// Prefixes of keys that no namespace claims.
    pub unmatched: Unmatched,
    /// Requests that observing policies would have changed.
    pub observed: Observed,
}
