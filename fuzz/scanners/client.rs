//! Of the clients only what a request is.

#[path = "../../src/client/request.rs"]
pub mod request;
