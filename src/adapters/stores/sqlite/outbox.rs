//! Owns: the rows of the outbox: what is to be told to others, put there in the transaction that it tells of.
//! Refuses to know: how it is delivered.

use super::connection::Database;
use crate::base::{Result, Timestamp};
use crate::domain::ledger::BudgetAlert;
use rusqlite::Connection;
use serde_json::json;
use std::time::Duration;

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
    put_for(c, topic, dedupe, payload, (now, now))
}

fn put_for(
    c: &Connection,
    topic: &str,
    dedupe: &str,
    payload: &serde_json::Value,
    (now, due): (Timestamp, Timestamp),
) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT OR IGNORE INTO outbox(topic, dedupe, payload, created_at, next_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((topic, dedupe, payload.to_string(), now.0, due.0))
        .map(drop)
}

/// Something that is to be told, claimed for delivery.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: i64,
    pub topic: String,
    pub dedupe: String,
    /// JSON.
    pub payload: String,
    pub created_at: Timestamp,
    /// This one included.
    pub tries: u32,
}

impl Database {
    /// Puts a message into the outbox once a `dedupe`: it is told in `grace`, unless it is withdrawn before.
    pub fn tell(&self, topic: &str, dedupe: &str, payload: &serde_json::Value, now: Timestamp, grace: Duration) -> Result<()> {
        self.change(|c| put_for(c, topic, dedupe, payload, (now, now.plus(grace))))
    }

    /// What a message would have told is put right.
    pub fn withdraw(&self, dedupe: &str) -> Result<()> {
        let waits = "SELECT EXISTS (SELECT 1 FROM outbox WHERE dedupe = ?1 AND tries = 0)";
        // Asked first: a look must not take the write lock.
        if self.with(|c| c.prepare_cached(waits)?.query_row([dedupe], |row| row.get::<_, bool>(0)))? {
            self.change(|c| c.execute("DELETE FROM outbox WHERE dedupe = ?1 AND tries = 0", [dedupe]).map(drop))?;
        }
        Ok(())
    }

    /// Messages whose time has come, at most `limit`. They are this caller's for the time of the claim; one that is neither
    /// delivered nor put off by then comes again.
    pub fn claim_messages(&self, limit: usize, claim: Duration, now: Timestamp) -> Result<Vec<Message>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // Asked first: a look must not take the write lock.
        let due = "SELECT EXISTS (SELECT 1 FROM outbox WHERE delivered_at IS NULL AND next_at <= ?1)";
        if !self.with(|c| c.prepare_cached(due)?.query_row([now.0], |row| row.get::<_, bool>(0)))? {
            return Ok(Vec::new());
        }
        self.change(|c| {
            c.prepare(
                "UPDATE outbox SET tries = tries + 1, next_at = ?2 WHERE id IN \
                 (SELECT id FROM outbox WHERE delivered_at IS NULL AND next_at <= ?1 ORDER BY next_at, id LIMIT ?3) \
                 RETURNING id, topic, dedupe, payload, created_at, tries",
            )?
            .query_map((now.0, now.plus(claim).0, limit), |row| {
                Ok(Message {
                    id: row.get(0)?,
                    topic: row.get(1)?,
                    dedupe: row.get(2)?,
                    payload: row.get(3)?,
                    created_at: Timestamp(row.get(4)?),
                    tries: row.get(5)?,
                })
            })?
            .collect()
        })
    }

    pub fn delivered(&self, message: i64, now: Timestamp) -> Result<()> {
        self.change(|c| c.execute("UPDATE outbox SET delivered_at = ?2 WHERE id = ?1", (message, now.0)).map(drop))
    }

    /// Comes again at that time; `None`: never.
    pub fn put_off(&self, message: i64, until: Option<Timestamp>) -> Result<()> {
        self.change(|c| c.execute("UPDATE outbox SET next_at = ?2 WHERE id = ?1", (message, until.map_or(i64::MAX, |at| at.0))).map(drop))
    }

    /// Messages that wait, those given up included.
    pub fn waiting_messages(&self) -> Result<i64> {
        self.with(|c| c.prepare_cached("SELECT count(*) FROM outbox WHERE delivered_at IS NULL")?.query_row([], |row| row.get(0)))
    }

    /// Forgets what was delivered before then.
    pub fn forget_messages(&self, before: Timestamp) -> Result<()> {
        self.change(|c| c.execute("DELETE FROM outbox WHERE delivered_at < ?1", [before.0]).map(drop))
    }
}
