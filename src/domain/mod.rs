//! Floor 2: nouns and their rules, and the traits they need. No I/O.

pub mod catalog;
pub mod health;
pub mod identity;
pub mod ledger;
pub mod provider;
pub mod reconcile;
pub mod risk;
pub mod routing;
pub mod usage;
