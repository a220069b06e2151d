//! Owns: the caller's own mark of a request (`Idempotency-Key`) as the ledger keeps it: which order it became, and its answer.
//! Refuses to know: headers, and what is in an answer (it is sealed).

use super::chain::Hash;
use super::order::{Order, OrderState};
use crate::base::{Money, OrderId, Timestamp};

/// A mark on its way into the ledger, with the reserve that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// SHA-256 of caller, method, path and key: the key itself is not stored.
    pub scope: Hash,
    /// SHA-256 of what was asked.
    pub fingerprint: Hash,
    pub expires_at: Timestamp,
}

/// The sealed answer of a marked request, kept with its settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedAnswer {
    pub scope: Hash,
    pub sealed: Vec<u8>,
}

/// A mark as stored, with how its order stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceRecord {
    pub fingerprint: Hash,
    pub order: OrderId,
    pub state: OrderState,
    pub charge: Option<Money>,
    pub sealed: Option<Vec<u8>>,
}

impl OnceRecord {
    pub fn of(fingerprint: Hash, order: &Order, sealed: Option<Vec<u8>>) -> Self {
        Self { fingerprint, order: order.id, state: order.state, charge: order.charge, sealed }
    }

    pub const fn has_ended(&self) -> bool {
        !self.state.is_open()
    }

    /// Nothing was used and nothing is kept: the same key may try again.
    pub const fn is_free(&self) -> bool {
        matches!(self.state, OrderState::Released) && self.sealed.is_none()
    }
}
