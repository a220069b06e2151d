//! Owns: the people who run the gateway: they open wallets, report payments, grant, refund, correct, pay out, and take it up
//! again until each is answered. They outlive the process, and write down what they were told and what they decided.
//! Refuses to know: what is right (check).

use super::fault::Fault;
use super::feature::Feature;
use super::plan::Ask;
use super::rule::Rule;
use super::scenario::{LAST_CALL_MS, Scenario, draw};
use super::tariff::Tariff;
use super::wallet::{WALLETS, ratio};
use super::world::{Done, Process, Who};
use crate::base::OpId;
use crate::base::{Ratio, Timestamp};
use crate::domain::catalog::{Meter, PinnedPrice, Rating, Sell, ServiceTier, Usage};
use crate::domain::ledger::{
    Action, ChargeFor, Command, FeeFor, Follows, GrantMoney, Ledger, OpenWallet, Operation, OrderReceipt, OrderState, Payment, Rated,
    Refund, Reply, SetTerms, TopUp, TrueUp, UsageSource, WalletKind, WalletName, own_key_amounts, settle_amounts,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Payments into one wallet, the first of them before any call.
const PAYMENTS: u32 = 2;
/// Tasks of one wallet, and of one call, by number.
const OF_WALLET: u32 = 16;
const OF_CALLS: u32 = 1_000;

/// Something that has to be done once, however often it takes.
pub(super) struct Task {
    pub(super) n: u32,
    /// Which delivery of the report; more than one is a fault.
    pub(super) delivery: u32,
    at_ms: u64,
    pub(super) what: What,
    /// Only if this one was booked.
    after: Option<u32>,
}

pub(super) enum What {
    Fixed(Action),
    /// Of the order of a call: so much of what is left, in percent.
    Refund {
        call: u32,
        percent: i64,
    },
    TrueUp {
        call: u32,
    },
}

/// A grant as it was meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct GrantPlan {
    pub(super) name: &'static str,
    pub(super) wallet: usize,
    pub(super) amount_nano: i64,
    pub(super) priority: u8,
    pub(super) expires_at: Option<Timestamp>,
}

fn op(n: u32) -> OpId {
    let mut id = [0xff; 16];
    id[12..].copy_from_slice(&n.to_be_bytes());
    OpId(id)
}

