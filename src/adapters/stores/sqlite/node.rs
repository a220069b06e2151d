//! Owns: which node this process is. Several processes may share one database file (server workers, notebooks); each
//! holds the lock of one slot as long as it lives, so a free lock means a dead node.

use super::connection::{Database, from_sqlite};
use crate::base::{Error, ErrorKind, Result, Timestamp};
use rusqlite::TransactionBehavior;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;

const MAX_NODES: i64 = 256;

/// A slot, held by an advisory lock on a file beside the database. The system frees it however the process ends.
pub(super) struct Node {
    pub(super) node: i64,
    pub(super) epoch: i64,
    /// Nodes that are dead at this moment, this slot's former holder among them: `(node, last epoch)`.
    pub(super) dead: Vec<(i64, i64)>,
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
                let mut connection = database.connect()?;
                let (epoch, known) = start_epoch(&mut connection, node, now).map_err(|error| from_sqlite(&error))?;
                let mut dead = vec![(node, epoch - 1)];
                for (other, last_epoch) in known.into_iter().filter(|(other, _)| *other != node) {
                    // Locked only for the moment of the question.
                    if try_lock(database, other)?.is_some() {
                        dead.push((other, last_epoch));
                    }
                }
                return Ok(Self { node, epoch, dead, _lock: lock });
            }
        }
        Err(Error::new(ErrorKind::Storage, format!("{MAX_NODES} processes already use this database")))
    }
}

fn start_epoch(connection: &mut rusqlite::Connection, node: i64, now: Timestamp) -> rusqlite::Result<(i64, Vec<(i64, i64)>)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        "INSERT INTO nodes VALUES (?1, 1, ?2) ON CONFLICT(node) DO UPDATE SET epoch = epoch + 1, started_at = ?2",
        (node, now.0),
    )?;
    let epoch = transaction.query_row("SELECT epoch FROM nodes WHERE node = ?1", [node], |row| row.get(0))?;
    let known = transaction
        .prepare("SELECT node, epoch FROM nodes")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    transaction.commit()?;
    Ok((epoch, known))
}
