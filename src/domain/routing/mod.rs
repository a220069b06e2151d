//! Floor 2, routing: the order in which candidates are tried.

mod plan;

pub use plan::{all_rest, plan};
