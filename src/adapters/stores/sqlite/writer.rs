//! Owns: the one thread that writes the ledger: takes what is queued, decides it, commits it as one transaction (group
//! commit, no timer: the batch is whatever queued during the last sync), and answers after the commit.
//! Refuses to know: what the commands mean (`decide`).

use super::answer::{Answer, deliver};
use super::connection::from_sqlite;
use super::{once, outbox, rows};
use crate::base::{Clock, Error, ErrorKind, OpId, OrderId, Result, Timestamp};
use crate::domain::ledger::{
    Account, AccountPath, Balance, Block, Command, Durability, Event, EventKind, Hash, Needs, OpRecord, Order, Reply, Settle, State,
    UsageSource, Wallet, Writes, decide,
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use serde_json::json;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Settlements of a failed commit are tried again this often, even when nothing else comes.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Pages in the log before they are moved to the file. Longer than SQLite's own, so that a page written again and again is
/// moved less often.
const CHECKPOINT_PAGES: i64 = 4_000;

/// Read again after every commit of another process: wallets' accounts, of which there are many, are passed over in the index.
const PLATFORM_ACCOUNTS: &str = "SELECT a.id, a.path, b.debits, b.credits, b.guard FROM accounts a JOIN balances b ON b.account_id = a.id \
     WHERE (a.path < 'wallet:' OR a.path >= 'wallet;') AND a.path NOT LIKE 'psp:%:unassigned:%'";

/// Commands on their way to the writer. Settlements always get in; reserves only while there is room.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
}

struct Inner {
    commands: VecDeque<(Command, Answer)>,
    closed: bool,
    /// Why the last commit failed, until one succeeds.
    failing: Option<String>,
}

impl Queue {
    /// Commands of one commit.
    const MAX_BATCH: usize = 4096;
    /// Reserves beyond this are refused: they would wait longer than their callers.
    const MAX_WAITING: usize = 65_536;

    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(Inner { commands: VecDeque::new(), closed: false, failing: None }), filled: Condvar::new() })
    }

    pub(super) fn push(&self, command: Command, answer: Answer) {
        let refused = {
            let mut inner = self.inner.lock();
            let full = inner.commands.len() >= Self::MAX_WAITING && matches!(command, Command::Reserve(_));
            if inner.closed {
                Some(Error::new(ErrorKind::LedgerUnavailable, "the ledger is closed"))
            } else if full {
                Some(Error::new(ErrorKind::Overloaded, "the ledger cannot keep up; try again in a moment"))
            } else {
                inner.commands.push_back((command, answer));
                // The writer sleeps only on an empty queue.
                if inner.commands.len() == 1 {
                    self.filled.notify_one();
                }
                return;
            }
        };
        if let Some(error) = refused {
            answer.send(Err(error));
        }
    }

    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.filled.notify_all();
    }

    pub(super) fn failing(&self) -> Option<String> {
        self.inner.lock().failing.clone()
    }

    fn report(&self, failing: Option<String>) {
        self.inner.lock().failing = failing;
    }

    /// What is queued, at most a batch; `None` when the queue is closed and empty. With `patience` it comes back empty
    /// after that time.
    fn take(&self, patience: Option<Duration>) -> Option<Vec<(Command, Answer)>> {
        let mut inner = self.inner.lock();
        if inner.commands.is_empty() && !inner.closed {
            while inner.commands.is_empty() && !inner.closed {
                match patience {
                    None => self.filled.wait(&mut inner),
                    Some(span) if self.filled.wait_for(&mut inner, span).timed_out() => return Some(Vec::new()),
                    Some(_) => {}
                }
            }
            // Who woke this thread often has more to say, and no time to say it where both share a core: it goes first. A commit has
            // a price of its own, which a small batch pays for few.
            MutexGuard::unlocked(&mut inner, std::thread::yield_now);
        }
        let count = inner.commands.len().min(Self::MAX_BATCH);
        if count == 0 { None } else { Some(inner.commands.drain(..count).collect()) }
    }
}

