//! Owns: the ledger on SQLite as the rest of the house sees it: submits to the writer, reads beside it, recovery at open.

use super::anchors;
use super::aside::{Shown, verify_aside};
use super::connection::{Database, from_sqlite};
use super::export;
use super::node::Node;
use super::writer::{Queue, Writer};
use super::{once, reader, rows};
use crate::base::{Clock, Error, ErrorKind, Money, OrderId, Result, Timestamp};
use crate::domain::ledger::{
    Account, AnchorEvidence, Balance, Command, Durability, EntryQuery, Event, ExportQuery, ExportSink, Exported, GrantSummary, Hash,
    Journal, Ledger, NamedPosting, OnceRecord, OrderReceipt, Report, SettlePayload, Ticket, Wallet, WalletKind, WalletSummary,
};
use crate::domain::risk::Used;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::path::PathBuf;
use std::thread::JoinHandle;

/// The ledger in one SQLite file.
pub struct SqliteLedger {
    database: Database,
    queue: std::sync::Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Absent for administration: such a process reserves nothing.
    node: Option<Node>,
}

impl SqliteLedger {
    /// Opens the ledger. `serving`: this process will reserve, so it takes a node slot and first settles what dead nodes
    /// left open; returns how many orders that were.
    pub fn open(database: &Database, clock: &Clock, durability: Durability, serving: bool) -> Result<(Self, usize)> {
        let node = if serving { Some(Node::take(database, clock.now())?) } else { None };
        let mut wal = database.path().as_os_str().to_owned();
        wal.push("-wal");
        let writer = Writer::new(database.connect()?, clock.clone(), durability, PathBuf::from(wal))?;
        let queue = Queue::new();
        let own = std::sync::Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("gotoai-ledger".into())
            .spawn(move || writer.run(&own))
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start the ledger's thread").with_cause(error))?;
        let ledger = Self { database: database.clone(), queue, thread: Mutex::new(Some(thread)), node };
        let recovered = ledger.recover()?;
        Ok((ledger, recovered))
    }

    /// Settles every open order of a dead node, oldest first: the hold goes back, the input's cost becomes our loss.
    fn recover(&self) -> Result<usize> {
        let dead = self.node.as_ref().map_or(&[][..], |node| &node.dead);
        let mut tickets = Vec::new();
        for (node, last_epoch) in dead {
            let open: Vec<OrderId> = self.database.with(|c| {
                c.prepare("SELECT id FROM orders WHERE state = 0 AND node = ?1 AND epoch <= ?2 ORDER BY reserve_seq")?
                    .query_map([node, last_epoch], |row| row.get(0).map(OrderId))?
                    .collect()
            })?;
            tickets.extend(open.into_iter().map(|order| self.submit(Command::Recover { order })));
        }
        let count = tickets.len();
        for ticket in tickets {
            ticket.wait_blocking()?;
        }
        Ok(count)
    }

    /// `verify`, with what is known of anchors outside the database.
    pub fn verify_with(&self, evidence: &AnchorEvidence) -> Result<Report> {
        let mut connection = self.database.connect()?;
        verify_aside(|shown| show(&mut connection, evidence, shown).map_err(|error| from_sqlite(&error)))
    }

