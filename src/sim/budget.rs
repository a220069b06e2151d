//! Owns: the budgets of a scenario: whose calls each counts, over which period, up to where, told here once more in the
//! simulation's own words.
//! Refuses to know: how the ledger counts.

use super::feature::Feature;
use super::plan::{BATCH, CallPlan, Target};
use super::sabotage::Sabotage;
use super::scenario::{Scenario, draw};
use super::wallet::{WALLETS, keys};
use crate::base::Timestamp;
use crate::domain::identity::{ModelPattern, UserPath};
use crate::domain::risk::{Budget, Limit, Period, Scope, Unit};

/// Whose calls count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Everybody,
    Wallet(usize),
    Key(usize),
    /// A part of the tenant tree, and who is in it.
    Path(&'static str, &'static [usize]),
    Batch,
    Gamma,
    /// Where two may serve: what the second has served.
    Beta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    Minute,
    Hour,
    Day,
    Ever,
}

/// A budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct BudgetPlan {
    pub(super) name: &'static str,
    whose: Whose,
    every: Every,
    pub(super) unit: Unit,
    pub(super) cap: i64,
    /// The status of a refusal; `None`: nobody is refused.
    pub(super) refuses: Option<u16>,
}

impl Scenario {
    pub(super) fn budgets(&self) -> Vec<BudgetPlan> {
        if !self.features.has(Feature::Budgets) {
            return Vec::new();
        }
        let plan = |name, whose, every, unit, most: i64, refuses| {
            let mut rng = draw(self.seed, name, 0);
            let cap = rng.i64(most / 10..=most);
            rng.bool().then_some(BudgetPlan { name, whose, every, unit, cap, refuses })
        };
        let money = Unit::Money;
        [
            plan("rich-hourly", Whose::Wallet(1), Every::Hour, money, 5_000_000, Some(402)),
            plan("overdraft-key", Whose::Key(2), Every::Minute, money, 800_000, Some(429)),
            plan("shop-requests", Whose::Path("/shop", &[0, 1]), Every::Day, Unit::Requests, 20, Some(429)),
            plan("lab-daily", Whose::Path("/lab", &[3, 4]), Every::Day, money, 3_000_000, Some(402)),
            plan("batch-lifetime", Whose::Batch, Every::Ever, money, 8_000_000, Some(402)),
            plan("gamma", Whose::Gamma, Every::Hour, Unit::Requests, 6, Some(402)),
            plan("beta", Whose::Beta, Every::Day, money, 6_000_000, Some(402)),
            plan("all", Whose::Everybody, Every::Day, money, 2_000_000, None),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl BudgetPlan {
    /// Does this call count?
    pub(super) fn counts(&self, call: &CallPlan, served: Option<&str>) -> bool {
        match self.whose {
            Whose::Everybody => true,
            Whose::Wallet(wallet) | Whose::Key(wallet) => call.wallet == wallet,
            Whose::Path(_, wallets) => wallets.contains(&call.wallet),
            Whose::Batch => call.label == Some(BATCH),
            Whose::Gamma => call.target == Target::OfGamma,
            Whose::Beta => served == Some("beta/m"),
        }
    }

    /// Where the window begins that a moment lies in.
    pub(super) fn window(&self, at: Timestamp) -> i64 {
        let span_ms = match self.every {
            Every::Minute => 60_000,
            Every::Hour => 3_600_000,
            Every::Day => 86_400_000,
            Every::Ever => return 0,
        };
        at.0 - at.0.rem_euclid(span_ms)
    }

    /// As the product keeps it.
    pub(super) fn budget(&self, sabotage: Option<Sabotage>) -> Budget {
        let mut scope = Scope::default();
        match self.whose {
            Whose::Everybody => {}
            Whose::Wallet(wallet) => scope.wallet = WALLETS.get(wallet).map(|wallet| wallet.name.to_owned()),
            Whose::Key(wallet) => scope.key = keys().get(wallet).map(|key| key.id.to_string()),
            Whose::Path(path, _) => scope.user_path = UserPath::parse(path).ok(),
            Whose::Batch => scope.label = Some(BATCH.to_owned()),
            Whose::Gamma => scope.model = Some(ModelPattern::new("gamma/*")),
            Whose::Beta => scope.model = Some(ModelPattern::new("beta/*")),
        }
        Budget {
            id: 0,
            name: self.name.into(),
            scope,
            period: match self.every {
                Every::Minute => Period::Custom { span_minutes: 1, from_ms: 0 },
                Every::Hour => Period::Hour,
                Every::Day => Period::Day { offset_minutes: 0, hour: 0 },
                Every::Ever => Period::Lifetime,
            },
            unit: self.unit,
            cap: if sabotage == Some(Sabotage::UncappedBudget) { self.cap.saturating_mul(1000) } else { self.cap },
            limit: self.refuses.map_or(Limit::Soft, |status| Limit::Hard { status }),
            alert_percent: Some(80),
        }
    }
}
