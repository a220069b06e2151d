//! Owns: showing the verifier the file: the journal in slices, so that no reading transaction stands in the way of the log's
//! reset; then the stored rows, each compared at the very moment up to which the journal has been read.
//! Refuses to know: what must agree (the verifier), what follows from a finding.

use super::aside::{Shown, aside};
use super::connection::{Database, from_sqlite};
use super::progress::Progress;
use super::{anchors, rows};
use crate::base::{OrderId, Result, Timestamp};
use crate::domain::ledger::{Account, AccountId, AnchorEvidence, Balance, Block, Check, Finding, Remedy, Report, Subject, Verifier};
use crate::domain::risk::Budget;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Entries read within one transaction.
const SLICE: i64 = 20_000;
/// Rows that no new entry has touched are looked at in turn, so many accounts and wallets a run.
const PATROL: usize = 5_000;
const LAST: i64 = i64::MAX / 16 - 1;

/// A verifier with its connection. Kept between runs, it reads only what is new.
pub struct Inspector {
    connection: Connection,
    verifier: Verifier,
    at: Position,
    progress: Arc<Progress>,
    /// How far the patrol has come.
    next_account: usize,
    next_wallet: usize,
}

impl Inspector {
    pub fn new(database: &Database) -> Result<Self> {
        let connection = database.connect()?;
        let progress = Arc::clone(database.progress());
        Ok(Self { connection, verifier: Verifier::new(), at: Position::default(), progress, next_account: 0, next_wallet: 0 })
    }

    /// Has it read the ledger before?
    pub fn is_fresh(&self) -> bool {
        self.verifier.last_seq() == 0
    }

    pub fn last_seq(&self) -> i64 {
        self.verifier.last_seq()
    }

    /// The write lock, and the verifier fed up to that very moment.
    pub(super) fn locked(&mut self) -> rusqlite::Result<(Transaction<'_>, &Verifier)> {
        let c = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        aside(&mut self.verifier, |shown| self.at.read(&c, shown, LAST))?;
        Ok((c, &self.verifier))
    }

