//! What an operator can set: one struct a section, validated, with every default in one place.
//! Refuses to know: where the values come from (`load`: file < environment).

mod ledger;
mod load;
mod providers;
mod server;

pub use ledger::{Durability, LedgerSettings};
pub use providers::{AliasSettings, ModelSettings, ModelsMode, ProviderSettings, ResilienceSettings};
pub use server::{AuthSettings, LogFormat, LogLevel, LogSettings, ServerSettings, StoreSettings, TlsSettings};

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
