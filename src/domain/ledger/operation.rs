//! Owns: cold commands: what people, payment providers and reconciliation do to the ledger, once per business fact.
//! Refuses to know: what follows from them (decide), who may ask for them (app).

use super::account::AccountPath;
use super::chain::{Hash, hex, sha256};
use super::command::Loss;
use super::event::{EventKind, SettlePayload};
use super::order::UsageSource;
use super::rated::{Rated, RatedTerms};
use super::settle::Amounts;
use super::state::WalletKind;
use super::terms::Terms;
use crate::base::{Exact, OpId, OrderId};
use crate::domain::catalog::Usage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One cold command. The same `op` with the same action counts once; with another action it is a conflict.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Made from the business fact (a payment's id), never from its delivery.
    pub op: OpId,
    pub actor: Arc<str>,
    /// The fact's own name (a payment's id) or, for corrections, why.
    pub reference: Arc<str>,
    pub action: Action,
}

/// What is done. Its members are the entry's payload, so they are part of the journal's format.
#[derive(Clone, Debug)]
pub enum Action {
    OpenWallet(OpenWallet),
    SetTerms(SetTerms),
    Freeze(WalletName),
    Thaw(WalletName),
    TopUp(TopUp),
    Grant(GrantMoney),
    Refund(Refund),
    TrueUp(Box<TrueUp>),
    CashOut(Payment),
    CashOutPaid(Payment),
    CashOutFailed(Payment),
    Chargeback(Payment),
    PaidBack(Payment),
    Unassigned(UnassignedPayment),
    Assign(AssignPayment),
    Payout(Payout),
    Invoice(Invoice),
    Adjust(Adjust),
    CloseGap(CloseGap),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWallet {
    pub wallet: Arc<str>,
    pub kind: WalletKind,
    /// Postpaid: the most that may be owed. Prepaid: how far an overrun may go into debt.
    pub credit_limit_nano: Option<i64>,
}

/// Terms and credit limit from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetTerms {
    pub wallet: Arc<str>,
    pub credit_limit_nano: Option<i64>,
    pub terms: Arc<Terms>,
    /// What they were made from; other terms in between are a conflict. `None`: whatever was agreed before. It is the state that is
    /// met, not the fact, so the journal does not have it.
    #[serde(skip)]
    pub replaces: Option<Agreed>,
}

/// Terms and credit limit that are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub credit_limit_nano: Option<i64>,
    pub terms: Arc<Terms>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletName {
    pub wallet: Arc<str>,
}

/// Money in; debts are repaid first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUp {
    pub wallet: Arc<str>,
    pub amount_nano: i64,
    /// What the payment provider keeps.
    pub fee_nano: i64,
    pub payment_provider: Arc<str>,
}

/// Money given: spent before cash, lowest `priority` first, then by day of expiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantMoney {
    pub wallet: Arc<str>,
    /// The grant's name, unique in its wallet; granting again adds to it.
    pub grant: Arc<str>,
    pub amount_nano: i64,
    pub priority: u8,
    pub expires_at_ms: Option<i64>,
}

/// All or part of a charge goes back to where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub order: String,
    pub amount_nano: i64,
}

/// Evidence for an order that was settled on an estimate or without a price, or a new rating of one that was not: in the
/// user's favour, or the difference is the platform's loss. Only what was never priced is charged now.
#[derive(Clone, Debug)]
pub struct TrueUp {
    pub order: OrderId,
    /// Who served, and so is owed more or less.
    pub provider: Arc<str>,
    pub endpoint: Option<Arc<str>>,
    pub rated: Option<Rated>,
    pub usage: Usage,
    pub usage_source: UsageSource,
    pub amounts: Amounts,
    /// Evidence about attempts that did not serve: what their providers really bill.
    pub losses: Vec<Loss>,
    /// What it corrects; `None`: no more is known of it than the order's row.
    pub follows: Option<Box<Follows>>,
}

