//! Owns: the end of an order: settle, expire, recover.
//! Refuses to know: how a call ended and what it cost (pipeline); it books what it is told.

use super::funds::{parts_of, split_charge, take_back};
use super::{Decided, Desk, posting};
use crate::base::{Money, OrderId};
use crate::domain::ledger::account::AccountPath;
use crate::domain::ledger::chain::hex;
use crate::domain::ledger::command::{Loss, Refusal, Reply, Settle};
use crate::domain::ledger::event::{BuilderShare, Event, EventKind, SettlePayload};
use crate::domain::ledger::once::SealedAnswer;
use crate::domain::ledger::order::{Counted, HoldSource, Order, OrderState, Part, UsageSource};
use crate::domain::ledger::posting::{Posting, PostingCode};
use crate::domain::ledger::rated::Rated;
use crate::domain::ledger::settle::Amounts;
use crate::domain::ledger::state::Wallet;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Losses that have a line of their own in an entry.
const MAX_LOSSES: usize = 3;

pub(super) fn settled(order: &Order, duplicate: bool) -> Reply {
    Reply::Settled { state: order.state, charge: order.charge, duplicate }
}

/// What a charge consists of.
#[derive(Clone, Copy)]
pub(super) struct Charge<'a> {
    pub(super) pass_nano: i64,
    pub(super) fee_nano: i64,
    /// Part of the fee.
    pub(super) builder: Option<(&'a Arc<str>, i64)>,
}

/// What was really taken of it.
pub(super) struct Charged {
    pub(super) postings: Vec<Posting>,
    pub(super) charge_nano: i64,
    pub(super) pass_nano: i64,
    pub(super) builder_nano: i64,
    pub(super) overrun: i64,
    pub(super) absorbed: i64,
    /// What was taken beyond the hold, and from where.
    pub(super) beyond: Vec<Part>,
}

