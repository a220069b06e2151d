//! Owns: the record of one call, made on every exit of the path, refusals included. Metadata only, never a body.
//! Refuses to know: who reads it (metrics, logs).

use crate::base::{ErrorKind, KeyId, Money, OrderId};
use crate::domain::catalog::{Endpoint, Usage};
use crate::protocol::Operation;
use std::sync::Arc;
use std::time::Duration;

/// One call, over.
#[derive(Clone, Debug)]
pub struct CallRecord {
    pub request_id: Arc<str>,
    pub operation: Operation,
    pub order: Option<OrderId>,
    pub key_id: Option<KeyId>,
    pub user_path: Option<Arc<str>>,
    /// As requested; absent when the request could not be read.
    pub model: Option<Arc<str>>,
    /// The one that served, or the last one tried.
    pub endpoint: Option<Arc<Endpoint>>,
    pub stream: bool,
    pub status: u16,
    pub error: Option<ErrorKind>,
    pub attempts: u32,
    pub usage: Usage,
    pub charge: Option<Money>,
    /// What it cost us.
    pub cost: Option<Money>,
    /// The provider said so; else usage and price make it.
    pub cost_reported: bool,
    pub finish: &'static str,
    pub duration: Duration,
    /// Until the provider's first byte.
    pub first_byte: Option<Duration>,
}

/// Takes records. Must not block: it runs on the request's path.
pub trait Recorder: Send + Sync {
    fn record(&self, call: &CallRecord);
}
