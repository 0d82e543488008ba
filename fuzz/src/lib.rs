//! What must hold for any input. The fuzz targets call these, and so does `tests/fuzz_regressions.rs`, which
//! includes this file: nothing here may need more than slotmux' own dependencies.

pub mod choices;
pub mod cursor;
pub mod differential;
pub mod reply;
pub mod request;
pub mod server;
pub mod split_points;
pub mod topology;
pub mod ttl_plan;
