//! Owns: what an organisation has agreed to: how its calls are held, and who bears what when a call does not end well.
//! Refuses to know: wallets and postings (decide), how a call ended (pipeline).

use super::settle::Amounts;
use super::state::WalletKind;
use crate::base::Money;
use crate::domain::catalog::MarkupRule;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What happens when a wallet cannot cover the most a call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldPolicy {
    /// The call is refused.
    Strict,
    /// The call is sent with the `max_tokens` that the wallet can afford.
    Clamp,
    /// A stream without a bound begins on a small hold, which grows while it runs; it ends cleanly when no more is to be had.
    Metered,
}

/// How a call ended that was not served to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The client left.
    ClientLeft,
    /// The provider stopped after something useful had been delivered.
    ProviderCut,
    /// Nothing useful was delivered, and the provider may bill all the same.
    Undelivered,
}

/// What a user is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeFor {
    /// What the provider counted (or what is estimated where it did not).
    Used,
    /// What reached the client.
    Delivered,
    Nothing,
}

/// What the platform takes for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeFor {
    /// In proportion to the charge.
    Charged,
    Nothing,
}

/// Where the provider's cost goes when only an estimate of it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostTo {
    /// Owed to the provider at once.
    Payable,
    /// Held in suspense until the provider's own figures come.
    Suspense,
}

/// Who bears what: one decision a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Legs {
    pub charge: ChargeFor,
    #[serde(default = "in_proportion")]
    pub fee: FeeFor,
    #[serde(default = "at_once")]
    pub cost: CostTo,
}

const fn in_proportion() -> FeeFor {
    FeeFor::Charged
}

const fn at_once() -> CostTo {
    CostTo::Payable
}

impl Legs {
    const fn charging(charge: ChargeFor) -> Self {
        Self { charge, fee: FeeFor::Charged, cost: CostTo::Payable }
    }
}

/// Outcome by outcome. What nobody bears is the platform's loss, in the account `exp:loss:undelivered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettlementPolicy {
    pub client_left: Legs,
    pub provider_cut: Legs,
    pub undelivered: Legs,
}

impl Default for SettlementPolicy {
    /// Who leaves pays for what was used; who was cut off pays for what arrived; who got nothing pays nothing.
    fn default() -> Self {
        Self {
            client_left: Legs::charging(ChargeFor::Used),
            provider_cut: Legs::charging(ChargeFor::Delivered),
            undelivered: Legs::charging(ChargeFor::Nothing),
        }
    }
}

impl SettlementPolicy {
    pub const fn legs(&self, outcome: Outcome) -> Legs {
        match outcome {
            Outcome::ClientLeft => self.client_left,
            Outcome::ProviderCut => self.provider_cut,
            Outcome::Undelivered => self.undelivered,
        }
    }
}

/// The terms of one wallet. Changing them is an entry of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// `None`: clamp for prepaid wallets, strict for postpaid ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldPolicy>,
    pub settlement: SettlementPolicy,
    /// Sell prices of this organisation; before the platform's own rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub markup: Vec<MarkupRule>,
}

impl Terms {
    pub fn hold(&self, kind: WalletKind) -> HoldPolicy {
        self.hold.unwrap_or(match kind {
            WalletKind::Prepaid => HoldPolicy::Clamp,
            WalletKind::Postpaid => HoldPolicy::Strict,
        })
    }
}

/// What the pipeline needs to know of a wallet before it asks the ledger.
#[derive(Clone, Debug)]
pub struct WalletTerms {
    pub kind: WalletKind,
    pub terms: Arc<Terms>,
}

impl WalletTerms {
    pub fn hold(&self) -> HoldPolicy {
        self.terms.hold(self.kind)
    }
}

/// What is booked for a call under the legs that apply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borne {
    pub amounts: Amounts,
    /// The part of the cost that is the platform's loss.
    pub loss: Money,
}

impl Legs {
    /// `used`: amounts of all that the provider counts; `delivered`: of what reached the client, never more than `used`.
    #[must_use]
    pub fn bear(self, used: Amounts, delivered: Amounts) -> Borne {
        let base = match self.charge {
            ChargeFor::Used => used,
            ChargeFor::Delivered if delivered.charge <= used.charge => delivered,
            ChargeFor::Delivered => used,
            ChargeFor::Nothing => Amounts::ZERO,
        };
        let (fee, builder) = match self.fee {
            FeeFor::Charged => (base.fee, base.builder),
            FeeFor::Nothing => (Money::ZERO, Money::ZERO),
        };
        let amounts = Amounts { charge_exact: base.charge_exact, ..used }.charged(base.pass_through, fee, builder);
        // What the charged part of the usage costs is cost of sales; the rest was sold to nobody.
        let loss = Money::nano(used.cost.as_nano().saturating_sub(base.cost.as_nano()).max(0));
        Borne { amounts, loss }
    }
}