    /// Shows `sink` the ledger as of one moment, row by row. Writers go on meanwhile.
    pub fn export(&self, query: &ExportQuery, sink: &mut dyn ExportSink) -> Result<Exported> {
        export::export(&mut self.database.connect()?, query, sink)
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// `Err` says why the last commit failed.
    pub fn health(&self) -> std::result::Result<(), String> {
        self.queue.failing().map_or(Ok(()), Err)
    }

    fn summary(c: &Connection, wallet: &Wallet) -> rusqlite::Result<WalletSummary> {
        let balance = |account| -> rusqlite::Result<Balance> {
            Ok(rows::balance(c, account)?.map_or(Balance::default(), |(debits, credits, _)| Balance { debits, credits }))
        };
        let (cash, held, owed) =
            (balance(wallet.cash)?.credit_balance(), balance(wallet.held)?.credit_balance(), balance(wallet.receivable)?.debit_balance());
        let grants = reader::grants(c, wallet)?;
        let now = Clock::system().now();
        let spendable = |grant: &&GrantSummary| grant.expires_at.is_none_or(|at| at > now);
        let granted: i64 = grants.iter().filter(spendable).map(|grant| grant.left.as_nano()).sum();
        let own = cash + granted;
        let available = match (wallet.kind, wallet.credit_limit) {
            (WalletKind::Prepaid, _) => Some(own),
            (WalletKind::Postpaid, limit) => limit.map(|limit| own + (limit.as_nano() - owed).max(0)),
        };
        let sum = |states: &str| format!("coalesce(sum(charge - refunded) FILTER (WHERE state IN ({states})), 0)");
        let sql = format!(
            "SELECT {}, {}, count(*) FILTER (WHERE state = 7), count(*) FILTER (WHERE state = 0) FROM orders WHERE wallet_id = ?1",
            sum("1, 4"),
            sum("5")
        );
        let (known, provisional, unpriced_orders, open_orders) =
            c.prepare_cached(&sql)?.query_row([wallet.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        Ok(WalletSummary {
            name: wallet.name.clone(),
            kind: wallet.kind,
            credit_limit: wallet.credit_limit,
            frozen: wallet.frozen,
            terms: std::sync::Arc::clone(&wallet.terms),
            cash: Money::nano(cash),
            granted: Money::nano(granted),
            grants,
            paying_out: reader::paying_out(c, wallet)?,
            held: Money::nano(held),
            owed: Money::nano(owed),
            available: available.map(Money::nano),
            spent_known: Money::nano(known),
            spent_provisional: Money::nano(provisional),
            unpriced_orders,
            open_orders,
        })
    }
}

impl Ledger for SqliteLedger {
    fn submit(&self, command: Command) -> Ticket {
        let (answer, ticket) = Ticket::new();
        self.queue.push(command, answer);
        ticket
    }

    fn node(&self) -> (i64, i64) {
        self.node.as_ref().map_or((-1, 0), |node| (node.node, node.epoch))
    }

    fn order(&self, id: OrderId) -> Result<Option<OrderReceipt>> {
        self.database.with(|c| {
            let Some(order) = rows::order_by_id(c, id)? else { return Ok(None) };
            let payload = |seq: i64| -> rusqlite::Result<Vec<u8>> {
                c.prepare_cached("SELECT payload FROM journal WHERE seq = ?1")?.query_row([seq], |row| row.get(0))
            };
            let reserve = parse(&payload(order.reserve_seq)?)?;
            let settlement: Option<SettlePayload> = order.final_seq.map(|seq| parse(&payload(seq)?)).transpose()?;
            let wallet = rows::wallet_by_id(c, order.wallet_id)?.map_or_else(|| "".into(), |wallet| wallet.name);
            let noted: Option<String> = c.query_row("SELECT attempts FROM orders WHERE id = ?1", [id.0], |row| row.get(0))?;
            let dispatched = noted.map(|text| parse(text.as_bytes())).transpose()?.unwrap_or_default();
            Ok(Some(OrderReceipt { order, wallet, reserve, settlement, dispatched }))
        })
    }

    fn wallet(&self, name: &str) -> Result<Option<WalletSummary>> {
        self.database.with(|c| rows::wallet_by_name(c, name)?.map(|wallet| Self::summary(c, &wallet)).transpose())
    }

    fn wallets(&self) -> Result<Vec<WalletSummary>> {
        self.database.with(|c| {
            let all: Vec<Wallet> = c
                .prepare(&format!("SELECT {} FROM wallets ORDER BY name LIMIT 10000", rows::WALLET_COLUMNS))?
                .query_map([], rows::wallet)?
                .collect::<rusqlite::Result<_>>()?;
            all.into_iter().map(|wallet| Self::summary(c, &rows::with_grants(c, wallet)?)).collect()
        })
    }

    fn entries(&self, query: &EntryQuery) -> Result<Vec<Journal>> {
        self.database.with(|c| {
            let sql = format!(
                "SELECT {} FROM journal j WHERE seq > ?1 AND (?2 IS NULL OR order_id = ?2) AND (?3 IS NULL \
                 OR order_id IN (SELECT o.id FROM orders o JOIN wallets w ON w.id = o.wallet_id WHERE w.name = ?3) \
                 OR (order_id IS NULL AND kind <> 3 AND json_extract(payload, '$.wallet') = ?3)) ORDER BY seq LIMIT ?4",
                rows::EVENT_COLUMNS
            );
            let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
            let events: Vec<(Event, Hash)> = c
                .prepare_cached(&sql)?
                .query_map((query.after_seq, query.order.map(|id| id.0), query.wallet.as_deref(), limit), rows::event)?
                .collect::<rusqlite::Result<_>>()?;
            events.into_iter().map(|(event, _)| named(c, event)).collect()
        })
    }

    fn once(&self, scope: &Hash, now: Timestamp) -> Result<Option<OnceRecord>> {
        self.database.with(|c| once::find(c, scope, now))
    }

    fn overdue(&self, now: Timestamp) -> Result<Vec<OrderId>> {
        self.database.with(|c| {
            c.prepare_cached("SELECT id FROM orders WHERE state = 0 AND expires_at <= ?1 LIMIT 10000")?
                .query_map([now.0], |row| row.get(0).map(OrderId))?
                .collect()
        })
    }

    fn verify(&self) -> Result<Report> {
        self.verify_with(&AnchorEvidence::default())
    }

    fn close(&self) {
        self.queue.close();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        self.close();
    }
}

fn parse<T: serde::de::DeserializeOwned>(json: &[u8]) -> rusqlite::Result<T> {
    serde_json::from_slice(json).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, error.into()))
}

pub(super) fn named(c: &Connection, event: Event) -> rusqlite::Result<Journal> {
    let path = |id: i64| c.prepare_cached("SELECT path FROM accounts WHERE id = ?1")?.query_row([id], |row| row.get::<_, String>(0));
    let postings = postings(c, event.seq, event.seq)?
        .into_iter()
        .map(|(_, p)| Ok(NamedPosting { debit: path(p.debit)?, credit: path(p.credit)?, amount: Money::nano(p.amount_nano), code: p.code }))
        .collect::<rusqlite::Result<_>>()?;
    Ok(Journal {
        seq: event.seq,
        ts: event.ts,
        kind: event.kind,
        order: event.order,
        op: event.op.map(|op| op.to_string()),
        payload: event.payload,
        postings,
    })
}

fn postings(c: &Connection, first_seq: i64, last_seq: i64) -> rusqlite::Result<Vec<(i64, crate::domain::ledger::Posting)>> {
    c.prepare_cached("SELECT id, debit, credit, amount, code FROM postings WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?
        .query_map([first_seq * 16, last_seq * 16 + 15], rows::posting)?
        .collect()
}

/// Shows the verifier everything, inside one read transaction so that all of it is of one moment.
fn show(connection: &mut Connection, evidence: &AnchorEvidence, shown: &mut Shown) -> rusqlite::Result<()> {
    let c = connection.transaction()?;
    let (stored, evidence) = (anchors::all(&c)?, evidence.clone());
    shown.show(move |verifier| verifier.anchors(&stored, &evidence));
    let mut prices = c.prepare("SELECT hash, sheet FROM price_sheets")?;
    let mut rows_ = prices.query([])?;
    while let Some(row) = rows_.next()? {
        let (hash, sheet): (Vec<u8>, String) = (row.get(0)?, row.get(1)?);
        shown.show(move |verifier| verifier.price(&hash, &sheet));
    }
    let mut lines = c.prepare("SELECT id, debit, credit, amount, code FROM postings ORDER BY id")?;
    let mut lines = lines.query_map([], rows::posting)?.peekable();
    let mut blocks = c.prepare("SELECT n, first_seq, last_seq, prev, root, hash, ts FROM blocks ORDER BY n")?;
    let mut blocks = blocks.query_map([], rows::block)?.peekable();
    let mut journal = c.prepare(&format!("SELECT {} FROM journal ORDER BY seq", rows::EVENT_COLUMNS))?;
    let mut journal = journal.query([])?;
    while let Some(row) = journal.next()? {
        let (mut event, leaf) = rows::event(row)?;
        while let Some(line) = lines.next_if(|line| line.as_ref().map_or(true, |(seq, _)| *seq <= event.seq)) {
            let (seq, posting) = line?;
            if seq == event.seq {
                event.postings.push(posting);
            } else {
                shown.show(move |verifier| verifier.orphan(seq));
            }
        }
        let seq = event.seq;
        shown.entry(event, leaf);
        while let Some(block) = blocks.next_if(|block| block.as_ref().map_or(true, |block| block.last_seq <= seq)) {
            let block = block?;
            shown.show(move |verifier| verifier.block(&block));
        }
    }
    for line in lines {
        let (seq, _) = line?;
        shown.show(move |verifier| verifier.orphan(seq));
    }
    for block in blocks {
        let block = block?;
        shown.show(move |verifier| verifier.block(&block));
    }
    show_projections(&c, shown)
}

/// What follows from the journal: wallets, accounts, orders, budget windows.
fn show_projections(c: &Connection, shown: &mut Shown) -> rusqlite::Result<()> {
    let now = Clock::system().now();
    let mut wallets = c.prepare(&format!("SELECT {} FROM wallets", rows::WALLET_COLUMNS))?;
    let mut wallets = wallets.query([])?;
    while let Some(row) = wallets.next()? {
        let wallet = rows::with_grants(c, rows::wallet(row)?)?;
        shown.show(move |verifier| {
            verifier.wallet(&wallet);
            verifier.grants(&wallet, now);
        });
    }
    let mut accounts = c.prepare(
        "SELECT a.id, a.path, a.class, a.guard, b.debits, b.credits FROM accounts a LEFT JOIN balances b ON b.account_id = a.id",
    )?;
    let mut accounts = accounts.query([])?;
    while let Some(row) = accounts.next()? {
        let account = Account { id: row.get(0)?, path: row.get::<_, String>(1)?.into(), class: row.get(2)?, guard: row.get(3)? };
        let (debits, credits): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
        let balance = debits.zip(credits).map(|(debits, credits)| Balance { debits, credits });
        shown.show(move |verifier| verifier.account(&account, balance));
    }
    let mut orders = c.prepare(&format!("SELECT {} FROM orders", rows::ORDER_COLUMNS))?;
    let mut orders = orders.query([])?;
    while let Some(row) = orders.next()? {
        let order = rows::order(row)?;
        shown.show(move |verifier| verifier.order(&order, now));
    }
    let mut windows = c.prepare(
        "SELECT b.id, b.name, b.key_id, b.user_path, b.wallet, b.model, b.label, b.period, b.unit, b.cap, b.hard_status, b.alert_percent, \
         w.start, w.held, w.spent, w.alerted FROM budget_windows w JOIN budgets b ON b.id = w.budget_id WHERE b.removed_at IS NULL",
    )?;
    let mut windows = windows.query([])?;
    while let Some(row) = windows.next()? {
        let (budget, start) = (rows::budget(row)?, row.get(12)?);
        let used = Used { held: row.get(13)?, spent: row.get(14)?, alerted: row.get(15)? };
        shown.show(move |verifier| verifier.window(&budget, start, used));
    }
    Ok(())
}
