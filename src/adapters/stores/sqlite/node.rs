//! Owns: which node this process is. Several processes may share one database file (server workers, notebooks); each
//! holds the lock of one slot as long as it lives.
//!
//! Only a lock that is free in the very file that its owner wrote proves a death: the file tells the owner's epoch and its own
//! inode. A file that is gone, was put there by somebody else (a restored backup, a copied folder) or cannot be locked (some
//! network file systems) proves nothing: then only the deadlines decide, which a living process puts off.

use super::connection::Database;
use crate::base::{Error, ErrorKind, Result, Timestamp};
use parking_lot::Mutex;
use rusqlite::Transaction;
use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

const MAX_NODES: i64 = 256;

/// A slot, held by an advisory lock on a file beside the database. The system frees it however the process ends.
pub(super) struct Node {
    pub(super) node: i64,
    pub(super) epoch: i64,
    lock: Mutex<File>,
}

/// What is known of the process that took a slot last.
pub(super) enum Owner {
    Lives,
    /// With its lock, which is held until this is dropped: who starts in the slot meanwhile takes another one.
    Dead(File),
    Unknown,
}

fn lock_path(database: &Database, node: i64) -> PathBuf {
    let mut name = database.path().as_os_str().to_owned();
    name.push(format!(".node-{node}"));
    name.into()
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("cannot lock the data directory: {error}"))
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

fn leads_to(path: &Path, file: &File) -> bool {
    match (path.metadata(), file.metadata()) {
        (Ok(there), Ok(own)) => inode(&there) == inode(&own),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// The lock of a slot, its file made if need be, or `None` if another process holds it.
fn try_lock(path: &Path) -> Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(leads_to(path, &file).then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// What the owner of an epoch writes into its lock file.
fn certificate(file: &File, epoch: i64) -> std::io::Result<String> {
    Ok(format!("{epoch} {}\n", inode(&file.metadata()?)))
}

fn certify(mut file: &File, epoch: i64) -> std::io::Result<()> {
    let text = certificate(file, epoch)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    // What a power cut takes back proves nothing.
    file.sync_all()
}

fn is_certified(file: &File, epoch: i64) -> bool {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).is_ok() && certificate(file, epoch).is_ok_and(|own| own == text)
}

/// Does the process that took the slot under this epoch live?
fn ask(path: &Path, epoch: i64) -> Owner {
    // Never made here: an empty file would be as good as none.
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return Owner::Unknown };
    match file.try_lock() {
        // A file that was taken away since it was opened may have been let go by an owner that holds another one now.
        Ok(()) if is_certified(&file, epoch) && leads_to(path, &file) => Owner::Dead(file),
        Ok(()) | Err(TryLockError::Error(_)) => Owner::Unknown,
        Err(TryLockError::WouldBlock) => Owner::Lives,
    }
}

/// Every slot that was ever taken, with its last epoch.
fn epochs(database: &Database) -> Result<BTreeMap<i64, i64>> {
    database.with(|c| c.prepare_cached("SELECT node, epoch FROM nodes")?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
}

/// Every slot with its last epoch and what is known of its owner. All epochs before are dead.
pub(super) fn owners(database: &Database) -> Result<Vec<(i64, i64, Owner)>> {
    let known = epochs(database)?;
    Ok(known.into_iter().map(|(node, epoch)| (node, epoch, ask(&lock_path(database, node), epoch))).collect())
}

impl Node {
    /// Takes the first slot whose owner is dead, or that nobody has taken yet, and a new epoch in it.
    pub(super) fn take(database: &Database, now: Timestamp) -> Result<Self> {
        let known = epochs(database)?;
        let mut doubtful = Vec::new();
        for node in 0..MAX_NODES {
            let path = lock_path(database, node);
            let lock = match known.get(&node).map(|epoch| ask(&path, *epoch)) {
                None => try_lock(&path)?,
                Some(Owner::Dead(lock)) => Some(lock),
                Some(Owner::Lives) => None,
                Some(Owner::Unknown) => {
                    doubtful.push((node, path));
                    None
                }
            };
            if let Some(lock) = lock {
                return Self::enter(database, node, lock, now);
            }
        }
        // Those whose files were deleted must not use up the slots for ever. Who lives has put its file back long since.
        for (node, path) in doubtful {
            if !holds_any(database, node)?
                && let Some(lock) = try_lock(&path)?
            {
                return Self::enter(database, node, lock, now);
            }
        }
        Err(Error::new(ErrorKind::Storage, format!("{MAX_NODES} processes already use this database")))
    }

    fn enter(database: &Database, node: i64, lock: File, now: Timestamp) -> Result<Self> {
        let epoch = database.change(|c| start_epoch(c, node, now))?;
        certify(&lock, epoch).map_err(failed)?;
        Ok(Self { node, epoch, lock: Mutex::new(lock) })
    }

    /// Puts the lock file back if somebody has deleted or replaced it.
    pub(super) fn keep(&self, database: &Database) {
        let path = lock_path(database, self.node);
        let mut lock = self.lock.lock();
        if leads_to(&path, &lock) {
            return;
        }
        let mut put_back = || -> Result<bool> {
            let Some(file) = try_lock(&path)? else { return Ok(false) };
            certify(&file, self.epoch).map_err(failed)?;
            *lock = file;
            Ok(true)
        };
        let is_back = put_back();
        let path = path.display();
        match is_back {
            Ok(true) => tracing::warn!(%path, "the lock file of this process was gone or replaced while it runs; it was put back"),
            Ok(false) => tracing::error!(%path, "the lock file of this process was replaced, and another process holds it"),
            Err(error) => tracing::error!(%path, %error, "the lock file of this process is gone and cannot be put back"),
        }
    }
}

fn holds_any(database: &Database, node: i64) -> Result<bool> {
    database.with(|c| {
        c.prepare_cached("SELECT EXISTS (SELECT 1 FROM orders WHERE state = 0 AND node = ?1)")?.query_row([node], |row| row.get(0))
    })
}

fn start_epoch(c: &Transaction<'_>, node: i64, now: Timestamp) -> rusqlite::Result<i64> {
    c.query_row(
        "INSERT INTO nodes VALUES (?1, 1, ?2) ON CONFLICT(node) DO UPDATE SET epoch = epoch + 1, started_at = ?2 RETURNING epoch",
        (node, now.0),
        |row| row.get(0),
    )
}
