//! Owns: budgets for administrators: set, list with what is used, remove.
//! Refuses to know: what a call does to them (ledger).

use super::booking::{amount, name, refuse};
use super::read;
use crate::app::Gateway;
use crate::base::{Error, ErrorKind, KeyId, Money, Result, Timestamp};
use crate::domain::identity::{ModelPattern, UserPath};
use crate::domain::risk::{Budget, BudgetStore, Limit, Period, Scope, Unit, Used};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    key: Option<String>,
    user_path: Option<String>,
    wallet: Option<String>,
    model: Option<String>,
    label: Option<String>,
    period: Period,
    /// Decimal USD.
    amount: Option<String>,
    /// Or a number of requests.
    requests: Option<i64>,
    #[serde(default)]
    soft: bool,
    /// 402 or 429.
    status: Option<u16>,
    alert_percent: Option<u8>,
}

impl Create {
    fn scope(&self) -> Result<Scope> {
        let key = self.key.as_deref().map(|key| key.parse::<KeyId>().map(|id| id.to_string())).transpose();
        Ok(Scope {
            key: key.map_err(|()| refuse("a key's id looks like key_ and 32 hexadecimal digits", "key"))?,
            user_path: self.user_path.as_deref().map(UserPath::parse).transpose()?,
            wallet: self.wallet.clone(),
            model: self.model.as_deref().map(ModelPattern::new),
            label: self.label.clone(),
        })
    }

    fn cap(&self) -> Result<(Unit, i64)> {
        match (&self.amount, self.requests) {
            (Some(text), None) => Ok((Unit::Money, amount(text, "amount")?.as_nano())),
            (None, Some(count)) if count >= 0 => Ok((Unit::Requests, count)),
            (None, Some(_)) => Err(refuse("requests must not be negative", "requests")),
            (None, None) | (Some(_), Some(_)) => Err(refuse("a budget allows either an amount or a number of requests", "amount")),
        }
    }

    fn limit(&self) -> Result<Limit> {
        match (self.soft, self.status) {
            (true, None) => Ok(Limit::Soft),
            (true, Some(_)) => Err(refuse("a soft budget refuses nothing, so it has no status", "status")),
            (false, status) => match status.unwrap_or(402) {
                status @ (402 | 429) => Ok(Limit::Hard { status }),
                _ => Err(refuse("status is 402 (payment required) or 429 (too many requests)", "status")),
            },
        }
    }
}

pub(super) fn create(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let asked: Create = read(arguments)?;
    asked.period.check().map_err(|why| refuse(why, "period"))?;
    if asked.alert_percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
        return Err(refuse("alert_percent must be 1 to 100", "alert_percent"));
    }
    if let Some(wallet) = asked.wallet.as_deref() {
        super::wallet::find(gateway, wallet)?;
    }
    let (unit, cap) = asked.cap()?;
    let now = gateway.clock.now();
    let budget = Budget {
        id: 0,
        name: name(&asked.name, "name")?.as_str().into(),
        scope: asked.scope()?,
        period: asked.period,
        unit,
        cap,
        limit: asked.limit()?,
        alert_percent: asked.alert_percent,
    };
    Ok(view(&gateway.database.insert_budget(budget, now)?, Used::default(), now))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    wallet: Option<String>,
}

pub(super) fn list(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let List { wallet } = read(arguments)?;
    let now = gateway.clock.now();
    let listed = gateway.database.list_budgets(now)?;
    let fits = |budget: &Budget| wallet.is_none() || budget.scope.wallet == wallet;
    let budgets: Vec<Value> = listed.iter().filter(|(budget, _)| fits(budget)).map(|(budget, used)| view(budget, *used, now)).collect();
    Ok(json!({ "budgets": budgets }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Remove {
    name: String,
}

pub(super) fn remove(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Remove { name } = read(arguments)?;
    if gateway.database.remove_budget(&name, gateway.clock.now())? {
        return Ok(json!({ "removed": name }));
    }
    Err(Error::new(ErrorKind::NotFound, format!("there is no budget '{name}'; `gotoai budget list` shows them")))
}

/// What is spent for good and what open calls may still add.
fn view(budget: &Budget, used: Used, now: Timestamp) -> Value {
    let window = budget.period.window(now);
    let shown = |count: i64| match budget.unit {
        Unit::Money => json!(Money::nano(count)),
        Unit::Requests => json!(count),
    };
    let status = match budget.limit {
        Limit::Soft => None,
        Limit::Hard { status } => Some(status),
    };
    json!({
        "name": &*budget.name,
        "key": budget.scope.key,
        "user_path": budget.scope.user_path.as_ref().map(|path| path.as_str().to_owned()),
        "wallet": budget.scope.wallet,
        "model": budget.scope.model.as_ref().map(|model| model.as_str().to_owned()),
        "label": budget.scope.label,
        "period": budget.period,
        "unit": budget.unit,
        "cap": shown(budget.cap),
        "soft": status.is_none(),
        "status": status,
        "alert_percent": budget.alert_percent,
        "spent_known": shown(used.spent),
        "held": shown(used.held),
        "left": shown(budget.left(used)),
        "window_start": window.start.to_string(),
        "resets_at": (budget.period != Period::Lifetime).then(|| window.end.to_string()),
    })
}
