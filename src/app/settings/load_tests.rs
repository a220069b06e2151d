//! Settings from end to end: file, environment, defaults, and what an operator is told.

use super::*;
use crate::app::settings::file::parse;
use crate::app::settings::{ModelsMode, ProviderSettings, reference, supply_reference};
use crate::base::ErrorKind;
use crate::domain::catalog::{DataPolicy, Meter};
use std::fs;

const EXAMPLE: &str = include_str!("../../../gotoai.example.yaml");

fn env(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let mut env = HashMap::from([("HOME".to_owned(), "/home/me".to_owned())]);
    env.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    env
}

fn load(yaml: &str, pairs: &[(&str, &str)]) -> Result<Settings> {
    let env = env(pairs);
    Settings::from_layers(&parse(yaml, &env)?, &env)
}

/// The message of the error that must come.
fn fails(yaml: &str, pairs: &[(&str, &str)]) -> String {
    let error = load(yaml, pairs).err().unwrap_or_else(|| panic!("accepted: {yaml} {pairs:?}"));
    assert_eq!(error.kind, ErrorKind::Configuration);
    error.message
}

fn provider(yaml: &str, pairs: &[(&str, &str)], name: &str) -> ProviderSettings {
    load(yaml, pairs).unwrap().providers.into_iter().find(|provider| provider.name == name).unwrap()
}

fn keys(provider: &ProviderSettings) -> Vec<&str> {
    provider.keys.iter().map(Secret::expose).collect()
}

#[test]
fn defaults() {
    let settings = load("", &[]).unwrap();
    assert_eq!((settings.server.host.to_string().as_str(), settings.server.port), ("127.0.0.1", 8080));
    assert_eq!((settings.server.base_path.as_str(), settings.server.body_limit_bytes), ("", 10 << 20));
    assert_eq!(settings.store.database, Path::new("/home/me/.local/share/gotoai/gotoai.db"));
    assert!(settings.ledger.on && settings.ledger.durability == Durability::Strict && settings.ledger.fee == Ratio { num: 0, den: 100 });
    assert_eq!(settings.resilience.initial_backoff, Duration::from_millis(500));
    assert_eq!((settings.resilience.max_retries, settings.resilience.breaker.failure_threshold), (2, 5));
    assert_eq!((settings.models_refresh, settings.ledger.hold_timeout), (Duration::from_secs(3600), Duration::from_secs(900)));
    assert!(
        settings.providers.is_empty() && settings.auth.master_key.is_none() && !settings.auth.insecure_no_auth && !settings.kill_switch
    );
}

