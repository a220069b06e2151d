//! Owns: how `Settings` come about: defaults < file < environment, each value checked.
//! Refuses to know: the process around it. The environment is an argument, so that a test and a host program decide.

use super::environment::variable;
use super::file::{Section, read_file};
use super::layers::Layers;
use super::price::read_markup;
use super::resilience::read_resilience;
use super::scalar::{Scalar, wrong};
use super::supply::{read_aliases, read_providers};
use super::{
    AlertSettings, AuthSettings, Durability, LedgerSettings, LogFormat, LogLevel, LogSettings, PaymentSettings, ServerSettings, Settings,
    StoreSettings, TlsSettings,
};
use crate::base::{Ratio, Result, Secret};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

/// Read when neither the caller nor `GOTOAI_CONFIG` names a file, and when it exists.
const DEFAULT_FILE: &str = "gotoai.yaml";
const DATABASE_FILE: &str = "gotoai.db";

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

impl Settings {
    /// `config`: the settings file; without it `GOTOAI_CONFIG`, else `gotoai.yaml` in the working directory if there is one.
    /// Errors are of kind `Configuration` and name the variable or the path in the file, what is wrong with it and what is
    /// allowed; they never hold a secret.
    pub fn load(env: &HashMap<String, String>, config: Option<&Path>) -> Result<Self> {
        let named = config.map(Path::to_owned).or_else(|| variable(env, "GOTOAI_CONFIG").map(|path| PathBuf::from(path.text)));
        let path = named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
        let file = path.map_or_else(|| Ok(Section::default()), |path| read_file(&path, env))?;
        Self::from_layers(&file, env)
    }

    fn from_layers(file: &Section, env: &HashMap<String, String>) -> Result<Self> {
        let layers = Layers::new(file, env)?;
        let server = read_server(&layers)?;
        let database = read_database(&layers, env)?;
        Ok(Self {
            auth: read_auth(&layers, server.host)?,
            server,
            ledger: read_ledger(file, &layers, env, &database)?,
            store: StoreSettings { database },
            log: read_log(&layers)?,
            alerts: read_alerts(&layers)?,
            payments: read_payments(&layers)?,
            providers: read_providers(file, env, &layers)?,
            aliases: read_aliases(file)?,
            resilience: read_resilience(&|name: &str| Ok(layers.get(&format!("resilience.{name}"))))?,
            models_refresh: layers.get("models.refresh_interval").duration(10 * SECOND..=30 * DAY)?,
            price_book: layers.set("prices.path").map(|path| at_home(&path.text, env)),
            kill_switch: layers.get("kill_switch").on_off()?,
        })
    }
}

fn read_server(layers: &Layers) -> Result<ServerSettings> {
    let host = layers.get("server.host");
    let tls = match (layers.set("server.tls.cert"), layers.set("server.tls.key")) {
        (Some(cert), Some(key)) => Some(TlsSettings { cert: PathBuf::from(&cert.text), key: PathBuf::from(&key.text) }),
        (Some(cert), None) => return Err(wrong(&cert.place, "a certificate needs its key; set server.tls.key or GOTOAI_TLS_KEY")),
        (None, Some(key)) => return Err(wrong(&key.place, "a key needs its certificate; set server.tls.cert or GOTOAI_TLS_CERT")),
        (None, None) => None,
    };
    let limit = layers.get("server.body_size_limit").size_bytes(1 << 10..=1 << 30)?;
    Ok(ServerSettings {
        host: match host.text.as_str() {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            text => {
                text.trim_matches(['[', ']']).parse().map_err(|_| host.fail("is not an IP address; write 127.0.0.1, 0.0.0.0, ::1 or ::"))?
            }
        },
        port: layers.get("server.port").whole(0..=u16::MAX)?,
        base_path: read_base_path(&layers.get("server.base_path"))?,
        body_limit_bytes: usize::try_from(limit).unwrap_or(usize::MAX),
        workers: match layers.set("server.workers") {
            Some(count) => count.whole(1..=1024)?,
            None => available_parallelism().map_or(1, usize::from),
        },
        tls,
        drain_timeout: layers.get("server.drain_seconds").duration(Duration::ZERO..=DAY)?,
    })
}

