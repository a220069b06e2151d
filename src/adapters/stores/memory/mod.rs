//! Stores in memory: the ledger without a file. It runs the same `decide` as every store, keeps apart what a crash spares
//! (`Rows` behind a `Disk`) and what it takes (queue and state), and commits when it is told to: simulation and tests are
//! its users. Read `ledger` first.

mod ledger;
mod reads;
mod rows;

pub use ledger::{Answers, Batch, Disk, MemoryLedger};
