//! Nodes that fail, freeze, refuse or send wrong replies: no wrong reply reaches a client, and no write runs twice.

mod faults;
mod forged_errors;
mod functions;
mod healing;
mod health_checks;
mod ledger;
mod outages;
mod retry_writes;
mod rights;
mod waiting;
