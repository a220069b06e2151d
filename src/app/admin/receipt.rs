//! Owns: an order as shown to people and programs: one shape for the HTTP door, the command line and Python.

use crate::base::{Money, Rounding};
use crate::domain::ledger::{Attempt, OrderReceipt, SettlePayload};
use serde_json::{Value, json};

/// Amounts are decimal text in USD; times RFC 3339.
pub fn receipt(order: &OrderReceipt) -> Value {
    let (row, reserve, settled) = (&order.order, &order.reserve, order.settlement.as_ref());
    let attempts = settled.map_or(&order.dispatched, |settled| &settled.attempts);
    json!({
        "object": "order",
        "order": row.id.to_string(),
        "state": row.state.name(),
        "wallet": &*order.wallet,
        "key": reserve.key,
        "user_path": reserve.user_path,
        "operation": reserve.operation,
        "model": reserve.model,
        "endpoint": settled.and_then(|s| s.endpoint.as_deref()).unwrap_or(&reserve.endpoint),
        "provider": settled.and_then(|s| s.provider.as_deref()).unwrap_or(&reserve.provider),
        "stream": reserve.stream,
        "currency": "USD",
        "hold": row.hold,
        "charge": row.charge,
        "pass_through": row.pass_through,
        "fee": row.fee,
        "builder": row.builder.as_ref().map(|(name, share)| json!({ "name": **name, "amount": share })),
        "cost": row.cost,
        // Where no cost is known, or the call is still open, nobody has said any.
        "cost_source": settled.filter(|s| s.cost_exact.is_some()).map(|s| s.cost_source),
        "upstream_cost": settled.and_then(upstream_cost),
        "cost_uncertain_max": order.cost_uncertain_max(),
        "absorbed": settled.map(|s| Money::nano(s.absorbed_nano)).filter(|absorbed| !absorbed.is_zero()),
        "usage": settled.map(|s| s.usage),
        "usage_source": settled.map(|s| s.usage_source),
        "price_sheet": settled.and_then(|s| s.price.as_deref()),
        "finish": settled.map(|s| s.finish.as_str()),
        "provider_request_id": settled.and_then(|s| s.provider_request_id.as_deref()),
        "attempts": attempts.iter().map(attempt).collect::<Vec<_>>(),
        "created_at": row.created_at.to_string(),
        "expires_at": row.expires_at.to_string(),
        "finished_at": row.finished_at.map(|at| at.to_string()),
    })
}

/// What the provider bills to the caller's own key, which is no cost of ours.
fn upstream_cost(settled: &SettlePayload) -> Option<Money> {
    settled.rated.as_ref()?.upstream_cost_exact?.round(Rounding::HalfEven)
}

fn attempt(attempt: &Attempt) -> Value {
    let time = |ms: i64| crate::base::Timestamp(ms).to_string();
    json!({
        "n": attempt.n,
        "endpoint": &*attempt.endpoint,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "started_at": time(attempt.started_at_ms),
        "first_byte_at": attempt.first_byte_at_ms.map(time),
        "ended_at": time(attempt.ended_at_ms),
    })
}
