//! Of the routes only how a scan goes on.

#[path = "../../src/route/scan.rs"]
pub mod scan;