/// The settlement that a true-up follows, as the journal has it: where its cost stands, and what stays true of it.
#[derive(Clone, Debug)]
pub struct Follows {
    /// Its entry. Another one in between is a conflict: what was made of this one would be out of date.
    pub seq: i64,
    pub settled: SettlePayload,
    /// The last entry when closed bills were looked for. One that was closed since is a conflict too.
    pub as_of_seq: i64,
    /// The account that a closed bill of the order's day has moved its difference to: what the provider is owed is the bill's from then
    /// on, and evidence only says what of it was this order's.
    pub closed: Option<Arc<str>>,
}

/// Money that goes back to the payer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub wallet: Arc<str>,
    pub amount_nano: i64,
    pub payment_provider: Arc<str>,
}

/// Money in that names no wallet, or none that there is: it waits in an account of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnassignedPayment {
    pub payment: Arc<str>,
    pub amount_nano: i64,
    pub payment_provider: Arc<str>,
}

/// What is left of an unassigned payment goes to a wallet; debts are repaid first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignPayment {
    pub payment: Arc<str>,
    pub wallet: Arc<str>,
    pub payment_provider: Arc<str>,
}

/// The payment provider pays out to the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    pub payment_provider: Arc<str>,
    pub amount_nano: i64,
}

/// A provider's invoice is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    pub provider: Arc<str>,
    /// What we had booked for its period.
    pub accrued_nano: i64,
    pub paid_nano: i64,
}

/// A compensating entry between any two accounts, named by path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjust {
    pub debit: Arc<str>,
    pub credit: Arc<str>,
    pub amount_nano: i64,
    /// The finding it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Arc<str>>,
}

/// A difference between a provider's bill and our books is accepted as the bill has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseGap {
    /// The gap's id: the figures on both sides.
    pub gap: Arc<str>,
    pub provider: Arc<str>,
    /// UTC, such as `2026-12-01`.
    pub day: Arc<str>,
    /// What of the day it is about: a model or another line of the bill, or all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Arc<str>>,
    /// The day is that of the calls' ends, not of their beginnings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_end: bool,
    /// What the bill counts beyond our orders, or (negative) does not, by counter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub explains: BTreeMap<Arc<str>, i64>,
    pub moves: Vec<Move>,
    /// The last entry when the books were compared: the state it meets, not the fact. An order that was corrected since is a conflict.
    #[serde(skip)]
    pub as_of_seq: i64,
}

/// A posting between accounts named by path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub debit: Arc<str>,
    pub credit: Arc<str>,
    pub amount_nano: i64,
}

/// The payload of a cold command's entry: who did it, why, and what.
#[derive(Debug, Serialize, Deserialize)]
pub struct Operated<T> {
    #[serde(flatten)]
    pub action: T,
    pub actor: Arc<str>,
    #[serde(default)]
    pub reference: Arc<str>,
}

impl Operation {
    /// The journal's payload. A true-up is told as a settlement instead, so it has none of this form.
    pub(super) fn payload(&self) -> Vec<u8> {
        match &self.action {
            Action::OpenWallet(action) => self.told(action),
            Action::SetTerms(action) => self.told(action),
            Action::Freeze(action) | Action::Thaw(action) => self.told(action),
            Action::TopUp(action) => self.told(action),
            Action::Grant(action) => self.told(action),
            Action::Refund(action) => self.told(action),
            Action::TrueUp(_) => Vec::new(),
            Action::CashOut(action)
            | Action::CashOutPaid(action)
            | Action::CashOutFailed(action)
            | Action::Chargeback(action)
            | Action::PaidBack(action) => self.told(action),
            Action::Unassigned(action) => self.told(action),
            Action::Assign(action) => self.told(action),
            Action::Payout(action) => self.told(action),
            Action::Invoice(action) => self.told(action),
            Action::Adjust(action) => self.told(action),
            Action::CloseGap(action) => self.told(action),
        }
    }

    fn told(&self, action: &impl Serialize) -> Vec<u8> {
        let operated = Operated { action, actor: Arc::clone(&self.actor), reference: Arc::clone(&self.reference) };
        serde_json::to_vec(&operated).unwrap_or_default()
    }

