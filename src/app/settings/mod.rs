//! What an operator can set: one struct a section, validated, with every default in one place.
//! Refuses to know: where the values come from (`load`: file < environment).

mod discover;
mod environment;
mod expand;
mod file;
mod layers;
mod ledger;
mod load;
mod model;
mod price;
mod providers;
mod reference;
mod resilience;
mod scalar;
mod server;
mod suggest;
mod supply;

pub use crate::adapters::telemetry::{LogFormat, LogLevel};
pub use crate::domain::ledger::Durability;
pub use ledger::{AlertSettings, LedgerSettings, PaymentSettings};
pub(super) use price::read_price;
pub use providers::{AliasSettings, ModelSettings, ModelsMode, ProviderSettings, ResilienceSettings};
pub use reference::{SettingRow, reference, supply_reference};
pub use server::{AuthSettings, LogSettings, ServerSettings, StoreSettings, TlsSettings};
pub(super) use suggest::suggest;

use std::path::PathBuf;
use std::time::Duration;

/// Everything. Made by `load`, never changed afterwards.
#[derive(Clone, Debug)]
pub struct Settings {
    pub server: ServerSettings,
    pub store: StoreSettings,
    pub auth: AuthSettings,
    pub log: LogSettings,
    pub ledger: LedgerSettings,
    pub alerts: AlertSettings,
    pub payments: PaymentSettings,
    /// In order of declaration: file first, then what only the environment names, alphabetically.
    pub providers: Vec<ProviderSettings>,
    pub aliases: Vec<AliasSettings>,
    pub resilience: ResilienceSettings,
    /// How often model lists are fetched again. Default 1 hour.
    pub models_refresh: Duration,
    /// A newer price book than the embedded one (`GOTOAI_PRICES`, `prices.path`).
    pub price_book: Option<PathBuf>,
    /// Kill switch at start: no call is served (`kill_switch: true`).
    pub kill_switch: bool,
}
