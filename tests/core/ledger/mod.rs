//! Owns: the ledger's tests. `machine` compares it with an oracle, `examples` are the law's own figures, `tampering` tries
//! to fool the proof, `store` and `failure` look at what SQLite adds: crashes, several processes, commits that fail.

mod commands;
mod examples;
mod failure;
mod machine;
mod memory;
mod oracle;
mod reconciled;
mod store;
mod tampering;

pub(crate) use commands::{open, top_up};
