//! Owns: what may go wrong, whose fault it is, whether a retry may help, and what a person is told.
//! Refuses to know: dialects (each writes its own envelope) and where the error happened.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Client,
    Policy,
    Provider,
    Gateway,
}

/// May the same call be tried again?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call will fail the same way.
    Never,
    /// Later, at the same place.
    Later,
    /// Now, at another endpoint; later at this one.
    Elsewhere,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal, $status:literal, $type:literal, $fault:ident, $retry:ident;)+) => {
        /// Every way a call can fail. The table is the single source of code, HTTP status, envelope type, fault and retry.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $kind,)+ }

        impl ErrorKind {
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The stable machine-readable `code` of the error envelope.
            pub const fn code(self) -> &'static str { match self { $(Self::$kind => $code,)+ } }

            /// HTTP status at the door.
            pub const fn status(self) -> u16 { match self { $(Self::$kind => $status,)+ } }

            /// The `type` of the OpenAI error envelope.
            pub const fn envelope_type(self) -> &'static str { match self { $(Self::$kind => $type,)+ } }

            pub const fn fault(self) -> Fault { match self { $(Self::$kind => Fault::$fault,)+ } }

            pub const fn retry(self) -> Retry { match self { $(Self::$kind => Retry::$retry,)+ } }
        }
    };
}

kinds! {
    InvalidJson = "invalid_json", 400, "invalid_request_error", Client, Never;
    InvalidRequest = "invalid_request", 400, "invalid_request_error", Client, Never;
    BodyTooLarge = "body_too_large", 413, "invalid_request_error", Client, Never;
    /// A webhook's message is not signed by who it says it is from, or was signed too long ago.
    InvalidSignature = "invalid_signature", 400, "invalid_request_error", Client, Never;
    MissingKey = "missing_api_key", 401, "authentication_error", Client, Never;
    InvalidKey = "invalid_api_key", 401, "authentication_error", Client, Never;
    KeyRevoked = "key_revoked", 401, "authentication_error", Client, Never;
    KeyExpired = "key_expired", 401, "authentication_error", Client, Never;
    ScopeMissing = "insufficient_scope", 403, "permission_error", Policy, Never;
    ModelDenied = "model_access_denied", 403, "permission_error", Policy, Never;
    UnknownModel = "model_not_found", 404, "invalid_request_error", Client, Never;
    NotFound = "not_found", 404, "not_found_error", Client, Never;
    MethodNotAllowed = "method_not_allowed", 405, "invalid_request_error", Client, Never;
    Conflict = "conflict", 409, "invalid_request_error", Client, Never;
    /// The same `Idempotency-Key` with another request.
    IdempotencyReused = "idempotency_key_reused", 422, "invalid_request_error", Client, Never;
    /// The request with this `Idempotency-Key` has not ended yet.
    IdempotencyRunning = "idempotency_in_progress", 409, "invalid_request_error", Client, Later;
    /// It has ended, and its answer was not kept.
    ReplayUnavailable = "replay_unavailable", 409, "invalid_request_error", Client, Never;
    /// The wallet cannot cover the hold.
    InsufficientFunds = "insufficient_funds", 402, "insufficient_quota", Policy, Never;
    /// A budget or cap is used up; answered as payment required.
    BudgetExceeded = "budget_exceeded", 402, "insufficient_quota", Policy, Later;
    /// The same, where the budget says to answer as a rate limit.
    BudgetRate = "budget_rate_limited", 429, "rate_limit_error", Policy, Later;
    WalletFrozen = "wallet_frozen", 403, "permission_error", Policy, Never;
    /// No price is known and the wallet is prepaid.
    Unpriced = "model_unpriced", 402, "insufficient_quota", Policy, Never;
    /// An operator stopped traffic.
    KillSwitch = "kill_switch", 503, "service_unavailable", Policy, Later;
    /// Reconciliation has found a broken identity of the books: no new call until it is mended.
    LedgerFrozen = "ledger_frozen", 503, "service_unavailable", Gateway, Later;
    /// No endpoint satisfies the mode's or the key's policy.
    NoEndpoint = "no_endpoint", 503, "service_unavailable", Policy, Later;
    /// Every candidate rests: its circuit breaker is open, or it asked for time with `Retry-After`.
    CircuitOpen = "circuit_open", 503, "provider_error", Provider, Later;
    /// The provider answered with an error status; its own body is relayed where the dialects agree.
    ProviderRejected = "provider_rejected", 502, "provider_error", Provider, Elsewhere;
    ProviderRateLimited = "provider_rate_limited", 429, "rate_limit_error", Provider, Elsewhere;
    ProviderUnreachable = "provider_unreachable", 502, "provider_error", Provider, Elsewhere;
    ProviderTimeout = "provider_timeout", 504, "provider_error", Provider, Elsewhere;
    /// The provider answered with something that is not its dialect.
    ProviderInvalidReply = "provider_invalid_reply", 502, "provider_error", Provider, Elsewhere;
    /// The provider's stream ended before its end mark.
    StreamCut = "stream_interrupted", 502, "provider_error", Provider, Never;
    LedgerUnavailable = "ledger_unavailable", 503, "service_unavailable", Gateway, Later;
    /// A known path of a later version, or one switched off here.
    Unsupported = "unsupported", 501, "invalid_request_error", Client, Never;
    Overloaded = "overloaded", 503, "service_unavailable", Gateway, Later;
    ShuttingDown = "shutting_down", 503, "service_unavailable", Gateway, Later;
    /// A setting is wrong: start-up and administration only.
    Configuration = "configuration", 500, "internal_error", Gateway, Never;
    /// The store could not read or write.
    Storage = "storage", 500, "internal_error", Gateway, Later;
    Internal = "internal", 500, "internal_error", Gateway, Never;
}

