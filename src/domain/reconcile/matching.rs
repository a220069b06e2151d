//! Owns: a reconciliation from end to end: terms in, gaps with evidence and proposals out, totals of both sides.
//! Refuses to know: where bills and books come from, and who accepts a proposal.

use super::cell::{Cell, Diff, Scope, Theirs, cells};
use super::classify::{Counted, GapClass, billed_nano, classify};
use super::propose::{Proposal, propose};
use super::row::{ClosedGap, OurRow};
use crate::base::{Date, Exact, Money, Ratio, Rounding};
use crate::protocol::billing::{BillRow, Counter, Counts, LineKind};
use aws_lc_rs::digest::{SHA256, digest};
use std::collections::BTreeMap;
use std::fmt::Write;

/// How far a cost may be off. Tokens have no tolerance.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Of what is billed.
    pub share: Ratio,
    /// At least so much.
    pub floor: Money,
}

impl Default for Tolerance {
    /// R17: the larger of 0.5 % and $0.01.
    fn default() -> Self {
        Self { share: Ratio { num: 5, den: 1000 }, floor: Money::nano(10_000_000) }
    }
}

impl Tolerance {
    pub(super) fn allows(&self, billed_nano: i128, ours_nano: i128) -> bool {
        let off = (billed_nano - ours_nano).abs();
        off <= i128::from(self.floor.as_nano()) || off * i128::from(self.share.den) <= billed_nano.abs() * i128::from(self.share.num)
    }
}

/// What is matched, and how names of the bill translate.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The provider by our name.
    pub provider: String,
    /// First and last day. Both are over: a bucket that still fills cannot be matched.
    pub from: Date,
    pub to: Date,
    pub tolerance: Tolerance,
    /// The bill's keys (or projects, workspaces, accounts) to the ids of ours. Empty: keys are not told apart.
    pub key_map: BTreeMap<String, String>,
    /// Names of models that the rules do not bring together, the bill's to ours.
    pub model_map: BTreeMap<String, String>,
}

impl Terms {
    pub(super) fn our_key(&self, row: &BillRow) -> Option<&str> {
        [&row.key, &row.group].into_iter().flatten().find_map(|key| self.key_map.get(key)).map(String::as_str)
    }

    pub(super) fn our_model<'a>(&'a self, model: &'a str) -> &'a str {
        self.model_map.get(model).map_or(model, String::as_str)
    }

    fn covers(&self, day: Date) -> bool {
        (self.from..=self.to).contains(&day)
    }
}

/// What a million tokens cost by the bill, and what we booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitPrice {
    /// `None`: all tokens together.
    pub counter: Option<Counter>,
    pub theirs: Money,
    /// `None`: our cost is not kept by the kind of token.
    pub ours: Option<Money>,
}

/// One difference with its evidence.
#[derive(Clone, Debug)]
pub struct Gap {
    /// The same figures give the same id, so that a gap is booked once.
    pub id: String,
    pub class: GapClass,
    pub beyond_tolerance: bool,
    pub day: Date,
    pub model: Option<String>,
    pub key: Option<String>,
    pub theirs: Theirs,
    pub ours: OurRow,
    pub counts: Vec<Diff>,
    pub unit_prices: Vec<UnitPrice>,
    pub proposals: Vec<Proposal>,
    pub scope: Scope,
    /// What closing it explains: counts of the bill beyond our orders.
    pub explains: BTreeMap<Counter, i64>,
    /// The bill says what it costs, or another cell of the same day does: it can be closed.
    pub costed: bool,
}

/// By which of their days calls are compared that crossed midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaysBy {
    Start,
    End,
}

impl DaysBy {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
        }
    }
}

/// Both sides in sums.
#[derive(Clone, Debug)]
pub struct Totals {
    pub theirs: Theirs,
    /// Costs as they are compared: each cell rounded once.
    pub billed_nano: i128,
    /// Taxes: on the bill, but no cost of calls.
    pub tax: Exact,
    pub ours: OurRow,
}

/// The result.
#[derive(Clone, Debug)]
pub struct Reconciliation {
    pub gaps: Vec<Gap>,
    /// Cells compared, and those in which both sides agree.
    pub cells: usize,
    pub matched: usize,
    /// Whether keys were told apart.
    pub keyed: bool,
    pub days_by: DaysBy,
    /// Rows of the bill outside the days.
    pub left_out: u64,
    pub totals: Totals,
}

/// Compares a bill with our books. Calls that crossed midnight are taken by the day of their start, or all of them by that of their
/// end where that leaves fewer gaps: providers do the one or the other. `None`: a sum is beyond 128 bits.
pub fn match_bill(bill: &[BillRow], ours: &[OurRow], closed: &[ClosedGap], terms: &Terms) -> Option<Reconciliation> {
    let by_start = compare(bill, ours, closed, terms)?;
    if by_start.gaps.is_empty() || ours.iter().all(|row| row.day == row.ended) {
        return Some(by_start);
    }
    let ended: Vec<OurRow> = ours.iter().map(|row| OurRow { day: row.ended, ..row.clone() }).collect();
    let by_end = compare(bill, &ended, closed, terms)?;
    let open = |done: &Reconciliation| (done.gaps.iter().filter(|gap| gap.beyond_tolerance).count(), done.gaps.len());
    Some(if open(&by_end) < open(&by_start) { Reconciliation { days_by: DaysBy::End, ..by_end } } else { by_start })
}

