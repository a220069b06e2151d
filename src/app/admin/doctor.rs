//! Owns: what is wrong with this installation, and what to do about it.

use super::{NoArguments, read};
use crate::app::Gateway;
use crate::base::{Result, Timestamp};
use crate::domain::identity::{KeyStore, Scope};
use crate::domain::ledger::{LedgerReader, Report};
use serde_json::{Value, json};

/// A book older than this should be replaced: providers change prices every few weeks.
const BOOK_OLD_AFTER_DAYS: i64 = 60;
const DAY_MS: i64 = 86_400_000;

enum Status {
    Ok,
    Warn,
    Fail,
}

struct Finding {
    id: &'static str,
    title: String,
    status: Status,
    detail: String,
    advice: &'static str,
}

fn finding(id: &'static str, title: impl Into<String>, status: Status, detail: impl Into<String>, advice: &'static str) -> Finding {
    Finding { id, title: title.into(), status, detail: detail.into(), advice }
}

pub(super) fn doctor(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let NoArguments {} = read(arguments)?;
    let proof = gateway.verify_ledger();
    let mut findings = vec![settings(gateway), access(gateway), store(gateway), ledger(&proof), clock(gateway, &proof), prices(gateway)];
    findings.extend([books(gateway), alerts(gateway), payments(gateway)]);
    findings.extend(providers(gateway));
    let ok = findings.iter().all(|finding| !matches!(finding.status, Status::Fail));
    let checks: Vec<Value> = findings
        .into_iter()
        .map(|finding| {
            let (status, advice) = match finding.status {
                Status::Ok => ("ok", None),
                Status::Warn => ("warn", Some(finding.advice)),
                Status::Fail => ("fail", Some(finding.advice)),
            };
            json!({ "id": finding.id, "title": finding.title, "status": status, "detail": finding.detail, "advice": advice })
        })
        .collect();
    Ok(json!({ "ok": ok, "checks": checks }))
}

fn settings(gateway: &Gateway) -> Finding {
    let server = &gateway.settings.server;
    let files = server.tls.iter().flat_map(|tls| [&tls.cert, &tls.key]);
    let unreadable: Vec<String> =
        files.filter_map(|path| std::fs::File::open(path).err().map(|error| format!("{}: {error}", path.display()))).collect();
    if unreadable.is_empty() {
        return finding("settings", "settings", Status::Ok, format!("valid; would listen on {}:{}", server.host, server.port), "");
    }
    finding(
        "settings",
        "settings",
        Status::Fail,
        unreadable.join("; "),
        "check GOTOAI_TLS_CERT and GOTOAI_TLS_KEY: both must be readable PEM files",
    )
}

fn access(gateway: &Gateway) -> Finding {
    let advice = "set GOTOAI_MASTER_KEY, or start `gotoai serve` once: it makes a platform key and shows it";
    if gateway.settings.auth.insecure_no_auth {
        return finding("access", "access", Status::Warn, "anyone on this machine may call without a key", "use this for experiments only");
    }
    let now = gateway.clock.now();
    let has =
        |keys: Vec<crate::domain::identity::VirtualKey>| keys.iter().any(|k| k.scopes.has(Scope::Platform) && k.status(now) == "active");
    match gateway.database.list_keys().map(has) {
        _ if gateway.settings.auth.master_key.is_some() => finding("access", "access", Status::Ok, "a master key is set", ""),
        Ok(true) => finding("access", "access", Status::Ok, "there is a platform key", ""),
        Ok(false) => finding("access", "access", Status::Warn, "there is no platform key yet", advice),
        Err(error) => finding("access", "access", Status::Fail, error.message, advice),
    }
}

fn store(gateway: &Gateway) -> Finding {
    let shown = gateway.database.path().display().to_string();
    match gateway.database.announce() {
        Ok(()) => finding("store", "store", Status::Ok, format!("{shown} can be read and written"), ""),
        Err(error) => finding(
            "store",
            "store",
            Status::Fail,
            format!("{shown}: {error}"),
            "check the disk's space and the file's owner; GOTOAI_DATA_DIR names another place",
        ),
    }
}

fn ledger(proof: &Result<Report>) -> Finding {
    match proof {
        Ok(report) if report.ok() => finding("ledger", "ledger", Status::Ok, format!("{} entries verified", report.events), ""),
        Ok(report) => {
            let first = report.findings.first().map(|finding| finding.detail.clone()).unwrap_or_default();
            finding(
                "ledger",
                "ledger",
                Status::Fail,
                format!("{} findings; the first: {first}", report.findings.len()),
                "run `gotoai ledger verify` for all of them, and stop serving until they are explained",
            )
        }
        Err(error) => {
            finding("ledger", "ledger", Status::Fail, error.message.clone(), "the database may be damaged; restore it from a backup")
        }
    }
}

