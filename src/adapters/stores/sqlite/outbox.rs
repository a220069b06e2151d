//! Owns: the rows of the outbox: what is to be told to others, put there in the transaction that it tells of.
//! Refuses to know: how it is delivered.

use crate::base::Timestamp;
use crate::domain::ledger::BudgetAlert;
use rusqlite::Connection;
use serde_json::json;

/// Once a window and percentage.
pub(super) fn put_alert(c: &Connection, alert: &BudgetAlert, now: Timestamp) -> rusqlite::Result<()> {
    let refused = alert.percent > 100;
    let topic = if refused { "budget.refused" } else { "budget.threshold" };
    let payload = json!({
        "budget": &*alert.name,
        "window_start": alert.start.to_string(),
        "percent": alert.percent.min(100),
        "used": alert.used,
        "cap": alert.cap,
    });
    put(c, topic, &format!("{topic}:{}:{}:{}", alert.budget, alert.start.0, alert.percent), &payload, now)
}

pub(super) fn put(c: &Connection, topic: &str, dedupe: &str, payload: &serde_json::Value, now: Timestamp) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT OR IGNORE INTO outbox(topic, dedupe, payload, created_at, next_at) VALUES (?1, ?2, ?3, ?4, ?4)")?
        .execute((topic, dedupe, payload.to_string(), now.0))
        .map(drop)
}
