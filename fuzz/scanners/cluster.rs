//! Of the cluster what is made of replies, without the connections that they come over.

#[path = "../../src/cluster/addr.rs"]
pub mod addr;
#[path = "../../src/cluster/merge.rs"]
pub mod merge;
#[path = "../../src/cluster/redirect.rs"]
pub mod redirect;
#[path = "../../src/cluster/topology.rs"]
pub mod topology;
#[path = "../../src/cluster/view.rs"]
pub mod view;
