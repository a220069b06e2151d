//! Owns: which node this process is. Several processes may share one database file (server workers, notebooks); each
//! holds the lock of one slot as long as it lives, so a free lock means a dead node.

use super::connection::Database;
use crate::base::{Error, ErrorKind, Result, Timestamp};
use rusqlite::Transaction;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;

const MAX_NODES: i64 = 256;

/// A slot, held by an advisory lock on a file beside the database. The system frees it however the process ends.
pub(super) struct Node {
    pub(super) node: i64,
    pub(super) epoch: i64,
    _lock: File,
}

fn lock_path(database: &Database, node: i64) -> PathBuf {
    let mut name = database.path().as_os_str().to_owned();
    name.push(format!(".node-{node}"));
    name.into()
}

/// The lock of a slot, or `None` if another process holds it.
fn try_lock(database: &Database, node: i64) -> Result<Option<File>> {
    let failed = |error: std::io::Error| Error::new(ErrorKind::Storage, format!("cannot lock the data directory: {error}"));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(lock_path(database, node)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

impl Node {
    /// Takes the first free slot and a new epoch in it.
    pub(super) fn take(database: &Database, now: Timestamp) -> Result<Self> {
        for node in 0..MAX_NODES {
            if let Some(lock) = try_lock(database, node)? {
                let epoch = database.change(|c| start_epoch(c, node, now))?;
                return Ok(Self { node, epoch, _lock: lock });
            }
        }
        Err(Error::new(ErrorKind::Storage, format!("{MAX_NODES} processes already use this database")))
    }
}

/// Of each slot the last epoch whose process is dead at this moment: all of a free slot's, those before the present one's of
/// a slot that is held.
pub(super) fn dead_epochs(database: &Database) -> Result<Vec<(i64, i64)>> {
    let known: Vec<(i64, i64)> = database
        .with(|c| c.prepare_cached("SELECT node, epoch FROM nodes")?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())?;
    // A free slot is locked only for the moment of the question; who starts in it meanwhile takes another one.
    // A lock that cannot be tried is taken for held: nobody's order is settled on a guess.
    let is_free = |node| try_lock(database, node).unwrap_or_default().is_some();
    Ok(known.into_iter().map(|(node, epoch)| (node, if is_free(node) { epoch } else { epoch - 1 })).collect())
}

fn start_epoch(c: &Transaction<'_>, node: i64, now: Timestamp) -> rusqlite::Result<i64> {
    c.query_row(
        "INSERT INTO nodes VALUES (?1, 1, ?2) ON CONFLICT(node) DO UPDATE SET epoch = epoch + 1, started_at = ?2 RETURNING epoch",
        (node, now.0),
        |row| row.get(0),
    )
}
