//! The HTTP door: one router, served by the native listener and by the Python boundary alike.

mod admin;
mod answer;
mod health;
mod inference;
mod models;
mod orders;
mod router;
mod webhooks;

pub use router::{ROUTES, router};

/// A request extension: the caller is this very process (the in-process door), so it needs no key and acts with every scope.
/// Nothing that arrives over a network can carry it.
#[derive(Clone, Copy, Debug)]
pub struct Trusted;
