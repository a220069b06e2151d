//! Owns: a budget: whose calls it counts, what it counts, how much it allows and what happens then.
//! Refuses to know: where its windows are kept (the ledger, in the reserve's own transaction).

use super::Period;
use crate::base::Money;
use crate::domain::identity::{ModelPattern, UserPath};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The call as a budget sees it.
#[derive(Clone, Copy, Debug)]
pub struct Spender<'a> {
    pub wallet: &'a str,
    /// Printed form of the key's id.
    pub key: Option<&'a str>,
    pub user_path: &'a UserPath,
    /// As requested.
    pub model: &'a str,
    /// As `provider/model`: the first candidate, and those that serve where it fails.
    pub endpoint: &'a str,
    pub fallbacks: &'a [Arc<str>],
    pub labels: &'a [Arc<str>],
}

/// Whose calls count: every member that is given must fit; none given means every call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub key: Option<String>,
    /// This path and all below it.
    pub user_path: Option<UserPath>,
    pub wallet: Option<String>,
    pub model: Option<ModelPattern>,
    pub label: Option<String>,
}

impl Scope {
    /// Does the model fit, by this name of it?
    pub fn is_of(&self, model: &str) -> bool {
        self.model.as_ref().is_none_or(|pattern| pattern.matches(model))
    }

    pub fn fits(&self, spender: &Spender<'_>) -> bool {
        self.key.as_deref().is_none_or(|key| spender.key == Some(key))
            && self.user_path.as_ref().is_none_or(|path| path.contains(spender.user_path))
            && self.wallet.as_deref().is_none_or(|wallet| wallet == spender.wallet)
            && (self.is_of(spender.model) || self.is_of(spender.endpoint) || spender.fallbacks.iter().any(|endpoint| self.is_of(endpoint)))
            && self.label.as_deref().is_none_or(|label| spender.labels.iter().any(|own| &**own == label))
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// User charges, in nano-units.
    Money,
    /// Orders, whatever they cost.
    Requests,
}

/// What happens at the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Calls go on; an alert is raised.
    Soft,
    /// Calls are refused with this status (402 or 429) until the next period.
    Hard { status: u16 },
}

/// One budget, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    pub id: i64,
    pub name: Arc<str>,
    pub scope: Scope,
    pub period: Period,
    pub unit: Unit,
    /// Nano-units or orders.
    pub cap: i64,
    pub limit: Limit,
    /// An alert is raised when so many percent of the cap are used (and always at the cap).
    pub alert_percent: Option<u8>,
}

/// What one window of a budget has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Open holds.
    pub held: i64,
    pub spent: i64,
    /// The highest percentage for which an alert was raised; 101 once a call was refused.
    pub alerted: u8,
}

impl Used {
    /// An alert for a call that was refused, beyond every percentage.
    pub const REFUSED: u8 = 101;
}

impl Budget {
    /// What a hold of so much takes of this budget.
    pub const fn takes(&self, hold: Money) -> i64 {
        match self.unit {
            Unit::Money => hold.as_nano(),
            Unit::Requests => 1,
        }
    }

    /// What is left for further holds.
    pub const fn left(&self, used: Used) -> i64 {
        let left = self.cap.saturating_sub(used.held).saturating_sub(used.spent);
        if left < 0 { 0 } else { left }
    }

    /// The percentage to raise an alert for now, if it has not been raised in this window.
    pub fn alert(&self, used: Used) -> Option<u8> {
        let percent = if self.cap <= 0 { 100 } else { i128::from(used.spent) * 100 / i128::from(self.cap) };
        let due = [Some(100), self.alert_percent].into_iter().flatten().filter(|at| i128::from(*at) <= percent).max()?;
        (due > used.alerted).then_some(due)
    }

    /// An amount of this budget as text.
    pub fn shown(&self, amount: i64) -> String {
        match self.unit {
            Unit::Money => format!("{} USD", Money::nano(amount)),
            Unit::Requests => format!("{amount} requests"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(cap: i64, alert_percent: Option<u8>) -> Budget {
        Budget {
            id: 1,
            name: "b".into(),
            scope: Scope::default(),
            period: Period::Hour,
            unit: Unit::Money,
            cap,
            limit: Limit::Soft,
            alert_percent,
        }
    }

    #[test]
    fn every_given_member_must_fit() {
        let path = UserPath::parse("/team/app").unwrap();
        let labels: [Arc<str>; 1] = ["batch".into()];
        let fallbacks: [Arc<str>; 1] = ["openai/gpt-4o".into()];
        let spender = Spender {
            wallet: "w",
            key: Some("key_1"),
            user_path: &path,
            model: "gpt-4o",
            endpoint: "azure/gpt-4o",
            fallbacks: &fallbacks,
            labels: &labels,
        };
        let team = Scope { user_path: UserPath::parse("/team").ok(), ..Scope::default() };
        assert!(Scope::default().fits(&spender) && team.fits(&spender));
        assert!(Scope { model: Some(ModelPattern::new("openai/*")), label: Some("batch".into()), ..team.clone() }.fits(&spender));
        assert!(!Scope { wallet: Some("other".into()), ..team.clone() }.fits(&spender));
        assert!(!Scope { key: Some("key_2".into()), ..team }.fits(&spender));
    }

    #[test]
    fn alerts_are_raised_once_and_at_the_cap_always() {
        let used = |spent, alerted| Used { held: 0, spent, alerted };
        let warned = budget(1000, Some(80));
        assert_eq!(warned.alert(used(799, 0)), None);
        assert_eq!(warned.alert(used(800, 0)), Some(80));
        assert_eq!(warned.alert(used(900, 80)), None);
        assert_eq!(warned.alert(used(2000, 80)), Some(100));
        assert_eq!(warned.alert(used(2000, 100)), None);
        assert_eq!(budget(0, None).alert(used(0, 0)), Some(100));
        assert_eq!(warned.left(Used { held: 600, spent: 500, alerted: 0 }), 0);
    }
}
