//! Owns: our side of a reconciliation out of the ledger's file: orders with what their entries say, summed up while they pass.
//! Refuses to know: bills, and what a difference means.

use super::connection::Database;
use crate::base::{Date, Exact, Result, Timestamp};
use crate::domain::ledger::{EventKind, OrderState, PostingCode};
use crate::domain::reconcile::{Books, OurRow};
use crate::protocol::billing::Counter;
use rusqlite::Row;
use rusqlite::types::Type;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One row an order that has ended. Its cost is the projection's: corrections of an order are in it.
const ORDERS: &str = "SELECT o.state, o.cost, o.provider, o.input_cost, o.created_at, r.payload, f.payload, f.kind, \
     (SELECT coalesce(sum(p.amount), 0) FROM postings p WHERE p.id BETWEEN o.final_seq * 16 AND o.final_seq * 16 + 15 AND p.code = ?3) \
     FROM orders o JOIN journal r ON r.seq = o.reserve_seq JOIN journal f ON f.seq = o.final_seq \
     WHERE o.created_at >= ?1 AND o.created_at < ?2 AND o.state <> 0";

/// What is read of a reserve.
#[derive(Deserialize)]
struct Reserved {
    key: Option<String>,
    endpoint: String,
}

/// What is read of the entry that ended an order. Counters under names that this program does not know are passed over: bills do not
/// count them either.
#[derive(Deserialize)]
struct Ended {
    endpoint: Option<String>,
    provider: Option<String>,
    #[serde(default)]
    usage: BTreeMap<String, u64>,
    price: Option<String>,
    cost_exact: Option<Exact>,
    #[serde(default)]
    losses: Vec<Loss>,
    #[serde(default)]
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Loss {
    provider: String,
    cost_nano: i64,
}

#[derive(Deserialize)]
struct Attempt {
    endpoint: String,
}

type Rows = BTreeMap<(Date, String, Option<String>), OurRow>;

impl Books for Database {
    /// Reads every order of the time once; what is kept is one row a day, model and key.
    fn daily(&self, provider: &str, from: Timestamp, to: Timestamp) -> Result<Vec<OurRow>> {
        // A connection of its own: a month of orders takes a while, and the shared one is for short reads.
        let connection = self.connect()?;
        let read = || -> rusqlite::Result<Rows> {
            let mut rows = Rows::new();
            let mut statement = connection.prepare(ORDERS)?;
            let mut orders = statement.query((from.0, to.0, PostingCode::UndeliveredLoss as i64))?;
            while let Some(order) = orders.next()? {
                add(&mut rows, provider, order)?;
            }
            Ok(rows)
        };
        read().map(|rows| rows.into_values().collect()).map_err(|error| super::connection::from_sqlite(&error))
    }
}

fn add(rows: &mut Rows, provider: &str, order: &Row<'_>) -> rusqlite::Result<()> {
    let (state, cost, first): (i64, Option<i64>, String) = (order.get(0)?, order.get(1)?, order.get(2)?);
    let (kind, undelivered): (i64, i64) = (order.get(7)?, order.get(8)?);
    let day = Date::of(Timestamp(order.get(4)?));
    let (reserved, ended): (Reserved, Ended) = (parse(order, 5)?, parse(order, 6)?);
    let served = ended.provider.as_deref().unwrap_or(&first) == provider;
    let settled = matches!(
        OrderState::from_number(state),
        Some(OrderState::Finalized | OrderState::LateSettled | OrderState::Provisional | OrderState::Unpriced)
    );
    if served && settled {
        let endpoint = ended.endpoint.as_deref().unwrap_or(&reserved.endpoint);
        let row = find(rows, day, model(provider, endpoint), reserved.key.as_deref());
        let cost = i128::from(cost.unwrap_or(0));
        row.orders += 1;
        row.cost_nano += cost;
        row.cost_exact = row.cost_exact.and_then(|sum| sum.checked_add(ended.cost_exact.unwrap_or(Exact::ZERO)));
        row.undelivered_nano += i128::from(undelivered);
        if state == OrderState::Provisional as i64 {
            row.provisional += 1;
            row.provisional_nano += cost;
        }
        row.unpriced += u64::from(state == OrderState::Unpriced as i64);
        for (name, count) in &ended.usage {
            if let Some(counter) = Counter::by_name(name) {
                let sum = row.usage.entry(counter).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        row.price_sheets.extend(ended.price);
    }
    for loss in ended.losses.iter().filter(|loss| loss.provider == provider && loss.cost_nano > 0) {
        // The first attempt there: a loss names its provider only.
        let tried = ended.attempts.iter().map(|attempt| attempt.endpoint.as_str()).find(|endpoint| is_at(provider, endpoint));
        let row = find(rows, day, model(provider, tried.unwrap_or(&reserved.endpoint)), reserved.key.as_deref());
        row.failover_nano += i128::from(loss.cost_nano);
    }
    if kind == EventKind::Recover as i64 && first == provider {
        let input_cost: i64 = order.get(3)?;
        let row = find(rows, day, model(provider, &reserved.endpoint), reserved.key.as_deref());
        row.crash_nano += i128::from(input_cost);
    }
    Ok(())
}

fn find<'a>(rows: &'a mut Rows, day: Date, model: &str, key: Option<&str>) -> &'a mut OurRow {
    let (model, key) = (model.to_owned(), key.map(str::to_owned));
    rows.entry((day, model.clone(), key.clone())).or_insert_with(|| OurRow::new(day, model, key))
}

fn is_at(provider: &str, endpoint: &str) -> bool {
    endpoint.strip_prefix(provider).is_some_and(|rest| rest.starts_with('/'))
}

/// An endpoint is `provider/model`.
fn model<'a>(provider: &str, endpoint: &'a str) -> &'a str {
    endpoint.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(endpoint)
}

fn parse<T: serde::de::DeserializeOwned>(order: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let payload = order.get_ref(column)?.as_blob()?;
    serde_json::from_slice(payload).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, error.into()))
}
