//! Telling Prometheus and the log what happened. Neither may slow a request down: counters are atomics, lines go through
//! a bounded queue that sheds.

mod ledger_gauges;
mod logs;
mod metrics;

pub use ledger_gauges::AlertLabels;
pub use logs::{LogFormat, LogLevel, init as init_logs};
pub use metrics::Metrics;
