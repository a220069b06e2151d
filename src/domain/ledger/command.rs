//! Owns: what may be asked of the ledger, and what it answers.
//! Refuses to know: how the answer is found (decide) and when it is durable (stores).

use super::once::{Once, SealedAnswer};
use super::operation::Operation;
use super::order::{CostSource, OrderState, UsageSource};
use super::rated::Rated;
use super::settle::Amounts;
use super::terms::Outcome;
use crate::base::{Error, ErrorKind, Exact, KeyId, Money, OrderId, Rounding, Timestamp};
use crate::domain::catalog::Usage;
use crate::domain::identity::UserPath;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Everything that changes the ledger.
#[derive(Clone, Debug)]
pub enum Command {
    /// What people and payment providers do: once per business fact.
    Operate(Box<Operation>),
    Reserve(Box<Reserve>),
    /// A stream goes on beyond its hold: up to so much more.
    Extend {
        order: OrderId,
        by: Money,
    },
    /// The call is still under way when its deadline comes: its process lives and keeps the hold until then.
    Renew {
        order: OrderId,
        until: Timestamp,
    },
    /// Attempt 2 and later, before it is sent: a crash must know how many providers may bill.
    Dispatch {
        order: OrderId,
        attempt: Attempt,
    },
    Settle(Box<Settle>),
    /// The hold's deadline has passed, and nobody works on the call any more.
    Expire {
        order: OrderId,
    },
    /// The node that held it is dead.
    Recover {
        order: OrderId,
    },
    /// A grant's day has come: what is left of it goes back.
    ExpireGrant {
        wallet: Arc<str>,
        grant: Arc<str>,
    },
}

/// The durable intent of one call.
#[derive(Clone, Debug)]
pub struct Reserve {
    pub order: OrderId,
    pub wallet: Arc<str>,
    pub key: Option<KeyId>,
    pub user_path: UserPath,
    pub labels: Vec<Arc<str>>,
    pub operation: &'static str,
    /// As requested.
    pub model: Arc<str>,
    /// The first candidate.
    pub endpoint: Arc<str>,
    /// The candidates after it: any of them may serve.
    pub fallbacks: Vec<Arc<str>>,
    pub provider: Arc<str>,
    /// The most this call may be charged; `None` when no price is known.
    pub hold: Option<Money>,
    /// The least that is of use: a smaller hold is taken where the wallet or a budget affords no more. `None`: all or nothing.
    pub least: Option<Money>,
    /// Estimated cost of the input at the first candidate.
    pub input_cost: Money,
    pub stream: bool,
    /// Until when the hold stays without being renewed.
    pub expires_at: Timestamp,
    pub node: i64,
    pub epoch: i64,
    /// The caller's mark: the second request with it is refused.
    pub once: Option<Once>,
}

/// How one attempt at one endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    Dispatched,
    Served,
    /// The provider answered with an error status.
    Rejected,
    /// No connection: nothing was sent.
    Unreachable,
    Timeout,
    /// The connection broke before the reply was whole.
    Broken,
    /// The client left, or the gateway ended the call.
    Abandoned,
}

/// One try at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub n: u32,
    pub endpoint: Arc<str>,
    pub outcome: AttemptOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub started_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_at_ms: Option<i64>,
    pub ended_at_ms: i64,
}

/// What an attempt that did not serve may cost all the same: its provider may have begun before it broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    pub provider: Arc<str>,
    pub cost_nano: i64,
}

/// The end of an order, whatever it was.
#[derive(Clone, Debug)]
pub struct Settle {
    pub order: OrderId,
    /// The endpoint that served; `None` when none did.
    pub endpoint: Option<Arc<str>>,
    pub provider: Option<Arc<str>>,
    pub rated: Option<Rated>,
    pub usage: Usage,
    pub usage_source: UsageSource,
    /// `None` when the price is unknown although something was used.
    pub amounts: Option<Amounts>,
    /// What the provider reports as the cost of a call whose price is unknown.
    pub unpriced_cost: Option<Exact>,
    /// `None`: served to its end, or nothing was used.
    pub outcome: Option<Outcome>,
    /// The part of the cost that the settlement policy leaves with the platform.
    pub loss: Money,
    /// The cost waits in suspense for the provider's own figures.
    pub suspense: bool,
    /// Who earns `amounts.builder`.
    pub builder: Option<Arc<str>>,
    /// Estimated cost of the attempts before the last, one entry a provider: ours, until evidence comes.
    pub losses: Vec<Loss>,
    pub attempts: Vec<Attempt>,
    pub provider_request_id: Option<Arc<str>>,
    pub finish: &'static str,
    /// The answer to a marked request, where it is kept.
    pub answer: Option<SealedAnswer>,
}

impl Settle {
    /// `None`: used, and nobody knows at what price. What was not used costs nothing at any.
    pub fn given(&self) -> Option<Amounts> {
        self.amounts.or((self.usage_source == UsageSource::None).then_some(Amounts::ZERO))
    }

    /// Ours, before it is rounded; `None`: nobody knows it.
    pub fn cost_exact(&self) -> Option<Exact> {
        self.amounts.map(|amounts| amounts.cost_exact).or(self.unpriced_cost).or(self.given().map(|none| none.cost_exact))
    }

    pub fn cost(&self) -> Option<Money> {
        match (self.amounts, self.unpriced_cost) {
            (None, Some(cost)) => cost.round(Rounding::HalfEven),
            (Some(_), _) | (None, None) => self.given().map(|amounts| amounts.cost),
        }
    }

    pub fn cost_source(&self) -> CostSource {
        match (&self.rated, self.amounts, self.unpriced_cost) {
            (Some(rated), ..) => rated.cost_source(),
            (None, None, Some(_)) => CostSource::Reported,
            (None, ..) => CostSource::Computed,
        }
    }
}

