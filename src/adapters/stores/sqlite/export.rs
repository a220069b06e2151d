//! Owns: reading the whole ledger for an export, in one read transaction and one page after the other; which rows concern one
//! wallet, and the proofs of entries whose block is not shown in full.
//! Refuses to know: the form in which rows are written. Kinds and codes newer than this program pass through as numbers.

use super::anchors;
use super::connection::from_sqlite;
use super::rows;
use crate::base::{Error, ErrorKind, OpId, OrderId, Result};
use crate::domain::ledger::{
    AccountPayload, Cell, EventKind, ExportQuery, ExportSink, Exported, Hash, OrderState, Table, hex, merkle_path,
};
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Progress is told after so many entries.
const PROGRESS_STEP: i64 = 4096;
const BLOCK_COLUMNS: &str = "n, first_seq, last_seq, prev, root, hash, ts";

/// The store failed, or whoever takes the rows.
enum Failure {
    Store(rusqlite::Error),
    Sink(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sink(error)
    }
}

type Step<T = ()> = Result<T, Failure>;

pub(super) fn export(connection: &mut Connection, query: &ExportQuery, sink: &mut dyn ExportSink) -> Result<Exported> {
    run(connection, query, sink).map_err(|failure| match failure {
        Failure::Store(error) => from_sqlite(&error),
        Failure::Sink(error) => error,
    })
}

fn run(connection: &mut Connection, query: &ExportQuery, sink: &mut dyn ExportSink) -> Step<Exported> {
    let c = connection.transaction()?;
    let refuse = |why: String, param| Failure::Sink(Error::new(ErrorKind::InvalidRequest, why).with_param(param));
    let last = format!("SELECT {BLOCK_COLUMNS} FROM blocks ORDER BY n DESC LIMIT 1");
    let Some(head) = c.query_row(&last, [], rows::block).optional()? else {
        return Err(refuse("the ledger is empty".to_owned(), "dir"));
    };
    if query.from_seq > head.last_seq {
        return Err(refuse(format!("the ledger ends with entry {}", head.last_seq), "from"));
    }
    let first = "SELECT coalesce((SELECT first_seq FROM blocks WHERE first_seq <= ?1 ORDER BY n DESC LIMIT 1), 1)";
    let from_seq: i64 = c.query_row(first, [query.from_seq], |row| row.get(0))?;
    let mut scope = Scope { from_seq, complete_from: from_seq, opening: HashMap::new(), wallet: None };
    if let Some(name) = &query.wallet {
        let wallet =
            rows::wallet_by_name(&c, name)?.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no wallet '{name}'")))?;
        scope.complete_from = head.last_seq + 1;
        scope.wallet = Some(Share::gather(&c, wallet.id, name, from_seq)?);
    }
    journal(&c, &mut scope, head.last_seq, sink)?;
    blocks(&c, sink)?;
    accounts(&c, &scope, sink)?;
    wallets(&c, &scope, sink)?;
    orders(&c, &scope, sink)?;
    prices(&c, &scope, sink)?;
    Ok(Exported { from_seq, complete_from: scope.complete_from, head, anchors: anchors::all(&c)? })
}

/// An entry as it lies in the file, so that it can be hashed again whatever it means.
struct Entry {
    seq: i64,
    kind: i64,
    order: Option<[u8; 16]>,
    op: Option<[u8; 16]>,
    ts: i64,
    payload: Vec<u8>,
    leaf: Hash,
}

struct Line {
    id: i64,
    debit: i64,
    credit: i64,
    amount: i64,
    code: i64,
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line { id: row.get(0)?, debit: row.get(1)?, credit: row.get(2)?, amount: row.get(3)?, code: row.get(4)? })
}

impl Entry {
    fn is(&self, kind: EventKind) -> bool {
        self.kind == kind as i64
    }

