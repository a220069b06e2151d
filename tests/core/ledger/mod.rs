//! Owns: the ledger's tests. `machine` compares it with an oracle, `examples` are the law's own figures, `tampering` tries
//! to fool the proof, `books` are what a provider's bill is compared with, `store` and `failure` look at what SQLite adds: crashes,
//! several processes, commits that fail; `process` at what memory adds; `batch` at jobs that end a day later.

mod anchors;
mod batch;
mod books;
mod commands;
mod corrections;
mod examples;
mod failure;
mod machine;
mod memory;
mod oracle;
mod process;
mod reconciled;
mod store;
mod tampering;

pub(crate) use commands::{open, top_up};
