//! Owns: both sides of one day, model and key, and how the bill's grouping decides what a cell is.
//! Refuses to know: what a difference means.

use super::matching::Terms;
use super::model_name::model_key;
use super::row::{ClosedGap, OurRow};
use crate::base::{Date, Exact};
use crate::protocol::billing::{BillRow, Counter, Counts, LineKind};
use std::collections::{BTreeMap, BTreeSet};

/// What a cell is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One model, by its key; the name for people stands in the cell.
    Model(String),
    /// All models of the day: the bill does not tell them apart.
    Day,
    /// A line of the bill that is no model, by its text.
    Line(String),
}

/// A bill's side of a cell.
#[derive(Clone, Debug, Default)]
pub struct Theirs {
    /// Rows that say something of it; 0: the bill does not name it.
    pub rows: u64,
    /// `None`: not counted in this bill.
    pub requests: Option<u64>,
    pub usage: Counts,
    /// `None`: this bill does not say.
    pub cost: Option<Exact>,
    /// The cost by what it is for, where the bill has a line for each.
    pub charged: BTreeMap<Counter, Exact>,
}

/// One comparison unit.
#[derive(Clone, Debug)]
pub struct Cell {
    pub day: Date,
    pub scope: Scope,
    /// For people: our name, else theirs. `None` for a whole day.
    pub model: Option<String>,
    /// Our key's id, or the bill's key that is none of ours.
    pub key: Option<String>,
    pub theirs: Theirs,
    pub ours: OurRow,
    /// The cost of this day is compared here (and not in another cell of the same day).
    pub settles: bool,
}

/// One counter on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diff {
    pub counter: Counter,
    pub theirs: u64,
    pub ours: u64,
}

impl Cell {
    /// Our counts as this bill would show them: what it does not count apart is counted in the wider counter. Counters that the bill
    /// does not have at all are left out.
    pub fn counts(&self) -> Vec<Diff> {
        let mut ours: BTreeMap<Counter, i128> = self.theirs.usage.keys().map(|counter| (*counter, 0)).collect();
        let used = self.ours.usage.iter().map(|(counter, count)| (*counter, i128::from(*count)));
        let explained = self.ours.explained.iter().map(|(counter, count)| (*counter, i128::from(*count)));
        for (counter, count) in used.chain(explained) {
            let mut place = Some(counter);
            while let Some(wider) = place.filter(|place| !ours.contains_key(place)) {
                place = wider.within();
            }
            if let Some(sum) = place.and_then(|place| ours.get_mut(&place)) {
                *sum += count;
            }
        }
        let booked = |counter| u64::try_from(ours.get(counter).copied().unwrap_or(0).max(0)).unwrap_or(u64::MAX);
        let pairs = self.theirs.usage.iter().map(|(counter, count)| (*counter, *count, booked(counter)));
        pairs.map(|(counter, theirs, ours)| Diff { counter, theirs, ours }).collect()
    }

    /// What the bill counts beyond our orders, or (negative) does not: what closing the gap explains.
    pub(super) fn unexplained(&self) -> BTreeMap<Counter, i64> {
        let difference = |theirs: u64, ours: u64| i64::try_from(i128::from(theirs) - i128::from(ours)).unwrap_or(i64::MAX);
        if self.theirs.rows > 0 {
            let counts = self.counts().into_iter().map(|diff| (diff.counter, difference(diff.theirs, diff.ours)));
            return counts.filter(|(_, count)| *count != 0).collect();
        }
        // The bill names none of it.
        let ours = self.ours.usage.iter().filter(|(counter, _)| self.ours.uses(**counter));
        let left = |counter, used| difference(0, used) - self.ours.explained.get(counter).copied().unwrap_or(0);
        ours.map(|(counter, used)| (*counter, left(counter, *used))).collect()
    }
}

/// What the bill as a whole can be asked.
struct Grouping {
    keyed: bool,
    /// Days whose counts, or whose costs, the bill does not split by model.
    whole_counts: BTreeSet<Date>,
    whole_costs: BTreeSet<Date>,
    /// From the first to the last day that has counts, or costs.
    counted: Option<(Date, Date)>,
    costed: Option<(Date, Date)>,
}

fn span(days: impl Iterator<Item = Date> + Clone) -> Option<(Date, Date)> {
    days.clone().min().zip(days.max())
}

fn within(span: Option<(Date, Date)>, day: Date) -> bool {
    span.is_some_and(|(first, last)| (first..=last).contains(&day))
}

impl Grouping {
    fn of(rows: &[&BillRow], terms: &Terms) -> Self {
        let usage = |row: &&&BillRow| row.kind == LineKind::Usage;
        let counts = || rows.iter().filter(usage).filter(|row| !row.usage.is_empty());
        let costs = || rows.iter().filter(|row| row.cost.is_some());
        let mapped = |row: &&&BillRow| terms.our_key(row).is_some();
        // Keys are told apart only where the map speaks of both halves of the bill.
        let keyed =
            [counts().any(|row| mapped(&row)) || counts().next().is_none(), costs().any(|row| mapped(&row)) || costs().next().is_none()];
        Self {
            keyed: !terms.key_map.is_empty() && !rows.is_empty() && keyed == [true, true],
            whole_counts: counts().filter(|row| row.model.is_none()).map(|row| row.day).collect(),
            whole_costs: costs().filter(usage).filter(|row| row.model.is_none()).map(|row| row.day).collect(),
            counted: span(counts().map(|row| row.day)),
            costed: span(costs().map(|row| row.day)),
        }
    }

