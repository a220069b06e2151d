//! Owns: what administration asks of a ledger beside what the calls' path needs.
//! Refuses to know: SQL, and who may ask.

use super::account::Balance;
use super::spend::{Spend, SpendQuery};
use super::statement::Statement;
use super::store::{Journal, Ledger, OrderReceipt};
use super::terms::WalletTerms;
use crate::base::{Money, OpId, OrderId, Result, Timestamp};
use crate::domain::catalog::PinnedPrice;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A span of time: `from` included, `to` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Orders that used something at one endpoint, by id.
#[derive(Clone, Debug)]
pub struct SettledQuery {
    pub endpoint: String,
    /// When they were reserved.
    pub span: Span,
    /// The last order of the page before.
    pub after: Option<OrderId>,
    pub limit: usize,
}

/// The ledger for administration.
pub trait LedgerReader: Ledger {
    /// Is there such a wallet? Unlike its summary, the answer reads none of its orders.
    fn has_wallet(&self, name: &str) -> Result<bool>;

    /// The entry that a cold command made, if it was booked.
    fn operation(&self, id: OpId) -> Result<Option<Journal>>;

    /// Accounts of unassigned payments with what is left in them, oldest first.
    fn unassigned(&self) -> Result<Vec<(String, Money)>>;

    /// What was booked with a payment provider within a time, at most `limit`: money that came in, went back or was paid out.
    fn payments(&self, payment_provider: &str, span: Span, limit: usize) -> Result<Vec<Journal>>;

    /// The wallets whose terms are not the usual ones.
    fn terms(&self) -> Result<HashMap<Arc<str>, WalletTerms>>;

    /// A page of orders that used something.
    fn settled(&self, query: &SettledQuery) -> Result<Vec<OrderReceipt>>;

    /// The sheet with this content hash, in hexadecimal, if an order refers to it.
    fn price_sheet(&self, hash: &str) -> Result<Option<Arc<PinnedPrice>>>;

    /// Those who earn a share on calls, by name: what was credited to each, and what was paid out.
    fn builders(&self) -> Result<Vec<(Arc<str>, Balance)>>;

    /// Grants whose day has come and of which something is left: wallet and grant.
    fn expired_grants(&self, now: Timestamp) -> Result<Vec<(Arc<str>, Arc<str>)>>;

    /// What the calls of a time have come to, by the values of the query's dimensions. Reads every order of that time.
    fn spend(&self, query: &SpendQuery) -> Result<BTreeMap<Vec<String>, Spend>>;

    /// A wallet's movements within a span; `None` if there is no such wallet. Reads the journal up to its end.
    fn statement(&self, wallet: &str, span: Span) -> Result<Option<Statement>>;
}
