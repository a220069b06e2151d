//! Owns: tests across module borders: the ledger against an oracle and over its store, the request path against a provider.
//! What one module can prove alone stands beside that module.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is wrong")]

mod ledger;
mod pipeline;
mod sim;
mod usage;
