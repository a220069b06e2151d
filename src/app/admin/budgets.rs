//! Owns: budgets for administrators: set, list with what is used, remove.
//! Refuses to know: what a call does to them (ledger).

use super::booking::{amount, name, refuse};
use super::read;
use crate::app::Gateway;
use crate::base::{Error, ErrorKind, KeyId, Money, Result, Timestamp};
use crate::domain::identity::{KeyStore, ModelPattern, UserPath};
use crate::domain::risk::{Budget, BudgetStore, Limit, Period, Scope, Unit, Used};
use serde::Deserialize;
use serde_json::{Value, json};

/// As callers send labels (`x-gotoai-labels`).
const LABEL_LIMIT_BYTES: usize = 64;

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
    /// What no call can fit is refused: a budget that never counts would look like one that holds.
    fn scope(&self, gateway: &Gateway) -> Result<Scope> {
        let key = self.key.as_deref().map(str::parse::<KeyId>).transpose();
        let key = key.map_err(|()| refuse("a key's id looks like key_ and 32 hexadecimal digits", "key"))?;
        let known = if key.is_some() { gateway.database.list_keys()? } else { Vec::new() };
        if let Some(id) = key.filter(|id| known.iter().all(|key| key.id != *id)) {
            return Err(
                Error::new(ErrorKind::NotFound, format!("there is no key '{id}'; `gotoai keys list` shows the ids")).with_param("key")
            );
        }
        if let Some(wallet) = self.wallet.as_deref() {
            super::wallet::find(gateway, wallet)?;
        }
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if self.label.as_deref().is_some_and(|label| !visible(label) || label.len() > LABEL_LIMIT_BYTES) {
            return Err(refuse(format!("a label has 1 to {LABEL_LIMIT_BYTES} visible ASCII characters and no comma"), "label"));
        }
        if self.model.as_deref().is_some_and(|model| !visible(model)) {
            return Err(refuse("a model is a name or a pattern without spaces, such as openai/gpt-4o*", "model"));
        }
        Ok(Scope {
            key: key.map(|id| id.to_string()),
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
    let (unit, cap) = asked.cap()?;
    let now = gateway.clock.now();
    let budget = Budget {
        id: 0,
        name: name(&asked.name, "name")?.as_str().into(),
        scope: asked.scope(gateway)?,
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
    if let Some(wallet) = wallet.as_deref() {
        super::wallet::find(gateway, wallet)?;
    }
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
