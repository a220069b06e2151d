//! Floor 2, health: what is known of an endpoint from its own traffic, and how failures are repeated or rested from.

mod breaker;
mod endpoint;
mod retry;

pub use breaker::{BreakerPolicy, BreakerState};
pub use endpoint::{EndpointHealth, Permit, Verdict};
pub use retry::RetryPolicy;
