//! Owns: the table of Stripe's event types that move money, and what each says.
//! Refuses to know: what is booked of it.

use super::fact::{Amount, Event, Fact};
use super::objects::{
    BalanceTransaction, Charge, CheckoutSession, Dispute, Envelope, Expandable, Invoice, List, Metadata, Mode, Named, PaymentIntent,
    Payout, Refund,
};
use super::transactions;
use serde::de::DeserializeOwned;

/// Longer than any id of Stripe's.
const ID_LIMIT_BYTES: usize = 255;
/// From this version on every refund has events of its own.
const REFUND_EVENTS_SINCE: &str = "2024-10-28";

/// Facts, or why there are none.
pub(super) type Told = Result<Vec<Fact>, &'static str>;

pub(super) fn event(envelope: &Envelope<'_>) -> Result<Event, String> {
    let told = match envelope.object.as_str() {
        "event" if envelope.account.is_some() => Err("it is about another account, connected to yours"),
        "event" => facts(envelope).map_err(|error| format!("the event {} ({}): {error}", envelope.id, envelope.kind))?,
        "balance_transaction" => {
            transactions::facts(envelope).map_err(|error| format!("the balance transaction {}: {error}", envelope.id))?
        }
        other => return Err(format!("'{other}' is neither an event nor a balance transaction of Stripe")),
    };
    let (facts, note) = told.map_or_else(|why| (Vec::new(), why), |facts| (facts, ""));
    for fact in &facts {
        check(fact)?;
    }
    let kind = if envelope.object == "event" { &envelope.kind } else { &envelope.object };
    let of_source = || serde_json::from_str::<Mode>(envelope.source?.get()).ok()?.livemode;
    let live = envelope.livemode.or_else(of_source);
    Ok(Event {
        id: envelope.id.clone(),
        kind: kind.clone(),
        created_s: envelope.created,
        live,
        facts,
        moves_balance: envelope.object == "balance_transaction",
        note,
    })
}

/// The table. An event type that is not in it moves no money, or another one says the same.
fn facts(envelope: &Envelope<'_>) -> Result<Told, String> {
    match envelope.kind.as_str() {
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => session(object(envelope)?),
        "payment_intent.succeeded" => Ok(intent(object(envelope)?)),
        "invoice.paid" => Ok(invoice(object(envelope)?)),
        "charge.succeeded" | "charge.captured" | "charge.updated" => Ok(charge_fee(&object(envelope)?)),
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => Ok(Ok(vec![refund(object(envelope)?)?])),
        "charge.refunded" => refunds(object(envelope)?, envelope.api_version.as_deref()),
        "charge.dispute.created" => opened_or_closed(object(envelope)?, false),
        "charge.dispute.funds_withdrawn" => dispute(object(envelope)?, false),
        "charge.dispute.funds_reinstated" => dispute(object(envelope)?, true),
        "charge.dispute.closed" => {
            let closed: Dispute = object(envelope)?;
            let won = closed.status == "won";
            opened_or_closed(closed, won)
        }
        "payout.paid" => Ok(Ok(vec![payout(object(envelope)?, false)])),
        "payout.failed" => Ok(Ok(vec![payout(object(envelope)?, true)])),
        _ => Ok(Err("no money is moved by events of this type, or another event says so")),
    }
}

fn object<T: DeserializeOwned>(envelope: &Envelope<'_>) -> Result<T, String> {
    let data = envelope.data.as_ref().ok_or("it has no data")?;
    serde_json::from_str(data.object.get()).map_err(|error| error.to_string())
}

/// Ids become references and parts of accounts' names; amounts are more than zero, but for what may go either way.
fn check(fact: &Fact) -> Result<(), String> {
    let is_id =
        |id: &str| !id.is_empty() && id.len() <= ID_LIMIT_BYTES && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let payment = match fact {
        Fact::Received { payment, .. }
        | Fact::Refunded { payment, .. }
        | Fact::Disputed { payment, .. }
        | Fact::Reinstated { payment, .. } => Some(payment),
        Fact::Fee { payment, .. } => payment.as_ref(),
        Fact::PaidOut { .. } => None,
    };
    if let Some(wrong) = [Some(fact.reference()), payment.map(String::as_str)].into_iter().flatten().find(|id| !is_id(id)) {
        return Err(format!("'{wrong}' is no id of Stripe's"));
    }
    let either_way = matches!(fact, Fact::Fee { .. } | Fact::PaidOut { .. });
    let minor = fact.amount().minor;
    if minor > 0 || (either_way && minor != 0) {
        Ok(())
    } else {
        Err(format!("{}: {} is no amount to book", fact.reference(), fact.amount()))
    }
}

pub(super) fn wallet(metadata: Option<Metadata>) -> Option<String> {
    metadata.and_then(|metadata| metadata.wallet).filter(|wallet| !wallet.trim().is_empty())
}

fn session(session: CheckoutSession) -> Result<Told, String> {
    if session.payment_status != "paid" {
        return Ok(Err("nothing has been paid yet, or nothing is to be paid"));
    }
    let Some(payment) = session.payment_intent.map(Expandable::into_id) else {
        return Ok(Err("a subscription is paid by its invoices: invoice.paid or payment_intent.succeeded says so"));
    };
    let (Some(minor), Some(currency)) = (session.amount_total, session.currency) else {
        return Err("it was paid and has no amount".to_owned());
    };
    // In a payment link the reference is a part of the address: the payer writes it.
    let reference = session.client_reference_id.filter(|wallet| session.payment_link.is_none() && !wallet.trim().is_empty());
    let wallet = wallet(session.metadata).or(reference);
    Ok(received(payment, wallet, Amount { minor, currency }))
}

