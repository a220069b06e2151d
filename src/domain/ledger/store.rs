//! Owns: what the rest of the house may ask of a ledger, whichever store keeps it.
//! Refuses to know: SQL, threads, files.

use super::chain::Hash;
use super::command::{Attempt, Command, Reply};
use super::event::{EventKind, ReservePayload, SettlePayload};
use super::once::OnceRecord;
use super::order::Order;
use super::posting::PostingCode;
use super::state::WalletKind;
use super::terms::Terms;
use super::verify::Report;
use crate::base::{Error, ErrorKind, Money, OrderId, Result, Timestamp};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// What an acknowledgement survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Power loss: every commit is synced before it is acknowledged.
    Strict,
    /// Power loss for settlements, process death for reserves.
    Hybrid,
    /// Process death only: the system syncs when it likes.
    Relaxed,
}

/// The answer to a submitted command, once it is durable.
pub struct Ticket(oneshot::Receiver<Result<Reply>>);

impl Future for Ticket {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Reply>> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(closed())))
    }
}

impl Ticket {
    /// The ticket, and the end with which a store answers it.
    pub fn new() -> (oneshot::Sender<Result<Reply>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    pub async fn wait(self) -> Result<Reply> {
        self.await
    }

    /// For callers without a runtime (command line, tests).
    pub fn wait_blocking(self) -> Result<Reply> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(closed()))
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::LedgerUnavailable, "the ledger is closed")
}

/// Which entries of the journal to read, oldest first.
#[derive(Clone, Debug, Default)]
pub struct EntryQuery {
    pub wallet: Option<String>,
    pub order: Option<OrderId>,
    pub after_seq: i64,
    pub limit: usize,
}

/// One posting with its accounts by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPosting {
    pub debit: String,
    pub credit: String,
    pub amount: Money,
    pub code: PostingCode,
}

/// One entry of the journal for readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    pub seq: i64,
    pub ts: Timestamp,
    pub kind: EventKind,
    pub order: Option<OrderId>,
    pub op: Option<String>,
    pub payload: Vec<u8>,
    pub postings: Vec<NamedPosting>,
}

/// One order with the facts from its events.
#[derive(Clone, Debug)]
pub struct OrderReceipt {
    pub order: Order,
    pub wallet: Arc<str>,
    pub reserve: ReservePayload<'static>,
    /// `None` while the order is open.
    pub settlement: Option<SettlePayload>,
    /// Noted before dispatch, for an order still open.
    pub dispatched: Vec<Attempt>,
}

/// One wallet for readers. Known spend and its uncertain part are told apart in every total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletSummary {
    pub name: Arc<str>,
    pub kind: WalletKind,
    pub credit_limit: Option<Money>,
    pub frozen: bool,
    pub terms: Arc<Terms>,
    pub cash: Money,
    /// What is left of grants that have not expired.
    pub granted: Money,
    pub grants: Vec<GrantSummary>,
    pub held: Money,
    pub owed: Money,
    /// On its way back to the payer.
    pub paying_out: Money,
    /// `None`: without limit.
    pub available: Option<Money>,
    /// Sum of final charges, less what was refunded of them.
    pub spent_known: Money,
    /// Sum of provisional charges: settled on estimated usage.
    pub spent_provisional: Money,
    /// Served without a price: spend that nobody knows.
    pub unpriced_orders: i64,
    pub open_orders: i64,
}

/// One grant for readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSummary {
    pub name: Arc<str>,
    pub left: Money,
    pub priority: u8,
    pub expires_at: Option<Timestamp>,
}

/// A marked request as the ledger knows it: how its order stands, and the order's facts where they are readable.
pub type Recalled = Option<(OnceRecord, Option<OrderReceipt>)>;

/// A read on the request's way: a store that would block its thread does it on another one.
pub type Read<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// The ledger. Writes are queued and answered when durable; reads see what is committed.
pub trait Ledger: Send + Sync {
    /// Queues a command. A reserve may be refused with `Overloaded`; whatever settles is always taken.
    fn submit(&self, command: Command) -> Ticket;

    /// Which node and epoch this process reserves under.
    fn node(&self) -> (i64, i64);

    fn order(&self, id: OrderId) -> Result<Option<OrderReceipt>>;
    fn wallet(&self, name: &str) -> Result<Option<WalletSummary>>;
    fn wallets(&self) -> Result<Vec<WalletSummary>>;
    fn entries(&self, query: &EntryQuery) -> Result<Vec<Journal>>;

    /// A marked request; `None` if there is none, or if its time is over. What it tells of an order that has ended is as durable as the
    /// answer to its settlement.
    fn once(&self, scope: Hash, now: Timestamp) -> Read<'_, Recalled>;

    /// Open orders of this process whose deadline is at or before `now`. Only it can tell whether a call is still under way, so
    /// that neither a long call nor a clock that jumps ends a hold early.
    fn overdue(&self, now: Timestamp) -> Result<Vec<OrderId>>;

    /// Open orders of processes that are dead, whatever their deadline; and of those that nobody can tell to be dead or alive, if their
    /// deadline has passed and nobody puts it off.
    fn orphans(&self, now: Timestamp) -> Result<Vec<OrderId>>;

    /// Recomputes everything from the first event.
    fn verify(&self) -> Result<Report>;

    /// Answers what is queued, then ends. Later submits are refused.
    fn close(&self);
}
