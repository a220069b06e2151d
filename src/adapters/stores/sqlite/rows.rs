//! Owns: rows to values and back, for every table of the ledger.

use crate::base::{Money, OrderId, Timestamp};
use crate::domain::identity::{ModelPattern, UserPath};
use crate::domain::ledger::{
    AccountId, Balance, Block, Event, EventKind, Grant, Hash, HoldSource, Order, OrderState, Posting, PostingCode, Terms, Wallet,
    WalletKind, WindowId,
};
use crate::domain::risk::{Budget, Limit, Scope, Unit, Used};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use std::sync::Arc;

/// A stored number that no value of its type has: the file is damaged or newer than this program.
fn unknown(column: usize, what: &str, value: i64) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, format!("unknown {what} {value}").into())
}

fn money(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Money>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Money::nano))
}

/// A JSON list; NULL is an empty one.
fn list<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<T>> {
    let Some(text) = row
        .get_ref(column)?
        .as_str_or_null()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))?
    else {
        return Ok(Vec::new());
    };
    serde_json::from_str(text).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

/// NULL where there is nothing: most orders have one source and no budget.
fn listed<T: serde::Serialize>(items: &[T]) -> Option<String> {
    (!items.is_empty()).then(|| serde_json::to_string(items).unwrap_or_default())
}

pub(super) const ORDER_COLUMNS: &str = "id, wallet_id, state, hold, hold_source, charge, pass_through, fee, cost, overrun, provider, \
     input_cost, node, epoch, reserve_seq, final_seq, created_at, expires_at, finished_at, parts, counted, builder, builder_fee, refunded";

pub(super) fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    let (state, source): (i64, i64) = (row.get(2)?, row.get(4)?);
    Ok(Order {
        id: OrderId(row.get(0)?),
        wallet_id: row.get(1)?,
        state: OrderState::from_number(state).ok_or_else(|| unknown(2, "order state", state))?,
        hold: Money::nano(row.get(3)?),
        hold_source: match source {
            0 => HoldSource::Cash,
            1 => HoldSource::Receivable,
            2 => HoldSource::Parts,
            other => return Err(unknown(4, "hold source", other)),
        },
        parts: list(row, 19)?,
        counted: list(row, 20)?,
        builder: row
            .get::<_, Option<String>>(21)?
            .map(|name| Ok::<_, rusqlite::Error>((name.into(), Money::nano(row.get(22)?))))
            .transpose()?,
        refunded: Money::nano(row.get(23)?),
        charge: money(row, 5)?,
        pass_through: money(row, 6)?,
        fee: money(row, 7)?,
        cost: money(row, 8)?,
        overrun: Money::nano(row.get(9)?),
        provider: row.get::<_, String>(10)?.into(),
        input_cost: Money::nano(row.get(11)?),
        node: row.get(12)?,
        epoch: row.get(13)?,
        reserve_seq: row.get(14)?,
        final_seq: row.get(15)?,
        created_at: Timestamp(row.get(16)?),
        expires_at: Timestamp(row.get(17)?),
        finished_at: row.get::<_, Option<i64>>(18)?.map(Timestamp),
    })
}

/// Statements are looked up once a batch, not once a row: a look-up costs a good part of an insert.
pub(super) fn insert_orders(c: &Connection, orders: &[Order]) -> rusqlite::Result<()> {
    let mut statement = c.prepare_cached(
        "INSERT INTO orders(id, wallet_id, state, hold, hold_source, provider, input_cost, node, epoch, reserve_seq, created_at, expires_at, \
         parts, counted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for order in orders {
        statement.execute((
            order.id.0,
            order.wallet_id,
            order.state as i64,
            order.hold.as_nano(),
            order.hold_source as i64,
            &*order.provider,
            order.input_cost.as_nano(),
            order.node,
            order.epoch,
            order.reserve_seq,
            order.created_at.0,
            order.expires_at.0,
            listed(&order.parts),
            listed(&order.counted),
        ))?;
    }
    Ok(())
}

