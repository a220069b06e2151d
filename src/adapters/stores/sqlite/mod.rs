//! SQLite, the embedded default: one file, nothing to install. One writer thread with group commit; readers beside it.

mod anchors;
mod aside;
mod books;
mod budgets;
mod connection;
mod export;
mod keys;
mod ledger;
mod model_lists;
mod node;
mod once;
mod outbox;
mod reader;
mod rows;
mod writer;

pub use connection::Database;
pub use ledger::SqliteLedger;
