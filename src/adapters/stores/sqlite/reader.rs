//! Owns: the ledger on SQLite for administration: terms, grants, operations, statements.
//! Refuses to know: the path of a call.

use super::ledger::{SqliteLedger, named};
use super::{receipts, rows};
use crate::base::{Date, Error, ErrorKind, Money, OpId, OrderId, Result, Timestamp};
use crate::domain::catalog::PinnedPrice;
use crate::domain::ledger::{
    AccountPath, Balance, EventKind, GrantSummary, Journal, Ledger, LedgerReader, OrderReceipt, Posting, SettledQuery, Span, Spend,
    SpendQuery, Statement, UsageLine, Wallet, WalletTerms, When, unhex,
};
use rusqlite::{Connection, OptionalExtension};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(super) const UNASSIGNED: &str = "SELECT a.path, b.credits - b.debits FROM accounts a JOIN balances b ON b.account_id = a.id \
     WHERE a.path >= 'psp:' AND a.path < 'psp;' AND a.path LIKE 'psp:%:unassigned:%' AND b.credits > b.debits ORDER BY a.id LIMIT 10000";

impl LedgerReader for SqliteLedger {
    fn has_wallet(&self, name: &str) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM wallets WHERE name = ?1)";
        self.database().with(|c| c.prepare_cached(sql)?.query_row([name], |row| row.get(0)))
    }

    fn unassigned(&self) -> Result<Vec<(String, Money)>> {
        self.database().with(|c| c.prepare_cached(UNASSIGNED)?.query_map([], |row| Ok((row.get(0)?, Money::nano(row.get(1)?))))?.collect())
    }

    fn payments(&self, payment_provider: &str, span: Span, limit: usize) -> Result<Vec<Journal>> {
        // A connection of its own: the journal of that time is read.
        let mut connection = self.database().connect()?;
        let mut read = || -> rusqlite::Result<Vec<Journal>> {
            let c = connection.transaction()?;
            let (first, end) = (receipts::first_at(&c, span.from)?, receipts::first_at(&c, span.to)?);
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let kinds = [
                EventKind::TopUp,
                EventKind::PaymentUnassigned,
                EventKind::CashOutPaid,
                EventKind::PaidBack,
                EventKind::Chargeback,
                EventKind::Payout,
            ];
            let kinds = kinds.map(|kind| (kind as i64).to_string()).join(", ");
            let mut statement = c.prepare(&format!(
                "SELECT {} FROM journal WHERE seq >= ?1 AND seq < ?2 AND kind IN ({kinds}) AND json_extract(payload, '$.payment_provider') = ?3 ORDER BY seq LIMIT ?4",
                rows::EVENT_COLUMNS
            ))?;
            let found = statement.query_map((first, end, payment_provider, limit), rows::event)?;
            let events = found.collect::<rusqlite::Result<Vec<_>>>()?;
            events.into_iter().map(|(event, _)| named(&c, event)).collect()
        };
        read().map_err(|error| super::connection::from_sqlite(&error))
    }

    fn operation(&self, id: OpId) -> Result<Option<Journal>> {
        self.database().with(|c| {
            let seq: Option<i64> = c
                .prepare_cached("SELECT seq FROM ops WHERE id = ?1 AND refusal IS NULL")?
                .query_row([id.0], |row| row.get(0))
                .optional()?;
            let Some(seq) = seq else { return Ok(None) };
            let sql = format!("SELECT {} FROM journal WHERE seq = ?1", rows::EVENT_COLUMNS);
            let found = c.prepare_cached(&sql)?.query_row([seq], rows::event).optional()?;
            found.map(|(event, _)| named(c, event)).transpose()
        })
    }

    fn terms(&self) -> Result<HashMap<Arc<str>, WalletTerms>> {
        self.database().with(|c| {
            let sql = format!("SELECT {} FROM wallets WHERE terms <> '{{}}'", rows::WALLET_COLUMNS);
            let wallets = c.prepare_cached(&sql)?.query_map([], rows::wallet)?.collect::<rusqlite::Result<Vec<Wallet>>>()?;
            Ok(wallets.into_iter().map(|wallet| (wallet.name, WalletTerms { kind: wallet.kind, terms: wallet.terms })).collect())
        })
    }

    fn settled(&self, query: &SettledQuery) -> Result<Vec<OrderReceipt>> {
        // A connection of its own: where few orders are of the endpoint, a page reads many.
        let connection = self.database().connect()?;
        let find = || -> rusqlite::Result<Vec<OrderId>> {
            let after = query.after.map_or_else(Vec::new, |id| id.0.to_vec());
            let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
            connection
                .prepare(
                    "SELECT o.id FROM orders o JOIN journal f ON f.seq = o.final_seq WHERE o.id > ?1 AND o.created_at >= ?2 \
                     AND o.created_at < ?3 AND (o.state = 1 OR o.state = 4 OR o.state = 5 OR o.state = 7) \
                     AND json_extract(f.payload, '$.endpoint') = ?4 ORDER BY o.id LIMIT ?5",
                )?
                .query_map((after, query.span.from.0, query.span.to.0, &query.endpoint, limit), |row| row.get(0).map(OrderId))?
                .collect()
        };
        let ids = find().map_err(|error| super::connection::from_sqlite(&error))?;
        ids.into_iter().filter_map(|id| self.order(id).transpose()).collect()
    }

    fn price_sheet(&self, hash: &str) -> Result<Option<Arc<PinnedPrice>>> {
        let Some(hash) = unhex(hash) else { return Ok(None) };
        let found: Option<String> = self.database().with(|c| {
            c.prepare_cached("SELECT sheet FROM price_sheets WHERE hash = ?1")?.query_row([&hash[..]], |row| row.get(0)).optional()
        })?;
        let unreadable = |error| Error::new(ErrorKind::Storage, "a stored price sheet is unreadable").with_cause(error);
        found.map(|json| serde_json::from_str(&json).map(|sheet| PinnedPrice::of(&sheet)).map_err(unreadable)).transpose()
    }

    fn builders(&self) -> Result<Vec<(Arc<str>, Balance)>> {
        self.database().with(|c| {
            let mut statement = c.prepare_cached(
                "SELECT a.path, b.debits, b.credits FROM accounts a JOIN balances b ON b.account_id = a.id \
                 WHERE a.path >= 'builder:' AND a.path < 'builder;' ORDER BY a.path LIMIT 10000",
            )?;
            let found = statement.query_map([], |row| {
                let balance = Balance { debits: row.get(1)?, credits: row.get(2)? };
                Ok((row.get::<_, String>(0)?, balance))
            })?;
            let named = |(path, balance): (String, Balance)| match AccountPath::parse(&path)? {
                AccountPath::Builder(name) => Some((name.into(), balance)),
                _ => None,
            };
            found.filter_map(|row| row.map(named).transpose()).collect()
        })
    }

    fn expired_grants(&self, now: Timestamp) -> Result<Vec<(Arc<str>, Arc<str>)>> {
        self.database().with(|c| {
            c.prepare_cached(
                "SELECT w.name, g.name FROM grants g JOIN wallets w ON w.id = g.wallet_id JOIN balances b ON b.account_id = g.account \
                 WHERE g.expires_at <= ?1 AND b.credits > b.debits LIMIT 10000",
            )?
            .query_map([now.0], |row| Ok((row.get::<_, String>(0)?.into(), row.get::<_, String>(1)?.into())))?
            .collect()
        })
    }

    fn spend(&self, query: &SpendQuery) -> Result<BTreeMap<Vec<String>, Spend>> {
        let mut connection = self.database().connect()?;
        let read = |c: &mut Connection| receipts::spend(&*c.transaction()?, query);
        read(&mut connection).map_err(|error| super::connection::from_sqlite(&error))
    }

    fn statement(&self, wallet: &str, span: Span) -> Result<Option<Statement>> {
        // A connection of its own: the journal is read to its end.
        let mut connection = self.database().connect()?;
        let mut read = || -> rusqlite::Result<Option<Statement>> {
            let c = connection.transaction()?;
            let Some(wallet) = rows::wallet_by_name(&c, wallet)? else { return Ok(None) };
            let mut statement = Statement { usage: usage(&c, wallet.id, span)?, ..Statement::default() };
            let now_nano = movements(&c, &wallet, span, &mut statement)?;
            statement.close(now_nano);
            statement.open_orders =
                c.query_row("SELECT count(*) FROM orders WHERE wallet_id = ?1 AND state = 0", [wallet.id], |row| row.get(0))?;
            statement.held = Money::nano(rows::balance(&c, wallet.held)?.map_or(0, |(debits, credits, _)| credits - debits));
            Ok(Some(statement))
        };
        read().map_err(|error| super::connection::from_sqlite(&error))
    }
}