pub(super) fn received(payment: String, wallet: Option<String>, amount: Amount) -> Told {
    if amount.minor == 0 { Err("nothing was to be paid") } else { Ok(vec![Fact::Received { payment, wallet, amount }]) }
}

fn intent(intent: PaymentIntent) -> Told {
    let amount = Amount { minor: intent.amount_received, currency: intent.currency };
    let mut facts = received(intent.id, wallet(intent.metadata), amount)?;
    if let Some(Expandable::Whole(charge)) = &intent.latest_charge {
        facts.extend(charge_fee(charge).unwrap_or_default());
    }
    Ok(facts)
}

fn invoice(invoice: Invoice) -> Told {
    let Some(payment) = invoice.payment_intent.map(Expandable::into_id) else {
        return Err("it names no payment intent: payment_intent.succeeded says that it was paid");
    };
    let own = wallet(invoice.metadata);
    let wallet = own.or_else(|| invoice.subscription_details.and_then(|details| wallet(details.metadata)));
    received(payment, wallet, Amount { minor: invoice.amount_paid, currency: invoice.currency })
}

/// The payment that something is about.
fn payment(intent: Option<Expandable<Named>>, charge: Option<Expandable<Named>>) -> Result<String, String> {
    intent.or(charge).map(Expandable::into_id).ok_or_else(|| "it names no payment".to_owned())
}

fn charge_fee(charge: &Charge) -> Told {
    let Some(Expandable::Whole(transaction)) = &charge.balance_transaction else {
        return Err("Stripe's fee stands in the balance transaction, which is not part of the event: book it from a list of them");
    };
    fee(transaction, Some(charge.payment())).map(|fee| vec![fee]).ok_or("Stripe keeps nothing of it")
}

pub(super) fn fee(transaction: &BalanceTransaction, payment: Option<String>) -> Option<Fact> {
    let amount = Amount { minor: transaction.fee, currency: transaction.currency.clone() };
    (amount.minor != 0).then(|| Fact::Fee { transaction: transaction.id.clone(), payment, amount })
}

pub(super) fn refund(refund: Refund) -> Result<Fact, String> {
    let failed = match refund.status.as_deref() {
        Some("failed" | "canceled") => true,
        // Stripe takes the money from our balance as soon as it has been asked for.
        Some("succeeded" | "pending" | "requires_action") | None => false,
        Some(other) => return Err(format!("the status '{other}' of a refund is not known")),
    };
    Ok(Fact::Refunded {
        payment: payment(refund.payment_intent, refund.charge)?,
        refund: refund.id,
        cash_out: refund.metadata.and_then(|metadata| metadata.cash_out).filter(|name| is_reference(name)),
        amount: Amount { minor: refund.amount, currency: refund.currency },
        failed,
    })
}

/// A text as the ledger takes it for a reference.
fn is_reference(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= ID_LIMIT_BYTES && !text.chars().any(char::is_control)
}

/// Of versions whose charges hold their refunds. Between those and the ones with events for refunds nothing names a refund, and what
/// has no name cannot be booked once.
fn refunds(charge: Charge, version: Option<&str>) -> Result<Told, String> {
    if let Some(List { data }) = charge.refunds.filter(|refunds| !refunds.data.is_empty()) {
        return data.into_iter().map(refund).collect::<Result<Vec<_>, _>>().map(Ok);
    }
    match version {
        Some(version) if version < REFUND_EVENTS_SINCE => Err(format!(
            "version {version} of Stripe's API does not name refunds; set the webhook endpoint's version to {REFUND_EVENTS_SINCE} or newer \
             and let it send refund.created, refund.updated and refund.failed"
        )),
        Some(_) | None => Ok(Err("refund.created, refund.updated and refund.failed say the same, with the refund's id")),
    }
}

/// As far as it has taken money: an inquiry, and a dispute that was prevented, have not.
fn opened_or_closed(told: Dispute, won: bool) -> Result<Told, String> {
    if told.balance_transactions.is_empty() {
        Ok(Err("an inquiry, or a dispute that was prevented: no money has moved"))
    } else {
        dispute(told, won)
    }
}

/// A dispute that has taken money, and given it back.
pub(super) fn dispute(dispute: Dispute, reinstated: bool) -> Result<Told, String> {
    let payment = payment(dispute.payment_intent, dispute.charge)?;
    let amount = Amount { minor: dispute.amount, currency: dispute.currency };
    let mut facts = vec![Fact::Disputed { dispute: dispute.id.clone(), payment: payment.clone(), amount: amount.clone() }];
    if reinstated {
        facts.push(Fact::Reinstated { dispute: dispute.id, payment, amount });
    }
    facts.extend(dispute.balance_transactions.iter().filter_map(|transaction| fee(transaction, None)));
    Ok(Ok(facts))
}

pub(super) fn payout(payout: Payout, failed: bool) -> Fact {
    Fact::PaidOut { payout: payout.id, amount: Amount { minor: payout.amount, currency: payout.currency }, failed }
}