pub(super) fn update_orders<'a>(c: &Connection, orders: impl Iterator<Item = &'a Order>) -> rusqlite::Result<()> {
    let mut statement = c.prepare_cached(
        "UPDATE orders SET state = ?2, charge = ?3, pass_through = ?4, fee = ?5, cost = ?6, overrun = ?7, final_seq = ?8, finished_at = ?9, \
         parts = ?10, builder = ?11, builder_fee = ?12, counted = ?13 WHERE id = ?1 AND (state = 0 OR ((state = 3 OR (state = 2 AND cost IS NULL)) AND (?2 = 4 OR ?2 = 7)))",
    )?;
    for order in orders {
        let changed = statement.execute((
            order.id.0,
            order.state as i64,
            order.charge.map(Money::as_nano),
            order.pass_through.map(Money::as_nano),
            order.fee.map(Money::as_nano),
            order.cost.map(Money::as_nano),
            order.overrun.as_nano(),
            order.final_seq,
            order.finished_at.map(Timestamp::millis),
            listed(&order.parts),
            order.builder.as_ref().map(|(name, _)| &**name),
            order.builder.as_ref().map_or(0, |(_, share)| share.as_nano()),
            listed(&order.counted),
        ))?;
        one(changed)?;
    }
    Ok(())
}

fn one(changed: usize) -> rusqlite::Result<()> {
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}

/// Open orders whose hold has grown, or stays longer.
pub(super) fn extend_orders<'a>(c: &Connection, orders: impl Iterator<Item = &'a Order>) -> rusqlite::Result<()> {
    for order in orders {
        let changed = c
            .prepare_cached(
                "UPDATE orders SET hold = ?2, hold_source = ?3, parts = ?4, counted = ?5, expires_at = ?6 WHERE id = ?1 AND state = 0",
            )?
            .execute((
                order.id.0,
                order.hold.as_nano(),
                order.hold_source as i64,
                listed(&order.parts),
                listed(&order.counted),
                order.expires_at.0,
            ))?;
        one(changed)?;
    }
    Ok(())
}

/// Settled orders that a refund or a true-up has changed.
pub(super) fn correct_orders<'a>(c: &Connection, orders: impl Iterator<Item = &'a Order>) -> rusqlite::Result<()> {
    for order in orders {
        let changed = c
            .prepare_cached(
                "UPDATE orders SET state = ?2, charge = ?3, pass_through = ?4, fee = ?5, cost = ?6, overrun = ?7, final_seq = ?8, \
                 parts = ?9, builder = ?10, builder_fee = ?11, refunded = ?12 \
                 WHERE id = ?1 AND (state = ?2 OR ((state = 5 OR state = 7) AND ?2 = 1) OR (state = 7 AND ?2 = 5)) AND state <> 0",
            )?
            .execute((
                order.id.0,
                order.state as i64,
                order.charge.map(Money::as_nano),
                order.pass_through.map(Money::as_nano),
                order.fee.map(Money::as_nano),
                order.cost.map(Money::as_nano),
                order.overrun.as_nano(),
                order.final_seq,
                listed(&order.parts),
                order.builder.as_ref().map(|(name, _)| &**name),
                order.builder.as_ref().map_or(0, |(_, share)| share.as_nano()),
                order.refunded.as_nano(),
            ))?;
        one(changed)?;
    }
    Ok(())
}

