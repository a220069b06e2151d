//! SQLite, the embedded default: one file, nothing to install. One writer thread with group commit; readers beside it.

mod aside;
mod connection;
mod keys;
mod ledger;
mod model_lists;
mod node;
mod rows;
mod writer;

pub use connection::Database;
pub use ledger::SqliteLedger;
