//! Owns: what keeping budgets means. Their windows change with the orders, in the ledger; here is only what people set.

use super::{Budget, Used};
use crate::base::{Result, Timestamp};

/// Keeps budgets. Each method is one transaction; running gateways on the same store notice.
pub trait BudgetStore: Send + Sync {
    /// The budget with its id. Names of budgets in force are unique.
    fn insert_budget(&self, budget: Budget, now: Timestamp) -> Result<Budget>;
    /// Those in force, with what the window at `now` has used.
    fn list_budgets(&self, now: Timestamp) -> Result<Vec<(Budget, Used)>>;
    /// False: there is none of this name.
    fn remove_budget(&self, name: &str, now: Timestamp) -> Result<bool>;
}