#[test]
fn every_variable_is_read() {
    // One valid value for each row; a row that load forgets would not change what Debug prints.
    let values = [
        ("HOST", "::1"),
        ("PORT", "9"),
        ("BASE_PATH", "ai/x/"),
        ("BODY_SIZE_LIMIT", "1K"),
        ("GOTOAI_WORKERS", "1023"),
        ("GOTOAI_DRAIN_SECONDS", "7"),
        ("GOTOAI_MASTER_KEY", "sk-m"),
        ("GOTOAI_INSECURE_NO_AUTH", "true"),
        ("GOTOAI_DATA_DIR", "~/d"),
        ("GOTOAI_DATABASE_URL", "sqlite://rel/x.db"),
        ("GOTOAI_LEDGER", "off"),
        ("GOTOAI_DURABILITY", "relaxed"),
        ("GOTOAI_FEE_PERCENT", "5.5"),
        ("GOTOAI_HOLD_SECONDS", "60"),
        ("GOTOAI_ANSWER_HOURS", "2"),
        ("GOTOAI_ANSWER_LIMIT_BYTES", "0"),
        ("GOTOAI_RECONCILE_SECONDS", "0"),
        ("GOTOAI_RECONCILE_FULL_HOURS", "0"),
        ("GOTOAI_FREEZE_ON_BREAK", "off"),
        ("GOTOAI_STRIPE_TEST_MODE", "on"),
        ("GOTOAI_ANCHOR_MINUTES", "0"),
        ("GOTOAI_ANCHOR_KEY", "~/k"),
        ("GOTOAI_ANCHOR_FILE", "/mnt/a"),
        ("LOG_LEVEL", "warning"),
        ("RETRY_MAX_RETRIES", "1"),
        ("RETRY_INITIAL_BACKOFF", "1"),
        ("RETRY_MAX_BACKOFF", "1m"),
        ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "3"),
        ("CIRCUIT_BREAKER_SUCCESS_THRESHOLD", "3"),
        ("CIRCUIT_BREAKER_TIMEOUT", "3"),
        ("HTTP_RESPONSE_HEADER_TIMEOUT", "3"),
        ("HTTP_IDLE_TIMEOUT", "3"),
        ("CACHE_REFRESH_INTERVAL", "60"),
        ("GOTOAI_PRICES", "/p"),
        ("GOTOAI_KILL_SWITCH", "on"),
    ];
    let debug = |pairs: &[(&str, &str)]| format!("{:?}", load("", pairs).unwrap());
    for pair in values {
        assert_ne!(debug(&[pair]), debug(&[]), "{}", pair.0);
    }
    // Tested by themselves below: they need a partner, or print the same off a terminal.
    let others = [
        "GOTOAI_CONFIG",
        "GOTOAI_TLS_CERT",
        "GOTOAI_TLS_KEY",
        "GOTOAI_ALERT_WEBHOOK_URL",
        "GOTOAI_ALERT_WEBHOOK_SECRET",
        "GOTOAI_STRIPE_WEBHOOK_SECRET",
        "LOG_FORMAT",
        "CONFIGURED_PROVIDER_MODELS_MODE",
    ];
    for row in reference().iter().filter(|row| !row.env.is_empty()) {
        assert!(values.iter().any(|(name, _)| *name == row.env) || others.contains(&row.env), "{} is not tested", row.env);
    }
    assert_eq!(load("", &[("LOG_FORMAT", "text")]).unwrap().log.format, LogFormat::Text);
    let tls = load("", &[("GOTOAI_TLS_CERT", "c"), ("GOTOAI_TLS_KEY", "k")]).unwrap().server.tls;
    assert_eq!(tls, Some(TlsSettings { cert: "c".into(), key: "k".into() }));
    let pair = [("GOTOAI_ALERT_WEBHOOK_URL", "https://a.example/x"), ("GOTOAI_ALERT_WEBHOOK_SECRET", "whsec")];
    let (url, secret) = load("", &pair).unwrap().alerts.webhook.unwrap();
    assert_eq!((url.as_str(), secret.expose()), ("https://a.example/x", "whsec"));
    let secrets = load("", &[("GOTOAI_STRIPE_WEBHOOK_SECRET", "whsec_new, whsec_old,")]).unwrap().payments.stripe_secrets;
    assert_eq!(secrets.iter().map(Secret::expose).collect::<Vec<_>>(), ["whsec_new", "whsec_old"]);
}

#[test]
fn where_data_lives() {
    let database = |pairs: &[(&str, &str)]| load("", pairs).unwrap().store.database;
    assert_eq!(database(&[("GOTOAI_DATABASE_URL", "sqlite:///abs/x.db"), ("GOTOAI_DATA_DIR", "/d")]), Path::new("/abs/x.db"));
    assert_eq!(database(&[("GOTOAI_DATABASE_URL", "sqlite://rel/x.db")]), Path::new("rel/x.db"));
    assert_eq!(database(&[("GOTOAI_DATA_DIR", "~/d")]), Path::new("/home/me/d/gotoai.db"));
    assert_eq!(database(&[("XDG_DATA_HOME", "/x")]), Path::new("/x/gotoai/gotoai.db"));
    assert_eq!(database(&[("XDG_DATA_HOME", "x")]), Path::new("/home/me/.local/share/gotoai/gotoai.db"));
    assert!(fails("", &[("HOME", "")]).starts_with("GOTOAI_DATA_DIR: is not set"));
    let postgres = fails("", &[("GOTOAI_DATABASE_URL", "postgresql://me:secret@db/x")]);
    assert!(postgres.contains("SQLite only") && !postgres.contains("secret"), "{postgres}");
    assert!(fails("", &[("GOTOAI_DATABASE_URL", "mysql://me:secret@db/x")]).starts_with("GOTOAI_DATABASE_URL: is not a database"));
}