/// Puts an order made again in the place of the one that is stored.
pub(super) fn replace_order(c: &Connection, order: &Order) -> rusqlite::Result<()> {
    c.execute(
        "UPDATE orders SET wallet_id = ?2, state = ?3, hold = ?4, hold_source = ?5, charge = ?6, pass_through = ?7, fee = ?8, cost = ?9, \
         overrun = ?10, provider = ?11, input_cost = ?12, node = ?13, epoch = ?14, reserve_seq = ?15, final_seq = ?16, created_at = ?17, \
         expires_at = ?18, finished_at = ?19, parts = ?20, counted = ?21, builder = ?22, builder_fee = ?23, refunded = ?24 WHERE id = ?1",
        rusqlite::params![
            order.id.0,
            order.wallet_id,
            order.state as i64,
            order.hold.as_nano(),
            order.hold_source as i64,
            order.charge.map(Money::as_nano),
            order.pass_through.map(Money::as_nano),
            order.fee.map(Money::as_nano),
            order.cost.map(Money::as_nano),
            order.overrun.as_nano(),
            &*order.provider,
            order.input_cost.as_nano(),
            order.node,
            order.epoch,
            order.reserve_seq,
            order.final_seq,
            order.created_at.0,
            order.expires_at.0,
            order.finished_at.map(Timestamp::millis),
            listed(&order.parts),
            listed(&order.counted),
            order.builder.as_ref().map(|(name, _)| &**name),
            order.builder.as_ref().map_or(0, |(_, share)| share.as_nano()),
            order.refunded.as_nano(),
        ],
    )
    .and_then(one)
}

pub(super) const EVENT_COLUMNS: &str = "seq, kind, order_id, op_id, ts, payload, leaf";

/// An event without its postings, and its stored leaf; zeros where none can be read, which is no event's.
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<(Event, Hash)> {
    let kind: i64 = row.get(1)?;
    let event = Event {
        seq: row.get(0)?,
        kind: EventKind::from_number(kind).ok_or_else(|| unknown(1, "event kind", kind))?,
        order: row.get::<_, Option<[u8; 16]>>(2)?.map(OrderId),
        op: row.get::<_, Option<[u8; 16]>>(3)?.map(crate::base::OpId),
        ts: Timestamp(row.get(4)?),
        payload: row.get(5)?,
        postings: Vec::new(),
    };
    let leaf = row.get_ref(6)?.as_blob().ok().and_then(|leaf| leaf.try_into().ok());
    Ok((event, leaf.unwrap_or_default()))
}

