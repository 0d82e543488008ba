//! Nodes that fail, freeze, refuse or lie: no wrong reply, and no write that runs twice.

mod faults;
mod forged_errors;
mod healing;
mod health_checks;
mod ledger;
mod outages;
mod retry_writes;
mod rights;
mod waiting;