    /// Where a row, or our side, of this day and model belongs: its cell, and the cell of the whole day where costs are compared there.
    fn scopes(&self, day: Date, model: &str) -> (Scope, Option<Scope>) {
        let costs_by_day = self.whole_costs.contains(&day);
        if self.whole_counts.contains(&day) || (costs_by_day && !within(self.counted, day)) {
            return (Scope::Day, None);
        }
        (Scope::Model(model_key(model)), costs_by_day.then_some(Scope::Day))
    }

    fn scopes_of(&self, row: &BillRow, terms: &Terms) -> Vec<Scope> {
        match (&row.model, row.kind) {
            (None, LineKind::Usage) => vec![Scope::Day],
            (None, LineKind::Tool | LineKind::Credit | LineKind::Tax) => {
                vec![Scope::Line(row.line.clone().unwrap_or_else(|| row.kind.name().to_owned()))]
            }
            (Some(model), _) => {
                let (scope, day) = self.scopes(row.day, terms.our_model(model));
                [Some(scope), day].into_iter().flatten().collect()
            }
        }
    }
}

/// Names of cells in the order of the report.
type Place = (Date, Scope, Option<String>);

/// The cells of a bill and our rows, all within the terms' days, and whether keys are told apart.
pub(super) fn cells(bill: &[&BillRow], ours: &[&OurRow], closed: &[&ClosedGap], terms: &Terms) -> Option<(Vec<Cell>, bool)> {
    let grouping = Grouping::of(bill, terms);
    let mut cells: BTreeMap<Place, Cell> = BTreeMap::new();
    let our_key = |key: &Option<String>| if grouping.keyed { key.clone() } else { None };
    for row in ours {
        let (scope, day) = grouping.scopes(row.day, &row.model);
        for scope in [Some(scope), day].into_iter().flatten() {
            let cell = find(&mut cells, (row.day, scope, our_key(&row.key)), Some(&row.model));
            cell.ours.add(row);
        }
    }
    for gap in closed {
        let name = match &gap.scope {
            Scope::Model(name) | Scope::Line(name) => Some(name.as_str()),
            Scope::Day => None,
        };
        find(&mut cells, (gap.day, gap.scope.clone(), our_key(&gap.key)), name).ours.close(gap);
    }
    for row in bill {
        for scope in grouping.scopes_of(row, terms) {
            let key = if grouping.keyed {
                terms.our_key(row).map(str::to_owned).or_else(|| row.key.clone().or_else(|| row.group.clone()))
            } else {
                None
            };
            let name = row.model.as_deref().map(|model| terms.our_model(model)).or(row.line.as_deref());
            let cell = find(&mut cells, (row.day, scope, key), name);
            take(&mut cell.theirs, row)?;
        }
    }
    let cells = cells.into_values().map(|mut cell| {
        weigh(&mut cell, &grouping);
        cell
    });
    Some((cells.collect(), grouping.keyed))
}

fn find<'a>(cells: &'a mut BTreeMap<Place, Cell>, place: Place, name: Option<&str>) -> &'a mut Cell {
    cells.entry(place.clone()).or_insert_with(|| {
        let (day, scope, key) = place;
        let model = if scope == Scope::Day { None } else { name.map(str::to_owned) };
        let ours = OurRow::new(day, model.clone().unwrap_or_default(), key.clone());
        Cell { day, scope, model, key, theirs: Theirs::default(), ours, settles: true }
    })
}

/// `None`: the sum is beyond 128 bits.
fn take(theirs: &mut Theirs, row: &BillRow) -> Option<()> {
    theirs.rows += 1;
    if let Some(requests) = row.requests {
        theirs.requests = Some(theirs.requests.unwrap_or(0).saturating_add(requests));
    }
    for (counter, count) in &row.usage {
        let sum = theirs.usage.entry(*counter).or_default();
        *sum = sum.saturating_add(*count);
    }
    if let Some(cost) = row.cost {
        theirs.cost = Some(theirs.cost.unwrap_or(Exact::ZERO).checked_add(cost)?);
        if let Some(charged) = row.charged {
            let sum = theirs.charged.entry(charged).or_insert(Exact::ZERO);
            *sum = sum.checked_add(cost)?;
        }
    }
    Some(())
}

/// What the bill's silence means: a cell without a cost costs nothing where the bill has costs by model around that day, and what is
/// not on a bill at all is not billed on the days it is about.
fn weigh(cell: &mut Cell, grouping: &Grouping) {
    let by_day = grouping.whole_costs.contains(&cell.day);
    if by_day && matches!(cell.scope, Scope::Model(_)) {
        cell.settles = false;
        cell.theirs.cost = None;
        return;
    }
    let silent = cell.theirs.rows == 0 && grouping.costed.is_none() && within(grouping.counted, cell.day);
    if cell.theirs.cost.is_none() && (within(grouping.costed, cell.day) || silent) {
        cell.theirs.cost = Some(Exact::ZERO);
    }
}
