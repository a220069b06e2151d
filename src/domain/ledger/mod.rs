//! Floor 2, ledger: money facts. `decide` is a pure function of state and command; stores keep what it decides.
//!
//! Read in this order: `account` and `posting` (what money is), `order` (what a call is), `command` (what may be asked),
//! `decide` (what follows), `event`, `chain` and `anchor` (how it is kept honest), `verify` and `export` (how it is proved).

mod account;
mod anchor;
mod chain;
mod command;
mod decide;
mod event;
mod export;
mod order;
mod posting;
mod settle;
mod state;
mod store;
mod verify;

pub use account::{Account, AccountClass, AccountId, AccountPath, Balance};
pub use anchor::{Anchor, AnchorEvidence, AnchorKey};
pub use chain::{Block, Hash, hex, merkle_path, unhex};
pub use command::{Attempt, AttemptOutcome, Command, Loss, Refusal, Reply, Reserve, Settle, TopUp};
pub use decide::decide;
pub use event::{AccountPayload, Event, EventKind, ReservePayload, SettlePayload, WalletPayload};
pub use export::{Cell, ColumnKind, ExportQuery, ExportSink, Exported, Table};
pub use order::{HoldSource, Order, OrderState, UsageSource};
pub use posting::{Posting, PostingCode};
pub use settle::{Amounts, hold_for, settle_amounts};
pub use state::{Needs, OpRecord, State, Wallet, WalletKind, Writes};
pub use store::{Durability, EntryQuery, Journal, Ledger, NamedPosting, OrderReceipt, Ticket, WalletSummary};
pub use verify::{Check, Finding, Report, Verifier};
