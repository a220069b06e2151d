//! Owns: projections made again from the journal: what differs is named, and put in place in one transaction. The journal, its
//! postings and its blocks are never touched.
//! Refuses to know: what the journal makes (the verifier, `project`), who asked for it.

use super::connection::{Database, from_sqlite};
use super::inspect::Inspector;
use super::{outbox, rows};
use crate::base::{Error, ErrorKind, OrderId, Result, Timestamp};
use crate::domain::ledger::{
    Account, AnchorEvidence, Balance, Event, Order, OrderState, Posting, Remedy, Verifier, Wallet, WalletKind, project,
};
use rusqlite::{Connection, OptionalExtension};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What was, or would be, put in place.
#[derive(Clone, Debug, Default)]
pub struct Rebuilt {
    pub changes: Vec<String>,
    /// Rows that no entry of the journal speaks of; they are left to a person.
    pub left: Vec<String>,
}

impl Database {
    /// Compares every projection with the journal and, if somebody with a reason is named, puts right what differs. Refused where
    /// the journal itself is not as it was written.
    pub fn rebuild(&self, by: Option<(&str, &str)>, now: Timestamp) -> Result<Rebuilt> {
        let mut inspector = Inspector::new(self)?;
        let report = inspector.run(Some(&AnchorEvidence::default()), now, &|| false)?.unwrap_or_default();
        if let Some(changed) = report.findings.iter().find(|finding| finding.remedy == Remedy::Restore) {
            let why = format!("the journal itself was changed, so nothing can be made from it: {}; restore a backup", changed.detail);
            return Err(Error::new(ErrorKind::Conflict, why));
        }
        rebuild(&mut inspector, by, now).map_err(|error| from_sqlite(&error))
    }
}

fn rebuild(inspector: &mut Inspector, by: Option<(&str, &str)>, now: Timestamp) -> rusqlite::Result<Rebuilt> {
    let (c, verifier) = inspector.locked()?;
    let mut rebuilt = Rebuilt::default();
    accounts(&c, verifier, &mut rebuilt)?;
    let told = verifier.wallets_told();
    wallets(&c, &told, &mut rebuilt)?;
    orders(&c, verifier, &told, &mut rebuilt)?;
    windows(&c, verifier, &mut rebuilt)?;
    if let Some((actor, reason)) = by.filter(|_| !rebuilt.changes.is_empty()) {
        let payload = json!({ "actor": actor, "reason": reason, "changes": rebuilt.changes.len() });
        outbox::put(&c, "ledger.rebuilt", &format!("rebuilt:{}", now.0), &payload, now)?;
        c.commit()?;
    }
    Ok(rebuilt)
}

fn accounts(c: &Connection, verifier: &Verifier, rebuilt: &mut Rebuilt) -> rusqlite::Result<()> {
    let told = verifier.accounts_told();
    let mut wrong = Vec::new();
    for (account, balance) in &told {
        let stored: Option<(Account, Option<Balance>)> = c
            .prepare_cached(
                "SELECT a.id, a.path, a.class, a.guard, b.debits, b.credits FROM accounts a LEFT JOIN balances b ON b.account_id = a.id \
                 AND b.guard = a.guard WHERE a.id = ?1",
            )?
            .query_row([account.id], |row| {
                let debits: Option<i64> = row.get(4)?;
                let balance = debits.map(|debits| Ok::<_, rusqlite::Error>(Balance { debits, credits: row.get(5)? })).transpose()?;
                Ok((Account { id: row.get(0)?, path: row.get::<_, String>(1)?.into(), class: row.get(2)?, guard: row.get(3)? }, balance))
            })
            .optional()?;
        if !stored.as_ref().is_some_and(|(known, amount)| known == account && *amount == Some(*balance)) {
            wrong.push((account, balance, stored));
        }
    }
    // Paths are unique: two that were swapped can only be put right once neither has its wrong one.
    for (account, ..) in &wrong {
        c.execute("UPDATE accounts SET path = 'rebuilt:' || id WHERE id = ?1 AND path <> ?2", (account.id, &*account.path))?;
    }
    for (account, balance, stored) in wrong {
        c.execute(
            "INSERT INTO accounts(id, path, class, guard) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT(id) DO UPDATE SET path = excluded.path, class = excluded.class, guard = excluded.guard",
            (account.id, &*account.path, account.class, account.guard),
        )?;
        c.execute(
            "INSERT INTO balances(account_id, debits, credits, guard) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT(account_id) DO UPDATE SET debits = excluded.debits, credits = excluded.credits, guard = excluded.guard",
            (account.id, balance.debits, balance.credits, account.guard),
        )?;
        let was = stored.and_then(|(_, amount)| amount).map_or_else(|| "no row".to_owned(), shown);
        rebuilt.changes.push(format!("account {}: {was} -> {}", account.path, shown(*balance)));
    }
    let known = i64::try_from(told.len()).unwrap_or(i64::MAX);
    let mut strangers = c.prepare("SELECT path FROM accounts WHERE id > ?1 OR id < 1 LIMIT 100")?;
    for path in strangers.query_map([known], |row| row.get::<_, String>(0))? {
        rebuilt.left.push(format!("account {}", path?));
    }
    Ok(())
}

fn shown(balance: Balance) -> String {
    format!("{} debits, {} credits", balance.debits, balance.credits)
}

