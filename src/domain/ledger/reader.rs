//! Owns: what administration asks of a ledger beside what the calls' path needs.
//! Refuses to know: SQL, and who may ask.

use super::statement::Statement;
use super::store::{Journal, Ledger};
use super::terms::WalletTerms;
use crate::base::{Money, OpId, Result, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;

/// A span of time: `from` included, `to` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// The ledger for administration.
pub trait LedgerReader: Ledger {
    /// The entry that a cold command made, if it was booked.
    fn operation(&self, id: OpId) -> Result<Option<Journal>>;

    /// Accounts of unassigned payments with what is left in them, oldest first.
    fn unassigned(&self) -> Result<Vec<(String, Money)>>;

    /// The wallets whose terms are not the usual ones.
    fn terms(&self) -> Result<HashMap<Arc<str>, WalletTerms>>;

    /// Grants whose day has come and of which something is left: wallet and grant.
    fn expired_grants(&self, now: Timestamp) -> Result<Vec<(Arc<str>, Arc<str>)>>;

    /// A wallet's movements within a span; `None` if there is no such wallet. Reads the journal up to its end.
    fn statement(&self, wallet: &str, span: Span) -> Result<Option<Statement>>;
}