/// With a leading slash and without a trailing one; the root is empty.
fn read_base_path(given: &Scalar) -> Result<String> {
    let path = given.text.trim_matches('/');
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    match path {
        "" => Ok(String::new()),
        _ if path.split('/').all(is_segment) => Ok(format!("/{path}")),
        _ => Err(given.fail("is not a path; write /ai or /team/ai, of letters, digits, '-', '.', '_' and '~'")),
    }
}

fn read_auth(layers: &Layers, host: IpAddr) -> Result<AuthSettings> {
    let switch = layers.get("auth.insecure_no_auth");
    let insecure_no_auth = switch.on_off()?;
    if insecure_no_auth && !host.is_loopback() {
        return Err(wrong(
            &switch.place,
            format!("serving without keys is allowed on a loopback address only, and the host is {host}; set HOST=127.0.0.1 or use keys"),
        ));
    }
    let master_key = layers.set("auth.master_key");
    if let Some(key) = master_key.filter(|key| !key.text.bytes().all(|b| b.is_ascii_graphic())) {
        return Err(key.fail("holds a space or a character that cannot be sent as a key"));
    }
    Ok(AuthSettings { master_key: master_key.map(|key| Secret::new(key.text.as_str())), insecure_no_auth })
}

fn read_database(layers: &Layers, env: &HashMap<String, String>) -> Result<PathBuf> {
    if let Some(url) = layers.set("store.database_url") {
        return sqlite_path(url);
    }
    if let Some(dir) = layers.set("store.data_dir") {
        return Ok(at_home(&dir.text, env).join(DATABASE_FILE));
    }
    // The XDG specification: a relative path in the variable is invalid and to be ignored.
    let xdg = variable(env, "XDG_DATA_HOME").map(|dir| PathBuf::from(dir.text)).filter(|dir| dir.is_absolute());
    let home = || variable(env, "HOME").map(|home| PathBuf::from(home.text).join(".local/share"));
    let data = xdg
        .or_else(home)
        .ok_or_else(|| wrong("GOTOAI_DATA_DIR", "is not set, and there is no HOME to put data under; set it to a directory"))?;
    Ok(data.join("gotoai").join(DATABASE_FILE))
}