impl Desk<'_> {
    /// Books a charge against hold, cash and credit, in this order; never fails for lack of funds.
    pub(super) fn charge(&mut self, wallet: &Wallet, hold_nano: i64, charge: Charge<'_>) -> Charged {
        let split = split_charge(self.state, wallet, hold_nano, charge.pass_nano + charge.fee_nano);
        let (usage, fees) = (self.account(AccountPath::UsageRevenue), self.account(AccountPath::FeeRevenue));
        let builder = charge.builder.filter(|(_, amount)| *amount > 0);
        let builder_account = builder.map(|(name, _)| self.account(AccountPath::Builder(name)));
        // What is absorbed comes off the end: first the platform's fee, then the builder's share, then the cost.
        let mut rest_pass = charge.pass_nano;
        let mut rest_builder = builder.map_or(0, |(_, amount)| amount);
        let mut postings = Vec::with_capacity(8);
        let mut taken = (0, 0);
        for Part(from, amount) in &split.from {
            let pass = (*amount).min(rest_pass);
            rest_pass -= pass;
            let share = (*amount - pass).min(rest_builder);
            rest_builder -= share;
            taken = (taken.0 + pass, taken.1 + share);
            postings.extend(posting(*from, usage, pass, PostingCode::Usage));
            postings.extend(builder_account.and_then(|to| posting(*from, to, share, PostingCode::BuilderFee)));
            postings.extend(posting(*from, fees, *amount - pass - share, PostingCode::Fee));
        }
        Charged {
            postings,
            charge_nano: charge.pass_nano + charge.fee_nano - split.absorbed,
            pass_nano: taken.0,
            builder_nano: taken.1,
            overrun: split.overrun,
            absorbed: split.absorbed,
            beyond: split.from.into_iter().filter(|part| part.0 != wallet.held).collect(),
        }
    }

    /// The end of an order: charge, cost and the rest of the hold in one event. Never fails for lack of funds.
    pub(super) fn settle(&mut self, settle: &Settle) -> Decided {
        let Some(order) = self.state.orders.get(&settle.order).cloned() else { return Err(Refusal::UnknownOrder) };
        // Whoever took the hold away was mistaken: the call lives, the provider bills, and real usage is never dropped.
        let late = (order.state == OrderState::Expired || order.is_abandoned()) && settle.usage_source != UsageSource::None;
        if !order.state.is_open() && !late {
            return Ok(settled(&order, true));
        }
        let wallet = self.state.wallet_of(&order).cloned().ok_or(Refusal::UnknownWallet)?;
        let hold_nano = if late { 0 } else { order.hold.as_nano() };
        let given = settle.given();
        let known = given.is_some();
        let amounts = given.unwrap_or(Amounts::ZERO);
        // What is sold without a price may have a cost all the same.
        let cost = settle.cost();
        let builder = settle.builder.as_ref().map(|name| (name, amounts.builder.as_nano()));
        let asked = Charge { pass_nano: amounts.pass_through.as_nano(), fee_nano: amounts.fee.as_nano(), builder };
        let charged = self.charge(&wallet, hold_nano, asked);
        let mut postings = charged.postings.clone();
        let losses = booked(&settle.losses);
        postings.extend(self.cost_postings(&order, settle, &losses, cost.unwrap_or(Money::ZERO)));
        let mut spent = if late { Vec::new() } else { parts_of(&order, &wallet) };
        let back = take_back(&mut spent, hold_nano - charged.charge_nano.min(hold_nano));
        postings.extend(back.iter().filter_map(|part| posting(wallet.held, part.0, part.1, PostingCode::Release)));
        spent.extend(charged.beyond.iter().copied());
        let next = next_state(order.state, settle);
        let builder =
            settle.builder.clone().map(|name| (name, Money::nano(charged.builder_nano))).filter(|(_, share)| !known || !share.is_zero());
        let uncounted = self.uncounted(&order.counted, settle.endpoint.as_ref());
        let told = settle_payload((settle, losses), (next, given), &charged, builder.as_ref());
        let payload = SettlePayload { uncounted: uncounted.clone(), ..told };
        self.pin(settle.rated.as_ref());
        let kind = match next {
            _ if late => EventKind::LateSettle,
            OrderState::Released => EventKind::Release,
            OrderState::Reserved
            | OrderState::Finalized
            | OrderState::Expired
            | OrderState::LateSettled
            | OrderState::Provisional
            | OrderState::Unpriced => EventKind::Finalize,
        };
        let charge = (settle.usage_source != UsageSource::None).then_some(Money::nano(charged.charge_nano));
        let counted = if late { order.counted.iter().map(|one| Counted { held: 0, ..*one }).collect() } else { order.counted.clone() };
        let event = self.event(kind, &payload, postings);
        let reply = self.finish(event, &order, |order| {
            order.state = next;
            order.overrun = Money::nano(charged.overrun);
            order.counted.retain(|one| !uncounted.contains(&one.budget));
            if order.hold_source == HoldSource::Parts {
                order.parts = spent;
            }
            if known {
                order.charge = Some(Money::nano(charged.charge_nano));
                order.pass_through = Some(Money::nano(charged.pass_nano));
                order.fee = Some(Money::nano(charged.charge_nano - charged.pass_nano));
            }
            order.cost = cost;
            // Of a call without a price too: its share comes with the price.
            order.builder = builder;
        })?;
        self.settle_in_budgets(&counted, &uncounted, charge);
        if let Some(answer) = &settle.answer {
            self.keep_answer(order.id, answer);
        }
        Ok(reply)
    }

    fn keep_answer(&mut self, order: OrderId, answer: &SealedAnswer) {
        if let Some(known) = self.state.marks.get_mut(&answer.scope).filter(|known| known.order == order) {
            known.sealed = Some(answer.sealed.clone());
        }
        self.writes.answers.push((order, answer.clone()));
    }

    /// What the providers bill: the one that served, and those that failed and may bill all the same. Of a call that was taken for dead,
    /// what was feared goes back.
    fn cost_postings(&mut self, order: &Order, settle: &Settle, losses: &[Loss], cost: Money) -> Vec<Posting> {
        let mut postings = Vec::with_capacity(2 + losses.len());
        if cost.as_nano() > 0 {
            let provider = settle.provider.as_deref().unwrap_or(&order.provider);
            let owed = if settle.suspense { AccountPath::Suspense(provider) } else { AccountPath::Payable(provider) };
            let credit = self.account(owed);
            let loss = settle.loss.min(cost).as_nano();
            for (expense, amount, code) in [
                (AccountPath::Cogs(provider), cost.as_nano() - loss, PostingCode::Cost),
                (AccountPath::LossUndelivered, loss, PostingCode::UndeliveredLoss),
            ] {
                if amount > 0 {
                    let debit = self.account(expense);
                    postings.extend(posting(debit, credit, amount, code));
                }
            }
        }
        postings.extend(self.loss_postings(losses));
        if order.is_abandoned() {
            postings.extend(self.crash_loss(order, true));
        }
        postings
    }

    fn loss_postings(&mut self, losses: &[Loss]) -> Vec<Posting> {
        let mut postings = Vec::with_capacity(losses.len());
        for loss in losses {
            let debit = self.account(AccountPath::LossFailover);
            let credit = self.account(AccountPath::Suspense(&loss.provider));
            postings.extend(posting(debit, credit, loss.cost_nano, PostingCode::FailoverLoss));
        }
        postings
    }

    /// The price sheets an order refers to are kept for ever, once.
    pub(super) fn pin(&mut self, rated: Option<&Rated>) {
        for price in rated.into_iter().flat_map(Rated::sheets) {
            if let Entry::Vacant(entry) = self.state.prices.entry(price.hash) {
                entry.insert(Arc::clone(price));
                self.writes.prices.push(Arc::clone(price));
            }
        }
    }

    /// Appends the event that ends an order, and moves the order with it.
    fn finish(&mut self, mut ended: Event, order: &Order, change: impl FnOnce(&mut Order)) -> Decided {
        ended.order = Some(order.id);
        let seq = self.append(ended)?;
        let mut order = order.clone();
        change(&mut order);
        order.final_seq = Some(seq);
        order.finished_at = Some(self.now);
        self.writes.orders_changed.insert(order.id);
        let reply = settled(&order, false);
        self.state.orders.insert(order.id, order);
        Ok(reply)
    }

    /// The whole hold, back where it came from.
    fn release(order: &Order, wallet: &Wallet) -> Vec<Posting> {
        let mut parts = parts_of(order, wallet);
        let back = take_back(&mut parts, order.hold.as_nano());
        back.iter().filter_map(|part| posting(wallet.held, part.0, part.1, PostingCode::Release)).collect()
    }

    /// What the provider may bill for the input of a call whose process is dead; `back` when it is not.
    fn crash_loss(&mut self, order: &Order, back: bool) -> Option<Posting> {
        let nano = order.input_cost.as_nano();
        if nano == 0 {
            return None;
        }
        let (loss, suspense) = (self.account(AccountPath::LossCrash), self.account(AccountPath::Suspense(&order.provider)));
        if back { posting(suspense, loss, nano, PostingCode::TrueUp) } else { posting(loss, suspense, nano, PostingCode::CrashLoss) }
    }

    pub(super) fn expire(&mut self, id: OrderId) -> Decided {
        let Some(order) = self.state.orders.get(&id).cloned() else { return Err(Refusal::UnknownOrder) };
        if !order.state.is_open() || order.expires_at > self.now {
            return Ok(settled(&order, true));
        }
        let wallet = self.state.wallet_of(&order).ok_or(Refusal::UnknownWallet)?;
        let postings = Self::release(&order, wallet);
        let event = self.event(EventKind::Expire, &without_usage(OrderState::Expired, "deadline"), postings);
        let reply = self.finish(event, &order, |order| order.state = OrderState::Expired)?;
        self.settle_in_budgets(&order.counted, &[], None);
        Ok(reply)
    }

    /// A dead node's order: the user gets the hold back and is charged nothing; what the provider may bill for the input is
    /// accrued as our loss until evidence comes.
    pub(super) fn recover(&mut self, id: OrderId) -> Decided {
        let Some(order) = self.state.orders.get(&id).cloned() else { return Err(Refusal::UnknownOrder) };
        if !order.state.is_open() {
            return Ok(settled(&order, true));
        }
        let wallet = self.state.wallet_of(&order).cloned().ok_or(Refusal::UnknownWallet)?;
        let mut postings = Self::release(&order, &wallet);
        postings.extend(self.crash_loss(&order, false));
        let suspense_nano = order.input_cost.as_nano();
        let recovered = SettlePayload { suspense_nano, ..without_usage(OrderState::Released, SettlePayload::CRASH) };
        let event = self.event(EventKind::Recover, &recovered, postings);
        let reply = self.finish(event, &order, |order| order.state = OrderState::Released)?;
        self.settle_in_budgets(&order.counted, &[], None);
        Ok(reply)
    }
}

