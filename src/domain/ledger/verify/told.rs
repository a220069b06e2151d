//! Owns: what the journal tells of accounts, wallets, orders and budget windows, gathered event by event.
//! Refuses to know: what is stored (`stored` compares).

use super::{Check, Subject, Verifier};
use crate::base::{FastMap, OrderId};
use crate::domain::ledger::account::Balance;
use crate::domain::ledger::event::{Event, EventKind, ExtendPayload, ReservePayload, SettlePayload};
use crate::domain::ledger::operation::{GrantMoney, OpenWallet, Operated, Refund, SetTerms, WalletName};
use crate::domain::ledger::order::{Counted, Order, OrderState, UsageSource};
use crate::domain::ledger::state::WalletKind;
use crate::domain::ledger::terms::Terms;
use std::sync::Arc;

/// What the journal says of an account.
#[derive(Debug)]
pub(super) struct ToldAccount {
    pub(super) path: Box<str>,
    pub(super) is_held: bool,
    pub(super) is_wallet: bool,
    pub(super) balance: Balance,
    /// Of a held account: what its orders say it holds.
    pub(super) held: i64,
}

/// What the journal says of a wallet.
#[derive(Debug)]
pub(super) struct ToldWallet {
    pub(super) kind: WalletKind,
    pub(super) credit_limit_nano: Option<i64>,
    pub(super) terms: Arc<Terms>,
    pub(super) frozen: bool,
    /// What has crossed its border beside charges.
    pub(super) moved_nano: i64,
    /// Name, priority, expiry.
    pub(super) grants: Vec<(Arc<str>, u8, Option<i64>)>,
}

/// What the journal says of an order.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) reserve_seq: i64,
    pub(super) final_seq: Option<i64>,
    pub(super) state: Option<OrderState>,
    pub(super) wallet: Arc<str>,
    pub(super) hold_nano: i64,
    pub(super) charge_nano: Option<i64>,
    pub(super) pass_nano: Option<i64>,
    pub(super) cost_nano: Option<i64>,
    pub(super) refunded_nano: i64,
    pub(super) counted: Vec<Counted>,
    /// Entered minus left the held account.
    pub(super) still_held: i64,
    /// Left the wallet for good; `None` where it is not known from the beginning.
    pub(super) paid_nano: Option<i64>,
}

/// What one event moves for its order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    /// Into held accounts.
    pub(super) held_nano: i64,
    /// Out of the wallet's accounts.
    pub(super) paid_nano: i64,
}

impl Told {
    /// As stored before `event`, for an order whose row was seen to agree and that was let go.
    fn revived(order: &Order, wallet: Arc<str>, refunded_nano: i64, event: EventKind) -> Self {
        let nano = |money: Option<crate::base::Money>| money.map(crate::base::Money::as_nano);
        let refund = event == EventKind::Refund;
        Self {
            reserve_seq: order.reserve_seq,
            final_seq: order.final_seq,
            // What other events leave behind is told by themselves.
            state: refund.then_some(order.state),
            wallet,
            hold_nano: order.hold.as_nano(),
            charge_nano: nano(order.charge),
            pass_nano: nano(order.pass_through),
            cost_nano: nano(order.cost),
            refunded_nano,
            counted: order.counted.clone(),
            still_held: 0,
            paid_nano: refund.then(|| nano(order.charge).unwrap_or(0) - refunded_nano),
        }
    }
}

impl Verifier {
    /// The stored row of an order, before an event that may concern it again: taken up where the order was let go.
    pub fn revive(&mut self, order: &Order, event: EventKind) {
        if !self.orders.contains_key(&order.id) {
            let wallet = self.wallet_names.get(&order.wallet_id).cloned().unwrap_or_default();
            let refunded = self.refunded.get(&order.id).copied().unwrap_or(0);
            self.orders.insert(order.id, Told::revived(order, wallet, refunded, event));
        }
    }

