//! Of publish and subscribe only what there is to subscribe to.

#[path = "../../src/pubsub/kind.rs"]
pub mod kind;

pub use kind::{Change, Kind};
