//! Owns: settings of the doors, the store's place, access and logs.

use crate::adapters::telemetry::{LogFormat, LogLevel};
use crate::base::Secret;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// `HOST`, default 127.0.0.1.
    pub host: IpAddr,
    /// `PORT`, default 8080; 0 picks a free one.
    pub port: u16,
    /// `BASE_PATH`, default empty: a prefix before every route, without trailing slash.
    pub base_path: String,
    /// `BODY_SIZE_LIMIT`, default 10 MiB.
    pub body_limit_bytes: usize,
    /// `GOTOAI_WORKERS`, default one a core.
    pub workers: usize,
    /// `GOTOAI_TLS_CERT` and `GOTOAI_TLS_KEY`: PEM files, both or none.
    pub tls: Option<TlsSettings>,
    /// `GOTOAI_DRAIN_SECONDS`, default 30: how long streams may finish at shutdown.
    pub drain_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The SQLite file: `GOTOAI_DATABASE_URL` (`sqlite:///path`), else `gotoai.db` in `GOTOAI_DATA_DIR`, which defaults to
    /// `$XDG_DATA_HOME/gotoai` or `~/.local/share/gotoai`.
    pub database: PathBuf,
}

#[derive(Clone, Debug, Default)]
pub struct AuthSettings {
    /// `GOTOAI_MASTER_KEY`.
    pub master_key: Option<Secret>,
    /// `GOTOAI_INSECURE_NO_AUTH`: no key is needed. Refused unless the host is a loopback address.
    pub insecure_no_auth: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    /// `LOG_LEVEL`, default info.
    pub level: LogLevel,
    /// `LOG_FORMAT`; unset: text on a terminal, else json.
    pub format: LogFormat,
}