    /// What tells a repetition from a conflict: kind and members, not who repeats it.
    pub(super) fn fingerprint(&self) -> Hash {
        let nobody = Self { op: self.op, actor: "".into(), reference: "".into(), action: self.action.clone() };
        let mut bytes = vec![self.action.kind() as u8];
        bytes.extend(nobody.payload());
        if let Action::TrueUp(true_up) = &self.action {
            bytes.extend(true_up.fact());
        }
        sha256(&bytes)
    }
}

/// The facts of a true-up as its fingerprint has them. Fingerprints are kept for ever and compared by every later version: names,
/// order and units here must not change. What it follows is the state it meets, not the fact.
#[derive(Serialize)]
struct TrueUpFact<'a> {
    order: String,
    provider: &'a str,
    endpoint: Option<&'a str>,
    /// Content hash of the sheet.
    price: Option<String>,
    rated: Option<RatedTerms>,
    usage: &'a Usage,
    usage_source: UsageSource,
    cost_exact: Exact,
    charge_exact: Exact,
    cost_nano: i64,
    charge_nano: i64,
    pass_through_nano: i64,
    fee_nano: i64,
    builder_nano: i64,
    losses: &'a [Loss],
}

impl TrueUp {
    fn fact(&self) -> Vec<u8> {
        let fact = TrueUpFact {
            order: self.order.to_string(),
            provider: &self.provider,
            endpoint: self.endpoint.as_deref(),
            price: self.rated.as_ref().map(|rated| hex(&rated.price.hash)),
            rated: self.rated.as_ref().map(Rated::terms),
            usage: &self.usage,
            usage_source: self.usage_source,
            cost_exact: self.amounts.cost_exact,
            charge_exact: self.amounts.charge_exact,
            cost_nano: self.amounts.cost.as_nano(),
            charge_nano: self.amounts.charge.as_nano(),
            pass_through_nano: self.amounts.pass_through.as_nano(),
            fee_nano: self.amounts.fee.as_nano(),
            builder_nano: self.amounts.builder.as_nano(),
            losses: &self.losses,
        };
        serde_json::to_vec(&fact).unwrap_or_default()
    }
}

