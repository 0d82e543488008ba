//! What must hold for any input. The fuzz targets call these, and so does `tests/fuzz_regressions.rs`, which
//! includes this file: nothing here may need more than slotmux' own dependencies. What needs more of slotmux than its
//! pure modules is in `engine/`, which the targets and tests of it include themselves.

pub mod c_strings;
pub mod choices;
pub mod cursor;
pub mod differential;
pub mod reply;
pub mod request;
pub mod server;
pub mod split_points;
pub mod topology;
pub mod ttl_plan;
