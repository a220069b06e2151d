//! Owns: what comes into the path and what goes out of it. The doors speak HTTP; the path does not.

use super::Relay;
use crate::base::{Error, Retry, Secret};
use crate::protocol::Operation;
use crate::protocol::openai::error_envelope;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How the caller says who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    None,
    Key(Secret),
    /// The process itself, through the in-process door.
    Trusted,
}

/// One request, as a door hands it over.
#[derive(Debug)]
pub struct Call {
    pub operation: Operation,
    pub request_id: Arc<str>,
    pub credential: Credential,
    /// The mode asked for by header, not yet checked.
    pub mode: Option<String>,
    /// What the caller marks the call with; budgets may count by them.
    pub labels: Vec<Arc<str>>,
    /// The caller's mark of this request.
    pub idempotency_key: Option<Box<str>>,
    pub body: Bytes,
}

/// One answer.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: ReplyBody,
}

pub enum ReplyBody {
    Whole(Bytes),
    Stream(Box<Relay>),
}

impl Reply {
    /// An error in the caller's dialect.
    pub fn error(error: &Error) -> Self {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The OpenAI SDKs read this before they guess from the status.
        let again = match error.kind.retry() {
            Retry::Never => "false",
            Retry::Later | Retry::Elsewhere => "true",
        };
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(again));
        if let Some(span) = error.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(span)));
        }
        Self { status: error.kind.status(), headers, body: ReplyBody::Whole(error_envelope(error).into()) }
    }
}

/// Whole seconds, rounded up: a client that waits that long is not too early.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