    /// One run: everything (with what is known of anchors outside), or what is new. `None` if it was told to stop on the way, which it
    /// asks `stopped` after every slice. A row that cannot be read is a finding like any other.
    pub fn run(&mut self, whole: Option<&AnchorEvidence>, now: Timestamp, stopped: &dyn Fn() -> bool) -> Result<Option<Report>> {
        let outcome = if let Some(evidence) = whole { self.full(evidence, now, stopped) } else { self.new_entries(now, stopped) };
        outcome.or_else(|error| {
            // Half of a slice may have been fed.
            self.restart();
            match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..) => {
                    let finding = Finding::new(Check::R07, Subject::Ledger, format!("a stored row cannot be read: {error}"));
                    Ok(Some(Report::cut_short(finding.with(Remedy::Restore))))
                }
                other => Err(from_sqlite(&other)),
            }
        })
    }

    fn restart(&mut self) {
        (self.verifier, self.at) = (Verifier::new(), Position::default());
    }

    /// The journal from the first entry, every stored row.
    fn full(&mut self, evidence: &AnchorEvidence, now: Timestamp, stopped: &dyn Fn() -> bool) -> rusqlite::Result<Option<Report>> {
        self.restart();
        self.verifier.anchors(&anchors::all(&self.connection)?, evidence);
        if !self.slices(now, stopped)? {
            return Ok(None);
        }
        let c = self.connection.transaction()?;
        aside(&mut self.verifier, |shown| {
            self.at.read(&c, shown, LAST)?;
            show_accounts(&c, shown)
        })?;
        show_rest(&c, &mut self.verifier, now)?;
        Ok(Some(self.verifier.take_report(now)))
    }

    /// What is new since the last run, the rows that it has touched, and some of the others in turn.
    fn new_entries(&mut self, now: Timestamp, stopped: &dyn Fn() -> bool) -> rusqlite::Result<Option<Report>> {
        if !self.slices(now, stopped)? {
            return Ok(None);
        }
        let (mut accounts, mut wallets) = self.patrol();
        let c = self.connection.transaction()?;
        aside(&mut self.verifier, |shown| self.at.read(&c, shown, LAST))?;
        self.verifier.sealed();
        let touched = self.verifier.take_touched();
        wallets.extend(touched.wallets);
        for name in wallets {
            match rows::wallet_by_name(&c, &name)? {
                Some(wallet) => self.verifier.wallet(&wallet),
                None => self.verifier.lost_wallet(&name),
            }
        }
        accounts.extend(touched.accounts);
        for id in accounts {
            match account(&c, id)? {
                Some((account, balance)) => self.verifier.account(&account, balance),
                None => self.verifier.lost_account(id),
            }
        }
        show_waiting(&c, &mut self.verifier, now)?;
        let budgets = budgets(&c)?;
        for (budget, start) in touched.windows {
            if let Some(budget) = budgets.get(&budget) {
                self.verifier.window(budget, start, rows::window(&c, (budget.id, start))?);
            }
        }
        show_grants(&c, &mut self.verifier, now)?;
        Ok(Some(self.verifier.take_report(now)))
    }

    /// The next accounts and wallets to look at although nothing has touched them.
    fn patrol(&mut self) -> (HashSet<AccountId>, HashSet<Arc<str>>) {
        let (accounts, names) = self.verifier.opened();
        let turn = |from: usize, length: usize| {
            let from = if from >= length { 0 } else { from };
            from..length.min(from + PATROL)
        };
        let (a, w) = (turn(self.next_account, accounts.len()), turn(self.next_wallet, names.len()));
        (self.next_account, self.next_wallet) = (a.end, w.end);
        (accounts[a].iter().copied().collect(), names[w].iter().cloned().collect())
    }

    /// Reads slice after slice until the end is near; false if it was told to stop. Orders that have ended and agree already are let go.
    fn slices(&mut self, now: Timestamp, stopped: &dyn Fn() -> bool) -> rusqlite::Result<bool> {
        let Self { connection, verifier, at, progress, .. } = self;
        aside(verifier, |shown| {
            loop {
                let c = connection.transaction()?;
                let from = at.seq;
                let last: i64 = c.query_row("SELECT coalesce(max(seq), 0) FROM journal", [], |row| row.get(0))?;
                progress.note(from, last);
                if last - from < SLICE {
                    return Ok(true);
                }
                let ended = at.read(&c, shown, from + SLICE)?;
                rows::each_order(&c, &ended, |order| shown.ended(order, now))?;
                if stopped() {
                    return Ok(false);
                }
                // A journal that does not go on where it should must not be read again and again.
                if at.seq == from {
                    return Ok(true);
                }
            }
        })
    }
}

/// How far the file has been read.
#[derive(Default)]
struct Position {
    seq: i64,
    block: i64,
    sheets: i64,
    wallet: i64,
}

