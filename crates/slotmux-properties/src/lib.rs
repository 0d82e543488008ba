//! The properties that hold for any input: each `check` takes bytes and panics if its property does not hold.
//!
//! The fuzz targets look for inputs that break one; the tests replay the inputs that were found, and a fixed sample.

#![allow(missing_docs, reason = "the modules say it")]

pub mod c_strings;
pub mod choices;
pub mod config;
pub mod cursor;
pub mod differential;
pub mod joined;
pub mod reply;
pub mod request;
pub mod server;
pub mod sides;
pub mod split_points;
pub mod topology;
pub mod ttl_choices;
pub mod ttl_plan;
pub mod worker;
