//! Owns: Stripe's objects as it writes them, with the members that matter here; all others are passed over.
//! Refuses to know: what they mean.

use serde::Deserialize;
use serde_json::value::RawValue;

/// An event; or, in files, another object by itself, which then has no `data`.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    pub(super) object: String,
    pub(super) id: String,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) created: i64,
    pub(super) livemode: Option<bool>,
    pub(super) api_version: Option<String>,
    /// Events of other accounts, which are connected to ours.
    pub(super) account: Option<String>,
    #[serde(borrow)]
    pub(super) data: Option<Data<'a>>,
    // Of a balance transaction by itself.
    pub(super) amount: Option<i64>,
    pub(super) fee: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) reporting_category: Option<String>,
    #[serde(borrow)]
    pub(super) source: Option<&'a RawValue>,
}

/// Of what moved the money: a balance transaction does not say it itself.
#[derive(Deserialize)]
pub(super) struct Mode {
    pub(super) livemode: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// An object, or its id where it was not asked for in full.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Expandable<T> {
    Id(String),
    Whole(Box<T>),
}

#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
}

impl Expandable<Named> {
    pub(super) fn into_id(self) -> String {
        match self {
            Self::Id(id) => id,
            Self::Whole(whole) => whole.id,
        }
    }
}

/// What whoever makes a payment or a refund has written on it for us.
#[derive(Default, Deserialize)]
pub(super) struct Metadata {
    pub(super) wallet: Option<String>,
    pub(super) cash_out: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    pub(super) amount_received: i64,
    pub(super) currency: String,
    pub(super) metadata: Option<Metadata>,
    pub(super) latest_charge: Option<Expandable<Charge>>,
}

#[derive(Deserialize)]
pub(super) struct CheckoutSession {
    pub(super) payment_status: String,
    pub(super) payment_intent: Option<Expandable<Named>>,
    pub(super) amount_total: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) client_reference_id: Option<String>,
    /// The link that the payer has followed, if it was one.
    pub(super) payment_link: Option<Expandable<Named>>,
    pub(super) metadata: Option<Metadata>,
}

#[derive(Deserialize)]
pub(super) struct Invoice {
    pub(super) amount_paid: i64,
    pub(super) currency: String,
    /// Up to 2025: later versions have it in another object.
    pub(super) payment_intent: Option<Expandable<Named>>,
    pub(super) metadata: Option<Metadata>,
    pub(super) subscription_details: Option<SubscriptionDetails>,
}

#[derive(Deserialize)]
pub(super) struct SubscriptionDetails {
    pub(super) metadata: Option<Metadata>,
}

#[derive(Deserialize)]
pub(super) struct Charge {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) amount_captured: Option<i64>,
    pub(super) currency: String,
    pub(super) metadata: Option<Metadata>,
    pub(super) payment_intent: Option<Expandable<Named>>,
    pub(super) balance_transaction: Option<Expandable<BalanceTransaction>>,
    /// Up to 2022: later versions tell of refunds by events of their own.
    pub(super) refunds: Option<List<Refund>>,
}

impl Charge {
    /// What the charge paid: its payment intent, or of old ones the charge itself.
    pub(super) fn payment(&self) -> String {
        match &self.payment_intent {
            Some(Expandable::Id(id)) => id.clone(),
            Some(Expandable::Whole(intent)) => intent.id.clone(),
            None => self.id.clone(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
}

#[derive(Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) charge: Option<Expandable<Named>>,
    pub(super) payment_intent: Option<Expandable<Named>>,
    pub(super) status: Option<String>,
    pub(super) metadata: Option<Metadata>,
}

#[derive(Deserialize)]
pub(super) struct Dispute {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) charge: Option<Expandable<Named>>,
    pub(super) payment_intent: Option<Expandable<Named>>,
    pub(super) status: String,
    #[serde(default)]
    pub(super) balance_transactions: Vec<BalanceTransaction>,
}

#[derive(Deserialize)]
pub(super) struct BalanceTransaction {
    pub(super) id: String,
    pub(super) fee: i64,
    pub(super) currency: String,
}

#[derive(Deserialize)]
pub(super) struct Payout {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
}
