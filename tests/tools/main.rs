//! Tools around slotmux: client libraries, the load generator, the demo, the scripts.

mod bench;
mod demo;
mod libraries;
mod readme;
mod scripts;