    pub(super) fn told_wallet(&mut self, event: &Event) -> serde_json::Result<()> {
        let mut named = None;
        let known = |wallets: &mut FastMap<Arc<str>, ToldWallet>, name: &Arc<str>, change: &dyn Fn(&mut ToldWallet)| {
            wallets.get_mut(name).map(change).is_some()
        };
        let found = match event.kind {
            EventKind::WalletOpened => {
                let opened: OpenWallet = event.read()?;
                let OpenWallet { wallet, kind, credit_limit_nano } = opened;
                let told = ToldWallet { kind, credit_limit_nano, terms: Arc::default(), frozen: false, moved_nano: 0, grants: Vec::new() };
                self.names.push(Arc::clone(&wallet));
                named = Some(Arc::clone(&wallet));
                self.wallets.insert(wallet, told).is_none()
            }
            EventKind::TermsSet => {
                let SetTerms { wallet, credit_limit_nano, terms, .. } = event.read()?;
                named = Some(Arc::clone(&wallet));
                known(&mut self.wallets, &wallet, &|told| (told.credit_limit_nano, told.terms) = (credit_limit_nano, Arc::clone(&terms)))
            }
            EventKind::WalletFrozen | EventKind::WalletThawed | EventKind::Chargeback => {
                let WalletName { wallet } = event.read()?;
                named = Some(Arc::clone(&wallet));
                known(&mut self.wallets, &wallet, &|told| told.frozen = event.kind != EventKind::WalletThawed)
            }
            EventKind::Grant => {
                let GrantMoney { wallet, grant, priority, expires_at_ms, .. } = event.read()?;
                named = Some(Arc::clone(&wallet));
                known(&mut self.wallets, &wallet, &|told| {
                    told.grants.retain(|(name, ..)| *name != grant);
                    told.grants.push((Arc::clone(&grant), priority, expires_at_ms));
                })
            }
            EventKind::TopUp
            | EventKind::AccountOpened
            | EventKind::GrantExpired
            | EventKind::Reserve
            | EventKind::Extend
            | EventKind::Finalize
            | EventKind::LateSettle
            | EventKind::Release
            | EventKind::Expire
            | EventKind::Recover
            | EventKind::Refund
            | EventKind::TrueUp
            | EventKind::CashOut
            | EventKind::CashOutPaid
            | EventKind::CashOutFailed
            | EventKind::PaidBack
            | EventKind::PaymentUnassigned
            | EventKind::PaymentAssigned
            | EventKind::Payout
            | EventKind::Invoice
            | EventKind::Adjust
            | EventKind::GapClosed => true,
        };
        self.touched.wallets.extend(named);
        if !found {
            let detail = format!("entry {} names a wallet that was never opened, or was opened before", event.seq);
            self.changed(Check::R07, Subject::Entry(event.seq), detail);
        }
        Ok(())
    }

    pub(super) fn told_order(&mut self, event: &Event, flow: Flow) -> serde_json::Result<()> {
        let Some(id) = event.order else { return Ok(()) };
        let mut order = self.orders.remove(&id).unwrap_or_default();
        order.still_held = order.still_held.saturating_add(flow.held_nano);
        order.paid_nano = order.paid_nano.map(|paid| paid.saturating_add(flow.paid_nano));
        let read = self.apply(event, id, &mut order, flow);
        self.orders.insert(id, order);
        read
    }