fn compare(bill: &[BillRow], ours: &[OurRow], closed: &[ClosedGap], terms: &Terms) -> Option<Reconciliation> {
    let in_days: Vec<&BillRow> = bill.iter().filter(|row| terms.covers(row.day)).collect();
    let left_out = u64::try_from(bill.len() - in_days.len()).unwrap_or(u64::MAX);
    let (taxes, rows): (Vec<&BillRow>, Vec<&BillRow>) = in_days.into_iter().partition(|row| row.kind == LineKind::Tax);
    let ours: Vec<&OurRow> = ours.iter().filter(|row| terms.covers(row.day)).collect();
    let closed: Vec<&ClosedGap> = closed.iter().filter(|gap| terms.covers(gap.day)).collect();
    let (cells, keyed) = cells(&rows, &ours, &closed, terms)?;
    let mut gaps = Vec::new();
    for cell in &cells {
        if let Some((class, beyond_tolerance)) = classify(cell, &terms.tolerance) {
            gaps.push(gap(cell, class, beyond_tolerance, &terms.provider)?);
        }
    }
    let tax = taxes.iter().filter_map(|row| row.cost).try_fold(Exact::ZERO, Exact::checked_add)?;
    let totals = totals(&cells, &ours, &closed, tax, terms)?;
    Some(Reconciliation { matched: cells.len() - gaps.len(), cells: cells.len(), gaps, keyed, days_by: DaysBy::Start, left_out, totals })
}

fn gap(cell: &Cell, class: GapClass, beyond_tolerance: bool, provider: &str) -> Option<Gap> {
    let id = gap_id(cell, class, provider);
    let proposals = propose(provider, &id, cell, class)?;
    Some(Gap {
        id,
        class,
        beyond_tolerance,
        day: cell.day,
        model: cell.model.clone(),
        key: cell.key.clone(),
        theirs: cell.theirs.clone(),
        ours: cell.ours.clone(),
        counts: cell.counts(),
        unit_prices: unit_prices(cell),
        proposals,
        scope: cell.scope.clone(),
        explains: cell.unexplained(),
        costed: billed_nano(cell).is_some() || !cell.settles,
    })
}

/// A hash of what the gap is about and of the figures on both sides. It is kept for ever with what closed the gap: names, order and units
/// must not change.
fn gap_id(cell: &Cell, class: GapClass, provider: &str) -> String {
    let (theirs, ours) = (&cell.theirs, &cell.ours);
    let counts = |counts: &Counts| counts.iter().map(|(counter, count)| (counter.name(), *count)).collect::<BTreeMap<_, _>>();
    let (scope, name) = match &cell.scope {
        Scope::Model(name) => ("model", Some(name)),
        Scope::Day => ("day", None),
        Scope::Line(text) => ("line", Some(text)),
    };
    let explained: BTreeMap<_, _> = ours.explained.iter().map(|(counter, count)| (counter.name(), *count)).collect();
    let text = serde_json::json!([
        "gap 3",
        provider,
        cell.day.to_string(),
        scope,
        name,
        cell.key,
        class.name(),
        theirs.requests,
        counts(&theirs.usage),
        theirs.cost.map(|cost| cost.to_string()),
        ours.orders,
        counts(&ours.usage),
        explained,
        ours.cost_nano.to_string(),
        ours.provisional_nano.to_string(),
        ours.failover_nano.to_string(),
        ours.crash_nano.to_string(),
        ours.estimate_nano.to_string(),
    ])
    .to_string();
    let mut id = String::from("gap_");
    for byte in &digest(&SHA256, text.as_bytes()).as_ref()[..16] {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// What the bill's cost is by the million, where counts agree or where it has a line for each kind of token.
fn unit_prices(cell: &Cell) -> Vec<UnitPrice> {
    let per_million = |cost: Exact, count: u64| cost.checked_mul(1_000_000, count.into()).and_then(|price| price.round(Rounding::HalfEven));
    let mut prices = Vec::new();
    let tokens: u64 =
        cell.theirs.usage.iter().filter(|(counter, _)| counter.is_token()).map(|(_, count)| *count).fold(0, u64::saturating_add);
    let ours = Exact::new(cell.ours.cost_nano, 1);
    if Counted::of(cell) == Counted::Equal
        && let (Some(theirs), Some(ours)) = (cell.theirs.cost, ours)
        && let (Some(theirs), Some(ours)) = (per_million(theirs, tokens), per_million(ours, tokens))
    {
        prices.push(UnitPrice { counter: None, theirs, ours: Some(ours) });
    }
    for (counter, cost) in &cell.theirs.charged {
        let count = cell.theirs.usage.get(counter).copied().unwrap_or(0);
        prices.extend(per_million(*cost, count).map(|theirs| UnitPrice { counter: Some(*counter), theirs, ours: None }));
    }
    prices
}

/// Sums over the cells that are compared once: a day's own cell repeats what its models' cells have.
fn totals(cells: &[Cell], ours: &[&OurRow], closed: &[&ClosedGap], tax: Exact, terms: &Terms) -> Option<Totals> {
    let mut theirs = Theirs::default();
    let mut billed = 0;
    for cell in cells {
        let repeats = cell.scope == Scope::Day && cells.iter().any(|other| other.day == cell.day && !other.settles);
        if !repeats {
            theirs.rows += cell.theirs.rows;
            if let Some(requests) = cell.theirs.requests {
                theirs.requests = Some(theirs.requests.unwrap_or(0).saturating_add(requests));
            }
            for (counter, count) in &cell.theirs.usage {
                let sum = theirs.usage.entry(*counter).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        if let Some(cost) = cell.theirs.cost.filter(|_| cell.settles) {
            theirs.cost = Some(theirs.cost.unwrap_or(Exact::ZERO).checked_add(cost)?);
        }
        billed += billed_nano(cell).unwrap_or(0);
    }
    let mut sum = OurRow::new(terms.from, String::new(), None);
    for row in ours {
        sum.add(row);
    }
    for gap in closed {
        sum.close(gap);
    }
    Some(Totals { theirs, billed_nano: billed, tax, ours: sum })
}