/// However the thread ends, panics included: what is queued and what comes is refused, not left waiting.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut inner = self.0.inner.lock();
            if !std::mem::replace(&mut inner.closed, true) {
                // Nobody asked it to end, and no commit will ever succeed again.
                inner.failing = Some("the ledger's thread has ended by a defect; restart the gateway".to_owned());
            }
            std::mem::take(&mut inner.commands)
        };
        // Dropping an answer tells its caller that the ledger is closed; not under the lock.
        drop(waiting);
    }
}

/// The thread's own things.
pub(super) struct Writer {
    connection: Connection,
    clock: Clock,
    state: State,
    /// Number and hash of the last block.
    head: (i64, Hash),
    /// SQLite's mark of changes made by other connections.
    data_version: i64,
    durability: Durability,
    wal: PathBuf,
    wal_file: Option<File>,
    /// Settlements of failed commits: tried again once a commit succeeds.
    unsettled: Vec<Command>,
    /// Orders that had ended before they were asked for: forgotten after the commit.
    closed: Vec<OrderId>,
    /// Set by an error after which the file cannot be trusted; everything is refused from then on.
    broken: Option<Error>,
}

impl Writer {
    pub(super) fn new(connection: Connection, clock: Clock, durability: Durability, wal: PathBuf) -> Result<Self> {
        let level = match durability {
            Durability::Strict => "FULL",
            Durability::Hybrid | Durability::Relaxed => "NORMAL",
        };
        let tune = || {
            connection.pragma_update(None, "synchronous", level)?;
            // KiB; grown into under load only. The default of 2 MB reads pages back from the file all the time.
            connection.pragma_update(None, "cache_size", -16_384)
        };
        tune().map_err(|error| from_sqlite(&error))?;
        let mut writer = Self {
            connection,
            clock,
            state: State::new(),
            head: (0, [0; 32]),
            data_version: -1,
            durability,
            wal,
            wal_file: None,
            unsettled: Vec::new(),
            closed: Vec::new(),
            broken: None,
        };
        writer.load().map_err(|error| from_sqlite(&error))?;
        Ok(writer)
    }

    pub(super) fn run(mut self, queue: &Queue) {
        let _ended = Ended(queue);
        loop {
            let is_ill = self.broken.is_none() && queue.failing().is_some();
            let patience = (is_ill || !self.unsettled.is_empty()).then_some(RETRY_EVERY);
            let Some(batch) = queue.take(patience) else { break };
            self.serve(queue, batch);
        }
        self.retry_unsettled(false);
    }

    /// Books one batch and answers it. An empty one only tries again what is unsettled, and whether the store works: while it
    /// is reported as failing nobody may come who would find out.
    fn serve(&mut self, queue: &Queue, batch: Vec<(Command, Answer)>) {
        if batch.is_empty() {
            self.retry_unsettled(false);
            if self.unsettled.is_empty() && self.broken.is_none() {
                queue.report(self.probe().err().map(|error| self.fail(&error).message));
            }
            return;
        }
        let (commands, answers): (Vec<Command>, Vec<Answer>) = batch.into_iter().unzip();
        let outcomes = self.book(&commands);
        let works = outcomes.iter().any(Result::is_ok);
        let failing = outcomes.iter().find_map(|outcome| outcome.as_ref().err()).filter(|_| !works).map(|error| error.message.clone());
        for (command, outcome) in commands.iter().zip(&outcomes) {
            if let Ok(reply) = outcome {
                self.notice(command, reply);
            }
        }
        // Before the answers: who has one finds the health that belongs to it.
        if failing.is_some() || queue.failing().is_some() {
            queue.report(failing);
        }
        let is_unsettled = |(command, outcome): &(Command, &Result<Reply>)| outcome.is_err() && matches!(command, Command::Settle(_));
        let unsettled: Vec<Command> = commands.into_iter().zip(&outcomes).filter(is_unsettled).map(|(command, _)| command).collect();
        if let Some(failing) = self.answer(answers.into_iter().zip(outcomes)) {
            queue.report(Some(failing));
        }
        if works {
            self.retry_unsettled(true);
        }
        self.unsettled.extend(unsettled);
        if let Err(error) = self.checkpoint() {
            queue.report(Some(self.fail(&error).message));
        }
    }

