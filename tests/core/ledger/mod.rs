//! Owns: the ledger's tests. `machine` plays random histories (`history`, `play`) beside an oracle written from the law, `found` are those
//! that were bugs; `examples` and `corrections` are the law's own figures, `tampering` tries to fool the proof, `reconciled` is the
//! proof in daily use, `books` are what a provider's bill is compared with, `budgets` who counts a call that several may serve; `store` and `failure` look at what SQLite adds: crashes,
//! several processes, commits that fail; `process` at what memory adds; `batch` at jobs that end a day later.

mod anchors;
mod batch;
mod books;
mod budgets;
mod commands;
mod corrections;
mod examples;
mod failure;
mod found;
mod history;
mod machine;
mod memory;
mod oracle;
mod play;
mod process;
mod reconciled;
mod store;
mod tampering;

pub(crate) use budgets::of_model;
pub(crate) use commands::{open, reserving, top_up};
