//! Owns: one entry of the journal: what happened, its postings, and the leaf that seals both.
//! Refuses to know: why it happened (decide) and where it is stored.

use super::chain::{Hash, sha256};
use super::command::{Attempt, Loss};
use super::order::{CostSource, Counted, OrderState, UsageSource};
use super::posting::Posting;
use super::rated::RatedTerms;
use super::terms::Outcome;
use crate::base::{Exact, OpId, OrderId, Timestamp};
use crate::domain::catalog::Usage;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    WalletOpened = 1,
    TopUp = 2,
    /// An account's id now means its path: sealed like everything else, so that nobody can swap two accounts.
    AccountOpened = 3,
    Reserve = 10,
    Finalize = 20,
    LateSettle = 21,
    Release = 30,
    Expire = 31,
    Recover = 32,
    TermsSet = 4,
    WalletFrozen = 5,
    WalletThawed = 6,
    Grant = 7,
    GrantExpired = 8,
    Extend = 11,
    Refund = 40,
    TrueUp = 41,
    CashOut = 42,
    CashOutPaid = 43,
    CashOutFailed = 44,
    Chargeback = 45,
    PaidBack = 46,
    PaymentUnassigned = 60,
    PaymentAssigned = 61,
    Payout = 70,
    Invoice = 71,
    Adjust = 80,
    GapClosed = 81,
}

impl EventKind {
    pub const ALL: [Self; 28] = [
        Self::WalletOpened,
        Self::TopUp,
        Self::AccountOpened,
        Self::Reserve,
        Self::Finalize,
        Self::LateSettle,
        Self::Release,
        Self::Expire,
        Self::Recover,
        Self::TermsSet,
        Self::WalletFrozen,
        Self::WalletThawed,
        Self::Grant,
        Self::GrantExpired,
        Self::Extend,
        Self::Refund,
        Self::TrueUp,
        Self::CashOut,
        Self::CashOutPaid,
        Self::CashOutFailed,
        Self::Chargeback,
        Self::PaidBack,
        Self::PaymentUnassigned,
        Self::PaymentAssigned,
        Self::Payout,
        Self::Invoice,
        Self::Adjust,
        Self::GapClosed,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::WalletOpened => "wallet_opened",
            Self::TopUp => "top_up",
            Self::AccountOpened => "account_opened",
            Self::Reserve => "reserve",
            Self::Finalize => "finalize",
            Self::LateSettle => "late_settle",
            Self::Release => "release",
            Self::Expire => "expire",
            Self::Recover => "recover",
            Self::TermsSet => "terms_set",
            Self::WalletFrozen => "wallet_frozen",
            Self::WalletThawed => "wallet_thawed",
            Self::Grant => "grant",
            Self::GrantExpired => "grant_expired",
            Self::Extend => "extend",
            Self::Refund => "refund",
            Self::TrueUp => "true_up",
            Self::CashOut => "cash_out",
            Self::CashOutPaid => "cash_out_paid",
            Self::CashOutFailed => "cash_out_failed",
            Self::Chargeback => "chargeback",
            Self::PaidBack => "paid_back",
            Self::PaymentUnassigned => "payment_unassigned",
            Self::PaymentAssigned => "payment_assigned",
            Self::Payout => "payout",
            Self::Invoice => "invoice",
            Self::Adjust => "adjust",
            Self::GapClosed => "gap_closed",
        }
    }

    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i64 == number)
    }

    /// Leaves its order at an end.
    pub const fn ends_order(self) -> bool {
        matches!(self, Self::Finalize | Self::LateSettle | Self::Release | Self::Expire | Self::Recover | Self::Refund | Self::TrueUp)
    }

    /// Comes to an order that had an end before.
    pub const fn follows_end(self) -> bool {
        matches!(self, Self::LateSettle | Self::Refund | Self::TrueUp)
    }
}

/// An entry of the journal. Append-only, gapless by `seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub seq: i64,
    pub kind: EventKind,
    pub order: Option<OrderId>,
    pub op: Option<OpId>,
    pub ts: Timestamp,
    /// JSON: the facts that the projections are rebuilt from. Ids and numbers only, never a prompt or a reply.
    pub payload: Vec<u8>,
    pub postings: Vec<Posting>,
}

impl Event {
    const LEAF: u8 = 0x00;
    const VERSION: u8 = 1;

