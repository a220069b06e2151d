//! Owns: our side of a reconciliation out of the ledger's file: orders with what their entries say, summed up while they pass.
//! Refuses to know: bills, and what a difference means.

use super::connection::Database;
use crate::base::{Date, Exact, Result, Timestamp};
use crate::domain::ledger::{AccountPath, CloseGap, EventKind, Operated, OrderState, SettlePayload};
use crate::domain::reconcile::{Books, ClosedGap, OurRow, Scope};
use crate::protocol::billing::Counter;
use rusqlite::Row;
use rusqlite::types::Type;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// One row an order that has ended. Its cost is the projection's: corrections of an order are in it. The day before the first is read
/// for calls that crossed midnight.
const ORDERS: &str = "SELECT o.state, o.cost, o.provider, o.input_cost, o.created_at, r.payload, f.payload, f.kind, o.finished_at \
     FROM orders o JOIN journal r ON r.seq = o.reserve_seq JOIN journal f ON f.seq = o.final_seq \
     WHERE (o.created_at >= ?1 OR o.finished_at >= ?1) AND o.created_at < ?2 AND o.state <> 0";
/// The kind as a literal: so the partial index is used.
pub(super) const CLOSED: &str = "SELECT payload FROM journal WHERE kind = 81 ORDER BY seq";

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
    #[serde(default)]
    finish: String,
    endpoint: Option<String>,
    provider: Option<String>,
    #[serde(default)]
    usage: BTreeMap<String, u64>,
    price: Option<String>,
    cost_exact: Option<Exact>,
    rated: Option<Rated>,
    #[serde(default)]
    loss_nano: i64,
    #[serde(default)]
    suspense_nano: i64,
    billed: Option<Billed>,
    #[serde(default)]
    confirmed: Vec<Loss>,
    #[serde(default)]
    losses: Vec<Loss>,
    #[serde(default)]
    attempts: Vec<Attempt>,
}

