//! Owns: what a sabotaged ledger does: each defect as a change of what is handed to the store.
//! Refuses to know: which rule finds it.

use super::life::HOLD_TIMEOUT;
use super::sabotage::Sabotage;
use super::store::Store;
use crate::base::{Money, OpId, OrderId, Timestamp};
use crate::domain::identity::UserPath;
use crate::domain::ledger::{Action, Command, Ledger, Operation, OrderReceipt, OrderState, Reply, Reserve, Settle, Ticket, UsageSource};
use std::sync::Arc;

/// Hands a command to the store, or does something else with it.
pub(super) fn spoil(store: &Store, sabotage: Sabotage, mut command: Command) -> Ticket {
    let ticket = match &mut command {
        Command::Settle(settle) => spoil_settlement(store, sabotage, settle),
        Command::Reserve(reserve) => {
            spoil_reserve(sabotage, reserve);
            None
        }
        Command::Operate(operation) => {
            spoil_operation(store, sabotage, operation);
            None
        }
        Command::Extend { order, by } => (sabotage == Sabotage::EmptyExtension).then(|| {
            let held = store.memory.order(*order).ok().flatten().map_or(0, |receipt| receipt.order.hold.as_nano());
            answered(Reply::Held { hold: Money::nano(held.saturating_add(by.as_nano())) })
        }),
        Command::ExpireGrant { .. } => (sabotage == Sabotage::LastingGrant).then(|| answered(Reply::Done { seq: 0, duplicate: false })),
        Command::Renew { order, .. } => {
            let order = *order;
            (sabotage == Sabotage::ShortHold).then(|| store.memory.submit(Command::Expire { order }))
        }
        Command::Dispatch { .. } | Command::Expire { .. } | Command::Recover { .. } => None,
    };
    ticket.unwrap_or_else(|| store.memory.submit(command))
}

fn spoil_operation(store: &Store, sabotage: Sabotage, operation: &mut Box<Operation>) {
    if let (Action::Grant(grant), Sabotage::UnspentGrant) = (&mut operation.action, sabotage) {
        grant.expires_at_ms = Some(1);
    }
    if let (Action::TrueUp(true_up), Sabotage::BlindEvidence) = (&mut operation.action, sabotage) {
        true_up.follows = None;
    }
    if let (Action::Refund(_), Sabotage::DoubleRefund) = (&operation.action, sabotage) {
        let mut again = operation.clone();
        again.op = OpId(operation.op.0.map(|byte| byte ^ 0x55));
        drop(store.memory.submit(Command::Operate(again)));
    }
}

fn answered(reply: Reply) -> Ticket {
    let (answer, ticket) = Ticket::new();
    let _ = answer.send(Ok(reply));
    ticket
}

fn spoil_reserve(sabotage: Sabotage, reserve: &mut Reserve) {
    if sabotage == Sabotage::ShortHold {
        reserve.expires_at = Timestamp(reserve.expires_at.0 - i64::try_from(HOLD_TIMEOUT.as_millis()).unwrap_or(0));
    } else if sabotage == Sabotage::UncountedBudget {
        reserve.key = None;
        reserve.user_path = UserPath::root();
        reserve.labels.truncate(1);
    } else if sabotage == Sabotage::ForgottenMark {
        reserve.once = None;
    }
}

/// `None`: the settlement goes on to the store.
fn spoil_settlement(store: &Store, sabotage: Sabotage, settle: &mut Settle) -> Option<Ticket> {
    if sabotage == Sabotage::LostReplay {
        settle.answer = None;
        return None;
    }
    if sabotage == Sabotage::UntoldCost {
        forget_cost(settle);
        return None;
    }
    let charge = settle.amounts.map(|amounts| amounts.charge).filter(|charge| !charge.is_zero())?;
    let state = match settle.usage_source {
        UsageSource::Estimated => OrderState::Provisional,
        UsageSource::Provider | UsageSource::Cache | UsageSource::None => OrderState::Finalized,
    };
    let settled = Reply::Settled { state, charge: Some(charge), duplicate: false };
    if sabotage == Sabotage::LostSettlement {
        return Some(answered(settled));
    }
    if sabotage == Sabotage::EarlyAnswer {
        drop(store.memory.submit(Command::Settle(Box::new(settle.clone()))));
        return Some(answered(settled));
    }
    if sabotage == Sabotage::KeptHold {
        let hold = store.memory.order(settle.order).ok().flatten().map(|receipt| receipt.order.hold)?;
        if let Some(amounts) = settle.amounts.as_mut().filter(|amounts| amounts.charge < hold) {
            amounts.charge = hold;
            amounts.fee = Money::nano(hold.as_nano() - amounts.pass_through.as_nano());
        }
    }
    if sabotage == Sabotage::DoubleCharge {
        let receipt = store.memory.order(settle.order).ok().flatten()?;
        let mut again = settle.clone();
        again.order = OrderId::new();
        drop(store.memory.submit(Command::Reserve(Box::new(reserve_again(&receipt, again.order)))));
        drop(store.memory.submit(Command::Settle(Box::new(again))));
    }
    None
}

/// Usage and price make the cost, as if the reply had not named one.
fn forget_cost(settle: &mut Settle) {
    settle.unpriced_cost = None;
    let Some(rated) = &mut settle.rated else { return };
    if rated.reported.take().is_some()
        && let (Some(amounts), Ok((computed, _))) = (&mut settle.amounts, rated.clone().rate(&settle.usage))
    {
        (amounts.cost, amounts.cost_exact) = (computed.cost, computed.cost_exact);
    }
}

fn reserve_again(receipt: &OrderReceipt, order: OrderId) -> Reserve {
    let reserve = &receipt.reserve;
    Reserve {
        order,
        wallet: Arc::clone(&receipt.wallet),
        key: None,
        user_path: UserPath::parse(&reserve.user_path).unwrap_or_else(|_| UserPath::root()),
        labels: reserve.labels.iter().map(|label| (**label).into()).collect(),
        operation: "chat",
        model: (&*reserve.model).into(),
        endpoint: (&*reserve.endpoint).into(),
        fallbacks: Vec::new(),
        provider: (&*reserve.provider).into(),
        hold: reserve.priced.then_some(receipt.order.hold),
        least: None,
        input_cost: receipt.order.input_cost,
        stream: reserve.stream,
        expires_at: receipt.order.expires_at,
        node: receipt.order.node,
        epoch: receipt.order.epoch,
        once: None,
    }
}
