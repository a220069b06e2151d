//! Floor 2, risk: what may be spent, by whom, until when.

mod budget;
mod period;
mod store;

pub use budget::{Budget, Limit, Scope, Spender, Unit, Used};
pub use period::{Period, Window};
pub use store::BudgetStore;
