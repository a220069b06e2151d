//! Owns: reconciliation of the books in themselves for administrators: run it, see what it found, and what is done about it:
//! acknowledge, repair by compensating entries, rebuild projections, take calls again.
//! Refuses to know: what is checked, and files of providers (level 1).

use super::booking::{Booked, refuse, some_amount, submit, text};
use super::known::check_account;
use super::{NoArguments, read};
use crate::adapters::stores::sqlite::KeptFinding;
use crate::app::Gateway;
use crate::app::gateway::op_id;
use crate::base::{Error, ErrorKind, Money, OpId, Result};
use crate::domain::ledger::{Action, Adjust, Check, Finding, LedgerReader, WalletName, hex};
use serde::Deserialize;
use serde_json::{Value, json};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;

/// Why something is done; it is kept.
fn said(words: Option<&String>, param: &'static str) -> Result<String> {
    words.map_or_else(|| Err(refuse(format!("'{param}' is needed: it is kept with what is done"), param)), |words| text(words, param))
}

/// Books a cold command that is done in the course of a repair.
fn book(gateway: &Gateway, op: OpId, actor: &str, reason: &str, action: Action, subject: &str) -> Result<Booked> {
    submit(gateway, op, actor, reason, action)?.map_err(|refusal| refusal.to_error(subject))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reconcile {
    #[serde(rename = "level")]
    _level: Option<u8>,
    #[serde(default)]
    full: bool,
}

/// Level 0.
pub(super) fn reconcile(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Reconcile { full, .. } = read(arguments)?;
    let done = gateway.reconcile(full)?.ok_or_else(|| Error::new(ErrorKind::ShuttingDown, "the gateway is closing"))?;
    let report = &done.report;
    let found = |check: Check| report.all().filter(move |finding| finding.check == check);
    let checks: Vec<Value> = Check::ALL
        .into_iter()
        .map(|check| {
            let severity = check.severity().name();
            json!({ "id": check.id(), "title": check.title(), "severity": severity, "ok": found(check).next().is_none(), "findings": found(check).map(seen).collect::<Vec<_>>() })
        })
        .collect();
    Ok(json!({
        "ok": report.all().next().is_none(),
        "level": 0,
        "full": done.whole,
        "checks": checks,
        "events": report.events,
        "postings": report.postings,
        "orders": report.orders,
        "head": report.head.map(|(n, hash)| json!({ "block": n, "hash": hex(&hash) })),
        "opened": done.recorded.opened,
        "gone": done.recorded.gone,
        "frozen": frozen(gateway)?,
    }))
}

fn seen(finding: &Finding) -> Value {
    json!({ "finding": finding.id(), "subject": finding.subject.to_string(), "detail": finding.detail, "expected": finding.expected, "actual": finding.actual })
}

fn frozen(gateway: &Gateway) -> Result<Option<Value>> {
    let frozen = gateway.database.frozen()?;
    Ok(frozen.map(|frozen| json!({ "since": frozen.since.to_string(), "finding": frozen.finding, "reason": frozen.reason })))
}

fn view(finding: &KeptFinding) -> Value {
    let title = Check::by_id(&finding.check).map(Check::title);
    json!({
        "finding": finding.id,
        "level": finding.level,
        "check": finding.check,
        "title": title,
        "severity": finding.severity,
        "status": finding.status,
        "subject": finding.subject,
        "detail": finding.detail,
        "expected": finding.expected,
        "actual": finding.actual,
        "drift_nano": finding.drift_nano,
        "order": finding.order,
        "account": finding.account,
        "wallet": finding.wallet,
        "evidence": finding.evidence,
        "remedy": finding.remedy,
        "opened_at": finding.opened_at.to_string(),
        "first_seen": finding.first_seen.to_string(),
        "last_seen": finding.last_seen.to_string(),
        "seen": finding.seen,
        "actor": finding.actor,
        "note": finding.note,
        "acted_at": finding.acted_at.map(|at| at.to_string()),
        "repair_op": finding.repair_op,
        "repair_seq": finding.repair_seq,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    status: Option<String>,
    limit: Option<usize>,
}

pub(super) fn list(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let List { status, limit } = read(arguments)?;
    if let Some(status) = status.as_deref().filter(|status| !["open", "acknowledged", "repaired", "gone", "all"].contains(status)) {
        return Err(refuse(format!("'{status}' is no status; there are: open, acknowledged, repaired, gone, all"), "status"));
    }
    let findings = gateway.database.findings(status.as_deref(), limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT))?;
    let (ran, read_all) = gateway.database.last_runs()?;
    Ok(json!({
        "findings": findings.iter().map(view).collect::<Vec<_>>(),
        "frozen": frozen(gateway)?,
        "last_run_at": ran.map(|at| at.to_string()),
        "last_full_run_at": read_all.map(|at| at.to_string()),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledge {
    finding: String,
    note: Option<String>,
}

pub(super) fn acknowledge(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: Acknowledge = read(arguments)?;
    let note = said(asked.note.as_ref(), "note")?;
    if !gateway.database.acknowledge(&asked.finding, actor, &note, gateway.clock.now())? {
        return Err(unknown(&asked.finding));
    }
    kept(gateway, &asked.finding).map(|finding| view(&finding))
}

fn unknown(finding: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no open finding '{finding}'; see `gotoai ledger findings`"))
}

fn kept(gateway: &Gateway, finding: &str) -> Result<KeptFinding> {
    gateway.database.finding(finding)?.ok_or_else(|| unknown(finding))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repair {
    finding: String,
    #[serde(default)]
    apply: bool,
    reason: Option<String>,
    /// An entry of the operator's own, or of a reconciliation with a provider's files, in the place of what the finding proposes.
    debit: Option<String>,
    credit: Option<String>,
    amount: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Proposed {
    pub(super) debit: String,
    pub(super) credit: String,
    pub(super) amount_nano: i64,
    #[serde(default)]
    pub(super) reason: String,
}

/// What would be booked. A finding whose books are whole again once its projection is rebuilt has no entry.
fn proposed(gateway: &Gateway, asked: &Repair) -> Result<Vec<Proposed>> {
    if let (Some(debit), Some(credit), Some(amount)) = (&asked.debit, &asked.credit, &asked.amount) {
        let amount = some_amount(amount, "amount")?;
        let reason = asked.reason.clone().unwrap_or_default();
        return Ok(vec![Proposed { debit: debit.clone(), credit: credit.clone(), amount_nano: amount.as_nano(), reason }]);
    }
    if asked.debit.is_some() || asked.credit.is_some() || asked.amount.is_some() {
        return Err(refuse("an entry of your own needs all of debit, credit and amount", "debit"));
    }
    let finding = kept(gateway, &asked.finding)?;
    let advice = match finding.remedy.get("kind").and_then(Value::as_str) {
        Some("compensate") => {
            let entries = finding.remedy.get("entries").cloned().unwrap_or_default();
            return serde_json::from_value(entries)
                .map_err(|error| Error::new(ErrorKind::Storage, "the proposal cannot be read").with_cause(error));
        }
        Some("rebuild") => "the journal is whole and a projection of it is not: run `gotoai ledger rebuild`",
        Some("restore") => "the journal itself was changed: no entry can mend that; restore a backup from before",
        _ => "nothing is proposed for it: look at it, then name debit, credit and amount, or acknowledge it",
    };
    Err(Error::new(ErrorKind::Conflict, format!("finding '{}': {advice}", asked.finding)))
}

/// Gaps of a reconciliation with a provider's files are not kept as findings.
const GAP: &str = "gap_";

/// Once a finding and pair of accounts, whatever the amount: a second, other amount is a conflict.
fn answer_op(finding: &str, entry: &Proposed) -> OpId {
    op_id(&["repair", finding, &entry.debit, &entry.credit])
}

/// Refuses what answers nothing: a finding that is over, unless the very entries are booked already and are only asked for again.
fn check_open(gateway: &Gateway, finding: &str, entries: &[Proposed]) -> Result<()> {
    if finding.starts_with(GAP) {
        return Ok(());
    }
    let status = kept(gateway, finding)?.status;
    let booked = |entry: &Proposed| gateway.ledger.operation(answer_op(finding, entry)).map(|entry| entry.is_some());
    let repeats = || entries.iter().map(booked).collect::<Result<Vec<_>>>().map(|booked| booked.iter().all(|booked| *booked));
    if matches!(status.as_str(), "open" | "acknowledged") || repeats()? {
        return Ok(());
    }
    let why = format!("finding '{finding}' is {status}: there is nothing to correct; see `gotoai ledger findings`");
    Err(Error::new(ErrorKind::Conflict, why).with_param("finding"))
}

/// Books the entries that answer a finding, then notes that they do: the only way to do so.
pub(super) fn answer(gateway: &Gateway, actor: &str, reason: &str, finding: &str, entries: &[Proposed]) -> Result<Vec<Booked>> {
    check_open(gateway, finding, entries)?;
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let adjust = Adjust {
            debit: entry.debit.as_str().into(),
            credit: entry.credit.as_str().into(),
            amount_nano: entry.amount_nano,
            finding: Some(finding.into()),
        };
        all.push(book(gateway, answer_op(finding, entry), actor, reason, Action::Adjust(adjust), finding)?);
    }
    if let (Some(entry), Some(booked)) = (entries.last(), all.last()) {
        let op = answer_op(finding, entry).to_string();
        gateway.database.repaired(finding, actor, reason, (&op, booked.seq), gateway.clock.now())?;
    }
    Ok(all)
}

pub(super) fn repair(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: Repair = read(arguments)?;
    text(&asked.finding, "finding")?;
    let entries = proposed(gateway, &asked)?;
    check_open(gateway, &asked.finding, &entries)?;
    for path in entries.iter().flat_map(|entry| [&entry.debit, &entry.credit]) {
        check_account(gateway, path)?;
    }
    let line = |entry: &Proposed| {
        json!({
            "debit": entry.debit,
            "credit": entry.credit,
            "amount": Money::nano(entry.amount_nano),
            "amount_nano": entry.amount_nano,
            "reason": entry.reason,
            "op": answer_op(&asked.finding, entry).to_string(),
        })
    };
    let mut shown: Vec<Value> = entries.iter().map(line).collect();
    if asked.apply {
        let reason = said(asked.reason.as_ref(), "reason")?;
        let booked = answer(gateway, actor, &reason, &asked.finding, &entries)?;
        for (line, booked) in shown.iter_mut().zip(booked) {
            line["entry_seq"] = booked.seq.into();
            line["duplicate"] = booked.duplicate.into();
        }
    }
    Ok(json!({ "finding": asked.finding, "applied": asked.apply, "entries": shown }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rebuild {
    #[serde(default)]
    apply: bool,
    reason: Option<String>,
}

pub(super) fn rebuild(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: Rebuild = read(arguments)?;
    let reason = if asked.apply { Some(said(asked.reason.as_ref(), "reason")?) } else { None };
    let by = reason.as_deref().map(|reason| (actor, reason));
    let rebuilt = gateway.database.rebuild(by, gateway.clock.now())?;
    if let Some((actor, reason)) = by.filter(|_| !rebuilt.changes.is_empty()) {
        tracing::warn!(actor, reason, rows = rebuilt.changes.len(), "projections were made again from the journal");
        gateway.reconcile(true)?;
    }
    Ok(json!({ "applied": asked.apply, "changes": rebuilt.changes, "left": rebuilt.left }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unfreeze {
    /// Only this wallet, in the place of the whole ledger.
    wallet: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

pub(super) fn unfreeze(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: Unfreeze = read(arguments)?;
    let reason = said(asked.reason.as_ref(), "reason")?;
    let done = gateway.reconcile(true)?.ok_or_else(|| Error::new(ErrorKind::ShuttingDown, "the gateway is closing"))?;
    let concerns = |finding: &&Finding| asked.wallet.is_none() || finding.wallet.as_deref() == asked.wallet.as_deref();
    let broken = done.report.findings.iter().filter(|finding| finding.check.freezes()).find(concerns);
    if let Some(finding) = broken.filter(|_| !asked.force) {
        let why = format!("the books are still broken ({}: {}); mend them first, or use force", finding.id(), finding.detail);
        return Err(Error::new(ErrorKind::Conflict, why));
    }
    let now = gateway.clock.now();
    let lifted = match &asked.wallet {
        None => {
            let lifted = gateway.database.unfreeze(actor, &reason, now)?;
            gateway.reload_frozen()?;
            lifted
        }
        Some(name) => {
            let action = Action::Thaw(WalletName { wallet: name.as_str().into() });
            book(gateway, op_id(&["thaw", name, &now.0.to_string()]), actor, &reason, action, name)?;
            true
        }
    };
    tracing::warn!(actor, reason, forced = asked.force, wallet = asked.wallet, "unfrozen");
    Ok(json!({ "lifted": lifted, "wallet": asked.wallet, "frozen": frozen(gateway)? }))
}

pub(super) fn test_alert(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let NoArguments {} = read(arguments)?;
    Ok(gateway.test_alert())
}