    /// The account that this entry opened.
    fn opened(&self) -> Option<i64> {
        let opened = self.is(EventKind::AccountOpened).then(|| serde_json::from_slice::<AccountPayload<'_>>(&self.payload).ok());
        opened.flatten().map(|opened| opened.account)
    }
}

/// Shows every entry with its postings, in order.
fn walk(c: &Connection, mut show: impl FnMut(Entry, Vec<Line>) -> Step) -> Step {
    let mut lines = c.prepare("SELECT id, debit, credit, amount, code FROM postings ORDER BY id")?;
    let mut lines = lines.query_map([], line)?.peekable();
    let mut entries = c.prepare("SELECT seq, kind, order_id, op_id, ts, payload, leaf FROM journal ORDER BY seq")?;
    let mut entries = entries.query([])?;
    while let Some(row) = entries.next()? {
        let entry = Entry {
            seq: row.get(0)?,
            kind: row.get(1)?,
            order: row.get(2)?,
            op: row.get(3)?,
            ts: row.get(4)?,
            payload: row.get(5)?,
            leaf: row.get(6)?,
        };
        let mut own = Vec::new();
        // Postings of no entry go with the next one: an export shows what is there, and its verifier says what is wrong.
        while let Some(line) = lines.next_if(|line| line.as_ref().map_or(true, |line| line.id / 16 <= entry.seq)) {
            own.push(line?);
        }
        show(entry, own)?;
    }
    Ok(())
}

/// One wallet's part of the ledger.
struct Share {
    wallet: i64,
    name: String,
    /// The wallet's own accounts: their balances are shown.
    own: HashSet<i64>,
    /// Every account that the wallet's entries touch.
    used: HashSet<i64>,
    /// Price sheets that its entries refer to.
    prices: HashSet<String>,
}

impl Share {
    fn gather(c: &Connection, wallet: i64, name: &str, from_seq: i64) -> Step<Self> {
        let own: HashSet<i64> = c
            .prepare("SELECT id FROM accounts WHERE substr(path, 1, length(?1)) = ?1")?
            .query_map([format!("wallet:{name}:")], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut share = Self { wallet, name: name.to_owned(), used: own.clone(), own, prices: HashSet::new() };
        walk(c, |entry, lines| {
            if entry.seq >= from_seq && share.concerns(c, &entry, &lines)? {
                share.used.extend(lines.iter().flat_map(|line| [line.debit, line.credit]));
                if let Ok(payload) = serde_json::from_slice(&entry.payload) {
                    gather_hashes(&payload, &mut share.prices);
                }
            }
            Ok(())
        })?;
        Ok(share)
    }

    fn concerns(&self, c: &Connection, entry: &Entry, lines: &[Line]) -> rusqlite::Result<bool> {
        if lines.iter().any(|line| self.own.contains(&line.debit) || self.own.contains(&line.credit)) {
            return Ok(true);
        }
        match entry.order {
            Some(id) => {
                let mut orders = c.prepare_cached("SELECT wallet_id = ?2 FROM orders WHERE id = ?1")?;
                Ok(orders.query_row((id, self.wallet), |row| row.get(0)).optional()?.unwrap_or(false))
            }
            None => {
                let payload: Value = serde_json::from_slice(&entry.payload).unwrap_or_default();
                Ok(payload.get("wallet").and_then(Value::as_str) == Some(&self.name))
            }
        }
    }
}

/// Texts that may be the hash of a price sheet, wherever they stand.
fn gather_hashes(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::String(text) if text.len() == 64 => drop(found.insert(text.clone())),
        Value::Array(values) => values.iter().for_each(|value| gather_hashes(value, found)),
        Value::Object(members) => members.values().for_each(|value| gather_hashes(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

struct Scope {
    from_seq: i64,
    complete_from: i64,
    /// What the accounts had before `from_seq`: debits, credits.
    opening: HashMap<i64, (i64, i64)>,
    wallet: Option<Share>,
}

impl Scope {
    /// Is this entry exported? The openings of accounts always are: they say what an account's number means.
    fn shows(&self, c: &Connection, entry: &Entry, lines: &[Line]) -> rusqlite::Result<bool> {
        match (&self.wallet, entry.opened()) {
            (Some(share), Some(account)) => Ok(share.used.contains(&account)),
            (Some(share), None) => Ok(entry.seq >= self.from_seq && share.concerns(c, entry, lines)?),
            (None, opened) => Ok(entry.seq >= self.from_seq || opened.is_some()),
        }
    }

    fn open_with(&mut self, lines: &[Line]) {
        for line in lines {
            let debit = self.opening.entry(line.debit).or_default();
            debit.0 = debit.0.saturating_add(line.amount);
            let credit = self.opening.entry(line.credit).or_default();
            credit.1 = credit.1.saturating_add(line.amount);
        }
    }
}

/// Entries are shown when their block is complete, so that their proofs go with them. A block is one commit: it fits.
fn journal(c: &Connection, scope: &mut Scope, last_seq: i64, sink: &mut dyn ExportSink) -> Step {
    let mut ends = c.prepare("SELECT last_seq FROM blocks ORDER BY n")?;
    let mut ends = ends.query_map([], |row| row.get::<_, i64>(0))?;
    let mut end: Option<i64> = None;
    let mut leaves: Vec<Hash> = Vec::new();
    // Entries of the block that are exported, with their place among its leaves.
    let mut chosen: Vec<(usize, Entry, Vec<Line>)> = Vec::new();
    walk(c, |entry, lines| {
        if entry.seq % PROGRESS_STEP == 0 {
            sink.progress(entry.seq, last_seq);
        }
        if end.is_none() {
            end = ends.next().transpose()?;
        }
        if entry.seq < scope.from_seq {
            scope.open_with(&lines);
        }
        let (seq, leaf) = (entry.seq, entry.leaf);
        if scope.shows(c, &entry, &lines)? {
            chosen.push((leaves.len(), entry, lines));
        }
        leaves.push(leaf);
        // Entries of no block are shown as they are: the verifier says what is wrong with them.
        if end.is_none() || end.take_if(|end| seq >= *end).is_some() {
            for (index, entry, lines) in chosen.drain(..) {
                let path = if entry.seq < scope.complete_from { merkle_path(&leaves, index) } else { Vec::new() };
                show(&entry, &lines, &path, sink)?;
            }
            leaves.clear();
        }
        Ok(())
    })?;
    sink.progress(last_seq, last_seq);
    chosen.iter().try_for_each(|(_, entry, lines)| show(entry, lines, &[], sink))
}

fn show(entry: &Entry, lines: &[Line], path: &[Hash], sink: &mut dyn ExportSink) -> Step {
    let payload = std::str::from_utf8(&entry.payload)
        .map_err(|_| Error::new(ErrorKind::Storage, format!("entry {} is damaged: its payload is no text", entry.seq)))?;
    let (order, op) = (entry.order.map(|id| OrderId(id).to_string()), entry.op.map(|id| OpId(id).to_string()));
    let path: Vec<String> = path.iter().map(|hash| hex(hash)).collect();
    sink.row(
        Table::Journal,
        &[
            Cell::Number(Some(entry.seq)),
            Cell::Number(Some(entry.kind)),
            Cell::Text(order.as_deref()),
            Cell::Text(op.as_deref()),
            Cell::Time(Some(entry.ts)),
            Cell::Text(Some(payload)),
            Cell::Text(Some(&hex(&entry.leaf))),
            Cell::Text(Some(&path.join(" "))),
        ],
    )?;
    for line in lines {
        sink.row(
            Table::Postings,
            &[
                Cell::Number(Some(line.id / 16)),
                Cell::Number(Some(line.id % 16)),
                Cell::Number(Some(line.debit)),
                Cell::Number(Some(line.credit)),
                Cell::Amount(Some(line.amount)),
                Cell::Number(Some(line.code)),
            ],
        )?;
    }
    Ok(())
}

/// All of them, whatever the scope: hashes tell nothing of anybody, and the chain needs each.
fn blocks(c: &Connection, sink: &mut dyn ExportSink) -> Step {
    let mut blocks = c.prepare(&format!("SELECT {BLOCK_COLUMNS} FROM blocks ORDER BY n"))?;
    for block in blocks.query_map([], rows::block)? {
        let block = block?;
        sink.row(
            Table::Blocks,
            &[
                Cell::Number(Some(block.n)),
                Cell::Number(Some(block.first_seq)),
                Cell::Number(Some(block.last_seq)),
                Cell::Text(Some(&hex(&block.prev))),
                Cell::Text(Some(&hex(&block.root))),
                Cell::Text(Some(&hex(&block.hash))),
                Cell::Time(Some(block.ts.0)),
            ],
        )?;
    }
    Ok(())
}

/// Of accounts that are not the wallet's own only the name is shown: what they have is the business of others.
fn accounts(c: &Connection, scope: &Scope, sink: &mut dyn ExportSink) -> Step {
    let sql = "SELECT a.id, a.path, b.debits, b.credits FROM accounts a LEFT JOIN balances b ON b.account_id = a.id ORDER BY a.id";
    let mut accounts = c.prepare(sql)?;
    let mut accounts = accounts.query([])?;
    while let Some(row) = accounts.next()? {
        let (id, path): (i64, String) = (row.get(0)?, row.get(1)?);
        if scope.wallet.as_ref().is_some_and(|share| !share.used.contains(&id)) {
            continue;
        }
        let shows = scope.wallet.as_ref().is_none_or(|share| share.own.contains(&id));
        let amount = |value: i64| Cell::Amount(shows.then_some(value));
        let opening = scope.opening.get(&id).copied().unwrap_or_default();
        let debits = row.get::<_, Option<i64>>(2)?.unwrap_or(0);
        let credits = row.get::<_, Option<i64>>(3)?.unwrap_or(0);
        sink.row(
            Table::Accounts,
            &[
                Cell::Number(Some(id)),
                Cell::Text(Some(&path)),
                amount(opening.0),
                amount(opening.1),
                amount(debits),
                amount(credits),
                amount(credits.saturating_sub(debits)),
            ],
        )?;
    }
    Ok(())
}

/// Which accounts are a wallet's; what else is known of it stands in its entries.
fn wallets(c: &Connection, scope: &Scope, sink: &mut dyn ExportSink) -> Step {
    let mut wallets = c.prepare("SELECT name, cash, held, receivable FROM wallets WHERE ?1 IS NULL OR id = ?1 ORDER BY id")?;
    let mut wallets = wallets.query([scope.wallet.as_ref().map(|share| share.wallet)])?;
    while let Some(row) = wallets.next()? {
        let name: String = row.get(0)?;
        let accounts = [Cell::Number(row.get(1)?), Cell::Number(row.get(2)?), Cell::Number(row.get(3)?)];
        sink.row(Table::Wallets, &[Cell::Text(Some(&name)), accounts[0], accounts[1], accounts[2]])?;
    }
    Ok(())
}

/// Orders with entries in the scope, with what those entries say of them.
fn orders(c: &Connection, scope: &Scope, sink: &mut dyn ExportSink) -> Step {
    let (only, order_by) = match &scope.wallet {
        Some(_) => ("o.wallet_id = ?2 AND", "o.wallet_id, o.reserve_seq"),
        None => ("?2 IS NULL AND", "o.id"),
    };
    let sql = format!(
        "SELECT o.id, w.name, o.state, o.hold, o.charge, o.pass_through, o.fee, o.cost, o.reserve_seq, o.final_seq, o.created_at, \
         o.finished_at, r.payload, f.payload FROM orders o JOIN wallets w ON w.id = o.wallet_id LEFT JOIN journal r ON r.seq = o.reserve_seq \
         LEFT JOIN journal f ON f.seq = o.final_seq WHERE {only} (o.reserve_seq >= ?1 OR o.final_seq >= ?1) ORDER BY {order_by}"
    );
    let mut orders = c.prepare(&sql)?;
    let mut orders = orders.query((scope.from_seq, scope.wallet.as_ref().map(|share| share.wallet)))?;
    while let Some(row) = orders.next()? {
        let parse = |column| -> rusqlite::Result<Value> {
            let payload: Option<Vec<u8>> = row.get(column)?;
            Ok(payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default())
        };
        let (reserve, settlement) = (parse(12)?, parse(13)?);
        let text = |name: &str| Cell::Text(settlement.get(name).or_else(|| reserve.get(name)).and_then(Value::as_str));
        let state: i64 = row.get(2)?;
        let state = OrderState::from_number(state).map_or_else(|| state.to_string(), |state| state.name().to_owned());
        let (id, wallet) = (OrderId(row.get(0)?).to_string(), row.get::<_, String>(1)?);
        sink.row(
            Table::Orders,
            &[
                Cell::Text(Some(&id)),
                Cell::Text(Some(&wallet)),
                Cell::Text(Some(&state)),
                Cell::Amount(row.get(3)?),
                Cell::Amount(row.get(4)?),
                Cell::Amount(row.get(5)?),
                Cell::Amount(row.get(6)?),
                Cell::Amount(row.get(7)?),
                text("key"),
                text("user_path"),
                text("operation"),
                text("model"),
                text("provider"),
                text("endpoint"),
                text("usage_source"),
                text("cost_source"),
                text("finish"),
                Cell::Number(row.get(8)?),
                Cell::Number(row.get(9)?),
                Cell::Time(row.get(10)?),
                Cell::Time(row.get(11)?),
            ],
        )?;
    }
    Ok(())
}

fn prices(c: &Connection, scope: &Scope, sink: &mut dyn ExportSink) -> Step {
    let mut prices = c.prepare("SELECT hash, sheet FROM price_sheets ORDER BY hash")?;
    let mut prices = prices.query([])?;
    while let Some(row) = prices.next()? {
        let (hash, sheet): (Hash, String) = (row.get(0)?, row.get(1)?);
        let hash = hex(&hash);
        if scope.wallet.as_ref().is_none_or(|share| share.prices.contains(&hash)) {
            sink.row(Table::PriceSheets, &[Cell::Text(Some(&hash)), Cell::Text(Some(&sheet))])?;
        }
    }
    Ok(())
}
