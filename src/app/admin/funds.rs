//! Owns: money given, given back, and taken back by its payer: grants, refunds, cash-outs, chargebacks.
//! Refuses to know: payment providers' formats (`app/payments`).

use super::booking::{Booked, book, name, recorded, refuse, some_amount, text, told};
use super::read;
use super::wallet::{after, payment_provider};
use crate::app::Gateway;
use crate::app::gateway::op_id;
use crate::app::payments::returned;
use crate::base::{Error, ErrorKind, Money, OrderId, Result};
use crate::domain::ledger::{Action, EventKind, GrantMoney, Ledger, LedgerReader, Payment, Refund, TopUp};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    wallet: String,
    grant: String,
    amount: String,
    #[serde(default)]
    priority: u8,
    expires_at_ms: Option<i64>,
    /// Granting again under the same name adds to it; the reference tells that from a repetition.
    reference: Option<String>,
}

pub(super) fn grant(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: Grant = read(arguments)?;
    let grant = name(&asked.grant, "grant")?;
    let reference = text(asked.reference.as_deref().unwrap_or(&grant), "reference")?;
    let given = GrantMoney {
        wallet: asked.wallet.as_str().into(),
        grant: grant.as_str().into(),
        amount_nano: some_amount(&asked.amount, "amount")?.as_nano(),
        priority: asked.priority,
        expires_at_ms: asked.expires_at_ms,
    };
    let op = op_id(&["grant", &asked.wallet, &grant, &reference]);
    if asked.expires_at_ms.is_some_and(|at| at <= gateway.clock.now().0) && gateway.ledger.operation(op)?.is_none() {
        return Err(refuse("the grant would have expired already", "expires_at_ms"));
    }
    let booked = book(gateway, op, actor, &reference, Action::Grant(given), &asked.wallet)?;
    after(gateway, &asked.wallet, &booked)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundArguments {
    order: String,
    /// Without: all that is left of the charge.
    amount: Option<String>,
    reason: String,
    /// What makes this refund the same as another. Without: the reason.
    reference: Option<String>,
}

pub(super) fn refund(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: RefundArguments = read(arguments)?;
    let id: OrderId = asked.order.parse().map_err(|()| refuse(format!("'{}' is not an order id (ord_…)", asked.order), "order"))?;
    let reason = text(&asked.reason, "reason")?;
    let reference = text(asked.reference.as_deref().unwrap_or(&reason), "reference")?;
    let op = op_id(&["refund", &id.to_string(), &reference]);
    let order = gateway.ledger.order(id)?.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no order '{id}'")))?;
    let amount_nano = match &asked.amount {
        Some(text) => some_amount(text, "amount")?.as_nano(),
        // All of it, the second time as the first.
        None => match recorded::<Refund>(gateway, op)? {
            Some(earlier) => earlier.amount_nano,
            None => order.order.charge.unwrap_or(Money::ZERO).as_nano() - order.order.refunded.as_nano(),
        },
    };
    let refund = Refund { order: id.to_string(), amount_nano };
    let booked = book(gateway, op, actor, &reason, Action::Refund(refund), &id.to_string())?;
    let mut shown = after(gateway, &order.wallet, &booked)?;
    shown["order"] = id.to_string().into();
    shown["refunded"] = Money::nano(amount_nano).to_string().into();
    Ok(shown)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaymentArguments {
    wallet: String,
    amount: String,
    reference: String,
    payment_provider: Option<String>,
}

impl PaymentArguments {
    fn payment(&self) -> Result<(Payment, String)> {
        let provider = payment_provider(self.payment_provider.as_deref())?;
        let amount_nano = some_amount(&self.amount, "amount")?.as_nano();
        let payment = Payment { wallet: self.wallet.as_str().into(), amount_nano, payment_provider: provider.as_str().into() };
        Ok((payment, text(&self.reference, "reference")?))
    }
}

pub(super) fn cash_out(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: PaymentArguments = read(arguments)?;
    let (payment, reference) = asked.payment()?;
    let op = op_id(&["cash_out", &payment.payment_provider, &reference]);
    let booked = book(gateway, op, actor, &reference, Action::CashOut(payment), &asked.wallet)?;
    after(gateway, &asked.wallet, &booked)
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CashOutResult {
    Paid,
    Failed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CashOutEnd {
    /// That of the cash-out.
    reference: String,
    result: CashOutResult,
    payment_provider: Option<String>,
}

/// Wallet and amount are those of the cash-out; it ends once, one way or the other.
pub(super) fn cash_out_end(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: CashOutEnd = read(arguments)?;
    let provider = payment_provider(asked.payment_provider.as_deref())?;
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no cash-out '{}' at '{provider}'", asked.reference));
    let entry = gateway.ledger.operation(op_id(&["cash_out", &provider, &asked.reference]))?.ok_or_else(unknown)?;
    let payment: Payment = told(&entry)?;
    let wallet = payment.wallet.clone();
    if entry.kind == EventKind::PaidBack {
        return end_paid_back(gateway, actor, &asked, payment);
    }
    let action = match asked.result {
        CashOutResult::Paid => Action::CashOutPaid(payment),
        CashOutResult::Failed => Action::CashOutFailed(payment),
    };
    let op = op_id(&["cash_out_end", &provider, &asked.reference]);
    let booked = book(gateway, op, actor, &asked.reference, action, &wallet)?;
    after(gateway, &wallet, &booked)
}

/// The payment provider told of it, so it was paid from the beginning; if it did not arrive, the money is back.
fn end_paid_back(gateway: &Gateway, actor: &str, asked: &CashOutEnd, payment: Payment) -> Result<Value> {
    let Payment { wallet, amount_nano, payment_provider } = payment;
    let booked = match asked.result {
        CashOutResult::Paid => Booked::NOTHING,
        CashOutResult::Failed => {
            let op = returned(&payment_provider, &asked.reference);
            let back = TopUp { wallet: wallet.clone(), amount_nano, fee_nano: 0, payment_provider };
            book(gateway, op, actor, &asked.reference, Action::TopUp(back), &wallet)?
        }
    };
    after(gateway, &wallet, &booked)
}

pub(super) fn chargeback(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: PaymentArguments = read(arguments)?;
    let (payment, reference) = asked.payment()?;
    let op = op_id(&["chargeback", &payment.payment_provider, &reference]);
    let booked = book(gateway, op, actor, &reference, Action::Chargeback(payment), &asked.wallet)?;
    after(gateway, &asked.wallet, &booked)
}
