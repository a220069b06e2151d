//! Owns: the tables of an export: which there are, their columns, and what may be asked for. What is in them is enough to prove
//! the ledger again without this program.
//! Refuses to know: how the rows are read and in which form they are written.

use super::anchor::Anchor;
use super::chain::Block;
use crate::base::Result;

/// What is exported. Metadata only: the ledger has neither prompts nor replies.
#[derive(Clone, Debug, Default)]
pub struct ExportQuery {
    /// Only what concerns this wallet, each entry with a proof of its own.
    pub wallet: Option<String>,
    /// From the block of this entry on; what the accounts had before is exported as their opening.
    pub from_seq: i64,
}

/// One file of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    Accounts,
    Wallets,
    PriceSheets,
    Blocks,
    Journal,
    Postings,
    Orders,
}

/// What a column holds. An amount becomes two columns, decimal text and `<name>_nano`; a time ISO 8601 text and `<name>_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Number,
    Text,
    Amount,
    Time,
}

/// One value, of its column's kind.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    Number(Option<i64>),
    Text(Option<&'a str>),
    /// Nano-units.
    Amount(Option<i64>),
    /// Milliseconds since 1970, UTC.
    Time(Option<i64>),
}

impl Cell<'_> {
    pub const fn kind(&self) -> ColumnKind {
        match self {
            Self::Number(_) => ColumnKind::Number,
            Self::Text(_) => ColumnKind::Text,
            Self::Amount(_) => ColumnKind::Amount,
            Self::Time(_) => ColumnKind::Time,
        }
    }
}

impl Table {
    pub const ALL: [Self; 7] =
        [Self::Accounts, Self::Wallets, Self::PriceSheets, Self::Blocks, Self::Journal, Self::Postings, Self::Orders];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Wallets => "wallets",
            Self::PriceSheets => "price_sheets",
            Self::Blocks => "blocks",
            Self::Journal => "journal",
            Self::Postings => "postings",
            Self::Orders => "orders",
        }
    }

    pub const fn columns(self) -> &'static [(&'static str, ColumnKind)] {
        use ColumnKind::{Amount, Number, Text, Time};
        match self {
            Self::Accounts => &[
                ("id", Number),
                ("path", Text),
                ("opening_debits", Amount),
                ("opening_credits", Amount),
                ("debits", Amount),
                ("credits", Amount),
                ("balance", Amount),
            ],
            Self::Wallets => &[("name", Text), ("cash", Number), ("held", Number), ("receivable", Number)],
            Self::PriceSheets => &[("hash", Text), ("sheet", Text)],
            Self::Blocks => {
                &[("n", Number), ("first_seq", Number), ("last_seq", Number), ("prev", Text), ("root", Text), ("hash", Text), ("ts", Time)]
            }
            Self::Journal => &[
                ("seq", Number),
                ("kind", Number),
                ("order", Text),
                ("op", Text),
                ("ts", Time),
                ("payload", Text),
                ("leaf", Text),
                // Where the block is not exported in full: the hashes that lead from the leaf to its root.
                ("proof", Text),
            ],
            Self::Postings => {
                &[("seq", Number), ("line", Number), ("debit", Number), ("credit", Number), ("amount", Amount), ("code", Number)]
            }
            Self::Orders => &[
                ("order", Text),
                ("wallet", Text),
                ("state", Text),
                ("hold", Amount),
                ("charge", Amount),
                ("pass_through", Amount),
                ("fee", Amount),
                ("cost", Amount),
                ("key", Text),
                ("user_path", Text),
                ("operation", Text),
                ("model", Text),
                ("provider", Text),
                ("endpoint", Text),
                ("usage_source", Text),
                // Empty: computed from usage and price.
                ("cost_source", Text),
                ("finish", Text),
                ("reserve_seq", Number),
                ("final_seq", Number),
                ("created_at", Time),
                ("finished_at", Time),
            ],
        }
    }
}

/// Where rows go, as they are read.
pub trait ExportSink {
    /// A row of a table, one cell a column.
    fn row(&mut self, table: Table, cells: &[Cell<'_>]) -> Result<()>;

    /// `entries` of `of` have been looked at.
    fn progress(&mut self, entries: i64, of: i64);
}

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The first entry that was asked for, moved to the beginning of its block.
    pub from_seq: i64,
    /// From here on every entry is exported; those before it come with proofs. Beyond the head if none is without.
    pub complete_from: i64,
    pub head: Block,
    pub anchors: Vec<Anchor>,
}
