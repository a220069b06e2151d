//! Floor 2, reconciliation: what a provider bills against what we have booked (ledger law, section 6: R16, R17, R18). Pure: bills
//! and books come in as rows, gaps go out with their evidence and the postings that would close them.
//!
//! Read in this order: `row` (our side), `model_name` (when two names are one), `cell` (both sides of a day, model and key),
//! `classify` (what a difference means), `propose` (what to book), `matching` (all of it).

mod cell;
mod classify;
mod matching;
mod model_name;
mod propose;
mod row;

pub use cell::{Cell, Diff, Scope, Theirs};
pub use classify::GapClass;
pub use matching::{DaysBy, Gap, Reconciliation, Terms, Tolerance, Totals, UnitPrice, match_bill};
pub use propose::Proposal;
pub use row::{Books, ClosedGap, OurRow};

#[cfg(test)]
mod tests;
