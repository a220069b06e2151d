//! Owns: orders with the facts from their entries, one by its id or all of a time, and what those have come to.
//! Refuses to know: how they are shown.

use super::rows;
use crate::base::OrderId;
use crate::domain::ledger::{OrderReceipt, ReservePayload, Spend, SpendQuery};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use std::collections::BTreeMap;

fn sql(which: &str) -> String {
    format!(
        "SELECT {}, (SELECT name FROM wallets w WHERE w.id = wallet_id), (SELECT payload FROM journal WHERE seq = reserve_seq), \
         (SELECT payload FROM journal WHERE seq = final_seq), attempts FROM orders WHERE {which}",
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

/// Reads every order of the time once; what is kept is one row a group.
pub(super) fn spend(c: &Connection, query: &SpendQuery) -> rusqlite::Result<BTreeMap<Vec<String>, Spend>> {
    let which = "coalesce(finished_at, created_at) >= ?1 AND coalesce(finished_at, created_at) < ?2 \
                 AND (?3 IS NULL OR wallet_id = (SELECT id FROM wallets WHERE name = ?3))";
    let mut groups: BTreeMap<Vec<String>, Spend> = BTreeMap::new();
    let mut statement = c.prepare(&sql(which))?;
    let mut orders = statement.query((query.span.from.0, query.span.to.0, &query.wallet))?;
    while let Some(row) = orders.next()? {
        let order = receipt(row)?;
        for (endpoint, spend) in order.spend() {
            let group = query.by.iter().map(|by| order.group(*by, endpoint)).collect();
            *groups.entry(group).or_default() += spend;
        }
    }
    Ok(groups)
}
