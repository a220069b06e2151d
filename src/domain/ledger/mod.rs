//! Floor 2, ledger: money facts. `decide` is a pure function of state and command; stores keep what it decides.
//!
//! Read in this order: `account` and `posting` (what money is), `order` (what a call is), `command` and `operation` (what may be asked),
//! `decide` (what follows), `event`, `chain` and `anchor` (how it is kept honest), `verify` and `export` (how it is proved).

mod account;
mod anchor;
mod chain;
mod command;
mod decide;
mod event;
mod export;
mod once;
mod operation;
mod order;
mod posting;
mod rated;
mod reader;
mod settle;
mod spend;
mod state;
mod statement;
mod store;
mod terms;
mod verify;

pub use account::{Account, AccountClass, AccountId, AccountPath, Balance};
pub use anchor::{Anchor, AnchorEvidence, AnchorKey};
pub use chain::{Block, Hash, hex, merkle_path, unhex};
pub use command::{Attempt, AttemptOutcome, Command, Loss, OverBudget, Refusal, Reply, Reserve, Settle};
pub use decide::{corrected_charge, decide, project};
pub use event::{AccountPayload, Billed, BuilderShare, Event, EventKind, ExtendPayload, GrantEndPayload, ReservePayload, SettlePayload};
pub use export::{Cell, ColumnKind, ExportQuery, ExportSink, Exported, Table};
pub use once::{Once, OnceRecord, SealedAnswer};
pub use operation::{
    Action, Adjust, Agreed, AssignPayment, CloseGap, Follows, GrantMoney, Invoice, Move, OpenWallet, Operated, Operation, Payment, Payout,
    Refund, SetTerms, TopUp, TrueUp, UnassignedPayment, WalletName,
};
pub use order::{CostSource, Counted, HoldSource, Order, OrderState, Part, UsageSource};
pub use posting::{Posting, PostingCode};
pub use rated::{Rated, RatedTerms};
pub use reader::{LedgerReader, SettledQuery, Span};
pub use settle::{Amounts, hold_for, own_key_amounts, own_key_hold_for, settle_amounts};
pub use spend::{Dimension, Spend, SpendQuery};
pub use state::{BudgetAlert, Grant, Needs, OpRecord, State, Wallet, WalletKind, WindowId, Writes};
pub use statement::{Statement, UsageLine, When};
pub use store::{Durability, EntryQuery, GrantSummary, Journal, Ledger, NamedPosting, OrderReceipt, Read, Recalled, Ticket, WalletSummary};
pub use terms::{Borne, ChargeFor, CostTo, FeeFor, HoldPolicy, Legs, Outcome, SettlementPolicy, Terms, WalletTerms};
pub use verify::{Check, Compensation, Finding, Remedy, Report, Severity, Subject, Verifier};