impl Position {
    /// Shows prices, entries and blocks up to `last`, as of this transaction. The orders that have ended in it.
    fn read(&mut self, c: &Transaction<'_>, shown: &mut Shown, last: i64) -> rusqlite::Result<Vec<OrderId>> {
        self.prices(c, shown)?;
        self.names(c, shown)?;
        let mut ended = Vec::new();
        let mut lines = c.prepare_cached("SELECT id, debit, credit, amount, code FROM postings WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
        let last_line = if last == LAST { i64::MAX } else { last * 16 + 15 };
        let first_line = if self.seq == 0 { i64::MIN } else { (self.seq + 1) * 16 };
        let mut lines = lines.query_map([first_line, last_line], rows::posting)?.peekable();
        let mut blocks = c.prepare_cached("SELECT n, first_seq, last_seq, prev, root, hash, ts FROM blocks WHERE n > ?1 ORDER BY n")?;
        let mut blocks = blocks.query_map([self.block], rows::block)?.peekable();
        let sql = format!("SELECT {} FROM journal WHERE seq > ?1 AND seq <= ?2 ORDER BY seq", rows::EVENT_COLUMNS);
        let mut journal = c.prepare_cached(&sql)?;
        let mut journal = journal.query([self.seq, last])?;
        while let Some(row) = journal.next()? {
            let (mut event, stored_leaf) = rows::event(row)?;
            let seq = event.seq;
            while let Some(line) = lines.next_if(|line| line.as_ref().map_or(true, |(of, _)| *of <= seq)) {
                let (of, posting) = line?;
                if of == seq {
                    event.postings.push(posting);
                } else {
                    shown.show(move |verifier| verifier.orphan(of));
                }
            }
            if let Some(id) = event.order {
                let kind = event.kind;
                if kind.follows_end()
                    && let Some(order) = rows::order_by_id(c, id)?
                {
                    shown.show(move |verifier| verifier.revive(&order, kind));
                }
                ended.extend(Some(id).filter(|_| kind.ends_order()));
            }
            shown.entry(event, stored_leaf);
            self.seq = seq;
            while let Some(block) = blocks.next_if(|block| block.as_ref().map_or(true, |block| block.last_seq <= seq)) {
                self.block(block?, shown);
            }
        }
        for line in lines {
            let (seq, _) = line?;
            shown.show(move |verifier| verifier.orphan(seq));
        }
        if last == LAST {
            for block in blocks {
                self.block(block?, shown);
            }
        }
        Ok(ended)
    }

    fn block(&mut self, block: Block, shown: &mut Shown) {
        self.block = block.n;
        shown.show(move |verifier| verifier.block(&block));
    }

    fn prices(&mut self, c: &Connection, shown: &mut Shown) -> rusqlite::Result<()> {
        let count: i64 = c.prepare_cached("SELECT count(*) FROM price_sheets")?.query_row([], |row| row.get(0))?;
        if count == self.sheets {
            return Ok(());
        }
        self.sheets = count;
        let mut prices = c.prepare_cached("SELECT hash, sheet FROM price_sheets")?;
        let mut prices = prices.query([])?;
        while let Some(row) = prices.next()? {
            let (hash, sheet): (Vec<u8>, String) = (row.get(0)?, row.get(1)?);
            shown.show(move |verifier| verifier.price(&hash, &sheet));
        }
        Ok(())
    }

    /// The names of wallets, which orders know by number.
    fn names(&mut self, c: &Connection, shown: &mut Shown) -> rusqlite::Result<()> {
        let mut names = c.prepare_cached("SELECT id, name FROM wallets WHERE id > ?1 ORDER BY id")?;
        let mut names = names.query([self.wallet])?;
        while let Some(row) = names.next()? {
            let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
            self.wallet = id;
            shown.show(move |verifier| verifier.name_wallet(id, &name));
        }
        Ok(())
    }
}

fn budgets(c: &Connection) -> rusqlite::Result<HashMap<i64, Budget>> {
    let sql = format!("SELECT {} FROM budgets WHERE removed_at IS NULL", rows::BUDGET_COLUMNS);
    let budgets: Vec<Budget> = c.prepare_cached(&sql)?.query_map([], rows::budget)?.collect::<rusqlite::Result<_>>()?;
    Ok(budgets.into_iter().map(|budget| (budget.id, budget)).collect())
}

const ACCOUNTS: &str =
    "SELECT a.id, a.path, a.class, a.guard, b.debits, b.credits FROM accounts a LEFT JOIN balances b ON b.account_id = a.id";

/// An account, and its balance if there is a row of it.
fn account_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Account, Option<Balance>)> {
    let account = Account { id: row.get(0)?, path: row.get::<_, String>(1)?.into(), class: row.get(2)?, guard: row.get(3)? };
    let (debits, credits): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
    Ok((account, debits.zip(credits).map(|(debits, credits)| Balance { debits, credits })))
}