#[test]
fn what_is_wrong_is_named() {
    for (yaml, pair, start) in [
        ("", ("PORT", "80a"), "PORT: '80a' is not a whole number from 0 to 65535"),
        ("server: {port: 70000}", ("", ""), "server.port: '70000' is not"),
        ("server: {port: '${P}'}", ("P", "hidden"), "server.port: '${P}' is not"),
        ("", ("HOST", "mybox"), "HOST: 'mybox' is not an IP address"),
        ("", ("BASE_PATH", "/a b"), "BASE_PATH: '/a b' is not a path"),
        ("", ("BASE_PATH", "/a/../b"), "BASE_PATH: '/a/../b' is not a path"),
        ("", ("BODY_SIZE_LIMIT", "10T"), "BODY_SIZE_LIMIT: '10T' is not a size"),
        ("", ("GOTOAI_LEDGER", "maybe"), "GOTOAI_LEDGER: 'maybe' is neither on nor off"),
        ("", ("GOTOAI_DURABILITY", "max"), "GOTOAI_DURABILITY: 'max' is not one of the choices; allowed: strict, hybrid, relaxed"),
        ("", ("LOG_LEVEL", "loud"), "LOG_LEVEL: 'loud' is not one of"),
        ("", ("GOTOAI_TLS_KEY", "k"), "GOTOAI_TLS_KEY: a key needs its certificate"),
        ("", ("GOTOAI_ALERT_WEBHOOK_URL", "https://a.example"), "GOTOAI_ALERT_WEBHOOK_URL: messages are signed"),
        ("", ("GOTOAI_STRIPE_WEBHOOK_SECRET", "whsec_a,sk_live_1"), "GOTOAI_STRIPE_WEBHOOK_SECRET: the value is not the signing secret"),
        ("", ("GOTOAI_STRIPE_WEBHOOK_SECRET", "whsec_"), "GOTOAI_STRIPE_WEBHOOK_SECRET: the value is not the signing secret"),
        ("alerts: {webhook_secret: x}", ("GOTOAI_ALERT_WEBHOOK_URL", "a.example/x"), "GOTOAI_ALERT_WEBHOOK_URL: the value is not a URL"),
        ("", ("RETRY_MAX_BACKOFF", "0.1"), "RETRY_MAX_BACKOFF: '0.1' is shorter than initial_backoff"),
        ("", ("GOTOAI_FEE_PERCENT", "-1"), "GOTOAI_FEE_PERCENT: '-1' is not a percentage"),
        ("auth: {master_key: 'a b'}", ("", ""), "auth.master_key: the value holds a space"),
    ] {
        let message = fails(yaml, &[pair]);
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn no_open_gateway_beyond_the_machine() {
    assert!(load("", &[("GOTOAI_INSECURE_NO_AUTH", "1")]).unwrap().auth.insecure_no_auth);
    let message = fails("server: {host: 0.0.0.0}", &[("GOTOAI_INSECURE_NO_AUTH", "1")]);
    assert!(message.starts_with("GOTOAI_INSECURE_NO_AUTH: serving without keys is allowed on a loopback address only"), "{message}");
}

#[test]
fn providers_from_the_environment() {
    let pairs = [
        ("OPENAI_EAST_API_KEYS", "k1,k2"),
        ("OPENAI_EAST_BASE_URL", "https://east.example/v1/"),
        ("CUSTOM_TWIN_BASE_URL", "http://127.0.0.1:9/v1"),
        ("VLLM_BASE_URL", "http://gpu:8000/v1"),
        ("OLLAMA_MODELS", "llama3.2"),
        ("MISTRAL_BASE_URL", "https://ignored.example/v1"),
        ("GROQ_API_KEY", "g"),
        ("GROQ_MODELS", "m1,m2"),
    ];
    let settings = load("", &pairs).unwrap();
    let names: Vec<_> = settings.providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["custom-twin", "groq", "ollama", "openai-east", "vllm"]);
    let east = provider("", &pairs, "openai-east");
    assert_eq!((keys(&east), east.base_url.as_str(), east.family.name), (vec!["k1", "k2"], "https://east.example/v1", "openai"));
    assert_eq!(provider("", &pairs, "groq").base_url, "https://api.groq.com/openai/v1");
    assert_eq!(provider("", &pairs, "ollama").data_policy, DataPolicy::SelfHosted);
    assert_eq!(provider("", &pairs, "custom-twin").data_policy, DataPolicy::Standard);
    let models: Vec<_> = provider("", &pairs, "groq").models.iter().map(|model| model.id.clone()).collect();
    assert_eq!(models, ["m1", "m2"]);
}

#[test]
fn incomplete_providers_of_the_environment() {
    assert!(fails("", &[("CUSTOM_X_API_KEY", "sk-live")]).starts_with("CUSTOM_X_BASE_URL: type custom has no address of its own"));
    assert!(
        fails("", &[("OPENAI_BASE_URL", "api.openai.com"), ("OPENAI_API_KEY", "k")])
            .starts_with("OPENAI_BASE_URL: is not a usable base URL")
    );
    let unfilled = fails("", &[("OPENAI_API_KEY", "${OPENAI_KEY}")]);
    assert!(unfilled.starts_with("OPENAI_API_KEY: the value still holds a '${...}'"), "{unfilled}");
    assert!(
        fails("", &[("GROQ_API_KEY", "k"), ("CONFIGURED_PROVIDER_MODELS_MODE", "allowlist")])
            .starts_with("GROQ_MODELS: the mode is 'allowlist'")
    );
}

#[test]
fn the_environment_overlays_a_provider_of_the_file() {
    let yaml = "providers:\n  groq: {api_key: file, models: [{id: m1, quality: 7}, m3]}\n  openai-east: {type: openai}\n";
    let pairs = [("GROQ_API_KEY", "env"), ("GROQ_MODELS", "m1,m2"), ("OPENAI_EAST_API_KEY", "e"), ("DEEPSEEK_API_KEY", "d")];
    let names: Vec<_> = load(yaml, &pairs).unwrap().providers.into_iter().map(|provider| provider.name).collect();
    assert_eq!(names, ["groq", "openai-east", "deepseek"], "the file's order first");
    let groq = provider(yaml, &pairs, "groq");
    assert_eq!(keys(&groq), ["env"]);
    assert_eq!(groq.models.iter().map(|model| (model.id.as_str(), model.quality)).collect::<Vec<_>>(), [("m1", Some(7)), ("m2", None)]);
    let clash = fails("providers: {openai: {type: vllm}}", &[("OPENAI_API_KEY", "sk-live")]);
    assert!(clash.starts_with("providers.openai: is of type vllm, but OPENAI_API_KEY makes a provider of the same name"), "{clash}");
}

#[test]
fn a_provider_of_the_file() {
    let yaml = r"
providers:
  twin:
    type: custom
    base_url: http://127.0.0.1:9/v1
    api_keys: ['${K1}', '${K2:-}', k3]
    models_mode: allowlist
    models: [small]
    data_policy: no_retention
    headers: {X-Team: '${K1}'}
    resilience: {retry: {max_retries: 0}, http: {idle_timeout: 5}}
resilience: {http: {response_header_timeout: 9}}
";
    let twin = provider(yaml, &[("K1", "k1")], "twin");
    assert_eq!(keys(&twin), ["k1", "k3"]);
    assert_eq!((twin.models_mode, twin.data_policy), (ModelsMode::Allowlist, DataPolicy::NoRetention));
    assert_eq!((twin.headers[0].0.as_str(), twin.headers[0].1.expose()), ("x-team", "k1"));
    let resilience = twin.resilience.unwrap();
    assert_eq!(
        (resilience.max_retries, resilience.idle_timeout, resilience.head_timeout),
        (0, Duration::from_secs(5), Duration::from_secs(9))
    );
    assert!(load("providers: {groq: {api_key: '${NO:-}'}}", &[]).unwrap().providers.is_empty(), "declared, not set: left out");
}

#[test]
fn what_is_wrong_with_a_provider_is_named_and_never_its_secrets() {
    for (yaml, start) in [
        ("providers: {groq: {}}", "providers.groq.api_key: type groq needs a key; write api_key: ${GROQ_API_KEY}"),
        ("providers: {groq: }", "providers.groq.api_key: type groq needs a key"),
        ("providers: {groqq: {}}", "providers.groqq.type: is missing"),
        ("providers: {a: {type: groqq}}", "providers.a.type: 'groqq' is no provider type; did you mean 'groq'?"),
        ("providers: {Big: {type: groq}}", "providers.Big: a provider's name consists of"),
        ("providers: {groq: {api_kee: sk-live}}", "providers.groq.api_kee: there is no such setting; did you mean 'api_key'?"),
        ("providers: {groq: {api_keys: [ok, 'sk-live x']}}", "providers.groq.api_keys[1]: the value holds a space"),
        ("providers: {groq: {api_keys: sk-live}}", "providers.groq.api_keys: must be a list"),
        ("providers: {groq: {api_key: sk-live, api_keys: [sk-live]}}", "providers.groq.api_keys: api_key is set as well"),
        (
            "providers: {groq: {api_key: k, base_url: 'https://u:sk-live@h/v1'}}",
            "providers.groq.base_url: is not a usable base URL: it carries a user name",
        ),
        ("providers: {groq: {api_key: k, base_url: 'ftp://h'}}", "providers.groq.base_url: is not a usable base URL"),
        ("providers: {custom: {}}", "providers.custom.base_url: type custom has no address"),
        ("providers: {groq: {api_key: k, headers: {Host: sk-live}}}", "providers.groq.headers.Host: the gateway sets this header itself"),
        ("providers: {groq: {api_key: k, models_mode: allowlist}}", "providers.groq.models: the mode is 'allowlist'"),
        (
            "providers: {groq: {api_key: k, resilience: {retry: {tries: 1}}}}",
            "providers.groq.resilience.retry.tries: there is no such setting",
        ),
        (
            "providers: {groq: {api_key: k, resilience: {http: {idle_timeout: never}}}}",
            "providers.groq.resilience.http.idle_timeout: 'never' is not a time",
        ),
        ("aliases: {fast: }", "aliases.fast: names no model"),
        ("aliases: {a: a}", "aliases.a: an alias cannot stand for itself"),
    ] {
        let message = fails(yaml, &[]);
        assert!(message.starts_with(start), "{message}");
        assert!(!message.contains("sk-live"), "{message}");
    }
}

#[test]
fn the_file_is_found_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one.yaml"), dir.path().join("two.yaml"));
    fs::write(&one, "server: {port: 1}").unwrap();
    fs::write(&two, "server: {port: 2}").unwrap();
    let named = env(&[("GOTOAI_CONFIG", one.to_str().unwrap())]);
    assert_eq!(Settings::load(&named, None).unwrap().server.port, 1);
    assert_eq!(Settings::load(&named, Some(&two)).unwrap().server.port, 2);
    let missing = Settings::load(&env(&[("GOTOAI_CONFIG", "/no/such.yaml")]), None).unwrap_err();
    assert!(missing.message.starts_with("/no/such.yaml: cannot be read"), "{missing}");
    fs::write(&one, "server: {prot: 1}").unwrap();
    let error = Settings::load(&named, None).unwrap_err();
    assert_eq!(error.message, "server.prot: there is no such setting; did you mean 'port'?");
}

