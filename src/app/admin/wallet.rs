//! Owns: wallets for administrators: open, top up, look. Money comes and goes as decimal text.

use super::read;
use crate::app::Gateway;
use crate::app::gateway::op_id;
use crate::base::{Error, ErrorKind, Money, Result};
use crate::domain::ledger::{Action, Command, Ledger, OpenWallet, Operation, Reply, TopUp, WalletKind, WalletSummary};
use serde::Deserialize;
use serde_json::{Value, json};

const NAME_LIMIT_BYTES: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    wallet: String,
    kind: WalletKind,
    credit_limit: Option<String>,
}

fn amount(text: &str, param: &'static str) -> Result<Money> {
    let refuse = |why: String| Error::new(ErrorKind::InvalidRequest, why).with_param(param);
    let amount: Money = text.parse().map_err(refuse)?;
    if amount.is_negative() { Err(refuse(format!("'{text}' is negative"))) } else { Ok(amount) }
}

/// Names become parts of account paths.
fn checked_name(name: String) -> Result<String> {
    let fits = !name.is_empty() && name.len() <= NAME_LIMIT_BYTES && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let why = format!("a wallet's name has 1 to {NAME_LIMIT_BYTES} letters, digits, '-', '_' or '.'");
    if fits { Ok(name) } else { Err(Error::new(ErrorKind::InvalidRequest, why).with_param("wallet")) }
}

/// Submits a cold command and waits until it is durable; true if it had been done before.
pub(super) fn book(gateway: &Gateway, operation: Operation, wallet: &str) -> Result<(i64, bool)> {
    match gateway.ledger.submit(Command::Operate(Box::new(operation))).wait_blocking()? {
        Reply::Done { seq, duplicate } => Ok((seq, duplicate)),
        Reply::Refused(refusal) => Err(refusal.to_error(wallet)),
        other @ (Reply::Held { .. } | Reply::Settled { .. }) => {
            Err(Error::new(ErrorKind::LedgerUnavailable, "the ledger failed on this command").with_cause(format!("{other:?}")))
        }
    }
}

pub(super) fn create(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Create { wallet, kind, credit_limit } = read(arguments)?;
    let wallet = checked_name(wallet)?;
    let credit_limit = credit_limit.map(|text| amount(&text, "credit_limit")).transpose()?;
    let op = op_id(&["open_wallet", &wallet]);
    let open = OpenWallet { wallet: wallet.as_str().into(), kind, credit_limit_nano: credit_limit.map(Money::as_nano) };
    let operation = Operation { op, actor: "admin".into(), reference: "".into(), action: Action::OpenWallet(open) };
    book(gateway, operation, &wallet)?;
    find(gateway, &wallet)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopUpArguments {
    wallet: String,
    amount: String,
    /// The business fact, such as a payment's id: the same one is booked once.
    reference: String,
    fee: Option<String>,
}

pub(super) fn topup(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let asked: TopUpArguments = read(arguments)?;
    let paid = amount(&asked.amount, "amount")?;
    if paid.is_zero() {
        return Err(Error::new(ErrorKind::InvalidRequest, "the amount must be more than zero").with_param("amount"));
    }
    if asked.reference.trim().is_empty() || asked.reference.len() > 256 {
        return Err(Error::new(ErrorKind::InvalidRequest, "a top-up needs a reference of 1 to 256 bytes").with_param("reference"));
    }
    let fee = asked.fee.map(|text| amount(&text, "fee")).transpose()?.unwrap_or(Money::ZERO);
    let top_up = TopUp {
        wallet: asked.wallet.as_str().into(),
        amount_nano: paid.as_nano(),
        fee_nano: fee.as_nano(),
        payment_provider: "manual".into(),
    };
    let operation = Operation {
        op: op_id(&["top_up", "manual", &asked.reference]),
        actor: "admin".into(),
        reference: asked.reference.as_str().into(),
        action: Action::TopUp(top_up),
    };
    let (seq, duplicate) = match book(gateway, operation, &asked.wallet) {
        Err(error) if error.kind == ErrorKind::Conflict => {
            let why = format!("the reference '{}' was already booked with another amount or wallet", asked.reference);
            return Err(Error::new(ErrorKind::Conflict, why).with_param("reference"));
        }
        booked => booked?,
    };
    let mut shown = find(gateway, &asked.wallet)?;
    shown["entry_seq"] = seq.into();
    shown["duplicate"] = duplicate.into();
    Ok(shown)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Balance {
    wallet: String,
}

pub(super) fn balance(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Balance { wallet } = read(arguments)?;
    find(gateway, &wallet)
}

pub(super) fn list(gateway: &Gateway, _: &[u8]) -> Result<Value> {
    let wallets: Vec<Value> = gateway.ledger.wallets()?.iter().map(view).collect();
    Ok(json!({ "wallets": wallets }))
}

fn find(gateway: &Gateway, name: &str) -> Result<Value> {
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no wallet '{name}'; make it with `gotoai wallet create {name}`"));
    Ok(view(&gateway.ledger.wallet(name)?.ok_or_else(unknown)?))
}

/// Spend is shown with its error bar: what is known, and what it may grow by at most.
fn view(wallet: &WalletSummary) -> Value {
    let uncertain = wallet.spent_provisional.checked_add(wallet.held).unwrap_or(Money::MAX);
    json!({
        "wallet": &*wallet.name,
        "kind": wallet.kind,
        "currency": "USD",
        "available": wallet.available,
        "held": wallet.held,
        "cash": wallet.cash,
        "owed": wallet.owed,
        "credit_limit": wallet.credit_limit,
        "frozen": wallet.frozen,
        "spent_known": wallet.spent_known,
        "spent_provisional": wallet.spent_provisional,
        "spent_uncertain_max": uncertain,
        "unpriced_orders": wallet.unpriced_orders,
        "open_orders": wallet.open_orders,
    })
}
