//! Owns: an order made again from its entries alone, as the decisions left it.
//! Refuses to know: why the stored one is not trusted.

use super::funds::{Funding, grown, parts_of, take_back};
use crate::base::{Money, Timestamp};
use crate::domain::ledger::event::{Event, EventKind, ExtendPayload, ReservePayload, SettlePayload};
use crate::domain::ledger::operation::{Operated, Refund};
use crate::domain::ledger::order::{HoldSource, Order, OrderState, Part};
use crate::domain::ledger::posting::PostingCode;
use crate::domain::ledger::state::Wallet;

/// The order that these entries, all of it and in order, make for this wallet. `None` if they do not begin with its reserve or
/// cannot be read.
pub fn project(events: &[Event], wallet: &Wallet) -> Option<Order> {
    let (first, rest) = events.split_first()?;
    let mut order = reserved(first, wallet)?;
    for event in rest {
        apply(&mut order, event, wallet)?;
    }
    Some(order)
}

/// What the entry takes into the wallet's hold, by account.
fn held(event: &Event, wallet: &Wallet) -> Vec<Part> {
    event.postings.iter().filter(|p| p.credit == wallet.held).map(|p| Part(p.debit, p.amount_nano)).collect()
}

fn reserved(event: &Event, wallet: &Wallet) -> Option<Order> {
    if event.kind != EventKind::Reserve {
        return None;
    }
    let reserve: ReservePayload<'_> = event.read().ok()?;
    let funding = Funding { hold: Money::nano(reserve.hold_nano), parts: held(event, wallet) };
    let (hold_source, parts) = funding.source(wallet);
    Some(Order {
        id: event.order?,
        wallet_id: wallet.id,
        state: OrderState::Reserved,
        hold: funding.hold,
        hold_source,
        parts,
        counted: reserve.counted,
        charge: None,
        pass_through: None,
        fee: None,
        cost: None,
        overrun: Money::ZERO,
        builder: None,
        refunded: Money::ZERO,
        provider: (&*reserve.provider).into(),
        input_cost: Money::nano(reserve.input_cost_nano),
        node: reserve.node,
        epoch: reserve.epoch,
        reserve_seq: event.seq,
        final_seq: None,
        created_at: event.ts,
        expires_at: Timestamp(reserve.expires_at_ms),
        finished_at: None,
    })
}

fn apply(order: &mut Order, event: &Event, wallet: &Wallet) -> Option<()> {
    match event.kind {
        EventKind::Extend => extend(order, event, wallet),
        EventKind::Finalize | EventKind::LateSettle | EventKind::Release => settle(order, event, wallet),
        EventKind::Expire | EventKind::Recover => {
            let settled: SettlePayload = event.read().ok()?;
            order.state = settled.state;
            (order.final_seq, order.finished_at) = (Some(event.seq), Some(event.ts));
            Some(())
        }
        EventKind::Refund => {
            let refund: Operated<Refund> = event.read().ok()?;
            let amount_nano = refund.action.amount_nano;
            order.refunded = order.refunded.checked_add(Money::nano(amount_nano))?;
            take_back(&mut order.parts, amount_nano);
            Some(())
        }
        EventKind::TrueUp => true_up(order, event, wallet),
        EventKind::Reserve
        | EventKind::WalletOpened
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
        | EventKind::GapClosed => None,
    }
}

fn extend(order: &mut Order, event: &Event, wallet: &Wallet) -> Option<()> {
    let extended: ExtendPayload = event.read().ok()?;
    let grown = grown(order, wallet, Money::nano(extended.hold_nano), &held(event, wallet));
    order.hold = grown.hold;
    (order.hold_source, order.parts) = grown.source(wallet);
    order.counted = extended.counted;
    order.expires_at = extended.expires_at_ms.map_or(order.expires_at, Timestamp);
    Some(())
}

/// What of a charge was taken beyond the hold, by account, in order.
fn beyond(event: &Event, wallet: &Wallet) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let charged = |code| matches!(code, PostingCode::Usage | PostingCode::Fee | PostingCode::BuilderFee);
    for posting in event.postings.iter().filter(|p| charged(p.code) && p.debit != wallet.held) {
        match parts.iter_mut().find(|known| known.0 == posting.debit) {
            Some(known) => known.1 = known.1.saturating_add(posting.amount_nano),
            None => parts.push(Part(posting.debit, posting.amount_nano)),
        }
    }
    parts
}

fn sum(parts: &[Part]) -> Money {
    Money::nano(parts.iter().fold(0, |sum: i64, part| sum.saturating_add(part.1)))
}

fn take_amounts(order: &mut Order, settled: &SettlePayload) {
    order.builder = settled.builder.as_ref().map(|share| (share.name.clone(), Money::nano(share.amount_nano)));
    order.cost = settled.cost_nano.map(Money::nano);
    let (Some(charge), Some(pass)) = (settled.charge_nano, settled.pass_through_nano) else { return };
    order.charge = Some(Money::nano(charge));
    order.pass_through = Some(Money::nano(pass));
    order.fee = Some(Money::nano(charge.saturating_sub(pass)));
}

fn settle(order: &mut Order, event: &Event, wallet: &Wallet) -> Option<()> {
    let settled: SettlePayload = event.read().ok()?;
    let late = event.kind == EventKind::LateSettle;
    let hold_nano = if late { 0 } else { order.hold.as_nano() };
    let mut spent = if late { Vec::new() } else { parts_of(order, wallet) };
    take_back(&mut spent, hold_nano - settled.charge_nano.unwrap_or(0).min(hold_nano));
    let beyond = beyond(event, wallet);
    order.overrun = sum(&beyond);
    spent.extend(beyond);
    if order.hold_source == HoldSource::Parts {
        order.parts = spent;
    }
    order.state = settled.state;
    order.counted.retain(|one| !settled.uncounted.contains(&one.budget));
    take_amounts(order, &settled);
    (order.final_seq, order.finished_at) = (Some(event.seq), Some(event.ts));
    Some(())
}

fn true_up(order: &mut Order, event: &Event, wallet: &Wallet) -> Option<()> {
    let settled: SettlePayload = event.read().ok()?;
    let before = order.charge.map_or(0, Money::as_nano);
    if order.state == OrderState::Unpriced {
        let beyond = beyond(event, wallet);
        order.overrun = sum(&beyond);
        if order.hold_source == HoldSource::Parts {
            order.parts = beyond;
        }
    } else {
        take_back(&mut order.parts, (before - settled.charge_nano.unwrap_or(0)).max(0));
    }
    order.state = settled.state;
    take_amounts(order, &settled);
    order.final_seq = Some(event.seq);
    Some(())
}