/// Writes events with their leaves, in order.
pub(super) fn insert_events(c: &Connection, events: &[Event], leaves: &[[u8; 32]]) -> rusqlite::Result<()> {
    let mut entry =
        c.prepare_cached("INSERT INTO journal(seq, kind, order_id, op_id, ts, payload, leaf) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut line = c.prepare_cached("INSERT INTO postings(id, debit, credit, amount, code) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (event, leaf) in events.iter().zip(leaves) {
        let (order, op) = (event.order.map(|id| id.0), event.op.map(|id| id.0));
        entry.execute((event.seq, event.kind as i64, order, op, event.ts.0, &event.payload, leaf))?;
        if event.postings.len() > 16 {
            return Err(rusqlite::Error::ToSqlConversionFailure("an entry has at most 16 postings".into()));
        }
        for (n, posting) in (0_i64..).zip(&event.postings) {
            line.execute((event.seq * 16 + n, posting.debit, posting.credit, posting.amount_nano, posting.code as i64))?;
        }
    }
    Ok(())
}

/// A posting and the entry it belongs to.
pub(super) fn posting(row: &Row<'_>) -> rusqlite::Result<(i64, Posting)> {
    let (id, code): (i64, i64) = (row.get(0)?, row.get(4)?);
    let code = PostingCode::from_number(code).ok_or_else(|| unknown(4, "posting code", code))?;
    Ok((id / 16, Posting { debit: row.get(1)?, credit: row.get(2)?, amount_nano: row.get(3)?, code }))
}

pub(super) const WALLET_COLUMNS: &str = "id, name, kind, credit_limit, frozen, cash, held, receivable, terms, moved";

/// A wallet without its grants.
pub(super) fn wallet(row: &Row<'_>) -> rusqlite::Result<Wallet> {
    let terms = row.get_ref(8)?.as_str()?;
    let unreadable = |error: serde_json::Error| rusqlite::Error::FromSqlConversionFailure(8, Type::Text, error.into());
    Ok(Wallet {
        terms: if terms == "{}" { Arc::default() } else { serde_json::from_str(terms).map_err(unreadable)? },
        moved_nano: row.get(9)?,
        grants: Vec::new(),
        id: row.get(0)?,
        name: row.get::<_, String>(1)?.into(),
        kind: if row.get::<_, String>(2)? == "prepaid" { WalletKind::Prepaid } else { WalletKind::Postpaid },
        credit_limit: money(row, 3)?,
        frozen: row.get(4)?,
        cash: row.get(5)?,
        held: row.get(6)?,
        receivable: row.get(7)?,
    })
}

pub(super) fn wallet_by_name(c: &Connection, name: &str) -> rusqlite::Result<Option<Wallet>> {
    let found = c.prepare_cached(&format!("SELECT {WALLET_COLUMNS} FROM wallets WHERE name = ?1"))?.query_row([name], wallet).optional()?;
    found.map(|wallet| with_grants(c, wallet)).transpose()
}

pub(super) fn wallet_by_id(c: &Connection, id: i64) -> rusqlite::Result<Option<Wallet>> {
    let found = c.prepare_cached(&format!("SELECT {WALLET_COLUMNS} FROM wallets WHERE id = ?1"))?.query_row([id], wallet).optional()?;
    found.map(|wallet| with_grants(c, wallet)).transpose()
}

pub(super) fn with_grants(c: &Connection, mut wallet: Wallet) -> rusqlite::Result<Wallet> {
    let mut statement = c.prepare_cached("SELECT name, account, priority, expires_at FROM grants WHERE wallet_id = ?1")?;
    let grants = statement.query_map([wallet.id], |row| {
        Ok(Grant {
            name: row.get::<_, String>(0)?.into(),
            account: row.get(1)?,
            priority: row.get(2)?,
            expires_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        })
    })?;
    for grant in grants {
        wallet.place(grant?);
    }
    Ok(wallet)
}

/// A wallet whose terms, freeze, grants or money from outside have changed.
pub(super) fn update_wallet(c: &Connection, wallet: &Wallet) -> rusqlite::Result<()> {
    // The usual terms are found by their text when a gateway looks for the wallets that have others.
    let usual = *wallet.terms == Terms::default();
    let terms = if usual { "{}".to_owned() } else { serde_json::to_string(&*wallet.terms).unwrap_or_default() };
    c.prepare_cached("UPDATE wallets SET credit_limit = ?2, frozen = ?3, terms = ?4, moved = ?5 WHERE id = ?1")?.execute((
        wallet.id,
        wallet.credit_limit.map(Money::as_nano),
        wallet.frozen,
        terms,
        wallet.moved_nano,
    ))?;
    for grant in &wallet.grants {
        c.prepare_cached(
            "INSERT INTO grants(wallet_id, name, account, priority, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT(wallet_id, name) DO UPDATE SET priority = excluded.priority, expires_at = excluded.expires_at",
        )?
        .execute((wallet.id, &*grant.name, grant.account, grant.priority, grant.expires_at.map(Timestamp::millis)))?;
    }
    Ok(())
}

pub(super) const BUDGET_COLUMNS: &str = "id, name, key_id, user_path, wallet, model, label, period, unit, cap, hard_status, alert_percent";

pub(super) fn budget(row: &Row<'_>) -> rusqlite::Result<Budget> {
    let wrong = |column: usize, why: String| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into());
    let user_path: Option<String> = row.get(3)?;
    Ok(Budget {
        id: row.get(0)?,
        name: row.get::<_, String>(1)?.into(),
        scope: Scope {
            key: row.get(2)?,
            user_path: user_path.map(|path| UserPath::parse(&path)).transpose().map_err(|error| wrong(3, error.message))?,
            wallet: row.get(4)?,
            model: row.get::<_, Option<String>>(5)?.map(ModelPattern::new),
            label: row.get(6)?,
        },
        period: serde_json::from_str(row.get_ref(7)?.as_str()?).map_err(|error| wrong(7, error.to_string()))?,
        unit: if row.get_ref(8)?.as_str()? == "requests" { Unit::Requests } else { Unit::Money },
        cap: row.get(9)?,
        limit: row.get::<_, Option<u16>>(10)?.map_or(Limit::Soft, |status| Limit::Hard { status }),
        alert_percent: row.get(11)?,
    })
}

