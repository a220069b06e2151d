//! Owns: the ledger on SQLite as the rest of the house sees it: submits to the writer, reads beside it, recovery at open.

use super::answer::Answer;
use super::connection::{Database, from_sqlite};
use super::export;
use super::inspect::Inspector;
use super::node::{Node, Owner, owners};
use super::writer::{Queue, Writer};
use super::{once, reader, receipts, rows};
use crate::base::{Clock, Error, ErrorKind, Money, OrderId, Result, Timestamp};
use crate::domain::ledger::{
    AnchorEvidence, Balance, Command, Durability, EntryQuery, Event, ExportQuery, ExportSink, Exported, GrantSummary, Hash, Journal,
    Ledger, NamedPosting, OrderReceipt, Read, Recalled, Report, Ticket, Wallet, WalletKind, WalletSummary,
};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::PathBuf;
use std::thread::JoinHandle;

/// So often in a row an order of a process that may live has to be found past its deadline before its hold goes back: a process
/// that lives has put the deadline off in between, and a clock that jumps is no reason.
const LOOKS: u32 = 3;

/// The ledger in one SQLite file.
pub struct SqliteLedger {
    database: Database,
    queue: std::sync::Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Absent for administration: such a process reserves nothing.
    node: Option<Node>,
    /// Of each slot the last dead epoch that has left nothing open.
    cleared: Mutex<HashMap<i64, i64>>,
    /// Orders past their deadline of processes of which nobody knows whether they live, and how often each was found so.
    doubtful: Mutex<HashMap<OrderId, u32>>,
    durability: Durability,
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
        let ledger = Self {
            database: database.clone(),
            queue,
            thread: Mutex::new(Some(thread)),
            node,
            cleared: Mutex::default(),
            doubtful: Mutex::default(),
            durability,
        };
        let recovered = ledger.recover(clock.now())?;
        Ok((ledger, recovered))
    }

    /// Settles every open order of a dead node, oldest first: the hold goes back, the input's cost becomes our loss.
    fn recover(&self, now: Timestamp) -> Result<usize> {
        if self.node.is_none() {
            return Ok(0);
        }
        let tickets: Vec<Ticket> = self.orphans(now)?.into_iter().map(|order| self.submit(Command::Recover { order })).collect();
        let count = tickets.len();
        for ticket in tickets {
            ticket.wait_blocking()?;
        }
        Ok(count)
    }

    fn overdue_of(&self, (node, epoch): (i64, i64), now: Timestamp) -> Result<Vec<OrderId>> {
        self.database.with(|c| {
            c.prepare_cached("SELECT id FROM orders WHERE state = 0 AND expires_at <= ?1 AND node = ?2 AND epoch = ?3 LIMIT 10000")?
                .query_map([now.0, node, epoch], |row| row.get(0).map(OrderId))?
                .collect()
        })
    }

    /// Of orders of processes of which nobody knows whether they live, past their deadline: those found so again and again.
    fn forsaken(&self, overdue: Vec<OrderId>) -> Vec<OrderId> {
        let mut doubtful = self.doubtful.lock();
        *doubtful = overdue.into_iter().map(|order| (order, doubtful.get(&order).copied().unwrap_or(0) + 1)).collect();
        doubtful.iter().filter(|(_, looks)| **looks >= LOOKS).map(|(order, _)| *order).collect()
    }

    /// `verify`, with what is known of anchors outside the database.
    pub fn verify_with(&self, evidence: &AnchorEvidence) -> Result<Report> {
        let report = Inspector::new(&self.database)?.run(Some(evidence), Clock::system().now(), &|| false)?;
        report.ok_or_else(|| Error::new(ErrorKind::Internal, "the verification stopped on the way"))
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

    fn summary(c: &Connection, wallet: &Wallet, uncertain: &HashMap<i64, Uncertain>) -> rusqlite::Result<WalletSummary> {
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
        let paying_out = reader::paying_out(c, wallet)?;
        // What came in otherwise and is not there any more was spent.
        let own_nano =
            grants.iter().map(|grant| grant.left.as_nano()).chain([cash, held, paying_out.as_nano(), -owed]).map(i128::from).sum::<i128>();
        let spent = i128::from(wallet.moved_nano) - own_nano;
        let Uncertain { provisional_nano, unpriced_orders, open_orders } = uncertain.get(&wallet.id).copied().unwrap_or_default();
        Ok(WalletSummary {
            name: wallet.name.clone(),
            kind: wallet.kind,
            credit_limit: wallet.credit_limit,
            frozen: wallet.frozen,
            terms: std::sync::Arc::clone(&wallet.terms),
            cash: Money::nano(cash),
            granted: Money::nano(granted),
            grants,
            paying_out,
            held: Money::nano(held),
            owed: Money::nano(owed),
            available: available.map(Money::nano),
            spent_known: Money::nano(i64::try_from(spent - i128::from(provisional_nano)).unwrap_or(i64::MAX)),
            spent_provisional: Money::nano(provisional_nano),
            unpriced_orders,
            open_orders,
        })
    }
}

