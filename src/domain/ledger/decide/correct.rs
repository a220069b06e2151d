//! Owns: what is changed after an order has ended: refunds, and true-ups when evidence or a new rating comes. Only new entries.
//! Refuses to know: why (the operation's reference says so).

use super::order::Charge;
use super::{Desk, posting};
use crate::base::{Money, OrderId};
use crate::domain::ledger::account::{AccountId, AccountPath};
use crate::domain::ledger::chain::hex;
use crate::domain::ledger::command::{Loss, Refusal};
use crate::domain::ledger::event::{Billed, BuilderShare, SettlePayload};
use crate::domain::ledger::operation::{Follows, Operation, Refund, TrueUp};
use crate::domain::ledger::order::{CostSource, HoldSource, Order, OrderState, Part, UsageSource};
use crate::domain::ledger::posting::{Posting, PostingCode};
use crate::domain::ledger::rated::Rated;
use crate::domain::ledger::settle::Amounts;
use crate::domain::ledger::state::Wallet;
use std::sync::Arc;

/// `amount` of `total`, in proportion, rounded half-even.
fn share(amount: i64, part: i64, total: i64) -> i64 {
    if total == 0 {
        return 0;
    }
    let (amount, part, total) = (i128::from(amount), i128::from(part), i128::from(total));
    let (floor, rest) = ((amount * part).div_euclid(total), (amount * part).rem_euclid(total));
    let up = rest * 2 > total || (rest * 2 == total && floor % 2 == 1);
    i64::try_from(floor + i128::from(up)).unwrap_or(i64::MAX)
}

/// A charge, leg by leg.
#[derive(Clone, Copy)]
struct Legs {
    pass: i64,
    platform: i64,
    builder: i64,
}

impl From<&Amounts> for Legs {
    fn from(amounts: &Amounts) -> Self {
        Self {
            pass: amounts.pass_through.as_nano(),
            platform: amounts.fee.as_nano() - amounts.builder.as_nano(),
            builder: amounts.builder.as_nano(),
        }
    }
}

/// What an order is charged after a true-up to `amounts`, before the credit limit of one that was never priced.
pub fn corrected_charge(order: &Order, amounts: &Amounts) -> Money {
    let legs = if order.state == OrderState::Unpriced { Legs::from(amounts) } else { Legs::of(order).lowered_to(amounts.into()) };
    Money::nano(legs.sum())
}

impl Legs {
    fn of(order: &Order) -> Self {
        let nano = |money: Option<Money>| money.map_or(0, Money::as_nano);
        let builder = order.builder.as_ref().map_or(0, |(_, share)| share.as_nano());
        Self { pass: nano(order.pass_through), platform: nano(order.fee) - builder, builder }
    }

    const fn sum(self) -> i64 {
        self.pass + self.platform + self.builder
    }

    /// What of each leg has gone when `refunded` of the whole has: cumulative, so that parts add up whatever their number.
    fn after(self, refunded: i64) -> Self {
        let builder = share(refunded, self.builder, self.sum());
        let platform = share(refunded, self.platform, self.sum()).min(refunded - builder);
        Self { pass: refunded - builder - platform, platform, builder }
    }

    /// What stays of the legs when only the sum of `due` is: leg by leg as they are due, and where one was charged less than that,
    /// the others keep more. Never more than before.
    fn lowered_to(self, due: Self) -> Self {
        if due.sum() >= self.sum() {
            return self;
        }
        let sum = due.sum();
        let (pass, builder) = (self.pass.min(due.pass), self.builder.min(due.builder));
        let platform = self.platform.min(sum - pass - builder);
        let pass = self.pass.min(sum - builder - platform);
        Self { pass, platform, builder: sum - pass - platform }
    }

    const fn minus(self, other: Self) -> Self {
        Self { pass: self.pass - other.pass, platform: self.platform - other.platform, builder: self.builder - other.builder }
    }
}

