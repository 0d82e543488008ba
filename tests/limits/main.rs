//! Limits: hostile and heavy loads cost their own client at most, in bounded memory.

mod big_values;
mod crowds;
mod hostile_load;
mod long_requests;
mod many_clients;
mod memory;
mod one_client;
mod output_limits;
mod slow_readers;