fn wallets(c: &Connection, told: &[Wallet], rebuilt: &mut Rebuilt) -> rusqlite::Result<()> {
    let mut wrong = Vec::new();
    for wallet in told {
        if rows::wallet_by_id(c, wallet.id)?.as_ref() != Some(wallet) {
            wrong.push(wallet);
        }
    }
    for wallet in &wrong {
        c.execute("UPDATE wallets SET name = 'rebuilt:' || id WHERE id = ?1 AND name <> ?2", (wallet.id, &*wallet.name))?;
    }
    for wallet in wrong {
        if rows::wallet_by_id(c, wallet.id)?.is_none() {
            rows::insert_wallet(c, wallet)?;
        }
        let kind = match wallet.kind {
            WalletKind::Prepaid => "prepaid",
            WalletKind::Postpaid => "postpaid",
        };
        c.execute(
            "UPDATE wallets SET name = ?2, kind = ?3, cash = ?4, held = ?5, receivable = ?6 WHERE id = ?1",
            (wallet.id, &*wallet.name, kind, wallet.cash, wallet.held, wallet.receivable),
        )?;
        c.execute("DELETE FROM grants WHERE wallet_id = ?1", [wallet.id])?;
        rows::update_wallet(c, wallet)?;
        rebuilt.changes.push(format!("wallet {}", wallet.name));
    }
    let known = i64::try_from(told.len()).unwrap_or(i64::MAX);
    let mut strangers = c.prepare("SELECT name FROM wallets WHERE id > ?1 OR id < 1 LIMIT 100")?;
    for name in strangers.query_map([known], |row| row.get::<_, String>(0))? {
        rebuilt.left.push(format!("wallet {}", name?));
    }
    Ok(())
}

/// Orders that did not agree are made again from all of their entries.
fn orders(c: &Connection, verifier: &Verifier, told: &[Wallet], rebuilt: &mut Rebuilt) -> rusqlite::Result<()> {
    let mut entries: HashMap<OrderId, Vec<Event>> = verifier.waiting().into_iter().map(|id| (id, Vec::new())).collect();
    if !entries.is_empty() {
        let mut journal = c.prepare(&format!("SELECT {} FROM journal WHERE order_id IS NOT NULL ORDER BY seq", rows::EVENT_COLUMNS))?;
        let mut journal = journal.query([])?;
        while let Some(row) = journal.next()? {
            let id = OrderId(row.get(2)?);
            if let Some(events) = entries.get_mut(&id) {
                let mut event = rows::event(row)?.0;
                event.postings = postings(c, event.seq)?;
                events.push(event);
            }
        }
    }
    for (id, events) in entries {
        let reserve: Value = events.first().and_then(|event| serde_json::from_slice(&event.payload).ok()).unwrap_or_default();
        let wallet = told.iter().find(|wallet| reserve.get("wallet").and_then(Value::as_str) == Some(&wallet.name));
        let Some(made) = wallet.and_then(|wallet| project(&events, wallet)) else {
            rebuilt.left.push(format!("order {id}"));
            continue;
        };
        let stored = rows::order_by_id(c, id)?;
        if stored.as_ref() != Some(&made) {
            write_order(c, &made)?;
            let was = stored.map_or("no row", |order| order.state.name());
            rebuilt.changes.push(format!("order {id}: {was} -> {}", made.state.name()));
        }
    }
    let mut strangers = c.prepare(
        "SELECT id FROM orders o WHERE NOT EXISTS \
         (SELECT 1 FROM journal j WHERE j.seq = o.reserve_seq AND j.order_id = o.id AND j.kind = 10) LIMIT 100",
    )?;
    for id in strangers.query_map([], |row| row.get(0).map(OrderId))? {
        rebuilt.left.push(format!("order {}", id?));
    }
    Ok(())
}

fn postings(c: &Connection, seq: i64) -> rusqlite::Result<Vec<Posting>> {
    c.prepare_cached("SELECT id, debit, credit, amount, code FROM postings WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?
        .query_map([seq * 16, seq * 16 + 15], |row| rows::posting(row).map(|(_, posting)| posting))?
        .collect()
}

fn write_order(c: &Connection, order: &Order) -> rusqlite::Result<()> {
    let exists: bool = c.query_row("SELECT EXISTS (SELECT 1 FROM orders WHERE id = ?1)", [order.id.0], |row| row.get(0))?;
    if !exists {
        // An order is inserted as it begins; the rest follows below.
        rows::insert_orders(c, &[Order { state: OrderState::Reserved, ..order.clone() }])?;
    }
    rows::replace_order(c, order)
}

fn windows(c: &Connection, verifier: &Verifier, rebuilt: &mut Rebuilt) -> rusqlite::Result<()> {
    let sql = format!("SELECT {} FROM budgets WHERE removed_at IS NULL", rows::BUDGET_COLUMNS);
    let budgets = c.prepare(&sql)?.query_map([], rows::budget)?.collect::<rusqlite::Result<Vec<_>>>()?;
    for budget in budgets {
        let mut starts = c.prepare_cached("SELECT start FROM budget_windows WHERE budget_id = ?1")?;
        let mut starts: Vec<i64> = starts.query_map([budget.id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        starts.extend(verifier.windows().into_iter().filter(|(id, _)| *id == budget.id).map(|(_, start)| start));
        starts.sort_unstable();
        starts.dedup();
        for start in starts {
            let (stored, (held, spent)) = (rows::window(c, (budget.id, start))?, verifier.used((budget.id, start), budget.unit));
            if (stored.held, stored.spent) != (held, spent) {
                rows::write_window(c, (budget.id, start), crate::domain::risk::Used { held, spent, alerted: stored.alerted })?;
                let (name, at) = (&budget.name, Timestamp(start));
                rebuilt
                    .changes
                    .push(format!("budget {name} from {at}: {} held, {} spent -> {held} held, {spent} spent", stored.held, stored.spent));
            }
        }
    }
    Ok(())
}
