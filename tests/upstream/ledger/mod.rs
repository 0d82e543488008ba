//! The ledger rig: `slotmux-ledger` keeps the books of clients in front of a real cluster while nodes crash, freeze,
//! move and come back and connections break. In every case: no reply is wrong, no acknowledged write is lost, no write
//! runs twice, unaffected shards see no error, and every client works again.

mod failover;
mod faulty_proxy;
mod network;
mod nodes;
mod partition;
mod proof;
mod reshard;
mod rig;
mod seeds;
mod soak;
