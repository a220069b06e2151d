//! Floor 2, routing: the order in which candidates are tried.

mod breaker;
mod health;
mod mode;
mod plan;
mod retry;

pub use breaker::{BreakerPolicy, BreakerState};
pub use health::{EndpointHealth, Permit, Verdict};
pub use mode::Mode;
pub use plan::plan;
pub use retry::RetryPolicy;
