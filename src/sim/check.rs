//! Owns: what must be true when everything has come to rest: nothing leaked, nothing charged twice or for nothing, nothing
//! promised and lost, every provider's bill accounted for or named as uncertain. It computes from what people outside were
//! told and what providers have in their books, in 128-bit integers.
//! Refuses to know: how any of it came about.

use super::client::tasks;
use super::provider::MAX_OUTPUT;
use super::scenario::{Scenario, WALLETS, call_of};
use super::tariff::{Tariff, Tokens};
use super::world::{Exchange, Seen, Violation, World};
use crate::adapters::stores::memory::MemoryLedger;
use crate::base::{Clock, Exact, Money};
use crate::domain::catalog::Meter;
use crate::domain::ledger::{AttemptOutcome, Ledger, OrderReceipt, OrderState, SettlePayload, UsageSource};
use std::collections::BTreeMap;

/// What a run has come to, in nano-dollars.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) orders: u64,
    pub(super) states: BTreeMap<&'static str, u64>,
    pub(super) paid_nano: i128,
    pub(super) charged_nano: i128,
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

struct Audit<'a> {
    scenario: &'a Scenario,
    seen: &'a Seen,
    violations: Vec<Violation>,
    sums: Sums,
    /// What each wallet has been charged, as far as it can be explained.
    explained: BTreeMap<String, i128>,
}

/// Looks at the ledger as a new process finds it.
pub(super) fn audit(world: &World) -> (Sums, Vec<Violation>) {
    let ledger = MemoryLedger::open(&world.disk, &Clock::manual(world.wall()));
    let seen = world.seen();
    let mut audit = Audit {
        scenario: &world.scenario,
        seen: &seen,
        violations: seen.violations.clone(),
        sums: Sums::default(),
        explained: BTreeMap::new(),
    };
    match (ledger.verify(), ledger.orders()) {
        (Ok(report), Ok(orders)) => {
            for finding in report.findings.iter().take(10) {
                audit.violate("verify", format!("{}: {}", finding.check.id(), finding.detail));
            }
            audit.orders(&orders);
            audit.wallets(world, &ledger);
            audit.platform(&orders, &ledger.balances());
        }
        (report, orders) => audit.violate("verify", format!("{:?} {:?}", report.err(), orders.err())),
    }
    (audit.sums, audit.violations)
}

/// The meters of a settlement as this simulation counts.
fn tokens_of(settled: &SettlePayload) -> Tokens {
    let count = |meter| settled.usage.get(meter);
    Tokens {
        input: count(Meter::InputUncached),
        cached: count(Meter::CacheRead),
        output: count(Meter::OutputText),
        reasoning: count(Meter::OutputReasoning),
    }
}

fn nano(money: Option<Money>) -> i128 {
    money.map_or(0, |money| i128::from(money.as_nano()))
}

/// Who ended it: a settlement of the path, or the clearing away behind it.
fn is_cleared(settled: &SettlePayload) -> bool {
    matches!(&*settled.finish, "crash" | "deadline")
}

