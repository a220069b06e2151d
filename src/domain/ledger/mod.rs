//! Floor 2, ledger: money facts. `decide` is a pure function of state and command; stores keep what it decides.
//!
//! Read in this order: `account` and `posting` (what money is), `order` (what a call is), `command` and `operation` (what may be asked),
//! `decide` (what follows), `event` and `chain` (how it is kept honest), `verify` (how it is proved).

mod account;
mod chain;
mod command;
mod decide;
mod event;
mod operation;
mod order;
mod posting;
mod settle;
mod state;
mod store;
mod terms;
mod verify;

pub use account::{Account, AccountClass, AccountId, AccountPath, Balance};
pub use chain::{Block, Hash, hex};
pub use command::{Attempt, AttemptOutcome, Command, Loss, OverBudget, Refusal, Reply, Reserve, Settle};
pub use decide::{decide, project};
pub use event::{AccountPayload, BuilderShare, Event, EventKind, ExtendPayload, GrantEndPayload, ReservePayload, SettlePayload};
pub use operation::{
    Action, Adjust, GrantMoney, Invoice, OpenWallet, Operated, Operation, Payment, Payout, Refund, SetTerms, TopUp, TrueUp, WalletName,
};
pub use order::{Counted, HoldSource, Order, OrderState, Part, UsageSource};
pub use posting::{Posting, PostingCode};
pub use settle::{Amounts, Rated, RatedTerms, hold_for, settle_amounts};
pub use state::{BudgetAlert, Grant, Needs, OpRecord, State, Wallet, WalletKind, WindowId, Writes};
pub use store::{Durability, EntryQuery, Journal, Ledger, NamedPosting, OrderReceipt, Ticket, WalletSummary};
pub use terms::{Borne, ChargeFor, CostTo, FeeFor, HoldPolicy, Legs, Outcome, SettlementPolicy, Terms};
pub use verify::{Check, Compensation, Finding, Remedy, Report, Severity, Subject, Verifier};