fn sqlite_path(url: &Scalar) -> Result<PathBuf> {
    let lower = url.text.to_ascii_lowercase();
    if lower.starts_with("postgres://") || lower.starts_with("postgresql://") {
        return Err(wrong(
            &url.place,
            "names PostgreSQL, but this version keeps its books in SQLite only; write sqlite:///absolute/path/gotoai.db",
        ));
    }
    let path = url.text.strip_prefix("sqlite://").filter(|path| !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#']));
    path.map(PathBuf::from)
        .ok_or_else(|| wrong(&url.place, "is not a database; write sqlite:///absolute/path/gotoai.db or sqlite://relative/path/gotoai.db"))
}

fn read_log(layers: &Layers) -> Result<LogSettings> {
    let levels = [
        ("debug", LogLevel::Debug),
        ("info", LogLevel::Info),
        ("warn", LogLevel::Warn),
        ("error", LogLevel::Error),
        ("dbg", LogLevel::Debug),
        ("inf", LogLevel::Info),
        ("warning", LogLevel::Warn),
        ("err", LogLevel::Error),
    ];
    let format = match layers.set("log.format") {
        Some(format) => format.one_of(&[("text", LogFormat::Text), ("json", LogFormat::Json)])?,
        None if std::io::stderr().is_terminal() => LogFormat::Text,
        None => LogFormat::Json,
    };
    Ok(LogSettings { level: layers.get("log.level").one_of(&levels)?, format })
}

fn read_ledger(section: &Section, layers: &Layers, env: &HashMap<String, String>, database: &Path) -> Result<LedgerSettings> {
    let durability = [("strict", Durability::Strict), ("hybrid", Durability::Hybrid), ("relaxed", Durability::Relaxed)];
    let fee = layers.get("ledger.fee_percent");
    let minutes = layers.get("ledger.anchor_minutes").whole(0..=10_080_u64)?;
    let beside = |extension: &str| {
        let mut path = database.as_os_str().to_owned();
        path.push(extension);
        PathBuf::from(path)
    };
    let file = |name: &str, extension: &str| layers.set(name).map_or_else(|| beside(extension), |path| at_home(&path.text, env));
    Ok(LedgerSettings {
        on: layers.get("ledger.enabled").on_off()?,
        durability: layers.get("ledger.durability").one_of(&durability)?,
        fee: Ratio::from_percent(&fee.text).map_err(|_| fee.fail("is not a percentage; write 5 or 5.5"))?,
        markup: read_markup(section)?,
        hold_timeout: layers.get("ledger.hold_seconds").duration(SECOND..=7 * DAY)?,
        answer_lifetime: Duration::from_secs(3600 * layers.get("ledger.answer_hours").whole(1..=8_760_u64)?),
        answer_limit_bytes: layers.get("ledger.answer_limit_bytes").whole(0..=67_108_864_usize)?,
        reconcile_every: Some(layers.get("ledger.reconcile_seconds").duration(Duration::ZERO..=DAY)?).filter(|span| !span.is_zero()),
        reconcile_whole_every: Some(layers.get("ledger.reconcile_full_hours").whole(0..=8760)?)
            .filter(|hours| *hours > 0)
            .map(|hours| Duration::from_secs(3600 * hours)),
        freeze_on_break: layers.get("ledger.freeze_on_break").on_off()?,
        anchor_every: (minutes > 0).then(|| Duration::from_secs(60 * minutes)),
        anchor_key: file("ledger.anchor_key", ".ledger.key"),
        anchor_file: file("ledger.anchor_file", ".anchors.jsonl"),
    })
}

fn read_alerts(layers: &Layers) -> Result<AlertSettings> {
    let webhook = match (layers.set("alerts.webhook_url"), layers.set("alerts.webhook_secret")) {
        (Some(url), Some(secret)) => {
            let is_url =
                url.text.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
            if !is_url {
                return Err(url.fail("is not a URL; write https://example.com/gotoai"));
            }
            Some((url.text.clone(), Secret::new(secret.text.as_str())))
        }
        (Some(url), None) => {
            return Err(wrong(&url.place, "messages are signed: set alerts.webhook_secret or GOTOAI_ALERT_WEBHOOK_SECRET as well"));
        }
        (None, _) => None,
    };
    Ok(AlertSettings { webhook })
}

/// Stripe's own prefix is asked for: an API key (sk_...) put here by mistake would sign nothing, and lie where it should not.
fn read_payments(layers: &Layers) -> Result<PaymentSettings> {
    let stripe_test_mode = layers.get("payments.stripe_test_mode").on_off()?;
    let Some(given) = layers.set("payments.stripe_webhook_secret") else {
        return Ok(PaymentSettings { stripe_test_mode, ..PaymentSettings::default() });
    };
    let secrets: Vec<&str> = given.text.split(',').map(str::trim).filter(|secret| !secret.is_empty()).collect();
    let is_secret =
        |secret: &&str| secret.len() > "whsec_".len() && secret.starts_with("whsec_") && secret.bytes().all(|b| b.is_ascii_graphic());
    if secrets.is_empty() || !secrets.iter().all(is_secret) {
        return Err(given.fail("is not the signing secret of a webhook endpoint; Stripe shows it there, and it begins with whsec_"));
    }
    Ok(PaymentSettings { stripe_secrets: secrets.into_iter().map(Secret::new).collect(), stripe_test_mode })
}

/// A leading `~/` is the user's home, as a shell would have it.
fn at_home(path: &str, env: &HashMap<String, String>) -> PathBuf {
    match (path.strip_prefix("~/"), variable(env, "HOME")) {
        (Some(below), Some(home)) => Path::new(&home.text).join(below),
        (Some(_), None) | (None, _) => PathBuf::from(path),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