/// Why the ledger says no. A refused reserve leaves nothing in the ledger: the call's record tells of it, and a new try has a new id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    UnknownWallet,
    Frozen,
    InsufficientFunds {
        available: Money,
        hold: Money,
    },
    OverCreditLimit {
        owed: Money,
        limit: Money,
        hold: Money,
    },
    /// An earlier call ran over and is not paid yet.
    Indebted {
        owed: Money,
    },
    /// A budget's window is used up.
    OverBudget(Box<OverBudget>),
    /// The caller's mark is taken: another request with it was faster.
    Repeated,
    /// Prepaid wallets pay for nothing whose price is unknown.
    Unpriced,
    UnknownOrder,
    UnknownGrant,
    /// The order is open, or was never charged.
    NotCharged,
    /// More than is left of it: of a charge to refund, of a wallet to pay out.
    Exceeds {
        left: Money,
    },
    /// An account that no correction may touch, or that does not exist.
    BadAccount,
    /// The same id with other content.
    Conflict,
    TooLarge,
}

/// Which budget says no, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverBudget {
    pub name: Arc<str>,
    /// With its unit, as text.
    pub cap: String,
    pub left: String,
    pub status: u16,
    pub resets_at: Timestamp,
    pub now: Timestamp,
}

impl Refusal {
    /// What the caller is told.
    pub fn to_error(&self, subject: &str) -> Error {
        let (kind, message) = match self {
            Self::OverBudget(over) => return over.to_error(),
            Self::UnknownWallet => {
                (ErrorKind::NotFound, format!("there is no wallet '{subject}'; make one with `gotoai wallet create {subject}`"))
            }
            Self::Frozen => (ErrorKind::WalletFrozen, format!("wallet '{subject}' is frozen")),
            Self::InsufficientFunds { available, hold } => (
                ErrorKind::InsufficientFunds,
                format!(
                    "this call may cost up to {hold} USD and wallet '{subject}' has {available} USD available; lower max_tokens or top it up"
                ),
            ),
            Self::OverCreditLimit { owed, limit, hold } => (
                ErrorKind::InsufficientFunds,
                format!("this call may cost up to {hold} USD and wallet '{subject}' owes {owed} USD of its credit limit of {limit} USD"),
            ),
            Self::Indebted { owed } => {
                (ErrorKind::InsufficientFunds, format!("wallet '{subject}' owes {owed} USD from an earlier call; top it up first"))
            }
            Self::Unpriced => (
                ErrorKind::Unpriced,
                format!(
                    "no price is known for this model, and the prepaid wallet '{subject}' pays only for what is priced; set models[].price in the settings"
                ),
            ),
            Self::Repeated => (
                ErrorKind::IdempotencyRunning,
                "another request with this Idempotency-Key was faster; ask again in a moment for its answer".to_owned(),
            ),
            Self::UnknownOrder => (ErrorKind::NotFound, format!("there is no order '{subject}'")),
            Self::UnknownGrant => (ErrorKind::NotFound, format!("there is no such grant in wallet '{subject}'")),
            Self::NotCharged => (ErrorKind::Conflict, format!("'{subject}' has no charge to correct: it is open, or was never charged")),
            Self::Exceeds { left } => (ErrorKind::InvalidRequest, format!("that is more than is left of '{subject}': {left} USD")),
            Self::BadAccount => (
                ErrorKind::InvalidRequest,
                "a correction moves money between two different accounts that exist, and none of them may be a wallet's held account"
                    .to_owned(),
            ),
            Self::Conflict => (ErrorKind::Conflict, format!("'{subject}' was already recorded with other content")),
            Self::TooLarge => (ErrorKind::InvalidRequest, "the amount is beyond what the ledger can hold".to_owned()),
        };
        Error::new(kind, message)
    }

    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownWallet => "unknown_wallet",
            Self::Frozen => "frozen",
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::OverCreditLimit { .. } => "over_credit_limit",
            Self::Indebted { .. } => "indebted",
            Self::Unpriced => "unpriced",
            Self::OverBudget(_) => "over_budget",
            Self::Repeated => "repeated",
            Self::UnknownOrder => "unknown_order",
            Self::UnknownGrant => "unknown_grant",
            Self::NotCharged => "not_charged",
            Self::Exceeds { .. } => "exceeds",
            Self::BadAccount => "bad_account",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
        }
    }
}

impl OverBudget {
    fn to_error(&self) -> Error {
        let kind = if self.status == 429 { ErrorKind::BudgetRate } else { ErrorKind::BudgetExceeded };
        let (name, cap, left) = (&self.name, &self.cap, &self.left);
        let lasting = self.resets_at.0 == i64::MAX;
        let until = if lasting { "it does not reset".to_owned() } else { format!("it resets at {}", self.resets_at) };
        let error = Error::new(kind, format!("budget '{name}' allows {cap} and {left} are left for this call; {until}"));
        let wait_ms = u64::try_from(self.resets_at.0.saturating_sub(self.now.0)).unwrap_or(0);
        if lasting { error } else { error.with_retry_after(Duration::from_millis(wait_ms)) }
    }
}

/// The answer to a command, given only once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done (wallet opened, money in, attempt noted); `duplicate` when it had been done before.
    Done {
        seq: i64,
        duplicate: bool,
    },
    /// What is held for the order now; less than was asked where the reserve allowed it.
    Held {
        hold: Money,
    },
    /// The order's state after the command, and what was charged. `duplicate`: it had been settled before.
    Settled {
        state: OrderState,
        charge: Option<Money>,
        duplicate: bool,
    },
    Refused(Refusal),
}
