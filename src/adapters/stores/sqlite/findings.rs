//! Owns: the rows of reconciliation: runs, findings, and the freeze that a broken identity brings. What is to be told of them is
//! put into the outbox in the same transaction.
//! Refuses to know: what is checked (the verifier), when (app), who is told (the outbox's delivery).

use super::connection::Database;
use super::{keys, outbox};
use crate::base::{Result, Timestamp};
use crate::domain::ledger::{Check, Compensation, Finding, Remedy, Report, Subject, hex};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// One run, as it is recorded.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// This process.
    pub owner: &'a str,
    /// From the first entry, every row: what it does not see is gone.
    pub whole: bool,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// Until when other processes leave it to this one.
    pub lease: Duration,
    pub last_seq: i64,
    /// New calls stop while an identity of the whole ledger is broken, whichever run has found that.
    pub freeze: bool,
}

/// What a run has changed.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Ids of findings that were not known, or had gone.
    pub opened: Vec<String>,
    pub gone: usize,
    /// New calls have been stopped by this run.
    pub froze: bool,
    /// To be frozen, and then told of (`wallet_stopped`): until then they come again with every run.
    pub broken_wallets: Vec<BrokenWallet>,
}

/// A wallet that a break is confined to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenWallet {
    pub wallet: Arc<str>,
    pub finding: String,
    /// When the break came, or came again.
    pub opened_at: Timestamp,
}

/// Why new calls are stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    pub since: Timestamp,
    pub finding: String,
    pub reason: String,
}

/// A finding as it is kept.
#[derive(Clone, Debug)]
pub struct KeptFinding {
    pub id: String,
    pub level: i64,
    pub check: String,
    pub severity: String,
    pub subject: String,
    pub detail: String,
    pub expected: Option<String>,
    pub actual: Option<String>,
    pub drift_nano: Option<String>,
    pub order: Option<String>,
    pub account: Option<String>,
    pub wallet: Option<String>,
    pub evidence: Value,
    pub remedy: Value,
    pub status: String,
    pub opened_at: Timestamp,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub seen: i64,
    pub actor: Option<String>,
    pub note: Option<String>,
    pub acted_at: Option<Timestamp>,
    pub repair_op: Option<String>,
    pub repair_seq: Option<i64>,
}

const COLUMNS: &str = "id, level, check_id, severity, subject, detail, expected, actual, drift, order_id, account, wallet, evidence, remedy, \
     status, opened_at, first_seen, last_seen, seen, actor, note, acted_at, repair_op, repair_seq";

fn kept(row: &Row<'_>) -> rusqlite::Result<KeptFinding> {
    let parsed = |column: usize| -> rusqlite::Result<Value> {
        let text = row.get_ref(column)?.as_str()?;
        serde_json::from_str(text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, e.into()))
    };
    Ok(KeptFinding {
        id: row.get(0)?,
        level: row.get(1)?,
        check: row.get(2)?,
        severity: row.get(3)?,
        subject: row.get(4)?,
        detail: row.get(5)?,
        expected: row.get(6)?,
        actual: row.get(7)?,
        drift_nano: row.get(8)?,
        order: row.get(9)?,
        account: row.get(10)?,
        wallet: row.get(11)?,
        evidence: parsed(12)?,
        remedy: parsed(13)?,
        status: row.get(14)?,
        opened_at: Timestamp(row.get(15)?),
        first_seen: Timestamp(row.get(16)?),
        last_seen: Timestamp(row.get(17)?),
        seen: row.get(18)?,
        actor: row.get(19)?,
        note: row.get(20)?,
        acted_at: row.get::<_, Option<i64>>(21)?.map(Timestamp),
        repair_op: row.get(22)?,
        repair_seq: row.get(23)?,
    })
}

pub(super) fn compensation(one: &Compensation) -> Value {
    json!({ "debit": one.debit, "credit": one.credit, "amount_nano": one.amount_nano, "reason": one.reason })
}

