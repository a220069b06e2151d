//! Owns: what must be true when everything has come to rest: nothing leaked, nothing charged twice or for nothing, nothing
//! promised and lost, every provider's bill accounted for or named as uncertain. It computes from what people outside were
//! told and what providers have in their books, in 128-bit integers.
//! Refuses to know: how any of it came about.
//!
//! `order` looks at one call's order, `promise` at what its caller was told, `money` at wallets and the platform's accounts,
//! `budget` and `grant` at theirs.

mod budget;
mod grant;
mod money;
mod order;
mod promise;

use super::feature::Feature;
use super::mark::Mark;
use super::plan::{Ask, CallPlan};
use super::rule::Rule;
use super::scenario::Scenario;
use super::wallet::Agreed;
use super::world::{Exchange, Seen, Violation, World};
use crate::adapters::stores::memory::MemoryLedger;
use crate::base::{Clock, Money, OrderId, Timestamp};
use crate::domain::ledger::{EntryQuery, EventKind, Journal, Ledger, OrderReceipt, OrderState, SettlePayload};
use std::collections::BTreeMap;

/// What a run has come to, in nano-dollars.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) orders: u64,
    pub(super) states: BTreeMap<&'static str, u64>,
    pub(super) paid_nano: i128,
    pub(super) granted_nano: i128,
    pub(super) charged_nano: i128,
    pub(super) refunded_nano: i128,
    /// Used, and charged to nobody: beyond the hold, the cash and the credit.
    pub(super) absorbed_nano: i128,
    /// By the providers' own books.
    pub(super) billed_nano: i128,
    /// In ours: cost of what was served, and losses.
    pub(super) booked_nano: i128,
    /// Billed less booked, by why nobody can know; each kind is named on its orders.
    pub(super) uncertain: BTreeMap<&'static str, i128>,
    pub(super) leaked_nano: i128,
}

/// One order with all that is known of it.
struct Case<'a> {
    ask: Ask,
    plan: CallPlan,
    agreed: Agreed,
    receipt: &'a OrderReceipt,
    /// How it was settled at first.
    settled: SettlePayload,
    state: OrderState,
    /// What the provider's own figures made of it.
    trued_up: Option<&'a SettlePayload>,
    exchanges: Vec<&'a Exchange>,
}

struct Audit<'a> {
    scenario: &'a Scenario,
    seen: &'a Seen,
    violations: Vec<Violation>,
    checked: BTreeMap<Rule, u64>,
    marks: BTreeMap<Mark, u64>,
    sums: Sums,
    /// What each wallet has been charged, as far as it can be explained.
    explained: BTreeMap<String, i128>,
    /// What has gone back of each wallet's grants at the end of their time.
    expired: BTreeMap<String, i128>,
}

/// Looks at the ledger as a new process finds it.
pub(super) fn audit(world: &World) -> Sums {
    let ledger = MemoryLedger::open(&world.disk, &Clock::manual(world.wall()));
    let now = world.wall();
    let mut seen = world.seen();
    let mut audit = Audit {
        scenario: &world.scenario,
        seen: &seen,
        violations: Vec::new(),
        checked: BTreeMap::new(),
        marks: BTreeMap::new(),
        sums: Sums::default(),
        explained: BTreeMap::new(),
        expired: BTreeMap::new(),
    };
    audit.all(&ledger, now);
    let Audit { violations, checked, marks, sums, .. } = audit;
    seen.violations.extend(violations);
    for (rule, count) in checked {
        *seen.checked.entry(rule).or_default() += count;
    }
    for (mark, count) in marks {
        *seen.marks.entry(mark).or_default() += count;
    }
    sums
}

fn nano(money: Option<Money>) -> i128 {
    money.map_or(0, |money| i128::from(money.as_nano()))
}

/// Who ended it: a settlement of the path, or the clearing away behind it.
fn is_cleared(settled: &SettlePayload) -> bool {
    matches!(&*settled.finish, "crash" | "deadline")
}

impl<'a> Audit<'a> {
    /// Puts a rule to the test.
    fn expect(&mut self, rule: Rule, holds: bool, what: impl FnOnce() -> String) {
        *self.checked.entry(rule).or_default() += 1;
        if !holds {
            self.violations.push(Violation { rule, what: what() });
        }
    }

    fn mark(&mut self, mark: Mark, met: bool) {
        *self.marks.entry(mark).or_default() += u64::from(met);
    }

