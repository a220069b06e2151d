//! Administrative operations: by name, a JSON object in, JSON out. The command line and Python call them as the process
//! itself; the HTTP door calls them for a key, with what its scopes allow.

mod accounts;
mod arguments;
pub(super) mod booking;
mod budgets;
mod catalog;
mod closings;
mod doctor;
mod export;
mod findings;
mod funds;
mod keys;
mod known;
mod ledger;
mod payments;
mod receipt;
mod reconcile;
mod rerate;
mod spend;
mod statement;
mod terms;
mod true_up;
mod wallet;

pub use catalog::price_view;
pub use receipt::receipt;

use super::Gateway;
use crate::base::{Error, ErrorKind, Result};
use crate::domain::identity::{Principal, Scope};
use arguments::{NoArguments, read};
use serde_json::{Map, Value};

type Operation = fn(&Gateway, &[u8]) -> Result<Value>;
/// The second argument is who does it.
type Booking = fn(&Gateway, &str, &[u8]) -> Result<Value>;

/// Every operation. A table, so that the list in an error and in the documentation cannot go stale.
const OPERATIONS: &[(&str, Operation)] = &[
    ("keys.create", keys::create),
    ("keys.list", keys::list),
    ("keys.revoke", keys::revoke),
    ("wallet.balance", wallet::balance),
    ("wallet.list", wallet::list),
    ("wallet.statement", statement::statement),
    ("budget.create", budgets::create),
    ("budget.list", budgets::list),
    ("budget.remove", budgets::remove),
    ("ledger.entries", ledger::entries),
    ("ledger.order", ledger::order),
    ("ledger.spend", spend::spend),
    ("ledger.builders", accounts::builders),
    ("ledger.verify", ledger::verify),
    ("ledger.findings", findings::list),
    ("ledger.anchor", ledger::anchor),
    ("ledger.export", export::export),
    ("ledger.progress", ledger::progress),
    ("payments.unassigned", payments::unassigned),
    ("alerts.test", findings::test_alert),
    ("models.list", catalog::models),
    ("prices.list", catalog::prices),
    ("prices.refresh", catalog::refresh),
    ("doctor", doctor::doctor),
];

/// What is done in somebody's name: each takes `actor` beside its own arguments, and records it.
const BOOKINGS: &[(&str, Booking)] = &[
    ("wallet.create", wallet::create),
    ("wallet.topup", wallet::topup),
    ("wallet.grant", funds::grant),
    ("wallet.refund", funds::refund),
    ("wallet.cash_out", funds::cash_out),
    ("wallet.cash_out_end", funds::cash_out_end),
    ("wallet.chargeback", funds::chargeback),
    ("order.true_up", true_up::true_up),
    ("wallet.freeze", terms::freeze),
    ("wallet.thaw", terms::thaw),
    ("wallet.terms", terms::terms),
    ("payments.assign", payments::assign),
    ("payments.replay", payments::replay),
    ("ledger.adjust", accounts::adjust),
    ("ledger.reconcile", reconcile::reconcile),
    ("ledger.rerate", rerate::rerate),
    ("ledger.payout", accounts::payout),
    ("ledger.invoice", accounts::invoice),
    ("ledger.acknowledge", findings::acknowledge),
    ("ledger.repair", findings::repair),
    ("ledger.rebuild", findings::rebuild),
    ("ledger.unfreeze", findings::unfreeze),
];

/// What an organisation's administrator may ask, about the own wallet only. Each takes the argument `wallet`.
const ORGANISATION: &[&str] = &["wallet.balance", "wallet.statement", "budget.list", "ledger.entries"];

/// What is open to the process itself only: it reads or writes files of this machine.
const LOCAL: &[&str] = &["prices.refresh", "ledger.export"];

/// Who acts when nobody is named.
const LOCAL_ACTOR: &str = "admin";
const ACTOR_LIMIT_BYTES: usize = 128;

/// For the process itself: everything, in the name of whom it says.
pub(super) fn run(gateway: &Gateway, operation: &str, arguments: &[u8]) -> Result<Vec<u8>> {
    answer(gateway, operation, arguments, None)
}

/// For a caller that came over a network: what its scopes allow, in its own name.
pub(super) fn run_for(gateway: &Gateway, caller: &Principal, operation: &str, arguments: &[u8]) -> Result<Vec<u8>> {
    let own = caller.key_id.map_or_else(|| caller.name.to_string(), |key| key.to_string());
    if caller.scopes.has(Scope::Platform) {
        if LOCAL.contains(&operation) {
            let why = format!("'{operation}' works on this machine's files: use the command line there");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        return answer(gateway, operation, arguments, Some(&own));
    }
    caller.require(Scope::OrgAdmin)?;
    if !ORGANISATION.contains(&operation) {
        return Err(Error::new(ErrorKind::ScopeMissing, format!("'{operation}' needs a key with the scope 'platform'")));
    }
    let mut members = object(arguments)?;
    match members.insert("wallet".to_owned(), (*caller.wallet).into()) {
        Some(asked) if asked != *caller.wallet => {
            Err(Error::new(ErrorKind::ScopeMissing, format!("this key may ask about the wallet '{}' only", caller.wallet)))
        }
        _ => answer(gateway, operation, &written(&Value::Object(members))?, Some(&own)),
    }
}

fn answer(gateway: &Gateway, operation: &str, arguments: &[u8], caller: Option<&str>) -> Result<Vec<u8>> {
    if let Some((_, run)) = OPERATIONS.iter().find(|(name, _)| *name == operation) {
        return written(&run(gateway, arguments)?);
    }
    let Some((_, book)) = BOOKINGS.iter().find(|(name, _)| *name == operation) else {
        let names: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).chain(BOOKINGS.iter().map(|(name, _)| *name)).collect();
        return Err(Error::new(ErrorKind::NotFound, format!("there is no operation '{operation}'; there are: {}", names.join(", "))));
    };
    let mut members = object(arguments)?;
    let said = members.remove("actor");
    let actor = actor(said.as_ref(), caller)?;
    written(&book(gateway, &actor, &written(&Value::Object(members))?)?)
}

/// Who is recorded. A caller over the network may say for whom it acts, never that it is somebody else.
fn actor(said: Option<&Value>, caller: Option<&str>) -> Result<String> {
    let refuse = || {
        let why = format!("an actor is a text of 1 to {ACTOR_LIMIT_BYTES} bytes without control characters");
        Error::new(ErrorKind::InvalidRequest, why).with_param("actor")
    };
    let usable = |text: &&str| !text.trim().is_empty() && text.len() <= ACTOR_LIMIT_BYTES && !text.chars().any(char::is_control);
    let named = said.map(|value| value.as_str().filter(usable).ok_or_else(refuse)).transpose()?;
    Ok(match (named, caller) {
        (Some(named), Some(caller)) => format!("{named} by {caller}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => LOCAL_ACTOR.to_owned(),
    })
}

fn object(arguments: &[u8]) -> Result<Map<String, Value>> {
    read(arguments)
}

fn written(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(ErrorKind::Internal, "the answer cannot be written").with_cause(error))
}