impl Action {
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::OpenWallet(_) => EventKind::WalletOpened,
            Self::SetTerms(_) => EventKind::TermsSet,
            Self::Freeze(_) => EventKind::WalletFrozen,
            Self::Thaw(_) => EventKind::WalletThawed,
            Self::TopUp(_) => EventKind::TopUp,
            Self::Grant(_) => EventKind::Grant,
            Self::Refund(_) => EventKind::Refund,
            Self::TrueUp(_) => EventKind::TrueUp,
            Self::CashOut(_) => EventKind::CashOut,
            Self::CashOutPaid(_) => EventKind::CashOutPaid,
            Self::CashOutFailed(_) => EventKind::CashOutFailed,
            Self::Chargeback(_) => EventKind::Chargeback,
            Self::PaidBack(_) => EventKind::PaidBack,
            Self::Unassigned(_) => EventKind::PaymentUnassigned,
            Self::Assign(_) => EventKind::PaymentAssigned,
            Self::Payout(_) => EventKind::Payout,
            Self::Invoice(_) => EventKind::Invoice,
            Self::Adjust(_) => EventKind::Adjust,
            Self::CloseGap(_) => EventKind::GapClosed,
        }
    }

    /// The wallet it touches, if its name is known before the order is.
    pub fn wallet(&self) -> Option<&Arc<str>> {
        match self {
            Self::OpenWallet(OpenWallet { wallet, .. })
            | Self::SetTerms(SetTerms { wallet, .. })
            | Self::Freeze(WalletName { wallet })
            | Self::Thaw(WalletName { wallet })
            | Self::TopUp(TopUp { wallet, .. })
            | Self::Grant(GrantMoney { wallet, .. })
            | Self::CashOut(Payment { wallet, .. })
            | Self::CashOutPaid(Payment { wallet, .. })
            | Self::CashOutFailed(Payment { wallet, .. })
            | Self::Chargeback(Payment { wallet, .. })
            | Self::PaidBack(Payment { wallet, .. })
            | Self::Assign(AssignPayment { wallet, .. }) => Some(wallet),
            Self::Refund(_)
            | Self::TrueUp(_)
            | Self::Unassigned(_)
            | Self::Payout(_)
            | Self::Invoice(_)
            | Self::Adjust(_)
            | Self::CloseGap(_) => None,
        }
    }

    /// The order it corrects.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Refund(refund) => refund.order.parse().ok(),
            Self::TrueUp(true_up) => Some(true_up.order),
            Self::OpenWallet(_)
            | Self::SetTerms(_)
            | Self::Freeze(_)
            | Self::Thaw(_)
            | Self::TopUp(_)
            | Self::Grant(_)
            | Self::CashOut(_)
            | Self::CashOutPaid(_)
            | Self::CashOutFailed(_)
            | Self::Chargeback(_)
            | Self::PaidBack(_)
            | Self::Unassigned(_)
            | Self::Assign(_)
            | Self::Payout(_)
            | Self::Invoice(_)
            | Self::Adjust(_)
            | Self::CloseGap(_) => None,
        }
    }

    /// Wallets whose accounts a correction names by path.
    pub fn adjusted_wallets(&self) -> Vec<&str> {
        let Self::Adjust(adjust) = self else { return Vec::new() };
        [&adjust.debit, &adjust.credit].into_iter().filter_map(|path| path.strip_prefix("wallet:")?.split(':').next()).collect()
    }

    /// Accounts of unassigned payments that it touches: there may be many, so a store brings them when they are needed.
    pub fn unassigned_accounts(&self) -> Vec<String> {
        let is_one = |path: &&Arc<str>| matches!(AccountPath::parse(path), Some(AccountPath::Unassigned(..)));
        match self {
            Self::Unassigned(UnassignedPayment { payment, payment_provider, .. })
            | Self::Assign(AssignPayment { payment, payment_provider, .. }) => {
                vec![AccountPath::Unassigned(payment_provider, payment).to_string()]
            }
            Self::Adjust(Adjust { debit, credit, .. }) => [debit, credit].into_iter().filter(is_one).map(ToString::to_string).collect(),
            Self::OpenWallet(_)
            | Self::SetTerms(_)
            | Self::Freeze(_)
            | Self::Thaw(_)
            | Self::TopUp(_)
            | Self::Grant(_)
            | Self::Refund(_)
            | Self::TrueUp(_)
            | Self::CashOut(_)
            | Self::CashOutPaid(_)
            | Self::CashOutFailed(_)
            | Self::Chargeback(_)
            | Self::PaidBack(_)
            | Self::Payout(_)
            | Self::Invoice(_)
            | Self::CloseGap(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Money;

    /// A ledger that was written by this version is read by later ones: a repeated true-up has to stay the same fact.
    #[test]
    fn the_layout_of_a_true_ups_facts_does_not_change() {
        let true_up = TrueUp {
            order: OrderId([1; 16]),
            provider: "acme".into(),
            endpoint: Some("acme/m".into()),
            rated: None,
            usage: Usage::default(),
            usage_source: UsageSource::Provider,
            amounts: Amounts { cost: Money::nano(3), charge: Money::nano(4), ..Amounts::ZERO },
            losses: vec![Loss { provider: "other".into(), cost_nano: 7 }],
            follows: None,
        };
        let fact = String::from_utf8(true_up.fact()).unwrap();
        let expected = concat!(
            r#"{"order":"ord_01010101010101010101010101010101","provider":"acme","endpoint":"acme/m","price":null,"rated":null,"#,
            r#""usage":{},"usage_source":"provider","cost_exact":"0","charge_exact":"0","cost_nano":3,"charge_nano":4,"#,
            r#""pass_through_nano":0,"fee_nano":0,"builder_nano":0,"losses":[{"provider":"other","cost_nano":7}]}"#,
        );
        assert_eq!(fact, expected);
    }
}