#[test]
fn the_example_loads_and_shows_every_setting() {
    let settings = load(EXAMPLE, &[("OPENAI_API_KEY", "k"), ("OPENAI_EAST_KEY_1", "e")]).unwrap();
    let names: Vec<_> = settings.providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["openai", "openai-east", "house", "ollama"]);
    let priced = settings.providers[2].models.iter().find_map(|model| model.prices.first()).unwrap();
    assert!(priced.lines.iter().any(|line| line.meter == Meter::InputUncached));
    assert_eq!(settings.aliases[0].target, "openai/gpt-4o-mini");
    // Its values are the defaults: starting from it changes nothing but the supply.
    let plain = load("", &[]).unwrap();
    assert_eq!(format!("{:?}", settings.server), format!("{:?}", plain.server));
    assert_eq!(format!("{:?}", (&settings.ledger, settings.resilience)), format!("{:?}", (&plain.ledger, plain.resilience)));
    let members = reference().iter().chain(supply_reference()).map(|row| row.yaml).filter(|yaml| !yaml.is_empty());
    for member in members.filter_map(|yaml| yaml.rsplit('.').next()).filter(|member| !member.starts_with('<')) {
        assert!(EXAMPLE.contains(&format!("{}:", member.trim_end_matches("[]"))), "gotoai.example.yaml does not show '{member}'");
    }
}

#[test]
fn every_secret_may_stand_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, "sk-file\n").unwrap();
    let path = path.to_str().unwrap();
    let settings = load("", &[("GOTOAI_MASTER_KEY_FILE", path), ("OPENAI_EAST_API_KEY_FILE", path)]).unwrap();
    assert_eq!(settings.auth.master_key.as_ref().map(Secret::expose), Some("sk-file"));
    assert_eq!((settings.providers[0].name.as_str(), keys(&settings.providers[0])), ("openai-east", vec!["sk-file"]));
}