fn operation(n: u32, action: Action) -> Command {
    Command::Operate(Box::new(Operation { op: op(n), actor: "operator".into(), reference: format!("pi_{n}").into(), action }))
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Scenario {
    /// The grants of a wallet: one for good, one for a time that may end under the calls.
    pub(super) fn grants(&self, wallet: usize) -> Vec<GrantPlan> {
        let mut rng = draw(self.seed, "grants", wallet as u64);
        if !self.features.has(Feature::Grants) || rng.u32(0..3) == 0 {
            return Vec::new();
        }
        let most = WALLETS.get(wallet).map_or(0, |plan| plan.top_up_nano).min(1_000_000);
        let mut grant = |name, priority, lasts_ms: Option<i64>| GrantPlan {
            name,
            wallet,
            amount_nano: rng.i64(1..=most),
            priority,
            expires_at: lasts_ms.map(|span| Timestamp(super::world::START.0 + span)),
        };
        let spans = [8_000, 25_000, 3_600_000, 86_400_000];
        let span = spans[draw(self.seed, "lasts", wallet as u64).usize(0..spans.len())];
        vec![grant("welcome", 5, Some(span)), grant("loyal", 1, None)]
    }

    /// Everything that has to be done, by time.
    pub(super) fn tasks(&self) -> Vec<Task> {
        let used: BTreeSet<usize> = self.calls.iter().map(|n| self.call(*n).wallet).collect();
        let mut all: Vec<Task> = used.into_iter().flat_map(|wallet| self.tasks_of_wallet(wallet)).collect();
        all.extend(self.calls.iter().flat_map(|n| self.tasks_of_call(*n)));
        all.sort_by_key(|task| (task.at_ms, task.n, task.delivery));
        all
    }

    fn tasks_of_wallet(&self, wallet: usize) -> Vec<Task> {
        let Some(plan) = WALLETS.get(wallet) else { return Vec::new() };
        let name: Arc<str> = plan.name.into();
        let mut n = number(wallet) * OF_WALLET;
        let mut all = Vec::new();
        let mut put = |at_ms, action, after: Option<u32>| {
            all.push(Task { n, delivery: 0, at_ms, what: What::Fixed(action), after });
            n += 1;
            n - 1
        };
        let kind = if plan.postpaid { WalletKind::Postpaid } else { WalletKind::Prepaid };
        let credit_limit_nano = plan.credit_limit_nano;
        put(0, Action::OpenWallet(OpenWallet { wallet: Arc::clone(&name), kind, credit_limit_nano }), None);
        let terms = Arc::new(self.agreed(wallet).terms());
        put(0, Action::SetTerms(SetTerms { wallet: Arc::clone(&name), credit_limit_nano, terms, replaces: None }), None);
        let mut rng = draw(self.seed, "payments", wallet as u64);
        let mut first_paid = 0;
        for payment in 0..PAYMENTS {
            let amount_nano = plan.top_up_nano / 2 + rng.i64(0..=plan.top_up_nano);
            let fee_nano = if rng.bool() { amount_nano / 29 } else { 0 };
            let top_up = TopUp { wallet: Arc::clone(&name), amount_nano, fee_nano, payment_provider: "stripe".into() };
            let at_ms = if payment == 0 { 0 } else { rng.u64(1_000..LAST_CALL_MS) };
            let paid = put(at_ms, Action::TopUp(top_up), None);
            first_paid = if payment == 0 { paid } else { first_paid };
        }
        // Each feature has its numbers, whether it is there or not.
        let mut rng = draw(self.seed, "operations", wallet as u64);
        let payment = |amount_nano| Payment { wallet: Arc::clone(&name), amount_nano, payment_provider: "stripe".into() };
        let (out, out_at, pays) = (payment(rng.i64(1..=plan.top_up_nano / 2)), rng.u64(2_000..LAST_CALL_MS), rng.bool());
        let (back, back_at) = (payment(rng.i64(1..=plan.top_up_nano)), rng.u64(5_000..LAST_CALL_MS));
        let (disputes, thaws) = (rng.bool(), rng.u32(0..4) > 0);
        let leaves = put(out_at, Action::CashOut(out.clone()), None);
        let ends = if pays { Action::CashOutPaid(out) } else { Action::CashOutFailed(out) };
        let left = put(out_at + 4_000, ends, Some(leaves));
        let charged = put(back_at, Action::Chargeback(back), Some(first_paid));
        let thawed = put(back_at + 2_500, Action::Thaw(WalletName { wallet: Arc::clone(&name) }), Some(charged));
        for (at, grant) in self.grants(wallet).into_iter().enumerate() {
            let given = GrantMoney {
                wallet: Arc::clone(&name),
                grant: grant.name.into(),
                amount_nano: grant.amount_nano,
                priority: grant.priority,
                expires_at_ms: grant.expires_at.map(|at| at.0),
            };
            put(if at == 0 { 0 } else { 6_000 }, Action::Grant(given), None);
        }
        let (outs, backs) = (self.features.has(Feature::CashOuts), disputes && self.features.has(Feature::Chargebacks));
        all.retain(|task| {
            (outs || ![leaves, left].contains(&task.n)) && (backs || ![charged, thawed].contains(&task.n)) && (thaws || task.n != thawed)
        });
        self.late_reports(all)
    }

    /// Reports of payments may come late, so in another order, and once more.
    fn late_reports(&self, tasks: Vec<Task>) -> Vec<Task> {
        if !self.faults.has(Fault::PaidLate) {
            return tasks;
        }
        let mut all = Vec::new();
        for mut task in tasks {
            let What::Fixed(action @ (Action::TopUp(_) | Action::CashOutPaid(_) | Action::CashOutFailed(_) | Action::Chargeback(_))) =
                &task.what
            else {
                all.push(task);
                continue;
            };
            let mut rng = draw(self.seed, "late", task.n.into());
            let again = Task {
                n: task.n,
                delivery: 1,
                at_ms: rng.u64(LAST_CALL_MS..60_000),
                what: What::Fixed(action.clone()),
                after: Some(task.n),
            };
            if task.at_ms > 0 {
                task.at_ms += rng.u64(0..10_000);
            }
            all.extend([task, again]);
        }
        all
    }

    fn tasks_of_call(&self, call: u32) -> Vec<Task> {
        let mut rng = draw(self.seed, "corrections", call.into());
        let at_ms = self.call(call).at_ms;
        let (refunds, percent) = (rng.u32(0..5) == 0, if rng.bool() { 100 } else { rng.i64(1..=90) });
        let task = |slot, at_ms, what| Task { n: OF_CALLS + call * 4 + slot, delivery: 0, at_ms, what, after: None };
        let refund = task(0, at_ms + rng.u64(1_000..40_000), What::Refund { call, percent });
        let true_up = task(1, at_ms + rng.u64(1_000..40_000), What::TrueUp { call });
        let mut all = Vec::new();
        all.extend(Some(refund).filter(|_| refunds && self.features.has(Feature::Refunds)));
        all.extend(Some(true_up).filter(|_| self.features.has(Feature::TrueUps)));
        all
    }
}

/// Gets done what is left of the tasks, in order; `first` only what must be before the first call.
pub(super) async fn operate(process: Process, ledger: Arc<dyn Ledger>, first: bool) {
    for task in process.world.scenario.tasks() {
        if first != (task.at_ms == 0) || is_done(&process, &task) {
            continue;
        }
        process.until(task.at_ms).await;
        process.gate("operator ask", Who::Operator).await;
        let Some(action) = decide(&process, &*ledger, &task) else {
            note_done(&process, &task, Done::Dropped("nothing to be done"));
            continue;
        };
        get_done(&process, &*ledger, &task, &action).await;
    }
}

fn is_done(process: &Process, task: &Task) -> bool {
    let seen = process.world.seen();
    if task.delivery > 0 { seen.delivered.contains(&(task.n, task.delivery)) } else { seen.done.contains_key(&task.n) }
}

/// What is asked for: written down before it is asked, so that it is the same when it is asked again.
fn decide(process: &Process, ledger: &dyn Ledger, task: &Task) -> Option<Action> {
    let booked = |n: u32| process.world.seen().done.get(&n) == Some(&Done::Booked);
    if task.after.is_some_and(|before| !booked(before)) {
        return None;
    }
    let known = process.world.seen().decided.get(&task.n).cloned();
    let action = known.or_else(|| match &task.what {
        What::Fixed(action) => Some(action.clone()),
        What::Refund { call, percent } => refund(process, ledger, *call, *percent),
        What::TrueUp { call } => true_up(process, ledger, *call),
    })?;
    process.world.seen().decided.insert(task.n, action.clone());
    Some(action)
}

async fn get_done(process: &Process, ledger: &dyn Ledger, task: &Task, action: &Action) {
    let is_payment = matches!(action, Action::TopUp(_));
    let twice = process.world.scenario.faults.has(Fault::PaidTwice) && is_payment;
    let outcome = loop {
        let asked = ledger.submit(operation(task.n, action.clone()));
        if twice {
            process.count(Fault::PaidTwice);
            let _ = ledger.submit(operation(task.n, action.clone())).wait().await;
        }
        match asked.wait().await {
            Ok(Reply::Done { duplicate, .. }) => {
                let again = task.delivery > 0;
                if again {
                    process.count(Fault::PaidLate);
                }
                process.world.expect(Rule::Payments, !again || duplicate, || {
                    format!("task {} was booked once more when it was reported again", task.n)
                });
                break Done::Booked;
            }
            Ok(Reply::Refused(refusal)) => break Done::Dropped(refusal.code()),
            Ok(Reply::Held { .. } | Reply::Settled { .. }) => break Done::Dropped("answered with something else"),
            // The disk was full: again.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    };
    process.gate("operator told", Who::Operator).await;
    process.note(Who::Operator, || format!("task {} ({}): {outcome:?}", task.n, action.kind().name()));
    let certain =
        matches!(action, Action::TopUp(_) | Action::OpenWallet(_) | Action::SetTerms(_) | Action::Grant(_) | Action::Chargeback(_));
    process
        .world
        .expect(Rule::Payments, !certain || outcome == Done::Booked, || format!("the operator's task {} was refused: {outcome:?}", task.n));
    note_done(process, task, outcome);
}

fn note_done(process: &Process, task: &Task, outcome: Done) {
    let mut seen = process.world.seen();
    if task.delivery > 0 {
        seen.delivered.insert((task.n, task.delivery));
    } else {
        seen.done.insert(task.n, outcome);
    }
}

/// The order of a call as its caller would name it.
fn order_of(process: &Process, ledger: &dyn Ledger, call: u32) -> Option<OrderReceipt> {
    let id = {
        let seen = process.world.seen();
        let mut told = seen.told.range(Ask { call, again: 0 }..Ask { call: call + 1, again: 0 });
        told.find_map(|(_, told)| told.order)?
    };
    ledger.order(id).ok().flatten()
}

fn refund(process: &Process, ledger: &dyn Ledger, call: u32, percent: i64) -> Option<Action> {
    let receipt = order_of(process, ledger, call)?;
    let left = receipt.order.charge?.as_nano() - receipt.order.refunded.as_nano();
    let amount_nano = (i128::from(left) * i128::from(percent) / 100).max(1);
    (left > 0).then_some(Action::Refund(Refund { order: receipt.order.id.to_string(), amount_nano: i64::try_from(amount_nano).ok()? }))
}

/// What the provider that served says that it bills, where we had only an estimate.
fn true_up(process: &Process, ledger: &dyn Ledger, call: u32) -> Option<Action> {
    let receipt = order_of(process, ledger, call)?;
    let settled = receipt.settlement.as_ref().filter(|settled| settled.usage_source == UsageSource::Estimated)?;
    if !matches!(receipt.order.state, OrderState::Provisional | OrderState::LateSettled) {
        return None;
    }
    let tariff = Tariff::of(settled.provider.as_deref()?)?;
    let ask = process.world.seen().asks.get(&receipt.order.id).copied()?;
    let billed = {
        let seen = process.world.seen();
        let own = seen.exchanges.iter().rfind(|exchange| exchange.ask == ask && exchange.provider == tariff.provider);
        own.and_then(|exchange| exchange.billed)?
    };
    let agreed = process.world.scenario.agreed(process.world.scenario.call(call).wallet);
    let legs = settled.outcome.map(|outcome| agreed.settlement.legs(outcome));
    if legs.is_some_and(|legs| legs.charge != ChargeFor::Used || legs.fee != FeeFor::Charged) {
        // What the policy made of the charge does not follow from the provider's figures alone.
        return None;
    }
    let usage = [(Meter::InputUncached, billed.input), (Meter::CacheRead, billed.cached), (Meter::OutputText, billed.output)]
        .into_iter()
        .chain([(Meter::OutputReasoning, billed.reasoning), (Meter::Request, 1)])
        .fold(Usage::default(), |usage, (meter, count)| usage.with(meter, count));
    let (price, (num, den)) = (PinnedPrice::of(&tariff.sheet()?), agreed.share());
    let (rating, sell) = (Rating { tier: ServiceTier::Standard, at: receipt.order.created_at }, Sell::Markup(ratio(num, den)));
    let (amounts, upstream) = if tariff.own_key {
        own_key_amounts(&usage, &price.sheet, &rating, &sell, Ratio::ZERO).map(|(amounts, upstream)| (amounts, Some(upstream))).ok()?
    } else {
        (settle_amounts(&usage, &price.sheet, &rating, &sell, Ratio::ZERO).ok()?, None)
    };
    // Who bills less than the price says so to everybody who asks.
    let reported = tariff.billed(billed);
    let amounts = match reported {
        Some(cost) => amounts.at_cost(cost).ok()?,
        None => amounts,
    };
    Some(Action::TrueUp(Box::new(TrueUp {
        order: receipt.order.id,
        provider: tariff.provider.into(),
        endpoint: settled.endpoint.clone(),
        rated: Some(Rated { price, rating, sell, builder: Ratio::ZERO, upstream, reported }),
        usage,
        usage_source: UsageSource::Provider,
        amounts,
        losses: Vec::new(),
        follows: Some(Box::new(Follows { seq: receipt.order.final_seq?, settled: settled.clone(), as_of_seq: i64::MAX, closed: None })),
    })))
}