/// What reconciliation has found that nobody has mended yet.
fn books(gateway: &Gateway) -> Finding {
    let advice = "`gotoai ledger findings` shows them, and what can be done about each";
    let counts = gateway.database.finding_counts().map(|counts| counts.into_iter().map(|(.., count)| count).sum::<i64>());
    match (gateway.database.frozen(), counts) {
        (Err(error), _) | (_, Err(error)) => finding("books", "books", Status::Fail, error.message, advice),
        (Ok(Some(frozen)), _) => finding(
            "books",
            "books",
            Status::Fail,
            format!("frozen since {}: {}; no new call is taken", frozen.since, frozen.reason),
            advice,
        ),
        (Ok(None), Ok(0)) => finding("books", "books", Status::Ok, "reconciliation has no open finding", ""),
        (Ok(None), Ok(count)) => finding("books", "books", Status::Warn, format!("{count} findings are open"), advice),
    }
}

fn alerts(gateway: &Gateway) -> Finding {
    let where_to = gateway.webhook.as_ref().map_or_else(
        || "go to the log; alerts.webhook_url sends them to people as well".to_owned(),
        |webhook| format!("go to the log and to {}; `gotoai alerts test` sends one", webhook.host()),
    );
    finding("alerts", "alerts", Status::Ok, where_to, "")
}

/// Whether payments are taken, and what came and waits for a wallet.
fn payments(gateway: &Gateway) -> Finding {
    let advice = "`gotoai payments unassigned` lists them, `gotoai payments assign` gives each a wallet";
    let path = format!("{}/webhooks/stripe", gateway.settings.server.base_path);
    match (gateway.ledger.unassigned(), gateway.settings.payments.stripe_secrets.len()) {
        (Err(error), _) => finding("payments", "payments", Status::Fail, error.message, advice),
        (Ok(waiting), _) if !waiting.is_empty() => {
            finding("payments", "payments", Status::Warn, format!("payments that wait for a wallet: {}", waiting.len()), advice)
        }
        (Ok(_), 0) => finding("payments", "payments", Status::Ok, "none are taken; GOTOAI_STRIPE_WEBHOOK_SECRET opens a webhook", ""),
        (Ok(_), _) => finding("payments", "payments", Status::Ok, format!("Stripe's events are taken at {path}"), ""),
    }
}

/// 2024-01-01: no installation is older.
const EARLIEST_MS: i64 = 1_704_067_200_000;

fn clock(gateway: &Gateway, proof: &Result<Report>) -> Finding {
    let now = gateway.clock.now();
    let advice = "set the machine's clock (NTP): expiry of keys and holds depends on it";
    match proof.as_ref().ok().and_then(|report| report.last_ts).filter(|last| *last > now) {
        Some(last) => finding("clock", "clock", Status::Fail, format!("it says {now}, but the ledger's last entry is of {last}"), advice),
        None if now.0 < EARLIEST_MS => finding("clock", "clock", Status::Fail, format!("it says {now}"), advice),
        None => finding("clock", "clock", Status::Ok, now.to_string(), ""),
    }
}

fn prices(gateway: &Gateway) -> Finding {
    let book = gateway.supply.book.lock().clone();
    let snapshot = gateway.pipeline.snapshot.load();
    let unpriced: Vec<String> = snapshot
        .catalog
        .endpoints()
        .into_iter()
        .filter(|endpoint| endpoint.price_at(gateway.clock.now()).is_none())
        .map(|endpoint| endpoint.id.to_string())
        .collect();
    let dated: Option<Timestamp> = book.dated().parse().ok();
    let age_days = dated.map(|day| (gateway.clock.now().0 - day.0).div_euclid(DAY_MS));
    let detail = format!("the price book is dated {}", book.dated());
    if age_days.is_some_and(|days| days > BOOK_OLD_AFTER_DAYS) {
        return finding(
            "prices",
            "prices",
            Status::Warn,
            detail,
            "refresh it: `python -m gotoai.price_book --out book.json && gotoai prices refresh --path book.json`",
        );
    }
    if let Some(first) = unpriced.first() {
        let detail = format!("{detail}; {} models have no price, {first} among them", unpriced.len());
        return finding(
            "prices",
            "prices",
            Status::Warn,
            detail,
            "prepaid wallets cannot use them, postpaid use is booked as unknown; set models[].price in gotoai.yaml",
        );
    }
    finding("prices", "prices", Status::Ok, detail, "")
}

fn providers(gateway: &Gateway) -> Vec<Finding> {
    if gateway.supply.instances.is_empty() {
        let advice = "set OPENAI_API_KEY (or another provider's key), or add one to gotoai.yaml; `gotoai demo` needs none";
        return vec![finding("providers", "providers", Status::Fail, "no provider is configured", advice)];
    }
    gateway
        .supply
        .instances
        .iter()
        .map(|instance| {
            let title = format!("provider {}", instance.settings.name);
            match gateway.block_on(instance.provider.list_models()) {
                Ok(models) => finding(
                    "providers",
                    title,
                    Status::Ok,
                    format!("{} answers and lists {} models", instance.settings.base_url, models.len()),
                    "",
                ),
                Err(fault) => finding(
                    "providers",
                    title,
                    Status::Fail,
                    fault.to_string(),
                    "check its base URL, its API key and the network; calls fail over to other providers of the model",
                ),
            }
        })
        .collect()
}
