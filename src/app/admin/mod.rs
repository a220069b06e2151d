//! Administrative operations without HTTP: by name, a JSON object in, JSON out. The command line and Python call them; an
//! HTTP surface may be put over them without a change here.

mod catalog;
mod doctor;
mod findings;
mod keys;
mod ledger;
mod receipt;
mod wallet;

pub use catalog::price_view;
pub use receipt::receipt;

use super::Gateway;
use crate::base::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

type Operation = fn(&Gateway, &[u8]) -> Result<Value>;

/// Every operation. A table, so that the list in an error and in the documentation cannot go stale.
const OPERATIONS: &[(&str, Operation)] = &[
    ("keys.create", keys::create),
    ("keys.list", keys::list),
    ("keys.revoke", keys::revoke),
    ("wallet.create", wallet::create),
    ("wallet.topup", wallet::topup),
    ("wallet.balance", wallet::balance),
    ("wallet.list", wallet::list),
    ("ledger.entries", ledger::entries),
    ("ledger.order", ledger::order),
    ("ledger.verify", ledger::verify),
    ("ledger.reconcile", findings::reconcile),
    ("ledger.findings", findings::list),
    ("ledger.acknowledge", findings::acknowledge),
    ("ledger.repair", findings::repair),
    ("ledger.rebuild", findings::rebuild),
    ("ledger.unfreeze", findings::unfreeze),
    ("alerts.test", findings::test_alert),
    ("models.list", catalog::models),
    ("prices.list", catalog::prices),
    ("prices.refresh", catalog::refresh),
    ("doctor", doctor::doctor),
];

pub(super) fn run(gateway: &Gateway, operation: &str, arguments: &[u8]) -> Result<Vec<u8>> {
    let Some((_, run)) = OPERATIONS.iter().find(|(name, _)| *name == operation) else {
        let names: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).collect();
        return Err(Error::new(ErrorKind::NotFound, format!("there is no operation '{operation}'; there are: {}", names.join(", "))));
    };
    let value = run(gateway, arguments)?;
    serde_json::to_vec(&value).map_err(|error| Error::new(ErrorKind::Internal, "the answer cannot be written").with_cause(error))
}

/// Reads an operation's arguments; an unknown or missing member is named.
fn read<T: DeserializeOwned>(arguments: &[u8]) -> Result<T> {
    serde_json::from_slice(arguments).map_err(|error| Error::new(ErrorKind::InvalidRequest, format!("wrong arguments: {error}")))
}
