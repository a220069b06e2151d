//! Owns: the postings that would bring `prov:{p}:payable` to what the provider bills and leave nothing in suspense.
//! Refuses to know: booking them. They are proposals, for a person (or a policy) to accept.

use super::cell::Cell;
use super::classify::{Counted, GapClass, billed_nano};

/// A posting to be: what `debit` and `credit` would get, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The gap it closes, by its id.
    pub finding: String,
    pub debit: String,
    pub credit: String,
    pub amount_nano: i64,
    pub reason: &'static str,
}

/// Accounts by path, for one provider.
struct Accounts {
    payable: String,
    suspense: String,
    cogs: String,
}

const VARIANCE: &str = "exp:provider_variance";
const FAILOVER: &str = "exp:loss:failover";
const CRASH: &str = "exp:loss:crash";
const UNDELIVERED: &str = "exp:loss:undelivered";
const ESTIMATE: &str = "exp:loss:estimate";

/// What is being put together for one gap.
struct Draft<'a> {
    finding: &'a str,
    proposals: Vec<Proposal>,
}

impl Draft<'_> {
    fn add(&mut self, debit: &str, credit: &str, amount_nano: i128, reason: &'static str) -> Option<()> {
        if amount_nano > 0 {
            let amount_nano = i64::try_from(amount_nano).ok()?;
            let finding = self.finding.to_owned();
            self.proposals.push(Proposal { finding, debit: debit.to_owned(), credit: credit.to_owned(), amount_nano, reason });
        }
        Some(())
    }
}

/// What closes a gap; empty where the bill does not say what it costs. `None`: an amount is beyond what a posting holds.
pub(super) fn propose(provider: &str, finding: &str, cell: &Cell, class: GapClass) -> Option<Vec<Proposal>> {
    let accounts = Accounts {
        payable: format!("prov:{provider}:payable"),
        suspense: format!("prov:{provider}:suspense"),
        cogs: format!("cogs:{provider}"),
    };
    let mut draft = Draft { finding, proposals: Vec::new() };
    if let Some(billed) = billed_nano(cell) {
        let rest = suspended(&mut draft, &accounts, cell, billed - cell.ours.cost_nano)?;
        if rest > 0 {
            let (debit, reason) = owed_more(&accounts, cell, class);
            draft.add(debit, &accounts.payable, rest, reason)?;
        } else {
            owed_less(&mut draft, &accounts, cell, class, -rest)?;
        }
    } else if cell.settles && class == GapClass::UncertainResolved && Counted::of(cell) == Counted::Equal {
        // Counts agree without the failed attempts: they were not billed, whatever the price.
        suspended(&mut draft, &accounts, cell, 0)?;
    }
    Some(draft.proposals)
}

/// Suspended amounts become owed as far as the bill is higher than our books; the rest is given up. What is still missing, or too
/// much (negative), is returned.
fn suspended(draft: &mut Draft<'_>, accounts: &Accounts, cell: &Cell, difference: i128) -> Option<i128> {
    let mut rest = difference;
    let ours = &cell.ours;
    // What was never delivered leaves the account it was booked to first, as it does when an order's own evidence comes.
    for (amount, losses) in [
        (ours.failover_nano, [(FAILOVER, i128::MAX), (FAILOVER, 0)]),
        (ours.crash_nano, [(CRASH, i128::MAX), (CRASH, 0)]),
        (ours.estimate_nano, [(UNDELIVERED, ours.estimate_undelivered_nano), (&*accounts.cogs, i128::MAX)]),
    ] {
        let confirmed = amount.min(rest.max(0));
        draft.add(&accounts.suspense, &accounts.payable, confirmed, "suspended cost that the provider bills")?;
        let mut given_up = amount - confirmed;
        for (loss, limit) in losses {
            let part = given_up.min(limit);
            draft.add(&accounts.suspense, loss, part, "suspended cost that the provider does not bill")?;
            given_up -= part;
        }
        rest -= confirmed;
    }
    Some(rest)
}

fn owed_more<'a>(accounts: &'a Accounts, cell: &Cell, class: GapClass) -> (&'a str, &'static str) {
    match class {
        GapClass::MissingHere => (VARIANCE, "billed without an order"),
        GapClass::RetryUnseen => (FAILOVER, "failed attempts cost more than was suspended"),
        GapClass::UncertainResolved if cell.ours.provisional > 0 => (ESTIMATE, "the estimate was too low"),
        GapClass::UncertainResolved
        | GapClass::MissingThere
        | GapClass::TokenClass
        | GapClass::PriceVersion
        | GapClass::Rounding
        | GapClass::Unknown => {
            if cell.ours.unpriced > 0 {
                (&accounts.cogs, "cost of calls that had no price")
            } else {
                (VARIANCE, "billed higher than booked")
            }
        }
    }
}

/// Costs that were never due leave the accounts they were booked to; any other difference is the provider's variance.
fn owed_less(draft: &mut Draft<'_>, accounts: &Accounts, cell: &Cell, class: GapClass, amount: i128) -> Option<()> {
    let ours = &cell.ours;
    let (limit, reason) = match class {
        GapClass::MissingThere => (ours.cost_nano, "booked and not billed"),
        GapClass::UncertainResolved | GapClass::RetryUnseen => (ours.provisional_nano.max(0), "the estimate was too high"),
        GapClass::MissingHere | GapClass::TokenClass | GapClass::PriceVersion | GapClass::Rounding | GapClass::Unknown => (0, ""),
    };
    let undone = amount.min(limit).max(0);
    let undelivered = undone.min(ours.undelivered_nano);
    draft.add(&accounts.payable, UNDELIVERED, undelivered, reason)?;
    draft.add(&accounts.payable, &accounts.cogs, undone - undelivered, reason)?;
    draft.add(&accounts.payable, VARIANCE, amount - undone, "billed lower than booked")
}
