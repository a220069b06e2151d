//! Owns: making, listing and revoking virtual keys. A secret is shown once, in the answer that makes it.

use super::{NoArguments, booking, read};
use crate::app::Gateway;
use crate::base::{Error, ErrorKind, KeyId, Ratio, Result, Timestamp};
use crate::domain::catalog::Mode;
use crate::domain::identity::{KeyStore, ModelPattern, Principal, Scope, Scopes, UserPath, VirtualKey};
use crate::domain::ledger::LedgerReader;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const NAME_LIMIT_BYTES: usize = 128;
const MODELS_LIMIT: usize = 1000;
const MODEL_LIMIT_BYTES: usize = 256;
/// More than the cost itself ten times over is a slip of the pen.
const BUILDER_PERCENT_MAX: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    models: Vec<String>,
    user_path: Option<String>,
    expires_at_ms: Option<i64>,
    wallet: Option<String>,
    mode: Option<String>,
    /// Who earns a share on this key's calls, and how much of the cost, in percent on top of it.
    builder: Option<String>,
    builder_percent: Option<String>,
}

fn refuse(message: String, param: &'static str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message).with_param(param)
}

fn scopes(names: &[String]) -> Result<Scopes> {
    if names.is_empty() {
        return Ok([Scope::Chat].into_iter().collect());
    }
    names
        .iter()
        .map(|name| {
            Scope::by_name(name).ok_or_else(|| refuse(format!("unknown scope '{name}': use chat, org_admin or platform"), "scopes"))
        })
        .collect()
}

/// Both or neither: a share without its owner is nobody's, an owner without a share earns nothing.
fn builder(asked: &Create) -> Result<Option<(Arc<str>, Ratio)>> {
    let (name, percent) = match (&asked.builder, &asked.builder_percent) {
        (None, None) => return Ok(None),
        (Some(name), Some(percent)) => (booking::name(name, "builder")?, percent),
        (Some(_), None) => return Err(refuse("a builder needs 'builder_percent'".to_owned(), "builder_percent")),
        (None, Some(_)) => return Err(refuse("'builder_percent' needs the builder's name".to_owned(), "builder")),
    };
    let share = Ratio::from_percent(percent).map_err(|why| refuse(why, "builder_percent"))?;
    if share.num == 0 || u64::from(share.num) * 100 > u64::from(BUILDER_PERCENT_MAX) * u64::from(share.den) {
        return Err(refuse(format!("'{percent}' is not between 0 and {BUILDER_PERCENT_MAX} percent"), "builder_percent"));
    }
    Ok(Some((name.into(), share)))
}

pub(super) fn create(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let asked: Create = read(arguments)?;
    let now = gateway.clock.now();
    if asked.name.trim().is_empty() || asked.name.len() > NAME_LIMIT_BYTES || asked.name.chars().any(char::is_control) {
        return Err(refuse(format!("a key needs a name of 1 to {NAME_LIMIT_BYTES} bytes without control characters"), "name"));
    }
    let unusable = |model: &String| model.is_empty() || model.len() > MODEL_LIMIT_BYTES || model.chars().any(char::is_control);
    if asked.models.len() > MODELS_LIMIT || asked.models.iter().any(unusable) {
        let why = format!("at most {MODELS_LIMIT} models, each of 1 to {MODEL_LIMIT_BYTES} bytes without control characters");
        return Err(refuse(why, "models"));
    }
    if asked.expires_at_ms.is_some_and(|at| at <= now.0) {
        return Err(refuse("the key would have expired already".to_owned(), "expires_at_ms"));
    }
    let builder = builder(&asked)?;
    let wallet = asked.wallet.unwrap_or_else(|| Principal::DEFAULT_WALLET.to_owned());
    if !gateway.ledger.has_wallet(&wallet)? {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no wallet '{wallet}'; make it first with `gotoai wallet create {wallet}`"),
        ));
    }
    let secret = VirtualKey::new_secret()?;
    let key = VirtualKey {
        id: KeyId::new(),
        name: asked.name,
        digest: VirtualKey::digest_of(secret.expose()),
        hint: VirtualKey::hint_of(secret.expose()),
        scopes: scopes(&asked.scopes)?,
        models: asked.models.into_iter().map(ModelPattern::new).collect(),
        user_path: UserPath::parse(asked.user_path.as_deref().unwrap_or("/"))?,
        wallet,
        mode: asked.mode.map(|mode| mode.parse()).transpose()?,
        builder,
        created_at: now,
        expires_at: asked.expires_at_ms.map(Timestamp),
        revoked_at: None,
    };
    gateway.database.insert_key(&key)?;
    gateway.reload_keys()?;
    let mut shown = view(&key, now);
    shown["secret"] = secret.expose().into();
    Ok(shown)
}

pub(super) fn list(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let NoArguments {} = read(arguments)?;
    let now = gateway.clock.now();
    let keys: Vec<Value> = gateway.database.list_keys()?.iter().map(|key| view(key, now)).collect();
    Ok(json!({ "keys": keys }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    id: String,
}

pub(super) fn revoke(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Revoke { id } = read(arguments)?;
    let now = gateway.clock.now();
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no key '{id}'; `gotoai keys list` shows the ids"));
    let key = gateway.database.revoke_key(id.parse().map_err(|()| unknown())?, now)?.ok_or_else(unknown)?;
    gateway.reload_keys()?;
    Ok(view(&key, now))
}

fn view(key: &VirtualKey, now: Timestamp) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "id": key.id.to_string(),
        "name": key.name,
        "hint": format!("{}…{}", VirtualKey::PREFIX, key.hint),
        "scopes": key.scopes.names(),
        "models": key.models.iter().map(ModelPattern::as_str).collect::<Vec<_>>(),
        "user_path": key.user_path.as_str(),
        "wallet": key.wallet,
        "mode": key.mode.map(Mode::name),
        "builder": key.builder.as_ref().map(|(name, share)| json!({ "name": **name, "percent": share.to_percent() })),
        "created_at": key.created_at.to_string(),
        "expires_at": time(key.expires_at),
        "revoked_at": time(key.revoked_at),
        "status": key.status(now),
    })
}