    /// Writes what is there already.
    fn probe(&self) -> rusqlite::Result<usize> {
        self.connection.prepare_cached("UPDATE control SET v = v WHERE k = 'version'")?.execute([])
    }

    /// Moves the log to the file once it has grown, when everybody has been answered.
    fn checkpoint(&mut self) -> rusqlite::Result<()> {
        if self.broken.is_some() {
            return Ok(());
        }
        // Looks, and does nothing: how many pages the log has, and how many of them are in the file.
        let pages = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let (logged, moved) = self.connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], pages)?;
        if logged >= CHECKPOINT_PAGES && logged > moved {
            self.connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
        }
        Ok(())
    }

    /// Decides and commits the commands in one transaction; an error says that nothing of them has happened. A command that
    /// the tables themselves refuse must not take the others with it: then each is committed alone.
    fn book(&mut self, commands: &[Command]) -> Vec<Result<Reply>> {
        if let Some(error) = &self.broken {
            return vec![Err(error.clone()); commands.len()];
        }
        match self.transact(commands, false) {
            Ok(replies) => replies.into_iter().map(Ok).collect(),
            Err(error) if is_of_command(&error) => {
                self.undo();
                commands.iter().map(|command| self.book_alone(command).unwrap_or_else(|error| Err(self.fail(&error)))).collect()
            }
            Err(error) => vec![Err(self.fail(&error)); commands.len()],
        }
    }

    /// The outer error is the store's, unless `is_of_command`; then nothing was undone yet.
    fn book_alone(&mut self, command: &Command) -> rusqlite::Result<Result<Reply>> {
        if let Some(error) = &self.broken {
            return Ok(Err(error.clone()));
        }
        let reply = self.transact(std::slice::from_ref(command), true)?.pop();
        Ok(reply.ok_or_else(|| Error::new(ErrorKind::Internal, "the ledger gave no answer")))
    }

    /// Books the settlements of failed commits: what was used must be booked. One that the tables refuse even alone, in a
    /// store that has just shown that it `works`, is given up, and people are told; its hold goes back at its deadline.
    fn retry_unsettled(&mut self, works: bool) {
        let again = std::mem::take(&mut self.unsettled);
        if again.is_empty() || self.broken.is_some() {
            self.unsettled = again;
            return;
        }
        match self.transact(&again, false) {
            Ok(replies) => return again.iter().zip(&replies).for_each(|(command, reply)| self.notice(command, reply)),
            Err(error) if is_of_command(&error) => self.undo(),
            Err(error) => {
                self.fail(&error);
                self.unsettled = again;
                return;
            }
        }
        for command in again {
            match self.book_alone(&command) {
                Ok(Ok(reply)) => self.notice(&command, &reply),
                Ok(Err(_)) => self.unsettled.push(command),
                Err(error) => {
                    self.fail(&error);
                    if !(works && is_of_command(&error)) {
                        self.unsettled.push(command);
                    } else if let Command::Settle(settle) = &command {
                        self.give_up(settle, "the tables refuse it");
                    }
                }
            }
        }
    }

    /// A settlement that is refused is not tried again: it would be refused again.
    fn notice(&self, command: &Command, reply: &Reply) {
        if let (Command::Settle(settle), Reply::Refused(refusal)) = (command, reply) {
            self.give_up(settle, refusal.code());
        }
    }

    /// What was used will not be booked by itself: people are told, with all that they need to book it.
    fn give_up(&self, settle: &Settle, why: &str) {
        if settle.usage_source == UsageSource::None {
            return; // nothing was used; what is held goes back at its deadline
        }
        let order = settle.order;
        tracing::error!(%order, why, "ledger: a settlement cannot be booked and is given up");
        let payload = json!({
            "order": order.to_string(),
            "reason": why,
            "provider": settle.provider.as_deref(),
            "endpoint": settle.endpoint.as_deref(),
            "charge": settle.amounts.map(|amounts| amounts.charge.to_string()),
            "cost": settle.cost().map(|cost| cost.to_string()),
            "usage": settle.usage,
            "provider_request_id": settle.provider_request_id.as_deref(),
        });
        let topic = "settlement.given_up";
        if let Err(error) = outbox::put(&self.connection, topic, &format!("{topic}:{order}"), &payload, self.clock.now()) {
            tracing::error!(%order, %error, "ledger: nobody could be told of it");
        }
    }

    /// The state may hold what was not committed; everything is read again.
    fn undo(&mut self) {
        let _ = self.connection.execute_batch("ROLLBACK");
        self.data_version = -1;
    }

    /// Under `Hybrid` a hold is answered at the commit, everything else once the log is on the disk: a power cut may then
    /// lose only reserves whose calls died with the machine.
    fn answer(&mut self, outcomes: impl Iterator<Item = (Answer, Result<Reply>)>) -> Option<String> {
        if self.durability != Durability::Hybrid {
            deliver(outcomes);
            return None;
        }
        let (at_once, mut waiting): (Vec<_>, Vec<_>) =
            outcomes.partition(|(_, outcome)| matches!(outcome, Ok(Reply::Held { .. }) | Err(_)));
        deliver(at_once.into_iter());
        let failed = if waiting.is_empty() { None } else { self.sync_wal().err().map(|error| self.fail(&error)) };
        if let Some(error) = &failed {
            for (_, outcome) in &mut waiting {
                *outcome = Err(error.clone());
            }
        }
        deliver(waiting.into_iter());
        failed.map(|error| error.message)
    }

    fn fail(&mut self, error: &rusqlite::Error) -> Error {
        self.undo();
        let public = Error { kind: ErrorKind::LedgerUnavailable, ..from_sqlite(error) };
        tracing::error!(error = %error, "ledger: the store failed; a commit that it failed in has booked nothing");
        let is_disk_in_doubt = |code| matches!(code, ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase);
        if error.sqlite_error_code().is_some_and(is_disk_in_doubt) {
            // After a failed write or sync nobody knows what is on the disk: stop, never retry (fsync may drop pages).
            tracing::error!("ledger: stopped; restart after the disk has been checked");
            self.broken = Some(public.clone());
        }
        public
    }

    /// A reserve's id is new, so nobody looks it up on the way to a hold; the table refuses one that is not, and then, with
    /// `exact`, it is. On a refusal it is looked up at once: an order that exists answers as before.
    fn reserve(&mut self, id: OrderId, command: &Command, now: Timestamp, writes: &mut Writes, exact: bool) -> rusqlite::Result<Reply> {
        let known = Needs { order: Some(id), ..Needs::default() };
        if exact {
            self.fetch(&known)?;
        }
        let reply = decide(&mut self.state, command, now, writes);
        if exact || !matches!(reply, Reply::Refused(_)) {
            return Ok(reply);
        }
        self.fetch(&known)?;
        if !self.state.orders.contains_key(&id) {
            return Ok(reply);
        }
        Ok(decide(&mut self.state, command, now, writes))
    }

    /// One transaction. `exact`: no id is taken to be new.
    fn transact(&mut self, commands: &[Command], exact: bool) -> rusqlite::Result<Vec<Reply>> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let seen: i64 = self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if seen != self.data_version {
            self.load()?;
            self.data_version = seen;
        }
        let now = self.clock.now().max(self.state.last_ts);
        self.state.last_ts = now;
        let mut writes = Writes::default();
        let mut replies = Vec::with_capacity(commands.len());
        for command in commands {
            self.fetch(&Needs::of(command))?;
            for window in self.state.windows_of(command, now) {
                if let Entry::Vacant(entry) = self.state.windows.entry(window) {
                    entry.insert(rows::window(&self.connection, window)?);
                }
            }
            replies.push(match command {
                Command::Reserve(reserve) => self.reserve(reserve.order, command, now, &mut writes, exact)?,
                Command::Operate(_)
                | Command::Extend { .. }
                | Command::Renew { .. }
                | Command::Dispatch { .. }
                | Command::Settle(_)
                | Command::Expire { .. }
                | Command::Recover { .. }
                | Command::ExpireGrant { .. } => decide(&mut self.state, command, now, &mut writes),
            });
        }
        let head = self.write(&writes, now)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.head = head;
        self.forget(&writes);
        Ok(replies)
    }

    /// Puts the log on the disk; SQLite itself does so only at checkpoints when it is not asked to at every commit.
    fn sync_wal(&mut self) -> rusqlite::Result<()> {
        let failed = |error: std::io::Error| {
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), Some(error.to_string()))
        };
        if self.wal_file.is_none() {
            self.wal_file = Some(File::open(&self.wal).map_err(failed)?);
        }
        self.wal_file.as_ref().map_or(Ok(()), File::sync_data).map_err(failed)
    }

    /// Wallets stay in memory, orders only while they are open.
    fn forget(&mut self, writes: &Writes) {
        const MAX_WALLETS: usize = 200_000;
        const MAX_WINDOWS: usize = 100_000;
        for id in writes.orders_changed.iter().chain(&writes.orders_corrected).copied().chain(std::mem::take(&mut self.closed)) {
            self.state.orders.remove(&id);
        }
        self.state.ops.clear();
        self.state.marks.clear();
        if self.state.wallets.len() > MAX_WALLETS || self.state.windows.len() > MAX_WINDOWS {
            self.data_version = -1;
        }
    }

    /// Reads heads and the platform's accounts; wallets, unassigned payments and orders come when they are needed.
    fn load(&mut self) -> rusqlite::Result<()> {
        let c = &self.connection;
        let mut state = State::new();
        (state.last_seq, state.last_ts) = c
            .prepare_cached("SELECT seq, ts FROM journal ORDER BY seq DESC LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))
            .optional()?
            .unwrap_or_default();
        for (seq, kind) in [(&mut state.last_true_up_seq, EventKind::TrueUp), (&mut state.last_closing_seq, EventKind::GapClosed)] {
            // The kind as a literal: so the partial index is used.
            let sql = format!("SELECT seq FROM journal WHERE kind = {} ORDER BY seq DESC LIMIT 1", kind as i64);
            *seq = c.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0);
        }
        state.next_account = c.query_row("SELECT coalesce(max(id), 0) + 1 FROM accounts", [], |row| row.get(0))?;
        state.next_wallet = c.query_row("SELECT coalesce(max(id), 0) + 1 FROM wallets", [], |row| row.get(0))?;
        let mut statement = c.prepare_cached(PLATFORM_ACCOUNTS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            state.accounts.insert(row.get::<_, String>(1)?.into(), id);
            state.balances.insert(id, (Balance { debits: row.get(2)?, credits: row.get(3)? }, row.get(4)?));
        }
        state.budgets = c
            .prepare_cached(&format!("SELECT {} FROM budgets WHERE removed_at IS NULL ORDER BY id", rows::BUDGET_COLUMNS))?
            .query_map([], rows::budget)?
            .collect::<rusqlite::Result<_>>()?;
        self.head = c
            .prepare_cached("SELECT n, hash FROM blocks ORDER BY n DESC LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?
            .unwrap_or((0, [0; 32]));
        self.state = state;
        Ok(())
    }

    /// Brings what a command touches into the state.
    fn fetch(&mut self, needs: &Needs) -> rusqlite::Result<()> {
        let c = &self.connection;
        for name in &needs.wallets {
            if !self.state.wallets.contains_key(name)
                && let Some(wallet) = rows::wallet_by_name(c, name)?
            {
                hold_wallet(c, &mut self.state, wallet)?;
            }
        }
        for path in &needs.accounts {
            if !self.state.accounts.contains_key(path.as_str())
                && let Some((id, balance, guard)) = rows::account_by_path(c, path)?
            {
                self.state.accounts.insert(path.as_str().into(), id);
                self.state.balances.insert(id, (balance, guard));
            }
        }
        if let Some(id) = needs.order
            && !self.state.orders.contains_key(&id)
            && let Some(order) = rows::order_by_id(c, id)?
        {
            if !self.state.wallet_names.contains_key(&order.wallet_id)
                && let Some(wallet) = rows::wallet_by_id(c, order.wallet_id)?
            {
                hold_wallet(c, &mut self.state, wallet)?;
            }
            if !order.state.is_open() {
                self.closed.push(id);
            }
            self.state.orders.insert(id, order);
        }
        if let Some(scope) = needs.once
            && !self.state.marks.contains_key(&scope)
            && let Some(known) = once::find(c, &scope, self.state.last_ts)?
        {
            self.state.marks.insert(scope, known);
        }
        if let Some(id) = needs.op
            && !self.state.ops.contains_key(&id)
            && let Some(record) = op(c, id)?
        {
            self.state.ops.insert(id, record);
        }
        Ok(())
    }

    fn write(&self, writes: &Writes, now: Timestamp) -> rusqlite::Result<(i64, Hash)> {
        let c = &self.connection;
        for Account { id, path, class, guard } in &writes.accounts {
            c.prepare_cached("INSERT INTO accounts(id, path, class, guard) VALUES (?1, ?2, ?3, ?4)")?
                .execute((id, &**path, class, guard))?;
            c.prepare_cached("INSERT INTO balances(account_id, debits, credits, guard) VALUES (?1, 0, 0, ?2)")?.execute((id, guard))?;
        }
        for wallet in &writes.wallets {
            rows::insert_wallet(c, wallet)?;
        }
        for wallet in writes.wallets_changed.iter().filter_map(|name| self.state.wallets.get(name)) {
            rows::update_wallet(c, wallet)?;
        }
        for price in &writes.prices {
            c.prepare_cached("INSERT OR IGNORE INTO price_sheets(hash, sheet) VALUES (?1, ?2)")?.execute((price.hash, &*price.json))?;
        }
        let leaves: Vec<Hash> = writes.events.iter().map(Event::leaf).collect();
        rows::insert_events(c, &writes.events, &leaves)?;
        rows::insert_orders(c, &writes.orders_new)?;
        for (id, attempt) in &writes.attempts {
            let attempt = serde_json::to_string(attempt).unwrap_or_default();
            c.prepare_cached("UPDATE orders SET attempts = json_insert(coalesce(attempts, '[]'), '$[#]', json(?2)) WHERE id = ?1")?
                .execute((id.0, attempt))?;
        }
        let stored = |ids: &BTreeSet<OrderId>| -> Vec<&Order> { ids.iter().filter_map(|id| self.state.orders.get(id)).collect() };
        // One that grew and ended in the same batch is written as ended.
        let grown = stored(&writes.orders_extended);
        rows::extend_orders(c, grown.into_iter())?;
        rows::update_orders(c, writes.orders_changed.iter().filter_map(|id| self.state.orders.get(id)))?;
        rows::correct_orders(c, stored(&writes.orders_corrected).into_iter())?;
        for window in &writes.windows {
            rows::write_window(c, *window, self.state.windows.get(window).copied().unwrap_or_default())?;
        }
        for (mark, order) in &writes.marks {
            once::insert(c, mark, *order)?;
        }
        for (order, answer) in &writes.answers {
            once::answer(c, *order, answer)?;
        }
        for alert in &writes.alerts {
            outbox::put_alert(c, alert, now)?;
        }
        for record in &writes.ops {
            c.prepare_cached("INSERT OR IGNORE INTO ops(id, fingerprint, seq, ts) VALUES (?1, ?2, ?3, ?4)")?.execute((
                record.id.0,
                record.fingerprint,
                record.seq,
                now.0,
            ))?;
        }
        let mut balance = c.prepare_cached("UPDATE balances SET debits = ?2, credits = ?3 WHERE account_id = ?1")?;
        for account in writes.touched_accounts() {
            let Balance { debits, credits } = self.state.balance(account);
            balance.execute((account, debits, credits))?;
        }
        let Some(first) = writes.events.first() else { return Ok(self.head) };
        match Block::seal(self.head, first.seq, &leaves, now) {
            Some(block) => rows::insert_block(c, &block).map(|()| (block.n, block.hash)),
            None => Ok(self.head),
        }
    }
}

