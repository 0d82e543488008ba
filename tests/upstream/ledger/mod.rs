//! The ledger rig: `slotmux-ledger` keeps the books of clients in front of a real cluster while nodes crash, freeze, move
//! and come back and connections break. Whatever happens: no reply is wrong, nothing acknowledged is lost, nothing
//! runs twice, shards that nothing happened to see no error, and everybody works again.

mod failover;
mod liar;
mod network;
mod nodes;
mod partition;
mod proof;
mod reshard;
mod rig;
mod seeds;
mod soak;