/// Notes every posting that crosses the wallet's border; gives what its accounts hold now.
fn movements(c: &Connection, wallet: &Wallet, span: Span, statement: &mut Statement) -> rusqlite::Result<i128> {
    let within = (format!("wallet:{}:", wallet.name), format!("wallet:{};", wallet.name));
    let mut now_nano = 0_i128;
    let mut own = Vec::new();
    let mut accounts = c.prepare(
        "SELECT a.id, b.debits, b.credits FROM accounts a JOIN balances b ON b.account_id = a.id WHERE a.path >= ?1 AND a.path < ?2",
    )?;
    let mut found = accounts.query(within)?;
    while let Some(row) = found.next()? {
        own.push(row.get::<_, i64>(0)?);
        now_nano += i128::from(row.get::<_, i64>(2)?) - i128::from(row.get::<_, i64>(1)?);
    }
    let mut lines =
        c.prepare("SELECT p.id, p.debit, p.credit, p.amount, p.code, j.ts FROM postings p JOIN journal j ON j.seq = p.id / 16")?;
    let mut lines = lines.query([])?;
    while let Some(row) = lines.next()? {
        let (_, Posting { debit, credit, amount_nano, code }) = rows::posting(row)?;
        let ts = Timestamp(row.get(5)?);
        let sign = i128::from(own.contains(&credit)) - i128::from(own.contains(&debit));
        if sign != 0 {
            let when = if ts < span.from {
                When::Before
            } else if ts < span.to {
                When::Within
            } else {
                When::After
            };
            statement.moved(code, sign * i128::from(amount_nano), when);
        }
    }
    Ok(now_nano)
}

