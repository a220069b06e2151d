//! Owns: opening the file, pragmas, migrations, and the connections that everything but the ledger's writer shares.

use super::progress::Progress;
use crate::base::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Marks the file as ours: "goto" in ASCII.
const APPLICATION_ID: i32 = 0x676f_746f;
/// Forward only: each entry takes the file from version i to i + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_clearing.sql"),
    include_str!("migrations/0003_anchors.sql"),
    include_str!("migrations/0004_idempotency.sql"),
    include_str!("migrations/0005_findings.sql"),
    include_str!("migrations/0006_builders.sql"),
    include_str!("migrations/0007_reads.sql"),
    include_str!("migrations/0008_stops.sql"),
];

/// The database file. Cloning shares the reading connection.
#[derive(Clone)]
pub struct Database {
    path: PathBuf,
    shared: Arc<Mutex<Connection>>,
    progress: Arc<Progress>,
}

impl Database {
    /// Of work on the whole ledger in this process.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Opens or makes the file and brings it to the current version, under SQLite's own write lock.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| storage(format!("cannot make the data directory '{}': {error}", folder.display())))?;
        }
        restrict(path).map_err(|error| storage(format!("cannot open the database '{}': {error}", path.display())))?;
        let mut connection = connect(path)?;
        migrate(&mut connection, path)?;
        Ok(Self { path: path.to_owned(), shared: Arc::new(Mutex::new(connection)), progress: Arc::default() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A further connection of the caller's own.
    pub(super) fn connect(&self) -> Result<Connection> {
        connect(&self.path)
    }

    /// Runs `read` on the shared connection.
    pub(super) fn with<T>(&self, run: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        run(&mut self.shared.lock()).map_err(|error| from_sqlite(&error))
    }

    /// Runs `run` on the shared connection and shows it the rows of one moment, whatever is written meanwhile.
    pub(super) fn read<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.with(|c| run(&*c.transaction()?))
    }

    /// Runs `write` as one transaction on a connection of its own: it may have to wait for the ledger's writer, and readers must
    /// not wait with it. It waits at its beginning: a transaction that has read before it writes would be refused at once
    /// when anybody else has written meanwhile.
    pub(super) fn change<T>(&self, write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let written = write(&transaction)?;
            transaction.commit().map(|()| written)
        };
        run(&mut self.connect()?).map_err(|error| from_sqlite(&error))
    }

    /// Grows with every change that a running gateway must notice.
    pub fn control_version(&self) -> Result<i64> {
        self.with(|c| c.prepare_cached("SELECT CAST(v AS INTEGER) FROM control WHERE k = 'version'")?.query_row([], |row| row.get(0)))
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path).map_err(|error| storage(format!("cannot open the database '{}': {error}", path.display())))?;
    prepare(&connection).map_err(|error| storage(format!("'{}' is not a usable database: {error}", path.display())))?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // SQLite's own checkpoints swallow their errors: a disk that fails in them would go unnoticed. The ledger's writer makes
    // them (`writer.rs`), and the last connection when it closes.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Otherwise INSERT OR REPLACE deletes rows without firing the triggers that forbid it.
    connection.pragma_update(None, "recursive_triggers", "ON")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cell_size_check", "ON")
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let wrong = |why: String| storage(format!("'{}' {why}", path.display()));
    let run = |connection: &mut Connection| -> rusqlite::Result<Result<(), String>> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let id: i32 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = transaction.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize;
        if id != APPLICATION_ID && (id != 0 || version != 0) {
            return Ok(Err("belongs to another application".to_owned()));
        }
        if version > MIGRATIONS.len() {
            return Ok(Err(format!("was written by a newer gotoai (schema {version}, this one knows {})", MIGRATIONS.len())));
        }
        for step in &MIGRATIONS[version..] {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
        transaction.commit().map(Ok)
    };
    run(connection).map_err(|error| wrong(format!("cannot be prepared: {error}")))?.map_err(wrong)
}

/// The file holds key digests and money: nobody else on the machine needs to read it. A new one is made before SQLite opens it, which
/// gives log and index beside it the file's own mode. One that is there is not opened: closing it would take SQLite's locks away.
#[cfg(unix)]
fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        Ok(_) | Err(_) => {}
    }
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        // What is another user's stays as its owner set it.
        let _ = std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600));
    }
    Ok(())
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn storage(message: String) -> Error {
    Error::new(ErrorKind::Storage, message)
}

pub(super) fn from_sqlite(error: &rusqlite::Error) -> Error {
    let message = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "the disk is full: the store cannot write",
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => "the database is locked by another process",
        Some(rusqlite::ErrorCode::ReadOnly) => "the database file is read-only",
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => "the database file is damaged",
        Some(rusqlite::ErrorCode::SystemIoFailure) => "the disk reported an I/O error",
        _ => "the store failed",
    };
    storage(message.to_owned()).with_cause(error)
}
