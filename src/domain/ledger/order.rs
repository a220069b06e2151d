//! Owns: an order, one settled call, and the states it passes through.
//! Refuses to know: what moves it (decide).

use crate::base::{Money, OrderId, Timestamp};

/// `Reserved -> Finalized | Released | Expired (-> LateSettled | Unpriced) | Provisional (-> Finalized) | Unpriced`. The
/// transition and its postings are one transaction: that transition is the idempotency of settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OrderState {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The provider's own count.
    Provider,
    /// Counted here from what was sent and received.
    Estimated,
    /// Nothing was used.
    None,
}

/// Where a hold was taken from, and where its rest returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HoldSource {
    Cash = 0,
    Receivable = 1,
}

/// An order as projected from the journal. Details (model, usage, attempts, exact amounts) stand in its events' payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub wallet_id: i64,
    pub state: OrderState,
    pub hold: Money,
    pub hold_source: HoldSource,
    pub charge: Option<Money>,
    pub pass_through: Option<Money>,
    pub fee: Option<Money>,
    pub cost: Option<Money>,
    /// What the charge took beyond the hold (cash and receivable).
    pub overrun: Money,
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