/// A wallet's orders that are open, or whose charge may change.
#[derive(Clone, Copy, Default)]
struct Uncertain {
    provisional_nano: i64,
    unpriced_orders: i64,
    open_orders: i64,
}

/// Open orders are read through their own index, whoever's they are: a further index would cost every call.
pub(super) const OPEN_BY_WALLET: &str = "SELECT wallet_id, count(*) FROM orders INDEXED BY orders_open \
     WHERE state = 0 AND (?1 IS NULL OR wallet_id = ?1) GROUP BY wallet_id";
pub(super) const UNCERTAIN_OF_WALLET: &str = "SELECT wallet_id, coalesce(sum(charge - refunded) FILTER (WHERE state = 5), 0), \
     count(*) FILTER (WHERE state = 7) FROM orders INDEXED BY orders_uncertain WHERE (state = 5 OR state = 7) AND wallet_id = ?1";
pub(super) const UNCERTAIN_BY_WALLET: &str = "SELECT wallet_id, coalesce(sum(charge - refunded) FILTER (WHERE state = 5), 0), \
     count(*) FILTER (WHERE state = 7) FROM orders INDEXED BY orders_uncertain WHERE (state = 5 OR state = 7) GROUP BY wallet_id";

/// Of one wallet, or of all.
fn uncertain(c: &Connection, wallet: Option<i64>) -> rusqlite::Result<HashMap<i64, Uncertain>> {
    let mut found: HashMap<i64, Uncertain> = HashMap::new();
    let mut open = c.prepare_cached(OPEN_BY_WALLET)?;
    let mut open = open.query([wallet])?;
    while let Some(row) = open.next()? {
        found.entry(row.get(0)?).or_default().open_orders = row.get(1)?;
    }
    let mut settled = c.prepare_cached(if wallet.is_some() { UNCERTAIN_OF_WALLET } else { UNCERTAIN_BY_WALLET })?;
    let mut settled = settled.query(rusqlite::params_from_iter(wallet))?;
    while let Some(row) = settled.next()? {
        // Without any, the sum of one wallet's has no wallet.
        if let Some(id) = row.get::<_, Option<i64>>(0)? {
            let one = found.entry(id).or_default();
            (one.provisional_nano, one.unpriced_orders) = (row.get(1)?, row.get(2)?);
        }
    }
    Ok(found)
}

/// The journal from an entry on, as far as it is a wallet's: read until the limit is reached.
pub(super) fn entries_of_all() -> String {
    format!(
        "SELECT {} FROM journal j WHERE seq > ?1 AND ?2 IS NULL AND (?3 IS NULL \
         OR EXISTS (SELECT 1 FROM orders o JOIN wallets w ON w.id = o.wallet_id WHERE o.id = j.order_id AND w.name = ?3) \
         OR (order_id IS NULL AND kind <> 3 AND json_extract(payload, '$.wallet') = ?3)) ORDER BY seq LIMIT ?4",
        rows::EVENT_COLUMNS
    )
}

impl Ledger for SqliteLedger {
    fn submit(&self, command: Command) -> Ticket {
        let (answer, ticket) = Answer::new();
        self.queue.push(command, answer);
        ticket
    }

    fn node(&self) -> (i64, i64) {
        self.node.as_ref().map_or((-1, 0), |node| (node.node, node.epoch))
    }