fn remedy(remedy: &Remedy) -> Value {
    match remedy {
        Remedy::Rebuild => json!({ "kind": "rebuild" }),
        Remedy::Restore => json!({ "kind": "restore" }),
        Remedy::Look => json!({ "kind": "look" }),
        Remedy::Compensate(entries) => json!({ "kind": "compensate", "entries": entries.iter().map(compensation).collect::<Vec<_>>() }),
    }
}

/// Writes one finding; true if it was not known, had gone, or is not what was repaired.
fn put(c: &Connection, finding: &Finding, report: &Report, now: Timestamp) -> rusqlite::Result<bool> {
    let id = finding.id();
    let known: Option<(String, Option<String>)> = c
        .prepare_cached("SELECT status, actual FROM findings WHERE id = ?1")?
        .query_row([&id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let opens = known.is_none_or(|(status, actual)| status == "gone" || (status == "repaired" && actual != finding.actual));
    let (mut order, mut account, mut wallet) = (None, None, finding.wallet.as_deref().map(str::to_owned));
    match &finding.subject {
        Subject::Order(id) => order = Some(id.to_string()),
        Subject::Account(path) => account = Some(path.to_string()),
        Subject::Wallet(name) => wallet = Some(name.to_string()),
        Subject::Ledger
        | Subject::Entry(_)
        | Subject::Block(_)
        | Subject::Anchor(_)
        | Subject::Price(_)
        | Subject::Window(..)
        | Subject::Endpoint(_)
        | Subject::Request(_)
        | Subject::Rest => {}
    }
    let head = report.head.map(|(n, hash)| json!({ "block": n, "hash": hex(&hash) }));
    let evidence = json!({ "head": head, "last_entry_at": report.last_ts.map(|ts| ts.to_string()) });
    let sql = "INSERT INTO findings(id, level, check_id, severity, subject, detail, expected, actual, drift, order_id, account, wallet, \
         evidence, remedy, status, opened_at, first_seen, last_seen, seen, stops) \
         VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'open', ?14, ?14, ?14, 1, ?16) \
         ON CONFLICT(id) DO UPDATE SET detail = excluded.detail, expected = excluded.expected, actual = excluded.actual, \
         drift = excluded.drift, evidence = excluded.evidence, remedy = excluded.remedy, last_seen = excluded.last_seen, \
         seen = seen + 1, status = iif(?15, 'open', status), opened_at = iif(?15, excluded.opened_at, opened_at), \
         stops = excluded.stops, stopped_at = iif(?15, NULL, stopped_at)";
    let stops = finding.check.freezes().then(|| if finding.wallet.is_some() { "wallet" } else { "ledger" });
    c.prepare_cached(sql)?.execute(rusqlite::params![
        id,
        finding.check.id(),
        finding.check.severity().name(),
        finding.subject.to_string(),
        finding.detail,
        finding.expected,
        finding.actual,
        finding.drift_nano.map(|nano| nano.to_string()),
        order,
        account,
        wallet,
        evidence.to_string(),
        remedy(&finding.remedy).to_string(),
        now.0,
        opens,
        stops,
    ])?;
    if opens {
        outbox::put(c, "finding.opened", &format!("finding:{id}:{}", now.0), &told(c, &id)?, now)?;
    }
    Ok(opens)
}

/// A finding as others are told of it.
fn told(c: &Connection, id: &str) -> rusqlite::Result<Value> {
    let finding = c.prepare_cached(&format!("SELECT {COLUMNS} FROM findings WHERE id = ?1"))?.query_row([id], kept)?;
    Ok(json!({
        "finding": finding.id,
        "level": finding.level,
        "check": finding.check,
        "severity": finding.severity,
        "subject": finding.subject,
        "detail": finding.detail,
        "expected": finding.expected,
        "actual": finding.actual,
        "drift_nano": finding.drift_nano,
        "order": finding.order,
        "account": finding.account,
        "wallet": finding.wallet,
        "remedy": finding.remedy,
        "first_seen": finding.first_seen.to_string(),
    }))
}

/// Of breaks that have stopped nothing yet: those that are not over.
const UNSTOPPED: &str = "stopped_at IS NULL AND (status = 'open' OR status = 'acknowledged')";

/// Stops new calls for breaks of identities that the whole ledger stands on and that are confined to no wallet. That the sum of all
/// balances is off (R01) follows from breaks within wallets, as long as there are any.
fn stop_ledger(c: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<bool> {
    let sql = format!(
        "SELECT id, check_id, detail FROM findings WHERE stops = 'ledger' AND {UNSTOPPED} \
         AND (check_id <> 'R01' OR NOT EXISTS (SELECT 1 FROM findings WHERE stops = 'wallet' AND status IN ('open', 'acknowledged'))) \
         ORDER BY opened_at, check_id = 'R01', id LIMIT 1"
    );
    let broken: Option<(String, String, String)> =
        c.prepare_cached(&sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((id, check, reason)) = broken else { return Ok(false) };
    let froze = freeze(c, (&id, &check, &reason), now)?;
    c.execute(&format!("UPDATE findings SET stopped_at = ?1 WHERE stops = 'ledger' AND {UNSTOPPED}"), [now.0])?;
    Ok(froze)
}

/// Wallets that are to be frozen for a break within them. While no call is taken at all there is no need.
fn broken_wallets(c: &Connection) -> rusqlite::Result<Vec<BrokenWallet>> {
    let sql = format!(
        "SELECT wallet, id, opened_at FROM findings WHERE stops = 'wallet' AND {UNSTOPPED} \
         AND NOT EXISTS (SELECT 1 FROM control WHERE k = 'frozen') ORDER BY opened_at, id"
    );
    c.prepare_cached(&sql)?
        .query_map([], |row| {
            Ok(BrokenWallet { wallet: row.get::<_, String>(0)?.into(), finding: row.get(1)?, opened_at: Timestamp(row.get(2)?) })
        })?
        .collect()
}

/// Findings of status ?1 (`all`: of any; none: those that are not over), the latest first, at most ?2.
pub(super) fn listed(status: Option<&str>) -> String {
    let which = match status {
        Some("all") => "?1 = 'all'",
        Some(_) => "status = ?1",
        None => "?1 IS NULL AND (status = 'open' OR status = 'acknowledged')",
    };
    format!("SELECT {COLUMNS} FROM findings WHERE {which} ORDER BY last_seen DESC, id LIMIT ?2")
}

impl Database {
    /// Writes a run with what it found: findings, alerts and the freeze, all or nothing.
    pub fn record_run(&self, run: &Run<'_>, report: &Report) -> Result<Recorded> {
        self.change(|c| {
            let mut recorded = Recorded::default();
            let now = run.finished_at;
            for finding in report.all() {
                if put(c, finding, report, now)? {
                    recorded.opened.push(finding.id());
                }
            }
            if run.whole {
                // Whether somebody reconciles is not seen by reconciling.
                let seen = |check: &Check| *check != Check::R25 && report.lists_all(*check);
                let seen: Vec<String> = Check::ALL.into_iter().filter(seen).map(Check::id).collect();
                recorded.gone = c.execute(
                    "UPDATE findings SET status = 'gone' WHERE level = 0 AND last_seen < ?1 \
                     AND (status = 'open' OR status = 'acknowledged' OR status = 'repaired') \
                     AND check_id IN (SELECT value FROM json_each(?2))",
                    (run.started_at.0, json!(seen).to_string()),
                )?;
            }
            write_run(c, run, report, recorded.opened.len())?;
            if run.freeze {
                recorded.froze = stop_ledger(c, now)?;
                recorded.broken_wallets = broken_wallets(c)?;
            }
            Ok(recorded)
        })
    }

    /// The wallet is frozen for its break.
    pub fn wallet_stopped(&self, broken: &BrokenWallet, now: Timestamp) -> Result<()> {
        self.change(|c| {
            c.execute("UPDATE findings SET stopped_at = ?3 WHERE id = ?1 AND opened_at = ?2", (&broken.finding, broken.opened_at.0, now.0))
                .map(drop)
        })
    }

    /// Records that nobody reconciles, or (`None`) that somebody does again.
    pub fn record_silence(&self, silent: Option<&Finding>, now: Timestamp) -> Result<bool> {
        self.change(|c| match silent {
            Some(finding) => put(c, finding, &Report::default(), now),
            None => c.execute("UPDATE findings SET status = 'gone' WHERE check_id = 'R25' AND status <> 'gone'", []).map(|_| false),
        })
    }

    /// Does another process reconcile this file?
    pub fn is_leased(&self, owner: &str, now: Timestamp) -> Result<bool> {
        self.with(|c| {
            c.prepare_cached("SELECT EXISTS (SELECT 1 FROM recon_runs WHERE owner <> ?1 AND lease_until > ?2)")?
                .query_row((owner, now.0), |row| row.get(0))
        })
    }

    /// This process will not run any more.
    pub fn release_lease(&self, owner: &str) -> Result<()> {
        self.change(|c| c.execute("UPDATE recon_runs SET lease_until = 0 WHERE owner = ?1 AND lease_until > 0", [owner]).map(drop))
    }

    /// When somebody last ran, and when somebody last read everything.
    pub fn last_runs(&self) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
        self.with(|c| {
            c.prepare_cached("SELECT max(finished_at), max(finished_at) FILTER (WHERE whole = 1) FROM recon_runs")?
                .query_row([], |row| Ok((row.get::<_, Option<i64>>(0)?.map(Timestamp), row.get::<_, Option<i64>>(1)?.map(Timestamp))))
        })
    }

    /// Calls under way by the age of their hold.
    pub fn open_holds(&self, now: Timestamp) -> Result<[(&'static str, i64); 3]> {
        self.with(|c| {
            c.prepare_cached(
                "SELECT count(*) FILTER (WHERE created_at > ?1 - 60000), \
                 count(*) FILTER (WHERE created_at BETWEEN ?1 - 900000 AND ?1 - 60000), \
                 count(*) FILTER (WHERE created_at < ?1 - 900000) FROM orders WHERE state = 0",
            )?
            .query_row([now.0], |row| Ok([("under_1m", row.get(0)?), ("under_15m", row.get(1)?), ("older", row.get(2)?)]))
        })
    }

    /// Size of the write-ahead log.
    pub fn wal_bytes(&self) -> i64 {
        let mut wal = self.path().as_os_str().to_owned();
        wal.push("-wal");
        std::fs::metadata(wal).map_or(0, |file| i64::try_from(file.len()).unwrap_or(i64::MAX))
    }

    /// Findings, the latest first. Without a status: those that are open or acknowledged.
    pub fn findings(&self, status: Option<&str>, limit: usize) -> Result<Vec<KeptFinding>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.with(|c| c.prepare_cached(&listed(status))?.query_map((status, limit), kept)?.collect())
    }

    pub fn finding(&self, id: &str) -> Result<Option<KeptFinding>> {
        self.with(|c| c.prepare_cached(&format!("SELECT {COLUMNS} FROM findings WHERE id = ?1"))?.query_row([id], kept).optional())
    }

    /// Open and acknowledged findings by check and severity.
    pub fn finding_counts(&self) -> Result<Vec<(String, String, i64)>> {
        self.with(|c| {
            c.prepare_cached(
                "SELECT check_id, severity, count(*) FROM findings WHERE status = 'open' OR status = 'acknowledged' GROUP BY 1, 2",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
        })
    }

    /// A person has looked at it; false if there is no such finding or it is over.
    pub fn acknowledge(&self, id: &str, actor: &str, note: &str, now: Timestamp) -> Result<bool> {
        self.change(|c| {
            c.execute(
                "UPDATE findings SET status = 'acknowledged', actor = ?2, note = ?3, acted_at = ?4 \
                 WHERE id = ?1 AND (status = 'open' OR status = 'acknowledged')",
                (id, actor, note, now.0),
            )
            .map(|changed| changed > 0)
        })
    }

    /// A compensating entry answers it, if it is not over.
    pub fn repaired(&self, id: &str, actor: &str, note: &str, (op, seq): (&str, Option<i64>), now: Timestamp) -> Result<()> {
        self.change(|c| {
            c.execute(
                "UPDATE findings SET status = 'repaired', actor = ?2, note = ?3, acted_at = ?4, repair_op = ?5, repair_seq = ?6 \
                 WHERE id = ?1 AND (status = 'open' OR status = 'acknowledged')",
                (id, actor, note, now.0, op, seq),
            )
            .map(drop)
        })
    }

    /// Why new calls are stopped, if they are.
    pub fn frozen(&self) -> Result<Option<Frozen>> {
        let text: Option<String> =
            self.with(|c| c.prepare_cached("SELECT v FROM control WHERE k = 'frozen'")?.query_row([], |row| row.get(0)).optional())?;
        Ok(text.map(|text| {
            // An unreadable row is a freeze all the same.
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            let member = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let since = value.get("since_ms").and_then(Value::as_i64).unwrap_or_default();
            Frozen { since: Timestamp(since), finding: member("finding"), reason: member("reason") }
        }))
    }

    /// New calls are taken again; false if they were not stopped.
    pub fn unfreeze(&self, actor: &str, reason: &str, now: Timestamp) -> Result<bool> {
        self.change(|c| {
            let lifted = c.execute("DELETE FROM control WHERE k = 'frozen'", [])? > 0;
            if lifted {
                let payload = json!({ "actor": actor, "reason": reason });
                outbox::put(c, "ledger.unfrozen", &format!("unfrozen:{}", now.0), &payload, now)?;
                keys::bump(c)?;
            }
            Ok(lifted)
        })
    }
}

/// The first break stays the reason.
fn freeze(c: &Transaction<'_>, (id, check, reason): (&str, &str, &str), now: Timestamp) -> rusqlite::Result<bool> {
    let value = json!({ "since_ms": now.0, "finding": id, "reason": reason });
    if c.execute("INSERT OR IGNORE INTO control(k, v) VALUES ('frozen', ?1)", [value.to_string()])? == 0 {
        return Ok(false);
    }
    let payload = json!({ "finding": id, "check": check, "reason": reason });
    outbox::put(c, "ledger.frozen", &format!("frozen:{}", now.0), &payload, now)?;
    keys::bump(c).map(|()| true)
}

fn write_run(c: &Connection, run: &Run<'_>, report: &Report, opened: usize) -> rusqlite::Result<()> {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let findings = count(report.all().count());
    let lease_until = run.finished_at.plus(run.lease).0;
    let quiet = findings == 0 && !run.whole;
    // Quiet runs follow one another every few seconds: one row for all of them.
    let joined = quiet
        && c.execute(
            "UPDATE recon_runs SET runs = runs + 1, finished_at = ?2, lease_until = ?3, last_seq = ?4 \
             WHERE id = (SELECT max(id) FROM recon_runs) AND owner = ?1 AND whole = 0 AND findings = 0",
            (run.owner, run.finished_at.0, lease_until, run.last_seq),
        )? > 0;
    if joined {
        return Ok(());
    }
    // Only the latest lease of a process counts.
    c.execute("UPDATE recon_runs SET lease_until = 0 WHERE owner = ?1 AND lease_until > 0", [run.owner])?;
    c.execute(
        "INSERT INTO recon_runs(owner, whole, started_at, finished_at, lease_until, last_seq, findings, opened) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (run.owner, run.whole, run.started_at.0, run.finished_at.0, lease_until, run.last_seq, findings, count(opened)),
    )?;
    c.execute("DELETE FROM recon_runs WHERE id < (SELECT max(id) FROM recon_runs) - 10000", []).map(drop)
}
