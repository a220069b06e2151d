//! Owns: the platform's own accounts: what builders have earned; corrections, payouts to the bank, providers' invoices.
//! Refuses to know: what made them necessary (reconciliation, people).

use super::booking::{Booked, amount, book, refuse, some_amount, text};
use super::findings::{Proposed, answer};
use super::known::{check_account, known_provider};
use super::wallet::payment_provider;
use super::{NoArguments, read};
use crate::app::Gateway;
use crate::app::gateway::op_id;
use crate::base::{Money, Result};
use crate::domain::ledger::{AccountPath, Action, Adjust, Balance, Invoice, LedgerReader, Payout};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdjustArguments {
    debit: String,
    credit: String,
    amount: String,
    reason: String,
    /// What makes it the same correction as another.
    reference: Option<String>,
    /// The finding it answers: the same as its repair by an entry of one's own.
    finding: Option<String>,
}

pub(super) fn adjust(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: AdjustArguments = read(arguments)?;
    let reason = text(&asked.reason, "reason")?;
    for path in [&asked.debit, &asked.credit] {
        check_account(gateway, path)?;
    }
    let amount = some_amount(&asked.amount, "amount")?;
    let booked = match (&asked.finding, &asked.reference) {
        (Some(finding), None) => {
            let entry =
                Proposed { debit: asked.debit.clone(), credit: asked.credit.clone(), amount_nano: amount.as_nano(), reason: String::new() };
            answer(gateway, actor, &reason, &text(finding, "finding")?, &[entry])?.pop().unwrap_or(Booked::NOTHING)
        }
        (None, Some(reference)) => {
            let adjust = Adjust {
                debit: asked.debit.as_str().into(),
                credit: asked.credit.as_str().into(),
                amount_nano: amount.as_nano(),
                finding: None,
            };
            let op = op_id(&["adjust", "reference", &text(reference, "reference")?]);
            let subject = format!("{} -> {}", asked.debit, asked.credit);
            book(gateway, op, actor, &reason, Action::Adjust(adjust), &subject)?
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(refuse("a correction needs a reference or the finding it answers: sent twice, it counts once", "reference"));
        }
    };
    Ok(told(&booked, &json!({ "debit": asked.debit, "credit": asked.credit, "amount": amount })))
}

/// What each builder has earned (refunds taken off) and what is still to be paid out. A payment is an adjustment from the account
/// to the bank.
pub(super) fn builders(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let NoArguments {} = read(arguments)?;
    let view = |(name, balance): &(std::sync::Arc<str>, Balance)| {
        json!({
            "builder": **name,
            "account": AccountPath::Builder(name).to_string(),
            "credited": Money::nano(balance.credits),
            "debited": Money::nano(balance.debits),
            "owed": Money::nano(balance.credit_balance()),
        })
    };
    let builders: Vec<Value> = gateway.ledger.builders()?.iter().map(view).collect();
    Ok(json!({ "currency": "USD", "builders": builders }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayoutArguments {
    payment_provider: Option<String>,
    amount: String,
    /// The payout's id at the payment provider.
    reference: String,
}

pub(super) fn payout(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: PayoutArguments = read(arguments)?;
    let provider = payment_provider(asked.payment_provider.as_deref())?;
    let (amount, reference) = (some_amount(&asked.amount, "amount")?, text(&asked.reference, "reference")?);
    let payout = Payout { payment_provider: provider.as_str().into(), amount_nano: amount.as_nano() };
    let booked = book(gateway, op_id(&["payout", &provider, &reference]), actor, &reference, Action::Payout(payout), &provider)?;
    Ok(told(&booked, &json!({ "payment_provider": provider, "amount": amount })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InvoiceArguments {
    provider: String,
    /// What our books say is owed for the invoice's period.
    accrued: String,
    paid: String,
    /// The invoice's number.
    reference: String,
}

pub(super) fn invoice(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: InvoiceArguments = read(arguments)?;
    let (provider, reference) = (known_provider(gateway, &asked.provider)?, text(&asked.reference, "reference")?);
    let (accrued, paid) = (amount(&asked.accrued, "accrued")?, amount(&asked.paid, "paid")?);
    if accrued.is_zero() && paid.is_zero() {
        return Err(refuse("the invoice must be more than zero", "paid"));
    }
    let invoice = Invoice { provider: provider.as_str().into(), accrued_nano: accrued.as_nano(), paid_nano: paid.as_nano() };
    let booked = book(gateway, op_id(&["invoice", &provider, &reference]), actor, &reference, Action::Invoice(invoice), &provider)?;
    let variance = Money::nano(paid.as_nano() - accrued.as_nano());
    Ok(told(&booked, &json!({ "provider": provider, "accrued": accrued, "paid": paid, "variance": variance })))
}

fn told(booked: &Booked, what: &Value) -> Value {
    let mut shown = what.clone();
    shown["entry_seq"] = booked.seq.into();
    shown["duplicate"] = booked.duplicate.into();
    shown
}