    fn order(&self, id: OrderId) -> Result<Option<OrderReceipt>> {
        self.database.with(|c| receipts::by_id(c, id))
    }

    fn wallet(&self, name: &str) -> Result<Option<WalletSummary>> {
        self.database.read(|c| {
            let Some(wallet) = rows::wallet_by_name(c, name)? else { return Ok(None) };
            Self::summary(c, &wallet, &uncertain(c, Some(wallet.id))?).map(Some)
        })
    }

    fn wallets(&self) -> Result<Vec<WalletSummary>> {
        self.database.read(|c| {
            let uncertain = uncertain(c, None)?;
            let all: Vec<Wallet> = c
                .prepare(&format!("SELECT {} FROM wallets ORDER BY name LIMIT 10000", rows::WALLET_COLUMNS))?
                .query_map([], rows::wallet)?
                .collect::<rusqlite::Result<_>>()?;
            all.into_iter().map(|wallet| Self::summary(c, &rows::with_grants(c, wallet)?, &uncertain)).collect()
        })
    }

    fn entries(&self, query: &EntryQuery) -> Result<Vec<Journal>> {
        // A connection of its own: calls must not wait while the journal is read.
        let connection = self.database.connect()?;
        entries(&connection, query).map_err(|error| from_sqlite(&error))
    }

    fn once(&self, scope: Hash, now: Timestamp) -> Read<'_, Recalled> {
        let database = self.database.clone();
        let read = move || {
            database.with(|c| {
                let Some(known) = once::find(c, &scope, now)? else { return Ok(None) };
                let receipt = receipts::by_id(c, known.order)?;
                Ok(Some((known, receipt)))
            })
        };
        Box::pin(async move {
            let gone = |error| Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause(error);
            let recalled = tokio::task::spawn_blocking(read).await.map_err(gone)??;
            if let Some((known, _)) = &recalled
                && self.durability == Durability::Hybrid
                && known.has_ended()
            {
                // It is committed, and may not be on the disk yet. Nothing happens to an order that has ended, and nothing is answered
                // about it before all that was committed is synced.
                self.submit(Command::Expire { order: known.order }).wait().await?;
            }
            Ok(recalled)
        })
    }

    fn overdue(&self, now: Timestamp) -> Result<Vec<OrderId>> {
        self.overdue_of(Ledger::node(self), now)
    }

    fn orphans(&self, now: Timestamp) -> Result<Vec<OrderId>> {
        let own = Ledger::node(self);
        let (mut orphans, mut overdue) = (Vec::new(), Vec::new());
        if let Some(node) = &self.node {
            node.keep(&self.database);
        }
        for (node, epoch, owner) in owners(&self.database)? {
            if matches!(owner, Owner::Unknown) && (node, epoch) != own {
                overdue.extend(self.overdue_of((node, epoch), now)?);
            }
            let epoch = if matches!(owner, Owner::Dead(_)) { epoch } else { epoch - 1 };
            if self.cleared.lock().get(&node).is_some_and(|cleared| *cleared >= epoch) {
                continue;
            }
            let left: Vec<OrderId> = self.database.with(|c| {
                c.prepare_cached("SELECT id FROM orders WHERE state = 0 AND node = ?1 AND epoch <= ?2 ORDER BY reserve_seq")?
                    .query_map([node, epoch], |row| row.get(0).map(OrderId))?
                    .collect()
            })?;
            if left.is_empty() {
                self.cleared.lock().insert(node, epoch);
            }
            orphans.extend(left);
        }
        orphans.extend(self.forsaken(overdue));
        Ok(orphans)
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

fn entries(c: &Connection, query: &EntryQuery) -> rusqlite::Result<Vec<Journal>> {
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let (id, wallet) = (query.order.map(|id| id.0), query.wallet.as_deref());
    let sql = if id.is_some() { receipts::entries_of_order() } else { entries_of_all() };
    let events: Vec<(Event, Hash)> =
        c.prepare(&sql)?.query_map((query.after_seq, id, wallet, limit), rows::event)?.collect::<rusqlite::Result<_>>()?;
    events.into_iter().map(|(event, _)| named(c, event)).collect()
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
