//! The process: its start, its end, its logs and its admin port.

mod admin_page;
mod drain;
mod first_words;
mod logs;
mod long_times;
mod panics;
mod signals;
mod startup;