fn next_state(before: OrderState, settle: &Settle) -> OrderState {
    match (before, settle.usage_source, settle.amounts) {
        (OrderState::Expired | OrderState::Released, _, Some(_)) => OrderState::LateSettled,
        (_, UsageSource::None, _) => OrderState::Released,
        (_, UsageSource::Provider | UsageSource::Estimated | UsageSource::Cache, None) => OrderState::Unpriced,
        (_, UsageSource::Provider | UsageSource::Cache, Some(_)) => OrderState::Finalized,
        (_, UsageSource::Estimated, Some(_)) => OrderState::Provisional,
    }
}

fn settle_payload(
    (settle, losses): (&Settle, Vec<Loss>),
    (next, amounts): (OrderState, Option<Amounts>),
    charged: &Charged,
    builder: Option<&(Arc<str>, Money)>,
) -> SettlePayload {
    SettlePayload {
        state: next,
        endpoint: settle.endpoint.clone(),
        provider: settle.provider.clone(),
        price: settle.rated.as_ref().map(|rated| hex(&rated.price.hash)),
        rated: settle.rated.as_ref().map(Rated::terms),
        usage: settle.usage,
        usage_source: settle.usage_source,
        cost_exact: settle.cost_exact(),
        cost_source: settle.cost_source(),
        charge_exact: amounts.map(|amounts| amounts.charge_exact),
        charge_nano: amounts.map(|_| charged.charge_nano),
        pass_through_nano: amounts.map(|_| charged.pass_nano),
        cost_nano: settle.cost().map(Money::as_nano),
        loss_nano: settle.loss.as_nano(),
        suspense_nano: amounts.filter(|_| settle.suspense).map_or(0, |amounts| amounts.cost.as_nano()),
        builder: builder.map(|(name, share)| BuilderShare { name: Arc::clone(name), amount_nano: share.as_nano() }),
        absorbed_nano: charged.absorbed,
        uncounted: Vec::new(),
        losses,
        confirmed: Vec::new(),
        follows_seq: None,
        billed: None,
        attempts: settle.attempts.clone(),
        provider_request_id: settle.provider_request_id.clone(),
        finish: settle.finish.to_owned(),
        outcome: settle.outcome,
        actor: None,
        reference: None,
    }
}

/// An entry has no more lines: what further providers may bill waits with the last one, and is told so.
fn booked(losses: &[Loss]) -> Vec<Loss> {
    let mut lines: Vec<Loss> = Vec::new();
    for loss in losses.iter().filter(|loss| loss.cost_nano > 0) {
        match lines.get_mut(MAX_LOSSES - 1) {
            Some(last) => last.cost_nano = last.cost_nano.saturating_add(loss.cost_nano),
            None => lines.push(loss.clone()),
        }
    }
    lines
}

fn without_usage(state: OrderState, finish: &str) -> SettlePayload {
    SettlePayload { state, finish: finish.to_owned(), ..SettlePayload::default() }
}
