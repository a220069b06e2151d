//! Owns: what is changed after an order has ended: refunds, and true-ups when evidence or a new rating comes. Only new entries.
//! Refuses to know: why (the operation's reference says so).

use super::order::Charge;
use super::{Desk, posting};
use crate::base::{Money, OrderId};
use crate::domain::ledger::account::{AccountId, AccountPath};
use crate::domain::ledger::chain::hex;
use crate::domain::ledger::command::Refusal;
use crate::domain::ledger::event::{BuilderShare, SettlePayload};
use crate::domain::ledger::operation::{Operation, Refund, TrueUp};
use crate::domain::ledger::order::{HoldSource, Order, OrderState, Part};
use crate::domain::ledger::posting::{Posting, PostingCode};
use crate::domain::ledger::rated::Rated;
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
    /// the others keep more.
    fn lowered_to(self, due: Self) -> Self {
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
    /// never priced: then it is charged now.
    pub(super) fn true_up(&mut self, operation: &Operation, true_up: &TrueUp) -> Result<i64, Refusal> {
        let (mut order, wallet) = self.settled_order(true_up.order)?;
        let never_priced = order.state == OrderState::Unpriced;
        match order.state {
            OrderState::Finalized | OrderState::LateSettled | OrderState::Provisional | OrderState::Unpriced => {}
            OrderState::Reserved | OrderState::Released | OrderState::Expired => return Err(Refusal::NotCharged),
        }
        if order.refunded > Money::ZERO {
            // A refund and a new charge would have to be netted leg by leg; people settle that by another refund.
            return Err(Refusal::NotCharged);
        }
        let amounts = &true_up.amounts;
        let old = Legs::of(&order);
        let new = Legs {
            pass: amounts.pass_through.as_nano(),
            platform: amounts.fee.as_nano() - amounts.builder.as_nano(),
            builder: amounts.builder.as_nano(),
        };
        let mut legs = old;
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
            postings.extend(charged.postings);
            spent_now = charged.beyond;
        } else if new.sum() < old.sum() {
            legs = old.lowered_to(new);
            let (back, spent) = self.return_legs(&order, &wallet, old.minus(legs), PostingCode::TrueUp);
            postings.extend(back);
            spent_now = spent;
        }
        postings.extend(self.cost_difference(&order, true_up));
        order.cost_lost = order.cost_lost.min(amounts.cost);
        order.cost_suspended = false;
        postings.extend(self.loss_postings(&true_up.losses));
        self.pin(true_up.rated.as_ref());
        order.state = if order.state == OrderState::LateSettled { OrderState::LateSettled } else { OrderState::Finalized };
        order.charge = Some(Money::nano(legs.sum()));
        order.pass_through = Some(Money::nano(legs.pass));
        order.fee = Some(Money::nano(legs.platform + legs.builder));
        order.cost = Some(amounts.cost);
        order.builder = order.builder.map(|(name, _)| (name, Money::nano(legs.builder))).filter(|(_, share)| !share.is_zero());
        if order.hold_source == HoldSource::Parts {
            order.parts = spent_now;
        }
        let mut entry = self.entry(operation, postings);
        entry.payload = serde_json::to_vec(&payload(operation, true_up, &order)).unwrap_or_default();
        entry.order = Some(order.id);
        let seq = self.append(entry)?;
        order.final_seq = Some(seq);
        if never_priced {
            self.return_in_budgets(&order.counted, Money::nano(-legs.sum()));
        } else {
            self.return_in_budgets(&order.counted, Money::nano((old.sum() - legs.sum()).max(0)));
        }
        self.correct(order);
        Ok(seq)
    }

    /// What waited in suspense is owed now. A lower cost is owed no more, and comes off what was nobody's first; a higher one is the
    /// estimate's loss, or the cost of what is priced only now.
    fn cost_difference(&mut self, order: &Order, true_up: &TrueUp) -> Vec<Posting> {
        let provider = &*true_up.provider;
        let old = order.cost.map_or(0, Money::as_nano);
        let payable = self.account(AccountPath::Payable(provider));
        let mut postings = Vec::with_capacity(3);
        if order.cost_suspended {
            let suspense = self.account(AccountPath::Suspense(provider));
            postings.extend(posting(suspense, payable, old, PostingCode::TrueUp));
        }
        let difference = true_up.amounts.cost.as_nano() - old;
        if difference > 0 {
            let (expense, code) = if order.state == OrderState::Unpriced {
                (AccountPath::Cogs(provider), PostingCode::Cost)
            } else {
                (AccountPath::LossEstimate, PostingCode::EstimateLoss)
            };
            let debit = self.account(expense);
            postings.extend(posting(debit, payable, difference, code));
        }
        let of_loss = order.cost_lost.as_nano().min(-difference);
        for (expense, less) in [(AccountPath::LossUndelivered, of_loss), (AccountPath::Cogs(provider), -difference - of_loss)] {
            if less > 0 {
                let credit = self.account(expense);
                postings.extend(posting(payable, credit, less, PostingCode::TrueUp));
            }
        }
        postings
    }
}

fn payload(operation: &Operation, true_up: &TrueUp, order: &Order) -> SettlePayload {
    let nano = |money: Option<Money>| money.map(Money::as_nano);
    SettlePayload {
        state: order.state.name().to_owned(),
        endpoint: true_up.endpoint.clone(),
        provider: Some(Arc::clone(&true_up.provider)),
        price: true_up.rated.as_ref().map(|rated| hex(&rated.price.hash)),
        rated: true_up.rated.as_ref().map(Rated::terms),
        usage: true_up.usage,
        usage_source: true_up.usage_source,
        cost_exact: Some(true_up.amounts.cost_exact.to_string()),
        charge_exact: Some(true_up.amounts.charge_exact.to_string()),
        charge_nano: nano(order.charge),
        pass_through_nano: nano(order.pass_through),
        cost_nano: nano(order.cost),
        loss_nano: order.cost_lost.as_nano(),
        builder: order.builder.as_ref().map(|(name, share)| BuilderShare { name: Arc::clone(name), amount_nano: share.as_nano() }),
        losses: true_up.losses.clone(),
        finish: "true_up".to_owned(),
        actor: Some(Arc::clone(&operation.actor)),
        reference: Some(Arc::clone(&operation.reference)),
        ..SettlePayload::default()
    }
}
