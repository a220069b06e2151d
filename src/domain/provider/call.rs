//! Owns: one exchange with a provider, as the pipeline sees it.
//! Refuses to know: HTTP clients, credentials, retries (execute decides those).

use crate::base::{Error, ErrorKind};
use crate::protocol::Operation;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// One request to one endpoint, ready to be sent: the body is final.
#[derive(Clone, Debug)]
pub struct ProviderCall {
    pub operation: Operation,
    /// The JSON body, in the provider's dialect, with the provider's model name.
    pub body: Bytes,
    pub request_id: Arc<str>,
    /// Longest wait for the reply's head.
    pub head_timeout: Duration,
    /// Longest silence between two pieces of the body.
    pub idle_timeout: Duration,
}

/// The reply's head, and its body as it arrives. Any status is a reply; only a broken exchange is a fault.
pub struct ProviderReply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: ProviderBody,
}

/// Pieces of a reply body. Dropping it ends the exchange.
pub type ProviderBody = Pin<Box<dyn Body<Data = Bytes, Error = ProviderFault> + Send>>;

/// How an exchange broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No connection: nothing was sent, nothing can have been billed.
    Connect,
    /// The connection broke after the request may have been read.
    Broken,
    /// No head, or no further piece, within the time allowed.
    Timeout,
    /// A reply that is not of the provider's dialect.
    Garbage,
    /// No credential is usable at the moment (all are cooling down).
    NoCredential,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderFault {
    pub kind: FaultKind,
    /// For operators: never a credential.
    pub detail: String,
}

impl ProviderFault {
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// May the provider have begun work, so that it may bill?
    pub const fn may_have_billed(&self) -> bool {
        match self.kind {
            FaultKind::Connect | FaultKind::NoCredential => false,
            FaultKind::Broken | FaultKind::Timeout | FaultKind::Garbage => true,
        }
    }

    /// What the caller is told when no other endpoint could serve.
    pub fn to_error(&self, provider: &str) -> Error {
        let (kind, message) = match self.kind {
            FaultKind::Connect => (ErrorKind::ProviderUnreachable, format!("provider '{provider}' cannot be reached")),
            FaultKind::Broken => (ErrorKind::ProviderUnreachable, format!("provider '{provider}' broke the connection before replying")),
            FaultKind::Timeout => (ErrorKind::ProviderTimeout, format!("provider '{provider}' did not reply in time")),
            FaultKind::Garbage => {
                (ErrorKind::ProviderInvalidReply, format!("provider '{provider}' sent something that is not a reply of its API"))
            }
            FaultKind::NoCredential => {
                (ErrorKind::ProviderRateLimited, format!("every API key of provider '{provider}' is cooling down after a refusal"))
            }
        };
        Error::new(kind, message).with_cause(&self.detail)
    }
}

impl fmt::Display for ProviderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.detail)
    }
}

impl std::error::Error for ProviderFault {}

pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One configured provider. Implementations hold connections and credentials and nothing of the gateway's policy.
pub trait Provider: Send + Sync {
    /// Sends the call and waits for the reply's head. Dropping the future abandons the exchange.
    fn call(&self, call: ProviderCall) -> Pending<'_, Result<ProviderReply, ProviderFault>>;

    /// The ids of the models that the provider lists, in its own order.
    fn list_models(&self) -> Pending<'_, Result<Vec<String>, ProviderFault>>;

    /// After a refusal (401, 403, 429): is there another credential to try at once?
    fn has_ready_credential(&self) -> bool;
}