/// Longer messages are cut.
const MESSAGE_LIMIT_CHARS: usize = 2000;

/// An error as a value. `message` and `param` are public; `cause` goes to the log only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    /// A sentence a user can act on. Never a secret, never an internal path.
    pub message: String,
    /// The request member at fault, where there is one.
    pub param: Option<Cow<'static, str>>,
    pub retry_after: Option<Duration>,
    /// For operators: what lay underneath.
    pub cause: Option<String>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: printable(message.into()), param: None, retry_after: None, cause: None }
    }

    #[must_use]
    pub fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    #[must_use]
    pub fn with_retry_after(mut self, span: Duration) -> Self {
        self.retry_after = Some(span);
        self
    }

    #[must_use]
    pub fn with_cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }
}

/// What is told back may be what a stranger wrote: it is cut where it is long, and does nothing to a terminal.
fn printable(message: String) -> String {
    let unprintable = |letter: char| letter.is_control() && letter != '\n';
    if message.len() <= MESSAGE_LIMIT_CHARS && !message.contains(unprintable) {
        return message;
    }
    let shown =
        message.chars().take(MESSAGE_LIMIT_CHARS).map(|letter| if unprintable(letter) { char::REPLACEMENT_CHARACTER } else { letter });
    let mut shown: String = shown.collect();
    if message.chars().nth(MESSAGE_LIMIT_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_statuses_are_errors() {
        let codes: HashSet<_> = ErrorKind::ALL.iter().map(|k| k.code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert!(ErrorKind::ALL.iter().all(|k| (400..600).contains(&k.status())));
    }

    #[test]
    fn a_message_is_short_and_harmless_whatever_it_quotes() {
        let told = |text: &str| Error::new(ErrorKind::NotFound, text).message;
        assert_eq!(told("there is no 'ünï'\nhere"), "there is no 'ünï'\nhere");
        assert_eq!(told("there is no '\u{1b}[2J'"), "there is no '\u{fffd}[2J'");
        assert_eq!(told(&"ü".repeat(100_000)).chars().count(), MESSAGE_LIMIT_CHARS + 1);
    }
}
