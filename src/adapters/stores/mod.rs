//! Stores: one folder a backend, the same file names in each.

pub mod memory;
pub mod sqlite;
