//! What a worker has learned from the requests and replies that passed it.

use crate::engine::stats::observed::Observed;
use crate::engine::stats::unmatched::Unmatched;
use slotmux_core::route::big_replies::BigReplies;
use slotmux_core::scripts::NotedScripts;

/// What one worker has learned from its traffic.
#[derive(Default)]
pub struct Traffic {
    /// Which requests are likely to bring a big reply.
    pub big_replies: BigReplies,
    /// Which scripts it has added to the shared store already.
    pub scripts: NotedScripts,
    /// Prefixes of keys that no namespace claims.
    pub unmatched: Unmatched,
    /// What observing policies would have changed.
    pub observed: Observed,
}
