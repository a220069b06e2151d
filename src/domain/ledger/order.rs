//! Owns: an order, one settled call, and the states it passes through.
//! Refuses to know: what moves it (decide).

use super::AccountId;
use crate::base::{Money, OrderId, Timestamp};
use std::sync::Arc;

/// `Reserved -> Finalized | Released | Expired (-> LateSettled | Unpriced) | Provisional (-> Finalized) | Unpriced (-> Finalized)`;
/// one that was recovered in error is `Released (-> LateSettled | Unpriced)`.
/// The transition and its postings are one transaction: that transition is the idempotency of settlement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum OrderState {
    #[default]
    Reserved = 0,
    Finalized = 1,
    Released = 2,
    Expired = 3,
    LateSettled = 4,
    /// Settled on estimated usage; a true-up may follow.
    Provisional = 5,
    /// Usage known, price unknown: unknown spend, never free.
    Unpriced = 7,
}

impl OrderState {
    pub const ALL: [Self; 7] =
        [Self::Reserved, Self::Finalized, Self::Released, Self::Expired, Self::LateSettled, Self::Provisional, Self::Unpriced];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Finalized => "finalized",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::LateSettled => "late_settled",
            Self::Provisional => "provisional",
            Self::Unpriced => "unpriced",
        }
    }

    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i64 == number)
    }

    pub const fn is_open(self) -> bool {
        matches!(self, Self::Reserved)
    }
}

/// How the usage of an order became known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The provider's own count.
    Provider,
    /// Counted here from what was sent and received.
    Estimated,
    /// Served from a cache: what a provider would have counted, billed by nobody.
    Cache,
    /// Nothing was used.
    #[default]
    None,
}

/// How the cost of an order became known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostSource {
    /// From usage and the pinned price.
    #[default]
    Computed,
    /// The provider said so, in its reply or its bill.
    Reported,
}

impl CostSource {
    pub fn is_computed(&self) -> bool {
        *self == Self::Computed
    }
}

/// Where a hold was taken from, and where its rest returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HoldSource {
    Cash = 0,
    Receivable = 1,
    /// From several accounts: see `Order::parts`.
    Parts = 2,
}

/// A share of a hold (or, once settled, of a charge) and the account it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Part(pub AccountId, pub i64);

/// A budget's window that an order is counted in: the budget, the window's start, what was taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counted {
    #[serde(rename = "b")]
    pub budget: i64,
    #[serde(rename = "s")]
    pub start_ms: i64,
    /// Held in the window's unit while the order is open.
    #[serde(rename = "h")]
    pub held: i64,
    /// Only because of an endpoint that may serve; the budget keeps nothing if another one does.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    pub by_endpoint: bool,
}

/// An order as projected from the journal. Details (model, usage, attempts, exact amounts) stand in its events' payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub wallet_id: i64,
    pub state: OrderState,
    pub hold: Money,
    pub hold_source: HoldSource,
    /// In the order in which they are spent; empty unless the source is `Parts`.
    pub parts: Vec<Part>,
    pub counted: Vec<Counted>,
    pub charge: Option<Money>,
    pub pass_through: Option<Money>,
    pub fee: Option<Money>,
    pub cost: Option<Money>,
    /// What the charge took beyond the hold (cash and receivable).
    pub overrun: Money,
    /// Whose share is part of the fee, and how much it is.
    pub builder: Option<(Arc<str>, Money)>,
    /// Given back of the charge by refunds so far.
    pub refunded: Money,
    pub provider: Box<str>,
    /// Estimated cost of the input at that provider: booked as loss if the gateway dies in flight.
    pub input_cost: Money,
    pub node: i64,
    pub epoch: i64,
    pub reserve_seq: i64,
    pub final_seq: Option<i64>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

impl Order {
    /// Let go as a dead process's, and neither its call nor its provider has told since what came of it.
    pub fn is_abandoned(&self) -> bool {
        self.state == OrderState::Released && self.cost.is_none()
    }
}
