//! Floor 4: composition. The only place that knows everything below; knows no HTTP and no SQL.

mod admin;
mod alerts;
mod anchors;
mod gateway;
mod payments;
mod reconcile;
pub mod settings;
mod supply;
mod tasks;

pub use admin::{price_view, receipt};
pub use gateway::{Gateway, ModelView, Readiness};
pub use supply::ProviderStatus;
pub use tasks::{SWEEP_EVERY, sweep};
