//! STUB, replaced at merge: reads the few settings that the doors need.

use super::{
    AuthSettings, Durability, LedgerSettings, LogFormat, LogLevel, LogSettings, ResilienceSettings, ServerSettings, Settings,
    StoreSettings, TlsSettings,
};
use crate::base::{Error, ErrorKind, Ratio, Result, Secret};
use crate::domain::routing::BreakerPolicy;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

fn read<T: FromStr>(env: &HashMap<String, String>, name: &str, default: T) -> Result<T> {
    match env.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Error::new(ErrorKind::Configuration, format!("{name} cannot be read: {text}"))),
    }
}

impl Settings {
    pub fn load(env: &HashMap<String, String>, _config: Option<&Path>) -> Result<Self> {
        let tls = env
            .get("GOTOAI_TLS_CERT")
            .zip(env.get("GOTOAI_TLS_KEY"))
            .map(|(cert, key)| TlsSettings { cert: PathBuf::from(cert), key: PathBuf::from(key) });
        Ok(Self {
            server: ServerSettings {
                host: read(env, "HOST", IpAddr::V4(Ipv4Addr::LOCALHOST))?,
                port: read(env, "PORT", 8080)?,
                base_path: read(env, "BASE_PATH", String::new())?,
                body_limit_bytes: read(env, "BODY_SIZE_LIMIT", 10 << 20)?,
                workers: read(env, "GOTOAI_WORKERS", 2)?,
                tls,
                drain_timeout: Duration::from_secs(read(env, "GOTOAI_DRAIN_SECONDS", 30)?),
            },
            store: StoreSettings { database: PathBuf::new() },
            auth: AuthSettings { master_key: env.get("GOTOAI_MASTER_KEY").map(Secret::new), insecure_no_auth: false },
            log: LogSettings { level: LogLevel::Info, format: LogFormat::Text },
            ledger: LedgerSettings { on: false, durability: Durability::Strict, fee: Ratio::ZERO, hold_timeout: Duration::from_secs(900) },
            providers: Vec::new(),
            aliases: Vec::new(),
            resilience: ResilienceSettings {
                max_retries: 2,
                initial_backoff: Duration::from_millis(500),
                max_backoff: Duration::from_secs(8),
                breaker: BreakerPolicy::default(),
                head_timeout: Duration::from_secs(600),
                idle_timeout: Duration::from_secs(300),
            },
            models_refresh: Duration::from_secs(3600),
            price_book: None,
            kill_switch: false,
        })
    }
}
