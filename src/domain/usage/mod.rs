//! Floor 2, usage: what happened, for people and machines.

mod record;

pub use record::{CallRecord, Recorder};