    /// What the payload says. It is checked as text once, and not string by string.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(std::str::from_utf8(&self.payload).map_err(serde::de::Error::custom)?)
    }

    /// SHA-256 over a canonical encoding: 0x00, version, then seq, kind, ts, order, op, postings (fixed width,
    /// big-endian) and the SHA-256 of the payload. The leading byte keeps leaves and inner nodes apart (RFC 6962).
    pub fn leaf(&self) -> Hash {
        let mut bytes = Vec::with_capacity(96 + self.postings.len() * 25);
        bytes.extend([Self::LEAF, Self::VERSION]);
        bytes.extend(self.seq.to_be_bytes());
        bytes.push(self.kind as u8);
        bytes.extend(self.ts.0.to_be_bytes());
        for id in [self.order.map(|id| id.0), self.op.map(|id| id.0)] {
            bytes.push(u8::from(id.is_some()));
            bytes.extend(id.unwrap_or_default());
        }
        bytes.push(u8::try_from(self.postings.len()).unwrap_or(u8::MAX));
        for posting in &self.postings {
            bytes.extend(posting.debit.to_be_bytes());
            bytes.extend(posting.credit.to_be_bytes());
            bytes.extend(posting.amount_nano.to_be_bytes());
            bytes.push(posting.code as u8);
        }
        bytes.extend(sha256(&self.payload));
        sha256(&bytes)
    }
}

/// Payload of an opened account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPayload<'a> {
    pub account: i64,
    #[serde(borrow)]
    pub path: Cow<'a, str>,
}

/// Payload of a reserve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservePayload<'a> {
    #[serde(borrow)]
    pub wallet: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(borrow)]
    pub user_path: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    #[serde(borrow)]
    pub endpoint: Cow<'a, str>,
    #[serde(borrow)]
    pub provider: Cow<'a, str>,
    pub hold_nano: i64,
    /// What the call might have cost at most, where less than that is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_nano: Option<i64>,
    /// Budget windows that count this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<Counted>,
    pub input_cost_nano: i64,
    pub priced: bool,
    pub stream: bool,
    pub expires_at_ms: i64,
    pub node: i64,
    pub epoch: i64,
}

impl ReservePayload<'_> {
    pub fn into_owned(self) -> ReservePayload<'static> {
        ReservePayload {
            wallet: self.wallet.into_owned().into(),
            user_path: self.user_path.into_owned().into(),
            labels: self.labels.into_iter().map(|label| label.into_owned().into()).collect(),
            operation: self.operation.into_owned().into(),
            model: self.model.into_owned().into(),
            endpoint: self.endpoint.into_owned().into(),
            provider: self.provider.into_owned().into(),
            ..self
        }
    }
}

/// Payload of a settlement: enough to compute every amount again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlePayload {
    /// The order's state afterwards.
    pub state: OrderState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Arc<str>>,
    /// Content hash of the price sheet, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// What was made of that price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rated: Option<RatedTerms>,
    #[serde(default)]
    pub usage: Usage,
    pub usage_source: UsageSource,
    /// Exact amounts in nano-units, `num` or `num/den`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_exact: Option<Exact>,
    /// `computed` is left out.
    #[serde(default, skip_serializing_if = "CostSource::is_computed")]
    pub cost_source: CostSource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge_exact: Option<Exact>,
    /// What was charged after all limits; differs from the rounded exact charge only by what was absorbed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge_nano: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_through_nano: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<i64>,
    /// The part of the cost that nobody was charged for, by policy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub loss_nano: i64,
    /// The part of the cost that waits in suspense for the provider's own figures.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suspense_nano: i64,
    /// The builder's share of the fee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<BuilderShare>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub absorbed_nano: i64,
    /// Budgets that held for the order because of an endpoint that did not serve it: nothing is spent in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncounted: Vec<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// Corrections only: attempts that did not serve and whose cost is known by now. It is owed, no longer in suspense.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed: Vec<Loss>,
    /// Corrections only: the entry of the settlement before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows_seq: Option<i64>,
    /// Corrections only: the order as a bill of its day had it when it was closed. The provider's accounts keep these figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billed: Option<Billed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_request_id: Option<Arc<str>>,
    pub finish: String,
    /// How the settlement policy saw the end, where it was not an ordinary one: charge and usage then differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Corrections only: who made it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Arc<str>>,
}

impl SettlePayload {
    /// How an order ended whose gateway died.
    pub const CRASH: &'static str = "crash";

    pub fn has_crashed(&self) -> bool {
        self.finish == Self::CRASH
    }

    /// The provider's own figure of the cost, on whatever key.
    pub fn reported_cost(&self) -> Option<Exact> {
        let unpriced = self.cost_exact.filter(|_| self.cost_source == CostSource::Reported);
        self.rated.as_ref().map_or(unpriced, |rated| rated.reported_cost_exact)
    }
}

/// An order's figures within a closed bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billed {
    pub cost_nano: i64,
    /// The part of it that was in suspense.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suspense_nano: i64,
    pub usage: Usage,
}

/// Who earns a part of the fee, and how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuilderShare {
    pub name: Arc<str>,
    pub amount_nano: i64,
}

/// Payload of a hold that grew, or that stays longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendPayload {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub by_nano: i64,
    pub hold_nano: i64,
    /// The new deadline, where it was put off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
    /// All windows with what they hold for the order from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<Counted>,
}

/// Payload of a grant that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantEndPayload {
    pub wallet: Arc<str>,
    pub grant: Arc<str>,
    pub amount_nano: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(amount: &i64) -> bool {
    *amount == 0
}