/// What a settled order has taken from the wallet, as far as it was not given back.
fn spent(order: &Order, wallet: &Wallet) -> Vec<Part> {
    let left = order.charge.map_or(0, Money::as_nano) - order.refunded.as_nano();
    match order.hold_source {
        HoldSource::Cash => vec![Part(wallet.cash, left)],
        HoldSource::Receivable => vec![Part(wallet.receivable, left)],
        HoldSource::Parts => order.parts.clone(),
    }
}

impl Desk<'_> {
    fn settled_order(&self, id: OrderId) -> Result<(Order, Wallet), Refusal> {
        let order = self.state.orders.get(&id).cloned().ok_or(Refusal::UnknownOrder)?;
        let wallet = self.state.wallet_of(&order).cloned().ok_or(Refusal::UnknownWallet)?;
        Ok((order, wallet))
    }

    /// Moves what the legs say back to the wallet.
    fn return_legs(&mut self, order: &Order, wallet: &Wallet, legs: Legs, code: PostingCode) -> (Vec<Posting>, Vec<Part>) {
        let mut spent = spent(order, wallet);
        let mut to = self.give_back(wallet, &mut spent, legs.sum());
        let builder = order.builder.as_ref().filter(|_| legs.builder > 0).map(|(name, _)| self.account(AccountPath::Builder(name)));
        let (usage, fees) = (self.account(AccountPath::UsageRevenue), self.account(AccountPath::FeeRevenue));
        let mut postings = Vec::with_capacity(4);
        let from: [(Option<AccountId>, i64); 3] = [(Some(usage), legs.pass), (Some(fees), legs.platform), (builder, legs.builder)];
        for (account, mut rest) in from {
            let Some(account) = account else { continue };
            for part in &mut to {
                let moved = rest.min(part.1);
                postings.extend(posting(account, part.0, moved, code));
                part.1 -= moved;
                rest -= moved;
            }
        }
        (postings, spent)
    }

    pub(super) fn refund(&mut self, operation: &Operation, refund: &Refund) -> Result<i64, Refusal> {
        let id = operation.action.order().ok_or(Refusal::UnknownOrder)?;
        let (mut order, wallet) = self.settled_order(id)?;
        let charge = order.charge.filter(|charge| !charge.is_zero()).ok_or(Refusal::NotCharged)?;
        let left = charge.as_nano() - order.refunded.as_nano();
        if refund.amount_nano <= 0 || refund.amount_nano > left {
            return Err(Refusal::Exceeds { left: Money::nano(left) });
        }
        let (before, after) = (order.refunded.as_nano(), order.refunded.as_nano() + refund.amount_nano);
        let legs = Legs::of(&order).after(after).minus(Legs::of(&order).after(before));
        let (postings, spent) = self.return_legs(&order, &wallet, legs, PostingCode::Refund);
        let mut entry = self.entry(operation, postings);
        entry.order = Some(id);
        let seq = self.append(entry)?;
        order.refunded = Money::nano(after);
        if order.hold_source == HoldSource::Parts {
            order.parts = spent;
        }
        self.return_in_budgets(&order.counted, Money::nano(refund.amount_nano));
        self.correct(order);
        Ok(seq)
    }

    fn correct(&mut self, order: Order) {
        self.writes.orders_corrected.insert(order.id);
        self.state.orders.insert(order.id, order);
    }

    /// Evidence comes, or a new rating. A lower charge goes back; a higher one is the platform's loss, unless the order was
    /// never priced: then it is charged now. What nothing was charged for is billed all the same: that is our cost alone.
    pub(super) fn true_up(&mut self, operation: &Operation, true_up: &TrueUp) -> Result<i64, Refusal> {
        let (mut order, wallet) = self.settled_order(true_up.order)?;
        self.may_follow(&order, true_up)?;
        let before = true_up.follows.as_ref().map_or_else(SettlePayload::default, |follows| follows.settled.clone());
        let never_priced = order.state == OrderState::Unpriced;
        let old = Legs::of(&order);
        let new = Legs::from(&true_up.amounts);
        let mut legs = old;
        let mut absorbed = (new.sum() - old.sum()).clamp(0, before.absorbed_nano);
        let mut postings = Vec::new();
        let mut spent_now = spent(&order, &wallet);
        if never_priced {
            let builder = order.builder.clone().map(|(name, _)| name);
            let charge = Charge {
                pass_nano: new.pass,
                fee_nano: new.platform + new.builder,
                builder: builder.as_ref().map(|name| (name, new.builder)),
            };
            let charged = self.charge(&wallet, 0, charge);
            legs = Legs {
                pass: charged.pass_nano,
                platform: charged.charge_nano - charged.pass_nano - charged.builder_nano,
                builder: charged.builder_nano,
            };
            order.overrun = Money::nano(charged.overrun);
            order.builder = builder.map(|name| (name, Money::ZERO));
            absorbed = charged.absorbed;
            postings.extend(charged.postings);
            spent_now = charged.beyond;
        } else if new.sum() < old.sum() {
            legs = old.lowered_to(new);
            let (back, spent) = self.return_legs(&order, &wallet, old.minus(legs), PostingCode::TrueUp);
            postings.extend(back);
            spent_now = spent;
        }
        let state = state_after(order.state, true_up, &before);
        let told = SettlePayload { absorbed_nano: absorbed, ..self.costs(&order, true_up, before, &mut postings) };
        self.pin(true_up.rated.as_ref());
        order.state = state;
        order.charge = Some(Money::nano(legs.sum()));
        order.pass_through = Some(Money::nano(legs.pass));
        order.fee = Some(Money::nano(legs.platform + legs.builder));
        order.cost = Some(true_up.amounts.cost);
        order.builder = order.builder.map(|(name, _)| (name, Money::nano(legs.builder))).filter(|(_, share)| !share.is_zero());
        if order.hold_source == HoldSource::Parts {
            order.parts = spent_now;
        }
        let mut entry = self.entry(operation, postings);
        entry.payload = serde_json::to_vec(&payload(operation, true_up, &order, told)).unwrap_or_default();
        entry.order = Some(order.id);
        let seq = self.append(entry)?;
        order.final_seq = Some(seq);
        let returned = if never_priced { -legs.sum() } else { old.sum() - legs.sum() };
        self.return_in_budgets(&order.counted, Money::nano(returned));
        self.correct(order);
        Ok(seq)
    }

    /// Moves what providers bill for the order; gives what the journal told before, with what has changed of it.
    fn costs(&mut self, order: &Order, true_up: &TrueUp, before: SettlePayload, postings: &mut Vec<Posting>) -> SettlePayload {
        let (moved, loss_nano) = self.main_cost(order, true_up, &before);
        postings.extend(moved);
        let closed = true_up.follows.as_ref().is_some_and(|follows| follows.closed.is_some());
        let suspense_nano = if waits(true_up, &before) && !closed { true_up.amounts.cost.as_nano() } else { 0 };
        let billed = before.billed.clone().or_else(|| closed.then(|| as_billed(order, &before)));
        let confirmed = self.attempts_cost(true_up, &before, postings);
        let mut losses = before.losses.clone();
        losses.retain(|loss| !confirmed.iter().any(|known| known.provider == loss.provider));
        SettlePayload { follows_seq: order.final_seq, loss_nano, suspense_nano, billed, losses, confirmed, ..before }
    }

    /// Only what has ended, was not refunded (a refund and a new charge would have to be netted leg by leg: people settle that by
    /// another refund), and still is what the evidence was looked at against, as are the bills that were closed. Whose hold has
    /// expired may still be settled.
    fn may_follow(&self, order: &Order, true_up: &TrueUp) -> Result<(), Refusal> {
        let ended = match order.state {
            OrderState::Finalized | OrderState::LateSettled | OrderState::Provisional | OrderState::Unpriced => true,
            OrderState::Released => true_up.amounts.charge.is_zero(),
            OrderState::Reserved | OrderState::Expired => false,
        };
        if !ended || order.refunded > Money::ZERO {
            return Err(Refusal::NotCharged);
        }
        let is_current = |follows: &Follows| Some(follows.seq) == order.final_seq && self.state.last_closing_seq <= follows.as_of_seq;
        if true_up.follows.as_deref().is_none_or(is_current) { Ok(()) } else { Err(Refusal::Conflict) }
    }

    /// The order's own cost; beside the postings, what of the new cost is the platform's loss by the settlement policy.
    fn main_cost(&mut self, order: &Order, true_up: &TrueUp, before: &SettlePayload) -> (Vec<Posting>, i64) {
        let provider = &*true_up.provider;
        let (crashed, unused) = (before.has_crashed(), order.state == OrderState::Released);
        let booked = booked_nano(order, before);
        let closed = true_up.follows.as_ref().and_then(|follows| AccountPath::parse(follows.closed.as_ref()?));
        let (standing, owed) = if let Some(account) = closed {
            (Standing { suspended: 0, owed: booked }, account)
        } else if waits(true_up, before) {
            (Standing { suspended: 0, owed: booked }, AccountPath::Suspense(provider))
        } else {
            (Standing { suspended: before.suspense_nano, owed: booked - before.suspense_nano }, AccountPath::Payable(provider))
        };
        let new_nano = true_up.amounts.cost.as_nano();
        let undelivered = (AccountPath::LossUndelivered, if unused { i64::MAX } else { before.loss_nano });
        let (more, less): ((AccountPath<'_>, PostingCode), [(AccountPath<'_>, i64); 2]) = match (unused, crashed) {
            (true, true) => ((AccountPath::LossCrash, PostingCode::CrashLoss), [(AccountPath::LossCrash, i64::MAX), undelivered]),
            (true, false) => {
                ((AccountPath::LossUndelivered, PostingCode::UndeliveredLoss), [undelivered, (AccountPath::LossUndelivered, 0)])
            }
            (false, _) => {
                let never_priced = order.state == OrderState::Unpriced;
                let more = if never_priced {
                    (AccountPath::Cogs(provider), PostingCode::Cost)
                } else {
                    (AccountPath::LossEstimate, PostingCode::EstimateLoss)
                };
                (more, [undelivered, (AccountPath::Cogs(provider), i64::MAX)])
            }
        };
        let postings = self.move_cost((provider, owed), standing, new_nano, more, less);
        let loss_nano = if unused { new_nano } else { (before.loss_nano - (booked - new_nano).max(0)).max(0) };
        (postings, loss_nano)
    }

    /// What attempts that did not serve really cost; gives all of those that are known by now.
    fn attempts_cost(&mut self, true_up: &TrueUp, before: &SettlePayload, postings: &mut Vec<Posting>) -> Vec<Loss> {
        let mut confirmed = before.confirmed.clone();
        for evidence in &true_up.losses {
            let of = |losses: &[Loss]| losses.iter().filter(|loss| loss.provider == evidence.provider).map(|loss| loss.cost_nano).sum();
            let standing = Standing { suspended: of(&before.losses), owed: of(&confirmed) };
            let less = [(AccountPath::LossFailover, i64::MAX), (AccountPath::LossFailover, 0)];
            let more = (AccountPath::LossFailover, PostingCode::FailoverLoss);
            let to = (&*evidence.provider, AccountPath::Payable(&evidence.provider));
            postings.extend(self.move_cost(to, standing, evidence.cost_nano, more, less));
            confirmed.retain(|known| known.provider != evidence.provider);
            confirmed.push(evidence.clone());
        }
        confirmed
    }

    /// Cost that is booked becomes what it really is: out of suspense, then owed more (by the account `more`) or less (by those of
    /// `less`, each up to so much).
    fn move_cost(
        &mut self,
        (provider, owed): (&str, AccountPath<'_>),
        standing: Standing,
        new_nano: i64,
        more: (AccountPath<'_>, PostingCode),
        mut less: [(AccountPath<'_>, i64); 2],
    ) -> Vec<Posting> {
        let confirmed = standing.suspended.min(new_nano);
        let rest = new_nano - confirmed - standing.owed;
        let mut postings = Vec::with_capacity(4);
        if confirmed > 0 {
            let (suspense, payable) = (self.account(AccountPath::Suspense(provider)), self.account(AccountPath::Payable(provider)));
            postings.extend(posting(suspense, payable, confirmed, PostingCode::TrueUp));
        }
        if rest > 0 {
            let (expense, owed) = (self.account(more.0), self.account(owed));
            postings.extend(posting(expense, owed, rest, more.1));
        }
        let given_up = [(AccountPath::Suspense(provider), standing.suspended - confirmed), (owed, -rest)];
        for (owed, mut amount) in given_up {
            for (expense, limit) in &mut less {
                let part = amount.min(*limit);
                if part > 0 {
                    let (debit, credit) = (self.account(owed), self.account(*expense));
                    postings.extend(posting(debit, credit, part, PostingCode::TrueUp));
                    (amount, *limit) = (amount - part, *limit - part);
                }
            }
        }
        postings
    }
}

/// What of the order's cost is booked so far; after a crash what is suspected.
fn booked_nano(order: &Order, settled: &SettlePayload) -> i64 {
    order.cost.map_or(if settled.has_crashed() { settled.suspense_nano } else { 0 }, Money::as_nano)
}

/// The figures with which an order is in a bill that was closed.
fn as_billed(order: &Order, settled: &SettlePayload) -> Billed {
    Billed { cost_nano: booked_nano(order, settled), suspense_nano: settled.suspense_nano, usage: settled.usage }
}

/// An estimate in suspense stays there until the provider's count or its bill is here, whatever it is rated at.
fn waits(true_up: &TrueUp, before: &SettlePayload) -> bool {
    before.suspense_nano > 0 && true_up.usage_source == UsageSource::Estimated && !is_reported(true_up)
}

fn is_reported(true_up: &TrueUp) -> bool {
    true_up.rated.as_ref().is_some_and(|rated| rated.reported.is_some())
}

/// Where a cost stands that is booked.
#[derive(Clone, Copy)]
struct Standing {
    suspended: i64,
    owed: i64,
}

/// An estimate stays one until the provider's count or its bill is here. A cost that the reply named is no news: the charge was an
/// estimate beside it.
fn state_after(state: OrderState, true_up: &TrueUp, before: &SettlePayload) -> OrderState {
    match state {
        OrderState::LateSettled | OrderState::Released | OrderState::Reserved | OrderState::Expired => state,
        OrderState::Finalized | OrderState::Provisional | OrderState::Unpriced => {
            let reported = true_up.rated.as_ref().and_then(|rated| rated.reported);
            let is_known = reported.is_some() && (state == OrderState::Finalized || reported != before.reported_cost());
            if true_up.usage_source == UsageSource::Estimated && !is_known { OrderState::Provisional } else { OrderState::Finalized }
        }
    }
}

/// What the journal tells: `told` is what was so before, with what the true-up has moved.
fn payload(operation: &Operation, true_up: &TrueUp, order: &Order, told: SettlePayload) -> SettlePayload {
    let nano = |money: Option<Money>| money.map(Money::as_nano);
    SettlePayload {
        state: order.state,
        endpoint: true_up.endpoint.clone().or_else(|| told.endpoint.clone()),
        provider: Some(Arc::clone(&true_up.provider)),
        price: true_up.rated.as_ref().map(|rated| hex(&rated.price.hash)),
        rated: true_up.rated.as_ref().map(Rated::terms),
        usage: true_up.usage,
        usage_source: true_up.usage_source,
        cost_exact: Some(true_up.amounts.cost_exact),
        // What was charged nothing has no price to compute a cost from: its evidence is a bill.
        cost_source: true_up.rated.as_ref().map_or(CostSource::Reported, Rated::cost_source),
        charge_exact: Some(true_up.amounts.charge_exact),
        charge_nano: nano(order.charge),
        pass_through_nano: nano(order.pass_through),
        cost_nano: nano(order.cost),
        builder: order.builder.as_ref().map(|(name, share)| BuilderShare { name: Arc::clone(name), amount_nano: share.as_nano() }),
        finish: if told.finish.is_empty() { "true_up".to_owned() } else { told.finish.clone() },
        actor: Some(Arc::clone(&operation.actor)),
        reference: Some(Arc::clone(&operation.reference)),
        ..told
    }
}