    fn apply(&mut self, event: &Event, id: OrderId, order: &mut Told, flow: Flow) -> serde_json::Result<()> {
        match event.kind {
            EventKind::Reserve => {
                let reserve: ReservePayload<'_> = event.read()?;
                self.follows(event, id, order.state.is_none(), order.state);
                self.report.orders += 1;
                order.reserve_seq = event.seq;
                order.wallet =
                    self.wallets.get_key_value(&*reserve.wallet).map_or_else(|| (*reserve.wallet).into(), |(name, _)| Arc::clone(name));
                order.hold_nano = reserve.hold_nano;
                order.state = Some(OrderState::Reserved);
                order.paid_nano = Some(flow.paid_nano);
                self.hold_in_windows(&reserve.counted, 1);
                order.counted = reserve.counted;
            }
            EventKind::Extend => {
                let extended: ExtendPayload = event.read()?;
                self.follows(event, id, order.state == Some(OrderState::Reserved), order.state);
                order.hold_nano = extended.hold_nano;
                self.hold_in_windows(&order.counted, -1);
                self.hold_in_windows(&extended.counted, 1);
                order.counted = extended.counted;
            }
            EventKind::Refund => {
                let refund: Operated<Refund> = event.read()?;
                order.refunded_nano = order.refunded_nano.saturating_add(refund.action.amount_nano);
                self.refunded.insert(id, order.refunded_nano);
                self.spend_in_windows(&order.counted, flow.paid_nano, 0);
            }
            EventKind::Finalize
            | EventKind::LateSettle
            | EventKind::Release
            | EventKind::Expire
            | EventKind::Recover
            | EventKind::TrueUp => {
                let settled: SettlePayload = event.read()?;
                self.end(event, id, order, &settled, flow);
            }
            EventKind::WalletOpened
            | EventKind::TopUp
            | EventKind::AccountOpened
            | EventKind::TermsSet
            | EventKind::WalletFrozen
            | EventKind::WalletThawed
            | EventKind::Grant
            | EventKind::GrantExpired
            | EventKind::CashOut
            | EventKind::CashOutPaid
            | EventKind::CashOutFailed
            | EventKind::Chargeback
            | EventKind::PaidBack
            | EventKind::PaymentUnassigned
            | EventKind::PaymentAssigned
            | EventKind::Payout
            | EventKind::Invoice
            | EventKind::Adjust
            | EventKind::GapClosed => {
                let detail = format!("entry {} names an order and is none of an order's", event.seq);
                self.changed(Check::R07, Subject::Entry(event.seq), detail);
            }
        }
        Ok(())
    }

    /// Each state has the event that leads to it, and no other.
    fn follows(&mut self, event: &Event, id: OrderId, legal: bool, state: Option<OrderState>) {
        if !legal {
            let (seq, kind) = (event.seq, event.kind.name());
            let state = state.map_or("not reserved", OrderState::name);
            self.changed(Check::R07, Subject::Order(id), format!("entry {seq} ({kind}) comes to order {id}, which is {state}"));
        }
    }

    fn end(&mut self, event: &Event, id: OrderId, order: &mut Told, settled: &SettlePayload, flow: Flow) {
        let late = event.kind == EventKind::LateSettle;
        let correction = event.kind == EventKind::TrueUp;
        let legal = match (event.kind, order.state) {
            // An order that was let go: its row has been seen to be in an end state.
            (EventKind::TrueUp | EventKind::LateSettle, None) => order.reserve_seq > 0,
            (EventKind::TrueUp, Some(state)) => {
                matches!(
                    state,
                    OrderState::Finalized | OrderState::LateSettled | OrderState::Provisional | OrderState::Unpriced | OrderState::Released
                )
            }
            (EventKind::LateSettle, Some(OrderState::Released)) => order.cost_nano.is_none(),
            (EventKind::LateSettle, Some(state)) => state == OrderState::Expired,
            (_, state) => state == Some(OrderState::Reserved),
        };
        self.follows(event, id, legal, order.state);
        self.recompute(event.seq, settled);
        self.conduct(event, id, settled);
        if !late && !correction {
            self.hold_in_windows(&order.counted, -1);
        }
        order.counted.retain(|one| !settled.uncounted.contains(&one.budget));
        if settled.usage_source != UsageSource::None {
            self.spend_in_windows(&order.counted, flow.paid_nano, i64::from(!correction));
        }
        order.final_seq = Some(event.seq);
        order.state = Some(settled.state);
        order.charge_nano = settled.charge_nano;
        order.pass_nano = settled.pass_through_nano;
        order.cost_nano = settled.cost_nano;
    }

    fn hold_in_windows(&mut self, counted: &[Counted], sign: i64) {
        for one in counted {
            self.in_window(one, [one.held.saturating_mul(sign), 0, sign, 0]);
        }
    }

    fn spend_in_windows(&mut self, counted: &[Counted], amount_nano: i64, orders: i64) {
        for one in counted {
            self.in_window(one, [0, amount_nano, 0, orders]);
        }
    }

    fn in_window(&mut self, one: &Counted, added: [i64; 4]) {
        let id = (one.budget, one.start_ms);
        for (sum, more) in self.windows.entry(id).or_default().iter_mut().zip(added) {
            *sum = sum.saturating_add(more);
        }
        self.touched.windows.insert(id);
    }
}
