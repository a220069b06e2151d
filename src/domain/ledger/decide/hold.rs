//! Owns: an order while its call is under way: reserve, extend, renew, dispatch.
//! Refuses to know: how it ends (`order`), which accounts pay (`funds`), which budgets count it (`budget`).

use super::funds::{Funding, fund, grown, parts_of};
use super::order::settled;
use super::{Decided, Desk};
use crate::base::{Money, OrderId, Timestamp};
use crate::domain::ledger::chain::Hash;
use crate::domain::ledger::command::{Attempt, Refusal, Reply, Reserve};
use crate::domain::ledger::event::{EventKind, ExtendPayload, ReservePayload};
use crate::domain::ledger::once::OnceRecord;
use crate::domain::ledger::order::{Order, OrderState};
use crate::domain::ledger::state::{Wallet, WindowId};
use crate::domain::ledger::terms::HoldPolicy;

impl Desk<'_> {
    pub(super) fn reserve(&mut self, reserve: &Reserve) -> Decided {
        if let Some(order) = self.state.orders.get(&reserve.order) {
            return Ok(Reply::Held { hold: order.hold });
        }
        if reserve.once.is_some_and(|once| self.is_taken(&once.scope)) {
            return Err(Refusal::Repeated);
        }
        let wallet = self.state.wallets.get(&reserve.wallet).cloned().ok_or(Refusal::UnknownWallet)?;
        // A refusal leaves nothing behind: who has no money must not fill the disk.
        let (hold, parts, windows) = self.admit(reserve, &wallet)?;
        self.open_order(reserve, &wallet, hold, parts, &windows)
    }

    /// A mark was read as its order then stood; an order in memory may have ended since.
    fn is_taken(&self, scope: &Hash) -> bool {
        self.state.marks.get(scope).is_some_and(|known| {
            let state = self.state.orders.get(&known.order).map_or(known.state, |order| order.state);
            !OnceRecord { state, ..known.clone() }.is_free()
        })
    }

    /// Wallet and budgets together, all or nothing.
    fn admit(&mut self, reserve: &Reserve, wallet: &Wallet) -> Result<(Money, Funding, Vec<WindowId>), Refusal> {
        let asked = reserve.hold.unwrap_or(Money::ZERO);
        let shrinks = wallet.hold() != HoldPolicy::Strict;
        let least = reserve.least.filter(|_| shrinks).unwrap_or(asked).min(asked);
        // The wallet first: what it refuses is no budget's affair.
        let funding = fund(self.state, wallet, self.now, reserve.hold, Some(least), &[])?;
        let (allowed, windows) = self.admit_to_budgets(reserve, asked, least)?;
        let funding = if allowed < funding.hold { fund(self.state, wallet, self.now, Some(allowed), Some(least), &[])? } else { funding };
        Ok((funding.hold, funding, windows))
    }

    fn open_order(&mut self, reserve: &Reserve, wallet: &Wallet, hold: Money, funding: Funding, windows: &[WindowId]) -> Decided {
        let postings = funding.postings(wallet);
        let counted = self.count_in_budgets(windows, &reserve.model, hold);
        let payload = ReservePayload {
            wallet: (&*reserve.wallet).into(),
            key: reserve.key.map(|key| key.to_string()),
            user_path: reserve.user_path.as_str().into(),
            labels: reserve.labels.iter().map(|label| (&**label).into()).collect(),
            operation: reserve.operation.into(),
            model: (&*reserve.model).into(),
            endpoint: (&*reserve.endpoint).into(),
            provider: (&*reserve.provider).into(),
            hold_nano: hold.as_nano(),
            asked_nano: reserve.hold.filter(|asked| *asked != hold).map(Money::as_nano),
            counted: counted.clone(),
            input_cost_nano: reserve.input_cost.as_nano(),
            priced: reserve.hold.is_some(),
            stream: reserve.stream,
            expires_at_ms: reserve.expires_at.0,
            node: reserve.node,
            epoch: reserve.epoch,
        };
        let mut reserved = self.event(EventKind::Reserve, &payload, postings);
        reserved.order = Some(reserve.order);
        let seq = self.append(reserved)?;
        let (hold_source, parts) = funding.source(wallet);
        let order = Order {
            id: reserve.order,
            wallet_id: wallet.id,
            state: OrderState::Reserved,
            hold,
            hold_source,
            parts,
            counted,
            charge: None,
            pass_through: None,
            fee: None,
            cost: None,
            overrun: Money::ZERO,
            builder: None,
            refunded: Money::ZERO,
            provider: (&*reserve.provider).into(),
            input_cost: reserve.input_cost,
            node: reserve.node,
            epoch: reserve.epoch,
            reserve_seq: seq,
            final_seq: None,
            created_at: self.now,
            expires_at: reserve.expires_at,
            finished_at: None,
        };
        if let Some(once) = reserve.once {
            self.state.marks.insert(once.scope, OnceRecord::of(once.fingerprint, &order, None));
            self.writes.marks.push((once, order.id));
        }
        self.writes.orders_new.push(order.clone());
        self.state.orders.insert(reserve.order, order);
        Ok(Reply::Held { hold })
    }

    /// A hold that grows: as much of `by` as wallet and budgets afford, at least one nano-unit.
    pub(super) fn extend(&mut self, id: OrderId, by: Money) -> Decided {
        let Some(mut order) = self.state.orders.get(&id).cloned() else { return Err(Refusal::UnknownOrder) };
        if !order.state.is_open() {
            return Ok(settled(&order, true));
        }
        let wallet = self.state.wallet_of(&order).cloned().ok_or(Refusal::UnknownWallet)?;
        let allowed = self.extend_in_budgets(&order.counted, by);
        if allowed.is_zero() {
            return Err(Refusal::InsufficientFunds { available: Money::ZERO, hold: by });
        }
        let funding = fund(self.state, &wallet, self.now, Some(allowed), Some(Money::nano(1)), &parts_of(&order, &wallet))?;
        let hold = order.hold.checked_add(funding.hold).ok_or(Refusal::TooLarge)?;
        let grown = grown(&order, &wallet, hold, &funding.parts);
        self.extend_count(&mut order.counted, funding.hold);
        let payload = ExtendPayload {
            by_nano: funding.hold.as_nano(),
            hold_nano: hold.as_nano(),
            expires_at_ms: None,
            counted: order.counted.clone(),
        };
        let mut extended = self.event(EventKind::Extend, &payload, funding.postings(&wallet));
        extended.order = Some(id);
        self.append(extended)?;
        order.hold = hold;
        (order.hold_source, order.parts) = grown.source(&wallet);
        self.writes.orders_extended.insert(id);
        self.state.orders.insert(id, order);
        Ok(Reply::Held { hold })
    }

    /// A deadline is put off, never brought forward.
    pub(super) fn renew(&mut self, id: OrderId, until: Timestamp) -> Decided {
        let Some(mut order) = self.state.orders.get(&id).cloned() else { return Err(Refusal::UnknownOrder) };
        if !order.state.is_open() {
            return Ok(settled(&order, true));
        }
        if until > order.expires_at {
            order.expires_at = until;
            let (hold_nano, counted) = (order.hold.as_nano(), order.counted.clone());
            let payload = ExtendPayload { by_nano: 0, hold_nano, expires_at_ms: Some(until.0), counted };
            let mut renewed = self.event(EventKind::Extend, &payload, Vec::new());
            renewed.order = Some(id);
            self.append(renewed)?;
            self.writes.orders_extended.insert(id);
            self.state.orders.insert(id, order.clone());
        }
        Ok(Reply::Held { hold: order.hold })
    }

    pub(super) fn dispatch(&mut self, order: OrderId, attempt: &Attempt) -> Decided {
        match self.state.orders.get(&order) {
            Some(known) if known.state.is_open() => {
                self.writes.attempts.push((order, attempt.clone()));
                Ok(Reply::Done { seq: self.state.last_seq, duplicate: false })
            }
            Some(known) => Ok(settled(known, true)),
            None => Err(Refusal::UnknownOrder),
        }
    }
}
