//! Owns: marked requests on SQLite.

use super::connection::Database;
use super::rows;
use crate::base::{OrderId, Result, Timestamp};
use crate::domain::ledger::{Hash, Once, OnceRecord, SealedAnswer};
use rusqlite::{Connection, OptionalExtension};

/// The mark with its order; `None` if there is none, or if its time is over.
pub(super) fn find(c: &Connection, scope: &Hash, now: Timestamp) -> rusqlite::Result<Option<OnceRecord>> {
    let row: Option<(Hash, [u8; 16], Option<Vec<u8>>)> = c
        .prepare_cached("SELECT fingerprint, order_id, answer FROM idempotency WHERE scope = ?1 AND expires_at > ?2")?
        .query_row((scope, now.0), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((fingerprint, order, sealed)) = row else { return Ok(None) };
    let order = rows::order_by_id(c, OrderId(order))?;
    Ok(order.map(|order| OnceRecord::of(fingerprint, &order, sealed)))
}

pub(super) fn insert(c: &Connection, once: &Once, order: OrderId) -> rusqlite::Result<()> {
    c.prepare_cached(
        "INSERT INTO idempotency(scope, fingerprint, order_id, expires_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT(scope) DO UPDATE SET \
         fingerprint = excluded.fingerprint, order_id = excluded.order_id, expires_at = excluded.expires_at, answer = NULL",
    )?
    .execute((once.scope, once.fingerprint, order.0, once.expires_at.0))
    .map(drop)
}

pub(super) fn answer(c: &Connection, order: OrderId, answer: &SealedAnswer) -> rusqlite::Result<()> {
    c.prepare_cached("UPDATE idempotency SET answer = ?3 WHERE scope = ?1 AND order_id = ?2")?
        .execute((answer.scope, order.0, &answer.sealed))
        .map(drop)
}

impl Database {
    /// Forgets marks whose time is over, a bounded number at a time; true if there may be more.
    pub fn forget_answers(&self, now: Timestamp) -> Result<bool> {
        const BATCH: usize = 1000;
        let due = "SELECT EXISTS (SELECT 1 FROM idempotency WHERE expires_at <= ?1)";
        if !self.with(|c| c.prepare_cached(due)?.query_row([now.0], |row| row.get::<_, bool>(0)))? {
            return Ok(false);
        }
        self.change(|c| {
            let sql =
                format!("DELETE FROM idempotency WHERE scope IN (SELECT scope FROM idempotency WHERE expires_at <= ?1 LIMIT {BATCH})");
            c.execute(&sql, [now.0]).map(|gone| gone == BATCH)
        })
    }
}
