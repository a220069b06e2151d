//! Owns: wallets for administrators: open, top up, look. Money comes and goes as decimal text.

use super::booking::{Booked, amount, book, name, some_amount, submit, text};
use super::{NoArguments, read};
use crate::app::Gateway;
use crate::app::gateway::op_id;
use crate::base::{Error, ErrorKind, Money, Result};
use crate::domain::ledger::{Action, GrantSummary, Ledger, OpenWallet, Refusal, TopUp, WalletKind, WalletSummary};
use serde::Deserialize;
use serde_json::{Value, json};

/// Where money comes from when nobody names a payment provider.
pub(super) const MANUAL: &str = "manual";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    wallet: String,
    kind: WalletKind,
    credit_limit: Option<String>,
}

pub(super) fn create(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: Create = read(arguments)?;
    let wallet = name(&asked.wallet, "wallet")?;
    let credit_limit = asked.credit_limit.map(|text| amount(&text, "credit_limit")).transpose()?;
    let open = OpenWallet { wallet: wallet.as_str().into(), kind: asked.kind, credit_limit_nano: credit_limit.map(Money::as_nano) };
    let booked = submit(gateway, op_id(&["open_wallet", &wallet]), actor, &wallet, Action::OpenWallet(open))?;
    let booked = booked.map_err(|refusal| match refusal {
        Refusal::Conflict => {
            let why =
                format!("there is a wallet '{wallet}' already, of another kind or credit limit; `gotoai wallet terms` changes a limit");
            Error::new(ErrorKind::Conflict, why).with_param("wallet")
        }
        other => other.to_error(&wallet),
    })?;
    after(gateway, &wallet, &booked)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopUpArguments {
    wallet: String,
    amount: String,
    /// The business fact, such as a payment's id: the same one is booked once.
    reference: String,
    fee: Option<String>,
    payment_provider: Option<String>,
}

pub(super) fn topup(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: TopUpArguments = read(arguments)?;
    let reference = text(&asked.reference, "reference")?;
    let provider = payment_provider(asked.payment_provider.as_deref())?;
    let fee = asked.fee.map(|text| amount(&text, "fee")).transpose()?.unwrap_or(Money::ZERO);
    let top_up = TopUp {
        wallet: asked.wallet.as_str().into(),
        amount_nano: some_amount(&asked.amount, "amount")?.as_nano(),
        fee_nano: fee.as_nano(),
        payment_provider: provider.as_str().into(),
    };
    let op = op_id(&["top_up", &provider, &reference]);
    let booked = book(gateway, op, actor, &reference, Action::TopUp(top_up), &asked.wallet)?;
    after(gateway, &asked.wallet, &booked)
}

/// Part of an account's path.
pub(super) fn payment_provider(given: Option<&str>) -> Result<String> {
    given.map_or_else(|| Ok(MANUAL.to_owned()), |given| name(given, "payment_provider"))
}

/// The wallet as it is now, with what became of the booking.
pub(super) fn after(gateway: &Gateway, wallet: &str, booked: &Booked) -> Result<Value> {
    let mut shown = view(&find(gateway, wallet)?);
    shown["entry_seq"] = booked.seq.into();
    shown["duplicate"] = booked.duplicate.into();
    Ok(shown)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Balance {
    wallet: String,
}

pub(super) fn balance(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Balance { wallet } = read(arguments)?;
    find(gateway, &wallet).map(|found| view(&found))
}

pub(super) fn list(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let NoArguments {} = read(arguments)?;
    let wallets: Vec<Value> = gateway.ledger.wallets()?.iter().map(view).collect();
    Ok(json!({ "wallets": wallets }))
}

pub(super) fn find(gateway: &Gateway, name: &str) -> Result<WalletSummary> {
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no wallet '{name}'; make it with `gotoai wallet create {name}`"));
    gateway.ledger.wallet(name)?.ok_or_else(unknown)
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
        "granted": wallet.granted,
        "grants": wallet.grants.iter().map(grant).collect::<Vec<_>>(),
        "paying_out": wallet.paying_out,
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

fn grant(grant: &GrantSummary) -> Value {
    json!({
        "grant": &*grant.name,
        "left": grant.left,
        "priority": grant.priority,
        "expires_at": grant.expires_at.map(|at| at.to_string()),
    })
}
