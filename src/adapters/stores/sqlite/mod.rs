//! SQLite, the embedded default: one file, nothing to install. One writer thread with group commit; readers beside it.

mod anchors;
mod answer;
mod aside;
mod books;
mod budgets;
mod connection;
mod export;
mod findings;
mod inspect;
mod keys;
mod ledger;
mod model_lists;
mod node;
mod once;
mod outbox;
mod progress;
mod reader;
mod rebuild;
mod receipts;
mod rows;
mod writer;

#[cfg(test)]
mod plan_tests;

pub use connection::Database;
pub use findings::{BrokenWallet, Frozen, KeptFinding, Recorded, Run};
pub use inspect::Inspector;
pub use ledger::SqliteLedger;
pub use outbox::Message;
pub use progress::Progress;
pub use rebuild::Rebuilt;