/// A line a day and model, of the orders that ended in the span.
fn usage(c: &Connection, wallet: i64, span: Span) -> rusqlite::Result<Vec<UsageLine>> {
    const INPUT: &[&str] = &["input_uncached", "cache_read", "cache_write", "cache_write_1h", "audio_in", "image_in"];
    const OUTPUT: &[&str] = &["output_text", "output_reasoning", "audio_out"];
    let sum = |names: &[&str]| {
        let parts: Vec<String> = names.iter().map(|name| format!("coalesce(json_extract(f.payload, '$.usage.{name}'), 0)")).collect();
        format!("sum({})", parts.join(" + "))
    };
    let sql = format!(
        "SELECT o.finished_at / 86400000 AS day, coalesce(json_extract(f.payload, '$.endpoint'), json_extract(r.payload, '$.endpoint')) AS model, \
         count(*), {}, {}, sum(coalesce(o.pass_through, 0)), sum(coalesce(o.fee, 0)), sum(coalesce(o.charge, 0)), \
         sum(CASE WHEN o.state = 5 THEN o.charge ELSE 0 END), sum(o.refunded), sum(o.state = 7) \
         FROM orders o JOIN journal r ON r.seq = o.reserve_seq JOIN journal f ON f.seq = o.final_seq \
         WHERE o.wallet_id = ?1 AND o.finished_at >= ?2 AND o.finished_at < ?3 AND (o.charge > 0 OR o.state = 7 OR o.state = 1) \
         GROUP BY day, model ORDER BY day, model",
        sum(INPUT),
        sum(OUTPUT)
    );
    let mut statement = c.prepare(&sql)?;
    let lines = statement.query_map((wallet, span.from.0, span.to.0), |row| {
        let money = |column| row.get(column).map(Money::nano);
        Ok(UsageLine {
            day: Date::of_day(row.get(0)?),
            model: row.get(1)?,
            orders: row.get(2)?,
            input_tokens: row.get(3)?,
            output_tokens: row.get(4)?,
            pass_through: money(5)?,
            fee: money(6)?,
            charge: money(7)?,
            provisional: money(8)?,
            refunded: money(9)?,
            unpriced: row.get(10)?,
        })
    })?;
    lines.collect()
}

/// The grants of a wallet with what is left of each.
pub(super) fn grants(c: &Connection, wallet: &Wallet) -> rusqlite::Result<Vec<GrantSummary>> {
    wallet
        .grants
        .iter()
        .map(|grant| {
            let left = rows::balance(c, grant.account)?.map_or(0, |(debits, credits, _)| credits - debits);
            Ok(GrantSummary {
                name: Arc::clone(&grant.name),
                left: Money::nano(left),
                priority: grant.priority,
                expires_at: grant.expires_at,
            })
        })
        .collect()
}

/// What is on its way out of a wallet.
pub(super) fn paying_out(c: &Connection, wallet: &Wallet) -> rusqlite::Result<Money> {
    let path = AccountPath::CashOut(&wallet.name).to_string();
    let found = c
        .prepare_cached("SELECT b.credits - b.debits FROM accounts a JOIN balances b ON b.account_id = a.id WHERE a.path = ?1")?
        .query_row([path], |row| row.get(0))
        .optional()?;
    Ok(Money::nano(found.unwrap_or(0)))
}
