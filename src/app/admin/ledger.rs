//! Owns: the ledger for readers: its entries, one order, the proof, an anchor on demand.

use super::booking::refuse;
use super::wallet::find;
use super::{NoArguments, read, receipt};
use crate::app::Gateway;
use crate::base::{Error, ErrorKind, OrderId, Result};
use crate::domain::ledger::{Check, EntryQuery, Journal, Ledger, hex};
use serde::Deserialize;
use serde_json::{Value, json};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    wallet: Option<String>,
    order: Option<String>,
    after_seq: Option<i64>,
    limit: Option<usize>,
}

fn page(limit: Option<usize>) -> Result<usize> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(refuse(format!("a page has 1 to {MAX_LIMIT} entries"), "limit")),
    }
}

fn order_id(text: &str) -> Result<OrderId> {
    text.parse().map_err(|()| Error::new(ErrorKind::InvalidRequest, format!("'{text}' is not an order id (ord_…)")).with_param("order"))
}

pub(super) fn entries(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let asked: Entries = read(arguments)?;
    if let Some(wallet) = &asked.wallet {
        find(gateway, wallet)?;
    }
    let query = EntryQuery {
        wallet: asked.wallet,
        order: asked.order.as_deref().map(order_id).transpose()?,
        after_seq: asked.after_seq.unwrap_or(0),
        limit: page(asked.limit)?,
    };
    let entries = gateway.ledger.entries(&query)?;
    let next_after = entries.last().filter(|_| entries.len() == query.limit).map(|entry| entry.seq);
    let entries: Vec<Value> = entries.iter().map(entry).collect();
    Ok(json!({ "entries": entries, "next_after": next_after }))
}

fn entry(entry: &Journal) -> Value {
    let postings: Vec<Value> =
        entry.postings.iter().map(|p| json!({ "debit": p.debit, "credit": p.credit, "amount": p.amount, "code": p.code.name() })).collect();
    let payload: Value = serde_json::from_slice(&entry.payload).unwrap_or(Value::Null);
    json!({
        "seq": entry.seq,
        "ts": entry.ts.to_string(),
        "kind": entry.kind.name(),
        "order": entry.order.map(|id| id.to_string()),
        "op": entry.op,
        "actor": payload.get("actor"),
        "postings": postings,
        "payload": payload,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderArguments {
    id: String,
}

pub(super) fn order(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let OrderArguments { id } = read(arguments)?;
    let id = order_id(&id)?;
    let order = gateway.ledger.order(id)?.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no order '{id}'")))?;
    let query = EntryQuery { order: Some(id), limit: MAX_LIMIT, ..EntryQuery::default() };
    let mut shown = receipt(&order);
    shown["entries"] = gateway.ledger.entries(&query)?.iter().map(entry).collect();
    Ok(shown)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verify {
    /// Kept for callers that ask for it by name: the proof is always from the first entry.
    #[serde(default, rename = "full")]
    _full: bool,
}

pub(super) fn verify(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Verify { .. } = read(arguments)?;
    let report = gateway.verify_ledger()?;
    let checks: Vec<Value> = Check::ALL
        .into_iter()
        .filter(|check| check.is_proof())
        .map(|check| {
            let findings: Vec<Value> = report.findings.iter().filter(|f| f.check == check).map(|f| json!({ "detail": f.detail })).collect();
            json!({ "id": check.id(), "title": check.title(), "ok": findings.is_empty(), "findings": findings })
        })
        .collect();
    let head = report.head.map(|(n, hash)| json!({ "block": n, "hash": hex(&hash) }));
    Ok(json!({
        "ok": report.ok(),
        "checks": checks,
        "events": report.events,
        "postings": report.postings,
        "orders": report.orders,
        "head": head,
        "anchors": { "stored": report.anchors.0, "outside": report.anchors.1 },
    }))
}

/// How far the export, the proof or the rebuild is that this process is at.
pub(super) fn progress(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let NoArguments {} = read(arguments)?;
    let (entries, of) = gateway.database.progress().told();
    Ok(json!({ "entries": entries, "of": of }))
}

/// Signs the head now. Without a new head, the last anchor is the answer.
pub(super) fn anchor(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let NoArguments {} = read(arguments)?;
    let (anchor, made) = gateway.anchor()?;
    let mut shown = anchor.map_or_else(|| json!({}), |anchor| anchor.to_json());
    shown["made"] = made.into();
    shown["file"] = gateway.settings.ledger.anchor_file.display().to_string().into();
    Ok(shown)
}