/// The order as a closed bill has it.
#[derive(Deserialize)]
struct Billed {
    cost_nano: i64,
    #[serde(default)]
    suspense_nano: i64,
    #[serde(default)]
    usage: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Rated {
    /// On the user's own key at the provider.
    upstream_cost_exact: Option<String>,
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

type Rows = BTreeMap<(Days, String, Option<String>), OurRow>;

/// When an order began, and when it ended.
type Days = (Date, Date);

impl Database {
    pub fn has_account(&self, path: &str) -> Result<bool> {
        self.with(|c| c.prepare_cached("SELECT EXISTS (SELECT 1 FROM accounts WHERE path = ?1)")?.query_row([path], |row| row.get(0)))
    }

    /// Providers that something was booked for.
    pub fn providers(&self) -> Result<BTreeSet<String>> {
        self.with(|c| {
            // By ranges of the index: there may be many accounts of wallets.
            let sql = "SELECT path FROM accounts WHERE (path >= 'prov:' AND path < 'prov;') OR (path >= 'cogs:' AND path < 'cogs;')";
            let mut providers = BTreeSet::new();
            let mut statement = c.prepare_cached(sql)?;
            let mut paths = statement.query([])?;
            while let Some(row) = paths.next()? {
                if let Some(AccountPath::Payable(provider) | AccountPath::Suspense(provider) | AccountPath::Cogs(provider)) =
                    AccountPath::parse(row.get_ref(0)?.as_str()?)
                {
                    providers.insert(provider.to_owned());
                }
            }
            Ok(providers)
        })
    }
}

impl Books for Database {
    /// Reads every order of the time once; what is kept is one row a day, model and key.
    fn daily(&self, provider: &str, from: Timestamp, to: Timestamp) -> Result<Vec<OurRow>> {
        // A connection of its own: a month of orders takes a while, and the shared one is for short reads.
        let connection = self.connect()?;
        let read = || -> rusqlite::Result<Rows> {
            let mut rows = Rows::new();
            let mut statement = connection.prepare(ORDERS)?;
            let mut orders = statement.query((from.0, to.0))?;
            while let Some(order) = orders.next()? {
                add(&mut rows, provider, order, |day| (from..to).contains(&day.start()))?;
            }
            Ok(rows)
        };
        read().map(|rows| rows.into_values().collect()).map_err(|error| super::connection::from_sqlite(&error))
    }

    fn last_seq(&self) -> Result<i64> {
        self.with(|c| c.prepare_cached("SELECT coalesce(max(seq), 0) FROM journal")?.query_row([], |row| row.get(0)))
    }

    fn closed(&self, provider: &str) -> Result<Vec<ClosedGap>> {
        let connection = self.connect()?;
        let read = || -> rusqlite::Result<Vec<ClosedGap>> {
            let mut statement = connection.prepare(CLOSED)?;
            let mut rows = statement.query([])?;
            let mut closed = Vec::new();
            while let Some(row) = rows.next()? {
                let told: Operated<CloseGap> = parse(row, 0)?;
                closed.extend(Some(told.action).filter(|gap| *gap.provider == *provider).and_then(|gap| closed_gap(&gap)));
            }
            Ok(closed)
        };
        read().map_err(|error| super::connection::from_sqlite(&error))
    }
}

/// `None`: its day is none.
fn closed_gap(gap: &CloseGap) -> Option<ClosedGap> {
    let moved = |path: AccountPath<'_>| {
        let path = path.to_string();
        let sum = |side: fn(&crate::domain::ledger::Move) -> &str| -> i128 {
            gap.moves.iter().filter(|one| side(one) == path).map(|one| i128::from(one.amount_nano)).sum()
        };
        sum(|one| &one.credit) - sum(|one| &one.debit)
    };
    Some(ClosedGap {
        day: Date::parse(&gap.day)?,
        scope: match (&gap.model, &gap.line) {
            (Some(model), _) => Scope::Model(model.to_string()),
            (None, Some(line)) => Scope::Line(line.to_string()),
            (None, None) => Scope::Day,
        },
        key: gap.key.as_deref().map(str::to_owned),
        by_end: gap.by_end,
        account: counter_account(gap),
        explained: gap.explains.iter().filter_map(|(name, count)| Some((Counter::by_name(name)?, *count))).collect(),
        cost_nano: moved(AccountPath::Payable(&gap.provider)),
        suspense_nano: -moved(AccountPath::Suspense(&gap.provider)),
    })
}

/// Where the bill's difference stands: what evidence about one of its orders explains comes from there.
fn counter_account(gap: &CloseGap) -> String {
    let is_providers = |path: &str| matches!(AccountPath::parse(path), Some(AccountPath::Payable(_) | AccountPath::Suspense(_)));
    let sides = gap.moves.iter().flat_map(|one| [(&one.debit, one.amount_nano), (&one.credit, one.amount_nano)]);
    let largest = sides.filter(|(path, _)| !is_providers(path)).max_by_key(|(_, amount)| *amount);
    largest.map_or_else(|| AccountPath::ProviderVariance.to_string(), |(path, _)| path.to_string())
}

fn add(rows: &mut Rows, provider: &str, order: &Row<'_>, asked: impl Fn(Date) -> bool) -> rusqlite::Result<()> {
    let (state, cost, first): (i64, Option<i64>, String) = (order.get(0)?, order.get(1)?, order.get(2)?);
    let (kind, created): (i64, i64) = (order.get(7)?, order.get(4)?);
    let (reserved, ended): (Reserved, Ended) = (parse(order, 5)?, parse(order, 6)?);
    // When a call ended whose gateway died, nobody knows, whatever became known of it since.
    let ended_at = order.get::<_, Option<i64>>(8)?.filter(|_| ended.finish != SettlePayload::CRASH).unwrap_or(created);
    let day = (Date::of(Timestamp(created)), Date::of(Timestamp(ended_at)));
    if !asked(day.0) && !asked(day.1) {
        return Ok(());
    }
    let served = ended.provider.as_deref().unwrap_or(&first) == provider;
    let settled = matches!(
        OrderState::from_number(state),
        Some(OrderState::Finalized | OrderState::LateSettled | OrderState::Provisional | OrderState::Unpriced)
    );
    let own_key = ended.rated.as_ref().is_some_and(|rated| rated.upstream_cost_exact.is_some());
    // What was charged to nobody and billed all the same.
    let settled = settled || cost.is_some_and(|cost| cost > 0) || ended.billed.is_some();
    // A closed bill stays closed: what became known of its orders afterwards moves nothing at the provider.
    let (cost, waiting, usage) = match &ended.billed {
        Some(billed) => (billed.cost_nano, billed.suspense_nano, &billed.usage),
        None => (cost.unwrap_or(0), ended.suspense_nano, &ended.usage),
    };
    if served && settled && !own_key {
        let endpoint = ended.endpoint.as_deref().unwrap_or(&reserved.endpoint);
        let row = find(rows, day, model(provider, endpoint), reserved.key.as_deref());
        let waiting = i128::from(waiting);
        let cost = i128::from(cost) - waiting;
        row.estimate_nano += waiting;
        row.orders += 1;
        row.cost_nano += cost;
        let exact = if ended.billed.is_some() { Exact::new(cost, 1) } else { Some(ended.cost_exact.unwrap_or(Exact::ZERO)) };
        row.cost_exact = row.cost_exact.zip(exact).and_then(|(sum, part)| sum.checked_add(part));
        // Settled as one: a cost stands in suspense as a whole, its loss with it.
        let waiting_loss = i128::from(ended.loss_nano).min(waiting);
        row.estimate_undelivered_nano += waiting_loss;
        row.undelivered_nano += (i128::from(ended.loss_nano) - waiting_loss).min(cost);
        if state == OrderState::Provisional as i64 {
            row.provisional += 1;
            row.provisional_nano += cost;
        }
        row.unpriced += u64::from(state == OrderState::Unpriced as i64);
        for (name, count) in usage {
            if let Some(counter) = Counter::by_name(name) {
                let sum = row.usage.entry(counter).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        row.price_sheets.extend(ended.price);
    }
    // The first attempt there: a loss names its provider only.
    let tried = ended.attempts.iter().map(|attempt| attempt.endpoint.as_str()).find(|endpoint| is_at(provider, endpoint));
    let of = |losses: &[Loss]| losses.iter().filter(|loss| loss.provider == provider).map(|loss| i128::from(loss.cost_nano)).sum::<i128>();
    let (suspended, confirmed) = (of(&ended.losses), of(&ended.confirmed));
    if suspended > 0 || confirmed > 0 {
        let row = find(rows, day, model(provider, tried.unwrap_or(&reserved.endpoint)), reserved.key.as_deref());
        row.failover_nano += suspended;
        row.cost_nano += confirmed;
        row.cost_exact = row.cost_exact.zip(Exact::new(confirmed, 1)).and_then(|(sum, part)| sum.checked_add(part));
    }
    if kind == EventKind::Recover as i64 && first == provider {
        let input_cost: i64 = order.get(3)?;
        let row = find(rows, day, model(provider, &reserved.endpoint), reserved.key.as_deref());
        row.crash_nano += i128::from(input_cost);
    }
    Ok(())
}

fn find<'a>(rows: &'a mut Rows, days: Days, model: &str, key: Option<&str>) -> &'a mut OurRow {
    let (model, key) = (model.to_owned(), key.map(str::to_owned));
    rows.entry((days, model.clone(), key.clone())).or_insert_with(|| OurRow { ended: days.1, ..OurRow::new(days.0, model, key) })
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
