//! Owns: what a difference between a bill and our books means.
//! Refuses to know: what is to be booked for it (propose).

use super::cell::{Cell, Diff};
use super::matching::Tolerance;
use crate::base::Rounding;
use std::cmp::Ordering;

/// The kinds of gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapClass {
    /// Billed without an order of ours: traffic outside the gateway.
    MissingHere,
    /// Orders that the provider does not bill.
    MissingThere,
    /// As many tokens, split otherwise, such as between cached and uncached.
    TokenClass,
    /// The same tokens at another price.
    PriceVersion,
    /// The provider bills failed attempts that another provider's served for.
    RetryUnseen,
    /// Estimates and suspended amounts whose evidence is now here.
    UncertainResolved,
    /// The same tokens, and the cost differs within the tolerance.
    Rounding,
    Unknown,
}

impl GapClass {
    pub const ALL: [Self; 8] = [
        Self::MissingHere,
        Self::MissingThere,
        Self::TokenClass,
        Self::PriceVersion,
        Self::RetryUnseen,
        Self::UncertainResolved,
        Self::Rounding,
        Self::Unknown,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingHere => "missing_here",
            Self::MissingThere => "missing_there",
            Self::TokenClass => "token_class",
            Self::PriceVersion => "price_version",
            Self::RetryUnseen => "retry_unseen",
            Self::UncertainResolved => "uncertain_resolved",
            Self::Rounding => "rounding",
            Self::Unknown => "unknown",
        }
    }

    /// One sentence for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::MissingHere => "the provider bills calls that did not pass the gateway",
            Self::MissingThere => "the provider does not bill calls that were booked here",
            Self::TokenClass => "as many tokens on both sides, split otherwise between kinds",
            Self::PriceVersion => "the same tokens at another price than the one booked with",
            Self::RetryUnseen => "the provider also bills attempts that failed and were served elsewhere",
            Self::UncertainResolved => "an estimate or a suspended amount can now be replaced by the provider's figures",
            Self::Rounding => "the same tokens; the cost differs within the tolerance",
            Self::Unknown => "the figures differ and do not say why",
        }
    }
}

/// How the counts compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// The bill counts nothing here.
    Unknown,
    Equal,
    /// Totals agree, parts do not.
    Split,
    /// Nothing less and something more there than here.
    More,
    Less,
    /// Some more, some less.
    Mixed,
}

impl Counted {
    pub(super) fn of(cell: &Cell) -> Self {
        let counts = cell.counts();
        let total =
            |side: fn(&Diff) -> u64| counts.iter().filter(|diff| diff.counter.is_token()).map(|diff| u128::from(side(diff))).sum::<u128>();
        let differs = |wanted: Ordering| counts.iter().any(|diff| diff.theirs.cmp(&diff.ours) == wanted);
        let others_agree = counts.iter().filter(|diff| !diff.counter.is_token()).all(|diff| diff.theirs == diff.ours);
        match (differs(Ordering::Greater), differs(Ordering::Less)) {
            _ if counts.is_empty() => Self::Unknown,
            (false, false) => Self::Equal,
            (true, true) if others_agree && total(|diff| diff.theirs) == total(|diff| diff.ours) => Self::Split,
            (true, true) => Self::Mixed,
            (true, false) => Self::More,
            (false, true) => Self::Less,
        }
    }
}

/// What is billed, in whole nano-units; `None` if the bill does not say here.
pub(super) fn billed_nano(cell: &Cell) -> Option<i128> {
    let cost = cell.theirs.cost.filter(|_| cell.settles)?;
    cost.round(Rounding::HalfEven).map(|cost| i128::from(cost.as_nano()))
}

/// A cell's class and whether it is beyond the tolerance; `None`: both sides agree.
pub(super) fn classify(cell: &Cell, tolerance: &Tolerance) -> Option<(GapClass, bool)> {
    let (counted, billed) = (Counted::of(cell), billed_nano(cell));
    let difference = billed.map(|billed| billed - cell.ours.cost_nano);
    let cost_fits = billed.is_none_or(|billed| tolerance.allows(billed, cell.ours.cost_nano));
    let counts_fit = matches!(counted, Counted::Equal | Counted::Unknown);
    let class = if cell.ours.is_empty() {
        let nothing = billed.unwrap_or(0) == 0 && cell.theirs.usage.values().all(|count| *count == 0);
        return (!nothing).then_some((GapClass::MissingHere, !(cost_fits && counts_fit)));
    } else if cell.theirs.rows == 0 {
        return unbilled(cell).map(|class| (class, class == GapClass::MissingThere || !cost_fits));
    } else {
        both(cell, counted, difference, cost_fits)?
    };
    Some((class, !(cost_fits && counts_fit)))
}

/// Booked here, not on the bill.
fn unbilled(cell: &Cell) -> Option<GapClass> {
    let ours = &cell.ours;
    let uncertain = ours.provisional == ours.orders && (ours.provisional > 0 || ours.suspense_nano() > 0);
    let used = ours.cost_nano != 0 || ours.usage.keys().any(|counter| ours.uses(*counter));
    // Where costs are compared by the day, it is that cell that has them.
    let open = ours.usage.keys().any(|counter| ours.uses(*counter)) || (cell.settles && (used || waits(cell)));
    if ours.closed > 0 && !open {
        return None;
    }
    match (uncertain, used) {
        (true, _) => Some(GapClass::UncertainResolved),
        (false, true) => Some(GapClass::MissingThere),
        (false, false) => (ours.suspense_nano() > 0).then_some(GapClass::UncertainResolved),
    }
}

/// Is something in suspense that this cell could settle, or has not been looked at yet?
const fn waits(cell: &Cell) -> bool {
    cell.ours.suspense_nano() > 0 && (cell.settles || cell.ours.closed == 0)
}

fn both(cell: &Cell, counted: Counted, difference: Option<i128>, cost_fits: bool) -> Option<GapClass> {
    let ours = &cell.ours;
    let requests = cell.theirs.requests.map(|requests| requests.cmp(&ours.orders));
    let agree = matches!(counted, Counted::Equal | Counted::Unknown) && difference.is_none_or(|difference| difference == 0);
    if agree {
        return (waits(cell) && (counted == Counted::Equal || difference.is_some())).then_some(GapClass::UncertainResolved);
    }
    let more = counted == Counted::More || (counted != Counted::Equal && requests == Some(Ordering::Greater));
    if ours.failover_nano > 0 && more {
        return Some(GapClass::RetryUnseen);
    }
    if ours.provisional > 0 || ours.suspense_nano() > 0 {
        return Some(GapClass::UncertainResolved);
    }
    Some(match counted {
        Counted::Split => GapClass::TokenClass,
        Counted::Equal | Counted::Unknown if cost_fits => GapClass::Rounding,
        Counted::Equal => GapClass::PriceVersion,
        Counted::Unknown if ours.unpriced > 0 => GapClass::PriceVersion,
        Counted::More if requests.is_none_or(Ordering::is_gt) => GapClass::MissingHere,
        Counted::Less if requests.is_none_or(Ordering::is_lt) => GapClass::MissingThere,
        Counted::Unknown | Counted::More | Counted::Less | Counted::Mixed => GapClass::Unknown,
    })
}
