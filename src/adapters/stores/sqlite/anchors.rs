//! Owns: stored anchors: made of the head that is committed, in one transaction, each behind the one before it.

use super::connection::Database;
use super::rows;
use crate::base::{Error, ErrorKind, Result, Timestamp};
use crate::domain::ledger::{Anchor, AnchorKey, Hash};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

const COLUMNS: &str = "n, ts, block, last_seq, head, prev, public_key, signature";

fn anchor(row: &Row<'_>) -> rusqlite::Result<Anchor> {
    Ok(Anchor {
        n: row.get(0)?,
        ts: Timestamp(row.get(1)?),
        block: row.get(2)?,
        last_seq: row.get(3)?,
        head: row.get(4)?,
        prev: row.get(5)?,
        public_key: row.get(6)?,
        signature: row.get(7)?,
    })
}

/// All of them, oldest first: one in a quarter of an hour is few.
pub(super) fn all(c: &Connection) -> rusqlite::Result<Vec<Anchor>> {
    c.prepare(&format!("SELECT {COLUMNS} FROM anchors ORDER BY n"))?.query_map([], anchor)?.collect()
}

fn last(c: &Connection) -> rusqlite::Result<Option<Anchor>> {
    c.query_row(&format!("SELECT {COLUMNS} FROM anchors ORDER BY n DESC LIMIT 1"), [], anchor).optional()
}

/// Signs the head if it moved since the last anchor. The inner error: the chain lacks what the last anchor vouches for, and
/// one more signature would only cover that up.
fn make(c: &Transaction<'_>, key: &AnchorKey, now: Timestamp) -> rusqlite::Result<Result<Option<Anchor>, i64>> {
    let before = last(c)?;
    if let Some(before) = &before {
        let hash: Option<Hash> = c.query_row("SELECT hash FROM blocks WHERE n = ?1", [before.block], |row| row.get(0)).optional()?;
        if hash != Some(before.head) {
            return Ok(Err(before.block));
        }
    }
    let sql = "SELECT n, first_seq, last_seq, prev, root, hash, ts FROM blocks ORDER BY n DESC LIMIT 1";
    let head = c.query_row(sql, [], rows::block).optional()?;
    let Some(head) = head.filter(|head| before.as_ref().is_none_or(|before| before.block != head.n)) else { return Ok(Ok(None)) };
    let made = key.sign(before.as_ref(), &head, now);
    c.execute(
        &format!("INSERT INTO anchors({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
        (made.n, made.ts.0, made.block, made.last_seq, made.head, made.prev, made.public_key, made.signature),
    )?;
    Ok(Ok(Some(made)))
}

impl Database {
    /// A new anchor, or `None` when the last one is of this head.
    pub fn make_anchor(&self, key: &AnchorKey, now: Timestamp) -> Result<Option<Anchor>> {
        self.change(|c| make(c, key, now))?.map_err(|block| {
            let why =
                format!("the last anchor vouches for block {block}, which the chain does not have any more; run `gotoai ledger verify`");
            Error::new(ErrorKind::Storage, why)
        })
    }

    pub fn last_anchor(&self) -> Result<Option<Anchor>> {
        self.with(|c| last(c))
    }

    /// Has the chain entries that no anchor covers yet?
    pub fn head_moved(&self) -> Result<bool> {
        self.with(|c| {
            c.query_row("SELECT coalesce((SELECT max(n) FROM blocks), 0) > coalesce((SELECT max(block) FROM anchors), 0)", [], |row| {
                row.get(0)
            })
        })
    }

    /// The anchors behind number `after`, oldest first.
    pub fn anchors_after(&self, after: i64) -> Result<Vec<Anchor>> {
        self.with(|c| {
            c.prepare_cached(&format!("SELECT {COLUMNS} FROM anchors WHERE n > ?1 ORDER BY n"))?.query_map([after], anchor)?.collect()
        })
    }
}