/// Refused by the tables' rules, or unreadable in its own rows: not the store's failure but this command's.
fn is_of_command(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code().is_none_or(|code| code == ErrorCode::ConstraintViolation)
}

/// Puts a wallet and its three accounts into the state.
fn hold_wallet(c: &Connection, state: &mut State, wallet: Wallet) -> rusqlite::Result<()> {
    // Opened when first needed, so it is no column of the wallet.
    let cash_out = AccountPath::CashOut(&wallet.name).to_string();
    let opened: Option<i64> =
        c.prepare_cached("SELECT id FROM accounts WHERE path = ?1")?.query_row([&cash_out], |row| row.get(0)).optional()?;
    state.accounts.extend(opened.map(|id| (cash_out.into_boxed_str(), id)));
    for grant in &wallet.grants {
        state.accounts.insert(AccountPath::Grant(&wallet.name, &grant.name).to_string().into_boxed_str(), grant.account);
    }
    let own =
        [wallet.cash, wallet.held, wallet.receivable].into_iter().chain(opened).chain(wallet.grants.iter().map(|grant| grant.account));
    for account in own {
        if let Some((debits, credits, guard)) = rows::balance(c, account)? {
            state.balances.insert(account, (Balance { debits, credits }, guard));
        }
    }
    state.insert_wallet(wallet);
    Ok(())
}