/// What a window of a budget has used; nothing if there is no row.
pub(super) fn window(c: &Connection, (budget, start): WindowId) -> rusqlite::Result<Used> {
    c.prepare_cached("SELECT held, spent, alerted FROM budget_windows WHERE budget_id = ?1 AND start = ?2")?
        .query_row((budget, start), |row| Ok(Used { held: row.get(0)?, spent: row.get(1)?, alerted: row.get(2)? }))
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn write_window(c: &Connection, (budget, start): WindowId, used: Used) -> rusqlite::Result<()> {
    c.prepare_cached(
        "INSERT INTO budget_windows(budget_id, start, held, spent, alerted) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT(budget_id, start) DO UPDATE SET held = excluded.held, spent = excluded.spent, alerted = excluded.alerted",
    )?
    .execute((budget, start, used.held, used.spent, used.alerted))
    .map(drop)
}

pub(super) fn insert_wallet(c: &Connection, wallet: &Wallet) -> rusqlite::Result<()> {
    let kind = match wallet.kind {
        WalletKind::Prepaid => "prepaid",
        WalletKind::Postpaid => "postpaid",
    };
    let limit = wallet.credit_limit.map(Money::as_nano);
    c.prepare_cached(
        "INSERT INTO wallets(id, name, kind, credit_limit, frozen, cash, held, receivable) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((wallet.id, &*wallet.name, kind, limit, wallet.frozen, wallet.cash, wallet.held, wallet.receivable))
    .map(drop)
}

pub(super) fn order_by_id(c: &Connection, id: OrderId) -> rusqlite::Result<Option<Order>> {
    c.prepare_cached(&format!("SELECT {ORDER_COLUMNS} FROM orders WHERE id = ?1"))?.query_row([id.0], order).optional()
}

/// Those of the orders that are stored.
pub(super) fn each_order(c: &Connection, ids: &[OrderId], mut each: impl FnMut(Order)) -> rusqlite::Result<()> {
    let mut statement = c.prepare_cached(&format!("SELECT {ORDER_COLUMNS} FROM orders WHERE id = ?1"))?;
    for id in ids {
        if let Some(order) = statement.query_row([id.0], order).optional()? {
            each(order);
        }
    }
    Ok(())
}

/// Debits, credits and guard of an account.
pub(super) fn balance(c: &Connection, account: AccountId) -> rusqlite::Result<Option<(i64, i64, u8)>> {
    c.prepare_cached("SELECT debits, credits, guard FROM balances WHERE account_id = ?1")?
        .query_row([account], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()
}

/// An account with its balance and guard, if it was ever opened.
pub(super) fn account_by_path(c: &Connection, path: &str) -> rusqlite::Result<Option<(AccountId, Balance, u8)>> {
    let sql = "SELECT a.id, b.debits, b.credits, b.guard FROM accounts a JOIN balances b ON b.account_id = a.id WHERE a.path = ?1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, Balance { debits: row.get(1)?, credits: row.get(2)? }, row.get(3)?));
    c.prepare_cached(sql)?.query_row([path], read).optional()
}

pub(super) fn insert_block(c: &Connection, block: &Block) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT INTO blocks(n, first_seq, last_seq, prev, root, hash, ts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute((block.n, block.first_seq, block.last_seq, block.prev, block.root, block.hash, block.ts.0))
        .map(drop)
}

pub(super) fn block(row: &Row<'_>) -> rusqlite::Result<Block> {
    Ok(Block {
        n: row.get(0)?,
        first_seq: row.get(1)?,
        last_seq: row.get(2)?,
        prev: row.get(3)?,
        root: row.get(4)?,
        hash: row.get(5)?,
        ts: Timestamp(row.get(6)?),
    })
}
