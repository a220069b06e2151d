//! Owns: payments that came from outside, for administrators: what waits for a wallet, which one it gets, events that were missed.
//! Refuses to know: payment providers' formats, and what an event does to the ledger (`app/payments`).

use super::booking::{name, refuse, submit, told};
use super::wallet::{after, find};
use super::{NoArguments, read};
use crate::app::Gateway;
use crate::app::payments::{STRIPE, arrival, assignment};
use crate::base::{Error, ErrorKind, Result};
use crate::domain::ledger::{AccountPath, Action, AssignPayment, EventKind, LedgerReader, Refusal, TopUp};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) fn unassigned(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let NoArguments {} = read(arguments)?;
    let waiting: Vec<Value> = gateway
        .ledger
        .unassigned()?
        .into_iter()
        .filter_map(|(path, left)| {
            let AccountPath::Unassigned(provider, payment) = AccountPath::parse(&path)? else { return None };
            Some(json!({ "payment": payment, "payment_provider": provider, "left": left, "account": path }))
        })
        .collect();
    Ok(json!({ "payments": waiting }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Assign {
    /// As the payment provider calls it.
    payment: String,
    wallet: String,
}

/// Once: money that a wallet has is that wallet's.
pub(super) fn assign(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: Assign = read(arguments)?;
    let (payment, wallet) = (asked.payment.as_str(), name(&asked.wallet, "wallet")?);
    find(gateway, &wallet)?;
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no payment '{payment}'; see `gotoai payments unassigned`"));
    let entry = gateway.ledger.operation(arrival(payment))?.ok_or_else(unknown)?;
    if entry.kind != EventKind::PaymentUnassigned {
        let TopUp { wallet, .. } = told(&entry)?;
        return Err(refuse(format!("the payment '{payment}' has gone to the wallet '{wallet}'"), "payment"));
    }
    let action = AssignPayment { payment: payment.into(), wallet: wallet.as_str().into(), payment_provider: STRIPE.into() };
    let booked = submit(gateway, assignment(payment), actor, payment, Action::Assign(action))?.map_err(|refusal| match refusal {
        Refusal::Conflict => {
            let why = format!("the payment '{payment}' has gone to another wallet; to move it, cash it out there and top up '{wallet}'");
            Error::new(ErrorKind::Conflict, why).with_param("wallet")
        }
        other => other.to_error(payment),
    })?;
    gateway.settled_with(payment)?;
    after(gateway, &wallet, &booked)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    /// The text of a file.
    content: String,
}

pub(super) fn replay(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let Replay { content } = read(arguments)?;
    gateway.replay_events(actor, content.as_bytes())
}