/// A recorded command. Rows with a refusal are of reserves: earlier versions kept them for people to read.
fn op(c: &Connection, id: OpId) -> rusqlite::Result<Option<OpRecord>> {
    c.prepare_cached("SELECT fingerprint, seq FROM ops WHERE id = ?1 AND refusal IS NULL")?
        .query_row([id.0], |row| Ok(OpRecord { id, fingerprint: row.get(0)?, seq: row.get(1)? }))
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::stores::sqlite::Database;

    #[test]
    fn another_process_costs_no_walk_over_the_wallets_accounts() {
        let folder = tempfile::TempDir::new().unwrap();
        let database = Database::open(&folder.path().join("l.db")).unwrap();
        let c = database.connect().unwrap();
        let mut plan = c.prepare(&format!("EXPLAIN QUERY PLAN {PLATFORM_ACCOUNTS}")).unwrap();
        let steps: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
        assert!(steps.iter().all(|step| !step.starts_with("SCAN")), "{steps:?}");
    }

    #[test]
    fn a_thread_that_dies_is_reported_and_one_that_was_closed_is_not() {
        let (died, closed) = (Queue::new(), Queue::new());
        let own = Arc::clone(&died);
        let thread = std::thread::spawn(move || {
            let _ended = Ended(&own);
            panic!("as the test says");
        });
        assert!(thread.join().is_err());
        assert!(died.failing().is_some(), "not ready: every call would fail");
        closed.close();
        drop(Ended(&closed));
        assert_eq!(closed.failing(), None);
    }
}
