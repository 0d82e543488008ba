//! Requests to several nodes: the parts of a split request, a broadcast, a page of a scan, and the gather that makes one
//! reply of the nodes' replies.

pub mod broadcast;
pub mod gather;
pub mod info_ahead;
pub mod page;
pub mod random_key;
pub mod split;
pub mod split_long;
pub mod with_nodes;
