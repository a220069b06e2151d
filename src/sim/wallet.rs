//! Owns: the payers of the simulation, their keys, and the terms that each has agreed to in a scenario.
//! Refuses to know: payments and other operations (operator).

use super::feature::Feature;
use super::scenario::{Scenario, draw};
use super::tariff::FEE;
use crate::base::{KeyId, Ratio, Timestamp};
use crate::domain::catalog::{MarkupRule, Sell};
use crate::domain::identity::{Scope, UserPath, VirtualKey};
use crate::domain::ledger::{ChargeFor, CostTo, FeeFor, HoldPolicy, Legs, SettlementPolicy, Terms};

/// A payer.
#[derive(Debug)]
pub(super) struct WalletPlan {
    pub(super) name: &'static str,
    pub(super) postpaid: bool,
    pub(super) credit_limit_nano: Option<i64>,
    /// Paid in before the first call, then again and again.
    pub(super) top_up_nano: i64,
    /// Where its key stands in the tenant tree.
    pub(super) user_path: &'static str,
}

const fn prepaid(name: &'static str, top_up_nano: i64, credit_limit_nano: Option<i64>, user_path: &'static str) -> WalletPlan {
    WalletPlan { name, postpaid: false, credit_limit_nano, top_up_nano, user_path }
}

/// One poor, one rich, one that may overdraw, one that pays later up to a limit, one that pays later without one.
pub(super) const WALLETS: [WalletPlan; 5] = [
    prepaid("poor", 900_000, None, "/shop/poor"),
    prepaid("rich", 50_000_000_000, None, "/shop/rich"),
    prepaid("overdraft", 700_000, Some(60_000), "/shopping"),
    WalletPlan { name: "limited", postpaid: true, credit_limit_nano: Some(2_000_000), top_up_nano: 150_000, user_path: "/lab" },
    WalletPlan { name: "trusted", postpaid: true, credit_limit_nano: None, top_up_nano: 40_000, user_path: "/lab/trusted" },
];

/// What a wallet has agreed to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    pub(super) hold: Option<HoldPolicy>,
    pub(super) settlement: SettlementPolicy,
    /// What it pays beyond the cost, where that is not the platform's usual share.
    markup: Option<(i128, i128)>,
}

impl Agreed {
    /// What is charged beyond the cost, as a fraction of it.
    pub(super) fn share(&self) -> (i128, i128) {
        self.markup.unwrap_or(FEE)
    }

    pub(super) fn terms(&self) -> Terms {
        let sell = |(num, den): (i128, i128)| Sell::Markup(ratio(num, den));
        let rule = |share| MarkupRule { provider: None, model: None, sell: sell(share) };
        Terms { hold: self.hold, settlement: self.settlement, markup: self.markup.map(rule).into_iter().collect() }
    }
}

pub(super) fn ratio(num: i128, den: i128) -> Ratio {
    Ratio { num: u32::try_from(num).unwrap_or(0), den: u32::try_from(den).unwrap_or(1) }
}

impl Scenario {
    /// The terms of a wallet: the usual ones, or its own.
    pub(super) fn agreed(&self, wallet: usize) -> Agreed {
        let usual = Agreed { hold: None, settlement: SettlementPolicy::default(), markup: None };
        let mut rng = draw(self.seed, "terms", wallet as u64);
        if !self.features.has(Feature::Terms) || rng.u32(0..4) == 0 {
            return usual;
        }
        let holds = [None, Some(HoldPolicy::Strict), Some(HoldPolicy::Clamp), Some(HoldPolicy::Metered), Some(HoldPolicy::Metered)];
        let hold = holds[rng.usize(0..holds.len())];
        let mut legs = || Legs {
            charge: [ChargeFor::Used, ChargeFor::Delivered, ChargeFor::Nothing][rng.usize(0..3)],
            fee: [FeeFor::Charged, FeeFor::Charged, FeeFor::Nothing][rng.usize(0..3)],
            cost: [CostTo::Payable, CostTo::Suspense][rng.usize(0..2)],
        };
        let settlement = SettlementPolicy { client_left: legs(), provider_cut: legs(), undelivered: legs() };
        Agreed { hold, settlement, markup: [None, Some((0, 100)), Some((125, 1000)), Some((200, 100))][rng.usize(0..4)] }
    }
}

/// The secret of the key whose calls this wallet pays.
pub(super) fn secret_of(wallet: usize) -> String {
    format!("sk-goto-simulated-{wallet}")
}

/// A key for each wallet, the same in every process.
pub(super) fn keys() -> Vec<VirtualKey> {
    let key = |(n, wallet): (usize, &WalletPlan)| VirtualKey {
        id: KeyId([u8::try_from(n).unwrap_or(u8::MAX); 16]),
        name: wallet.name.to_owned(),
        digest: VirtualKey::digest_of(&secret_of(n)),
        hint: String::new(),
        scopes: [Scope::Chat].into_iter().collect(),
        models: Vec::new(),
        user_path: UserPath::parse(wallet.user_path).unwrap_or_else(|_| UserPath::root()),
        wallet: wallet.name.to_owned(),
        mode: None,
        builder: None,
        created_at: Timestamp(0),
        expires_at: None,
        revoked_at: None,
    };
    WALLETS.iter().enumerate().map(key).collect()
}
