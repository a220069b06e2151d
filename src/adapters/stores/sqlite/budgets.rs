//! Owns: budgets on SQLite, as people set them.
//! Refuses to know: what calls do to their windows (the ledger's writer).

use super::connection::Database;
use super::keys::bump;
use super::rows;
use crate::base::{Error, ErrorKind, Result, Timestamp};
use crate::domain::identity::{ModelPattern, UserPath};
use crate::domain::risk::{Budget, BudgetStore, Limit, Unit, Used};
use rusqlite::TransactionBehavior;

impl BudgetStore for Database {
    fn insert_budget(&self, mut budget: Budget, now: Timestamp) -> Result<Budget> {
        let period = serde_json::to_string(&budget.period)
            .map_err(|error| Error::new(ErrorKind::Internal, "the budget cannot be stored").with_cause(error))?;
        let unit = match budget.unit {
            Unit::Money => "money",
            Unit::Requests => "requests",
        };
        let status = match budget.limit {
            Limit::Soft => None,
            Limit::Hard { status } => Some(status),
        };
        let scope = &budget.scope;
        let stored = self.aside(|c| {
            // From the start a writer: who reads first finds the books moved on by a call, and cannot write any more.
            let transaction = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let taken: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM budgets WHERE name = ?1 AND removed_at IS NULL)",
                [&*budget.name],
                |row| row.get(0),
            )?;
            if taken {
                return Ok(None);
            }
            transaction.execute(
                "INSERT INTO budgets(name, key_id, user_path, wallet, model, label, period, unit, cap, hard_status, alert_percent, created_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                (
                    &*budget.name,
                    &scope.key,
                    scope.user_path.as_ref().map(UserPath::as_str),
                    &scope.wallet,
                    scope.model.as_ref().map(ModelPattern::as_str),
                    &scope.label,
                    &period,
                    unit,
                    budget.cap,
                    status,
                    budget.alert_percent,
                    now.0,
                ),
            )?;
            let id = transaction.last_insert_rowid();
            bump(&transaction)?;
            transaction.commit().map(|()| Some(id))
        })?;
        budget.id = stored.ok_or_else(|| Error::new(ErrorKind::Conflict, format!("there is a budget '{}' already", budget.name)))?;
        Ok(budget)
    }

    fn list_budgets(&self, now: Timestamp) -> Result<Vec<(Budget, Used)>> {
        self.with(|c| {
            let sql = format!("SELECT {} FROM budgets WHERE removed_at IS NULL ORDER BY name", rows::BUDGET_COLUMNS);
            let budgets: Vec<Budget> = c.prepare_cached(&sql)?.query_map([], rows::budget)?.collect::<rusqlite::Result<_>>()?;
            budgets
                .into_iter()
                .map(|budget| {
                    let used = rows::window(c, (budget.id, budget.period.window(now).start.0))?;
                    Ok((budget, used))
                })
                .collect()
        })
    }

    fn remove_budget(&self, name: &str, now: Timestamp) -> Result<bool> {
        self.aside(|c| {
            let transaction = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let removed =
                transaction.execute("UPDATE budgets SET removed_at = ?2 WHERE name = ?1 AND removed_at IS NULL", (name, now.0))?;
            bump(&transaction)?;
            transaction.commit().map(|()| removed > 0)
        })
    }
}