impl Audit<'_> {
    fn violate(&mut self, rule: &'static str, what: String) {
        self.violations.push(Violation { rule, what });
    }

    fn orders(&mut self, orders: &[OrderReceipt]) {
        let mut by_call: BTreeMap<u32, Vec<&OrderReceipt>> = BTreeMap::new();
        for receipt in orders {
            *self.sums.states.entry(receipt.order.state.name()).or_default() += 1;
            by_call.entry(call_of(&receipt.reserve.model).unwrap_or(u32::MAX)).or_default().push(receipt);
        }
        self.sums.orders = orders.len() as u64;
        for (call, receipts) in &by_call {
            if let [_, _, ..] = &receipts[..] {
                self.violate("once", format!("call {call} has {} orders", receipts.len()));
            }
            if let Some(receipt) = receipts.first() {
                let exchanges: Vec<_> = self.seen.exchanges.iter().filter(|exchange| exchange.call == *call).collect();
                self.order(*call, receipt, &exchanges);
            }
        }
        for exchange in &self.seen.exchanges {
            if !by_call.contains_key(&exchange.call) {
                self.violate(
                    "hold first",
                    format!("call {} was sent to {} and no order holds money for it", exchange.call, exchange.provider),
                );
            }
        }
        for (call, told) in &self.seen.told {
            let known = by_call.get(call).and_then(|receipts| receipts.first()).map(|receipt| receipt.order.id);
            if told.order.is_some() && told.order != known {
                self.violate("promise", format!("call {call} was told of an order that the ledger does not know"));
            }
        }
    }

    fn order(&mut self, call: u32, receipt: &OrderReceipt, exchanges: &[&Exchange]) {
        let Some(settled) = &receipt.settlement else {
            return self.violate("liveness", format!("call {call}: its order never ended"));
        };
        let charge = nano(receipt.order.charge);
        let expected = self.expected_charge(call, receipt, settled, exchanges);
        if charge != expected {
            self.violate("charge", format!("call {call} was charged {charge} nano; its usage makes {expected} nano"));
        }
        *self.explained.entry(receipt.wallet.to_string()).or_default() += expected;
        self.sums.charged_nano += charge;
        self.sums.absorbed_nano += i128::from(settled.absorbed_nano);
        self.promises(call, receipt, settled);
        self.attempts(call, receipt, settled, exchanges);
        self.cost(call, receipt, settled, exchanges);
    }

    /// What the user owes for this order, from the prices and the providers' reports alone.
    fn expected_charge(&mut self, call: u32, receipt: &OrderReceipt, settled: &SettlePayload, exchanges: &[&Exchange]) -> i128 {
        let tokens = tokens_of(settled);
        let tariff = settled.provider.as_deref().and_then(Tariff::of);
        match receipt.order.state {
            OrderState::Reserved | OrderState::Released | OrderState::Expired => return 0,
            OrderState::Unpriced => {
                if tariff.is_none_or(|tariff| tariff.priced) {
                    self.violate("charge", format!("call {call}: unpriced, though there is a price"));
                }
                return 0;
            }
            OrderState::Finalized | OrderState::LateSettled | OrderState::Provisional => {}
        }
        let Some(tariff) = tariff.filter(|tariff| tariff.priced) else {
            self.violate("charge", format!("call {call}: charged for a provider without a price"));
            return 0;
        };
        self.evidence(call, settled, tokens, tariff, exchanges);
        // What nobody got is nobody's to pay; the settlement says so by a charge of nothing for a cost of something.
        let undelivered = settled.charge_exact.is_some_and(Exact::is_zero);
        if undelivered && self.seen.told.get(&call).is_some_and(|told| told.ended && told.charge.is_some_and(|charge| !charge.is_zero())) {
            self.violate("charge", format!("call {call}: the caller was told a charge for what counts as undelivered"));
        }
        let full = if undelivered { 0 } else { tariff.charge_nano(tokens) };
        let absorbed = i128::from(settled.absorbed_nano);
        let hold = i128::from(receipt.order.hold.as_nano());
        let is_late = receipt.order.state == OrderState::LateSettled;
        if absorbed < 0 || (absorbed > 0 && !is_late && full - absorbed < full.min(hold)) {
            self.violate("charge", format!("call {call}: {absorbed} nano of {full} were let go although {hold} were held"));
        }
        self.overrun(call, receipt, full, is_late);
        full - absorbed.max(0)
    }

    /// Nobody pays more than was held, unless more was used, and then the order says so.
    fn overrun(&mut self, call: u32, receipt: &OrderReceipt, full: i128, is_late: bool) {
        let (hold, overrun) = (i128::from(receipt.order.hold.as_nano()), i128::from(receipt.order.overrun.as_nano()));
        // What is late has nothing held any more.
        let covered = if is_late { 0 } else { hold };
        if nano(receipt.order.charge) > covered + overrun || overrun > (full - covered).max(0) {
            self.violate("overrun", format!("call {call}: {hold} nano held, {full} used, {overrun} taken beyond the hold"));
        }
    }

    /// Does the usage stand on what a provider said, or stay within what may be estimated?
    fn evidence(&mut self, call: u32, settled: &SettlePayload, tokens: Tokens, tariff: &Tariff, exchanges: &[&Exchange]) {
        let mut own = exchanges.iter().filter(|exchange| exchange.provider == tariff.provider);
        let is_reported = |consistent| move |exchange: &&&Exchange| exchange.reported == Some((tokens, consistent));
        let fine = match settled.usage_source {
            UsageSource::Provider => own.any(|exchange| is_reported(true)(&exchange)),
            UsageSource::Estimated => {
                let plan = self.scenario.call(call);
                let input = plan.messages().len().div_ceil(4) as u64;
                let most = plan.max_tokens.map_or(MAX_OUTPUT, |asked| asked.min(MAX_OUTPUT));
                let guess = Tokens { input, cached: 0, output: tokens.output.min(most), reasoning: 0 };
                tokens == guess || own.any(|exchange| is_reported(false)(&exchange))
            }
            // The simulation has no cache.
            UsageSource::Cache => false,
            UsageSource::None => tokens == Tokens::default(),
        };
        if !fine {
            self.violate("evidence", format!("call {call} was settled on {tokens:?}, which {} never said", tariff.provider));
        }
    }

    /// What the caller was told has happened.
    fn promises(&mut self, call: u32, receipt: &OrderReceipt, settled: &SettlePayload) {
        let Some(told) = self.seen.told.get(&call) else { return };
        if let Some(charge) = told.charge
            && receipt.order.charge != Some(charge)
        {
            self.violate("promise", format!("call {call} was told a charge of {charge}, the ledger has {:?}", receipt.order.charge));
        }
        // An answer that came to its end was settled first; unless the disk was full, which the log says and no header hides.
        let is_served = told.ended && told.status == Some(200) && !self.seen.unpromised.contains(&receipt.order.id);
        let is_free = matches!(receipt.order.state, OrderState::Released | OrderState::Expired);
        if is_served && is_free {
            self.violate("promise", format!("call {call} was served to its end and its order ended as {}", settled.finish));
        }
    }

    /// A crash must know how many providers may bill.
    fn attempts(&mut self, call: u32, receipt: &OrderReceipt, settled: &SettlePayload, exchanges: &[&Exchange]) {
        let noted = if is_cleared(settled) { receipt.dispatched.len() + 1 } else { settled.attempts.len() };
        if exchanges.len() > noted {
            self.violate("attempts", format!("call {call} was sent {} times, the ledger knows of {noted}", exchanges.len()));
        }
    }

    /// The providers' bill for this order against what is booked.
    fn cost(&mut self, call: u32, receipt: &OrderReceipt, settled: &SettlePayload, exchanges: &[&Exchange]) {
        let bill = |exchange: &&Exchange| {
            let tariff = Tariff::of(exchange.provider)?;
            Some(tariff.cost_nano(exchange.billed?))
        };
        let billed: i128 = exchanges.iter().filter_map(bill).sum();
        let crash = if &*settled.finish == "crash" { i128::from(receipt.order.input_cost.as_nano()) } else { 0 };
        let losses: i128 = settled.losses.iter().map(|loss| i128::from(loss.cost_nano)).sum();
        let booked = nano(receipt.order.cost) + losses + crash;
        self.guesses(call, receipt, settled);
        self.sums.billed_nano += billed;
        self.sums.booked_nano += booked;
        if billed == booked {
            return;
        }
        match why_uncertain(receipt, settled) {
            Some(why) => *self.sums.uncertain.entry(why).or_default() += billed - booked,
            None => {
                self.violate("cost", format!("call {call}: the providers bill {billed} nano, {booked} are booked, and nothing says why"));
            }
        }
    }

    /// What is booked without evidence is the estimated price of the input, once an attempt.
    fn guesses(&mut self, call: u32, receipt: &OrderReceipt, settled: &SettlePayload) {
        let tokens = self.scenario.call(call).messages().len().div_ceil(4) as u64;
        let unit = |provider: &str| Tariff::of(provider).map_or(0, |tariff| tariff.input_nano(tokens));
        if i128::from(receipt.order.input_cost.as_nano()) != unit(&receipt.order.provider) {
            self.violate("cost", format!("call {call}: its input is estimated at {}", receipt.order.input_cost));
        }
        for loss in &settled.losses {
            let (booked, unit) = (i128::from(loss.cost_nano), unit(&loss.provider));
            let most = settled.attempts.iter().filter(|attempt| attempt.endpoint.starts_with(&*loss.provider)).count();
            if booked != 0 && (unit == 0 || booked % unit != 0 || booked / unit > most as i128) {
                self.violate("cost", format!("call {call}: {booked} nano are booked as loss at {}, {unit} an attempt", loss.provider));
            }
        }
    }

    fn wallets(&mut self, world: &World, ledger: &MemoryLedger) {
        for (wallet, plan) in WALLETS.iter().enumerate() {
            let paid: i128 = tasks(&world.scenario)
                .iter()
                .filter(|task| self.seen.confirmed.contains(&task.n))
                .filter_map(|task| task.paid.filter(|(to, _)| *to == wallet))
                .map(|(_, amount)| i128::from(amount))
                .sum();
            let Ok(Some(summary)) = ledger.wallet(plan.name) else {
                if paid != 0 {
                    self.violate("payments", format!("wallet {} is gone", plan.name));
                }
                continue;
            };
            let [cash, held, owed] = [summary.cash, summary.held, summary.owed].map(|money| i128::from(money.as_nano()));
            let explained = self.explained.get(plan.name).copied().unwrap_or(0);
            let leaked = paid - (cash - owed) - explained;
            self.sums.paid_nano += paid;
            self.sums.leaked_nano += leaked.abs() + held.abs();
            if leaked != 0 || held != 0 {
                let parts = format!("{paid} paid in, {cash} cash, {owed} owed, {explained} charged, {held} held");
                self.violate("leak", format!("wallet {}: {} nano have no explanation ({parts})", plan.name, leaked + held));
            }
        }
    }

    /// Revenue, cost and losses are the sums of the orders.
    fn platform(&mut self, orders: &[OrderReceipt], balances: &BTreeMap<String, i64>) {
        let balance = |start: &str, end: &str| -> i128 {
            balances.iter().filter(|(path, _)| path.starts_with(start) && path.ends_with(end)).map(|(_, nano)| i128::from(*nano)).sum()
        };
        let settled = || orders.iter().filter_map(|receipt| receipt.settlement.as_ref());
        let losses: i128 = settled().flat_map(|settled| &settled.losses).map(|loss| i128::from(loss.cost_nano)).sum();
        let crashed = |receipt: &&OrderReceipt| receipt.settlement.as_ref().is_some_and(|settled| &*settled.finish == "crash");
        let crashes: i128 = orders.iter().filter(crashed).map(|receipt| i128::from(receipt.order.input_cost.as_nano())).sum();
        let costs: i128 = orders.iter().map(|receipt| nano(receipt.order.cost)).sum();
        let charges: i128 = orders.iter().map(|receipt| nano(receipt.order.charge)).sum();
        for (what, have, want) in [
            ("revenue", balance("rev:", ""), charges),
            ("payable to providers", balance("prov:", ":payable"), costs),
            ("suspense", balance("prov:", ":suspense"), losses + crashes),
            ("cost and losses", -balance("cogs:", "") - balance("exp:loss:", ""), costs + losses + crashes),
        ] {
            if have != want {
                self.violate("accounts", format!("{what} stands at {have} nano, the orders make {want}"));
            }
        }
    }
}

/// Which of an order's own words say that its cost is not known for sure.
fn why_uncertain(receipt: &OrderReceipt, settled: &SettlePayload) -> Option<&'static str> {
    if is_cleared(settled) {
        return Some(if &*settled.finish == "crash" { "crash" } else { "deadline" });
    }
    let failed = settled.attempts.iter().any(|attempt| match attempt.outcome {
        AttemptOutcome::Timeout | AttemptOutcome::Broken | AttemptOutcome::Abandoned | AttemptOutcome::Dispatched => true,
        AttemptOutcome::Rejected => attempt.status.is_some_and(|status| status >= 500),
        AttemptOutcome::Served | AttemptOutcome::Unreachable => false,
    });
    match receipt.order.state {
        OrderState::Unpriced => Some("unpriced"),
        OrderState::Provisional => Some("estimated"),
        OrderState::Finalized | OrderState::Released | OrderState::LateSettled if failed => Some("failed attempts"),
        // Late, on an estimate: the state does not tell, the source does.
        OrderState::LateSettled if settled.usage_source == UsageSource::Estimated => Some("estimated"),
        OrderState::Reserved | OrderState::Expired | OrderState::Finalized | OrderState::Released | OrderState::LateSettled => None,
    }
}