    fn all(&mut self, ledger: &MemoryLedger, now: Timestamp) {
        let (report, orders) = match (ledger.verify(), ledger.orders()) {
            (Ok(report), Ok(orders)) => (report, orders),
            (report, orders) => return self.expect(Rule::Verify, false, || format!("{:?} {:?}", report.err(), orders.err())),
        };
        self.expect(Rule::Verify, report.findings.is_empty(), || {
            let told: Vec<_> =
                report.findings.iter().take(10).map(|finding| format!("{}: {}", finding.check.id(), finding.detail)).collect();
            told.join("; ")
        });
        let cases: Vec<Case<'_>> = orders.iter().map(|receipt| self.case(receipt, ledger)).collect();
        self.sums.orders = cases.len() as u64;
        for case in &cases {
            *self.sums.states.entry(case.receipt.order.state.name()).or_default() += 1;
            self.order(case);
        }
        self.once(&cases);
        self.covered(&cases);
        self.told(&cases);
        self.replays(&cases);
        self.budgets(&cases, ledger);
        if self.scenario.features.has(Feature::Grants) {
            let entries = ledger.entries(&EntryQuery { limit: usize::MAX, ..EntryQuery::default() }).unwrap_or_default();
            self.grants(&entries, now);
        }
        self.operations();
        self.wallets(ledger);
        self.platform(&cases, &ledger.balances());
    }

    fn case(&self, receipt: &'a OrderReceipt, ledger: &MemoryLedger) -> Case<'a> {
        let ask = receipt.reserve.labels.first().and_then(|label| Ask::parse(label)).unwrap_or(Ask { call: u32::MAX, again: 0 });
        let plan = self.scenario.call(ask.call);
        let last = receipt.settlement.as_ref();
        // Only people are named.
        let trued_up = last.filter(|settled| settled.actor.is_some());
        let first = trued_up.and_then(|_| first_settlement(ledger, receipt.order.id));
        let settled = first.or_else(|| last.cloned()).unwrap_or_default();
        let state = match trued_up {
            Some(_) => settled.state,
            None => receipt.order.state,
        };
        let exchanges = self.seen.exchanges.iter().filter(|exchange| exchange.ask == ask).collect();
        Case { ask, agreed: self.scenario.agreed(plan.wallet), plan, receipt, settled, state, trued_up, exchanges }
    }

    /// One order for each request; of the requests with one mark only one may have come to anything.
    fn once(&mut self, cases: &[Case<'_>]) {
        let mut by_ask: BTreeMap<Ask, u64> = BTreeMap::new();
        let mut by_call: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for case in cases {
            *by_ask.entry(case.ask).or_default() += 1;
            let of_call = by_call.entry(case.ask.call).or_default();
            of_call.0 += 1;
            of_call.1 += u64::from(case.receipt.order.state != OrderState::Released);
        }
        for (ask, orders) in by_ask {
            self.expect(Rule::Once, orders == 1, || format!("call {ask} has {orders} orders"));
        }
        for (call, (all, lasting)) in by_call {
            self.expect(Rule::Once, lasting <= 1, || {
                format!("call {call} has {lasting} orders that came to something, all under one mark")
            });
            self.mark(Mark::RunAgain, all > 1);
        }
    }

    /// Nothing is sent that no hold covers.
    fn covered(&mut self, cases: &[Case<'_>]) {
        let known: std::collections::BTreeSet<Ask> = cases.iter().map(|case| case.ask).collect();
        let lost: Vec<Ask> = self.seen.lost.iter().filter_map(|order| self.seen.asks.get(order)).copied().collect();
        for exchange in &self.seen.exchanges {
            let is_lost = !known.contains(&exchange.ask) && lost.contains(&exchange.ask);
            self.mark(Mark::LostReserve, is_lost);
            self.expect(Rule::HoldFirst, is_lost || known.contains(&exchange.ask), || {
                format!("call {} was sent to {} and no order holds money for it", exchange.ask, exchange.provider)
            });
        }
        let fenced: Vec<OrderId> = self.seen.fenced.iter().copied().collect();
        for order in fenced {
            let written = cases.iter().any(|case| case.receipt.order.id == order);
            self.expect(Rule::Fence, !written, || format!("order {order} was written by a process that was given up for dead"));
        }
    }
}

/// How an order ended before it was corrected.
fn first_settlement(ledger: &MemoryLedger, order: OrderId) -> Option<SettlePayload> {
    let entries = ledger.entries(&EntryQuery { order: Some(order), limit: usize::MAX, ..EntryQuery::default() }).ok()?;
    let is_end = |entry: &&Journal| matches!(entry.kind, EventKind::Finalize | EventKind::LateSettle);
    entries.iter().find(is_end).and_then(|entry| serde_json::from_slice(&entry.payload).ok())
}
