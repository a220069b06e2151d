//! Owns: orders with the facts from their entries, one by its id or all of a time, and what those have come to.
//! Refuses to know: how they are shown.

use super::rows;
use crate::base::{OrderId, Timestamp};
use crate::domain::ledger::{OrderReceipt, ReservePayload, Spend, SpendQuery};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use std::collections::BTreeMap;

pub(super) fn sql(which: &str) -> String {
    of(&format!("orders WHERE {which}"))
}

fn of(orders: &str) -> String {
    format!(
        "SELECT {}, (SELECT name FROM wallets w WHERE w.id = wallet_id), (SELECT payload FROM journal WHERE seq = reserve_seq), \
         (SELECT payload FROM journal WHERE seq = final_seq), attempts FROM {orders}",
        rows::ORDER_COLUMNS
    )
}

fn receipt(row: &Row<'_>) -> rusqlite::Result<OrderReceipt> {
    let order = rows::order(row)?;
    let (reserve, settlement, noted): (Vec<u8>, Option<Vec<u8>>, Option<String>) = (row.get(25)?, row.get(26)?, row.get(27)?);
    Ok(OrderReceipt {
        order,
        wallet: row.get::<_, Option<String>>(24)?.unwrap_or_default().into(),
        reserve: parse::<ReservePayload<'_>>(25, &reserve)?.into_owned(),
        settlement: settlement.map(|payload| parse(26, &payload)).transpose()?,
        dispatched: noted.map(|text| parse(27, text.as_bytes())).transpose()?.unwrap_or_default(),
    })
}

fn parse<'a, T: serde::Deserialize<'a>>(column: usize, json: &'a [u8]) -> rusqlite::Result<T> {
    serde_json::from_slice(json).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, error.into()))
}

pub(super) fn by_id(c: &Connection, id: OrderId) -> rusqlite::Result<Option<OrderReceipt>> {
    c.prepare_cached(&sql("id = ?1"))?.query_row([id.0], receipt).optional()
}

/// The entries of order ?2 after ?1, at most ?4 (?3: only if it is this wallet's). Its beginning and its end are found from its row, a
/// settlement that was corrected from the correction, the rest in an index that holds nothing usual.
pub(super) fn entries_of_order() -> String {
    format!(
        "WITH RECURSIVE ended(seq) AS (SELECT final_seq FROM orders WHERE id = ?2 UNION \
         SELECT json_extract(j.payload, '$.follows_seq') FROM ended e JOIN journal j ON j.seq = e.seq WHERE j.kind = 41) \
         SELECT {} FROM journal j WHERE seq IN (SELECT reserve_seq FROM orders WHERE id = ?2 UNION SELECT seq FROM ended \
         UNION SELECT seq FROM journal WHERE order_id = ?2 \
         AND (kind = 11 OR kind = 21 OR kind = 31 OR kind = 32 OR kind = 40 OR kind = 41)) \
         AND seq > ?1 AND (?3 IS NULL OR EXISTS (SELECT 1 FROM orders o JOIN wallets w ON w.id = o.wallet_id WHERE o.id = ?2 AND w.name = ?3)) \
         ORDER BY seq LIMIT ?4",
        rows::EVENT_COLUMNS
    )
}

/// The first entry at or after a moment: the journal's time never runs backwards.
pub(super) fn first_at(c: &Connection, at: Timestamp) -> rusqlite::Result<i64> {
    let mut next = c.prepare_cached("SELECT seq, ts FROM journal WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    let last: i64 = c.query_row("SELECT coalesce(max(seq), 0) FROM journal", [], |row| row.get(0))?;
    let (mut low, mut high) = (1, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((seq, ts)) if ts < at.0 => low = seq + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// Orders that ended between two entries, of wallet ?3. One that was settled after it had expired, or was taken for dead, ended then.
pub(super) fn ended() -> String {
    of("journal e CROSS JOIN orders ON id = e.order_id WHERE e.seq >= ?1 AND e.seq < ?2 \
        AND (e.kind = 20 OR e.kind = 21 OR e.kind = 30 OR e.kind = 31 OR e.kind = 32) AND (e.kind <> 31 OR state = 3) AND (e.kind <> 32 OR state = 2) \
        AND (?3 IS NULL OR wallet_id = (SELECT id FROM wallets WHERE name = ?3))")
}

/// Orders that began within a time and are open.
pub(super) fn open() -> String {
    of("orders INDEXED BY orders_open WHERE state = 0 AND created_at >= ?1 AND created_at < ?2 \
        AND (?3 IS NULL OR wallet_id = (SELECT id FROM wallets WHERE name = ?3))")
}

/// Reads every order of the time once, by the journal's part of that time; what is kept is one row a group.
pub(super) fn spend(c: &Connection, query: &SpendQuery) -> rusqlite::Result<BTreeMap<Vec<String>, Spend>> {
    let mut groups: BTreeMap<Vec<String>, Spend> = BTreeMap::new();
    let (from, to) = (query.span.from, query.span.to);
    for (sql, first, end) in [(ended(), first_at(c, from)?, first_at(c, to)?), (open(), from.0, to.0)] {
        let mut statement = c.prepare(&sql)?;
        let mut orders = statement.query((first, end, &query.wallet))?;
        while let Some(row) = orders.next()? {
            let order = receipt(row)?;
            for (endpoint, spend) in order.spend() {
                let group = query.by.iter().map(|by| order.group(*by, endpoint)).collect();
                *groups.entry(group).or_default() += spend;
            }
        }
    }
    Ok(groups)
}