fn account(c: &Connection, id: AccountId) -> rusqlite::Result<Option<(Account, Option<Balance>)>> {
    c.prepare_cached(&format!("{ACCOUNTS} WHERE a.id = ?1"))?.query_row([id], account_row).optional()
}

/// Orders whose rows have not been seen to agree at their end.
fn show_waiting(c: &Connection, verifier: &mut Verifier, now: Timestamp) -> rusqlite::Result<()> {
    for id in verifier.waiting() {
        match rows::order_by_id(c, id)? {
            Some(order) => verifier.order(&order, now),
            None => verifier.lost_order(id),
        }
    }
    Ok(())
}

/// Grants whose day has come long ago.
fn show_grants(c: &Connection, verifier: &mut Verifier, now: Timestamp) -> rusqlite::Result<()> {
    let mut ids = c.prepare_cached("SELECT DISTINCT wallet_id FROM grants WHERE expires_at < ?1")?;
    for id in ids.query_map([now.0], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()? {
        if let Some(wallet) = rows::wallet_by_id(c, id)? {
            verifier.grants(&wallet, now);
        }
    }
    Ok(())
}

/// Every stored wallet and account.
fn show_accounts(c: &Connection, shown: &mut Shown) -> rusqlite::Result<()> {
    let mut wallets = c.prepare(&format!("SELECT {} FROM wallets", rows::WALLET_COLUMNS))?;
    let mut wallets = wallets.query([])?;
    while let Some(row) = wallets.next()? {
        let wallet = rows::with_grants(c, rows::wallet(row)?)?;
        shown.show(move |verifier| verifier.wallet(&wallet));
    }
    let mut accounts = c.prepare(ACCOUNTS)?;
    let mut accounts = accounts.query([])?;
    while let Some(row) = accounts.next()? {
        let (account, balance) = account_row(row)?;
        shown.show(move |verifier| verifier.account(&account, balance));
    }
    Ok(())
}

/// Every other stored row, once the whole journal is told.
fn show_rest(c: &Connection, verifier: &mut Verifier, now: Timestamp) -> rusqlite::Result<()> {
    verifier.sealed();
    verifier.anchored();
    verifier.take_touched();
    show_waiting(c, verifier, now)?;
    show_strangers(c, verifier, now)?;
    let budgets = budgets(c)?;
    let mut windows = c.prepare("SELECT budget_id, start FROM budget_windows")?;
    let stored: Vec<(i64, i64)> = windows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    for (id, start) in stored.into_iter().chain(verifier.windows()) {
        if let Some(budget) = budgets.get(&id) {
            verifier.window(budget, start, rows::window(c, (id, start))?);
        }
    }
    show_grants(c, verifier, now)?;
    show_marks(c, verifier)?;
    verifier.all_shown();
    Ok(())
}

/// Idempotency keys whose order is lost.
fn show_marks(c: &Connection, verifier: &mut Verifier) -> rusqlite::Result<()> {
    let sql = "SELECT scope, order_id FROM idempotency i WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = i.order_id) LIMIT ?1";
    let mut marks = c.prepare(sql)?;
    let mut marks = marks.query([Report::MAX + 1])?;
    while let Some(row) = marks.next()? {
        verifier.lost_mark(row.get_ref(0)?.as_blob()?, OrderId(row.get(1)?));
    }
    Ok(())
}

/// Stored orders that no entry has reserved.
fn show_strangers(c: &Connection, verifier: &mut Verifier, now: Timestamp) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT {} FROM orders o WHERE NOT EXISTS \
         (SELECT 1 FROM journal j WHERE j.seq = o.reserve_seq AND j.order_id = o.id AND j.kind = 10) LIMIT ?1",
        rows::ORDER_COLUMNS
    );
    let mut strangers = c.prepare(&sql)?;
    let mut strangers = strangers.query([Report::MAX + 1])?;
    while let Some(row) = strangers.next()? {
        let order = rows::order(row)?;
        if !verifier.waits_for(order.id) {
            verifier.order(&order, now);
        }
    }
    Ok(())
}
