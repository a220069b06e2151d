//! Owns: what Stripe's balance transactions say: every movement of our balance there, with what Stripe keeps of it, and its source.
//! Refuses to know: events. What both tell is the same fact, under the same id.

use super::events::{Told, dispute, fee, payout, received, refund, wallet};
use super::fact::Amount;
use super::objects::{BalanceTransaction, Charge, Envelope, Named};
use serde::de::DeserializeOwned;

pub(super) fn facts(envelope: &Envelope<'_>) -> Result<Told, String> {
    let currency = envelope.currency.clone().ok_or("it has no currency")?;
    let category = envelope.reporting_category.as_deref().unwrap_or_default();
    let mut payment = None;
    let mut minor = envelope.fee.ok_or("it has no fee")?;
    let told = match (envelope.kind.as_str(), category) {
        ("charge" | "payment", _) => {
            let charge: Charge = source(envelope)?;
            payment = Some(charge.payment());
            arrived(charge)
        }
        // Its own state says whether it failed.
        ("refund" | "payment_refund" | "refund_failure" | "payment_failure_refund", _) => Ok(vec![refund(source(envelope)?)?]),
        (_, "dispute") => dispute(source(envelope)?, false)?,
        (_, "dispute_reversal") => dispute(source(envelope)?, true)?,
        ("payout", _) => Ok(vec![payout(source(envelope)?, false)]),
        ("payout_failure" | "payout_cancel", _) => Ok(vec![payout(source(envelope)?, true)]),
        // Stripe's bill for its services: all of it is a fee.
        ("stripe_fee", _) => {
            minor = envelope.amount.and_then(i64::checked_neg).ok_or("it has no amount")?;
            Ok(Vec::new())
        }
        _ => Err("movements of this type are not booked by themselves: book it with `gotoai ledger adjust`"),
    };
    Ok(told.map(|mut facts| {
        facts.extend(fee(&BalanceTransaction { id: envelope.id.clone(), fee: minor, currency }, payment));
        facts
    }))
}

fn arrived(charge: Charge) -> Told {
    let amount = Amount { minor: charge.amount_captured.unwrap_or(charge.amount), currency: charge.currency.clone() };
    received(charge.payment(), wallet(charge.metadata), amount)
}

/// The object that moved the money, which a list holds only when it was asked for.
fn source<T: DeserializeOwned>(envelope: &Envelope<'_>) -> Result<T, String> {
    let whole = envelope.source.filter(|source| serde_json::from_str::<Named>(source.get()).is_ok());
    let whole = whole.ok_or("what moved the money is not in it: export the list with its sources (expand[]=data.source)")?;
    serde_json::from_str(whole.get()).map_err(|error| error.to_string())
}
