//! Telling people: messages over HTTP, signed.

mod webhook;

pub use webhook::Webhook;
