//! Owns: settings of the supply: providers, their models, aliases, retries and breakers.

use crate::base::Secret;
use crate::domain::catalog::{DataPolicy, PriceSheet};
use crate::domain::health::BreakerPolicy;
use crate::domain::provider::Family;
use std::time::Duration;

/// What a provider's configured model list means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelsMode {
    /// Used beside what the provider lists; alone, while its list is unknown.
    #[default]
    Fallback,
    /// Only these, and the provider is never asked.
    Allowlist,
}

/// One provider instance.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// `openai`, or `openai-east` from `OPENAI_EAST_API_KEY`.
    pub name: String,
    pub family: &'static Family,
    /// Without trailing slash.
    pub base_url: String,
    /// Used in turn; one that is refused rests. Empty only where the family needs none.
    pub keys: Vec<Secret>,
    pub models: Vec<ModelSettings>,
    pub models_mode: ModelsMode,
    /// Default for its models.
    pub data_policy: DataPolicy,
    /// The key is the users' own: the provider bills them, so only the fee is charged here.
    pub own_key: bool,
    /// Extra headers on every call to it.
    pub headers: Vec<(String, Secret)>,
    /// `None`: the general ones.
    pub resilience: Option<ResilienceSettings>,
}

/// What an operator says of one model of a provider. Members left out are taken from the book.
#[derive(Clone, Debug, Default)]
pub struct ModelSettings {
    pub id: String,
    /// Replace the book's prices from the first of them on. Empty: the book's hold.
    pub prices: Vec<PriceSheet>,
    pub context_window: Option<u64>,
    pub max_output: Option<u64>,
    pub quality: Option<u8>,
    pub code_quality: Option<u8>,
    pub data_policy: Option<DataPolicy>,
}

/// A name of the operator's own for a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasSettings {
    pub name: String,
    pub target: String,
}

#[derive(Clone, Copy, Debug)]
pub struct ResilienceSettings {
    /// `RETRY_MAX_RETRIES`, default 2: further attempts at one endpoint.
    pub max_retries: u32,
    /// `RETRY_INITIAL_BACKOFF` (seconds), default 0.5; doubled each time, with full jitter.
    pub initial_backoff: Duration,
    /// `RETRY_MAX_BACKOFF` (seconds), default 8. A longer Retry-After is not waited for: the call fails over.
    pub max_backoff: Duration,
    /// `CIRCUIT_BREAKER_*`.
    pub breaker: BreakerPolicy,
    /// `HTTP_RESPONSE_HEADER_TIMEOUT` (seconds), default 600.
    pub head_timeout: Duration,
    /// `HTTP_IDLE_TIMEOUT` (seconds), default 300: longest silence within a reply.
    pub idle_timeout: Duration,
}
