//! Owns: the table of everything that can be set: variable, place in the file, default, meaning. It is also the schema:
//! `layers` accepts exactly these members, and defaults are read from here and nowhere else.
//! Refuses to know: how a text becomes a value (scalar).

/// One setting. A place with `<...>` in it stands for any name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// Environment variable; empty where the setting exists in the file only.
    pub env: &'static str,
    /// Place in `gotoai.yaml`; empty where the setting exists in the environment only.
    pub yaml: &'static str,
    /// As it would be written; empty where there is none.
    pub default: &'static str,
    /// One line.
    pub meaning: &'static str,
    /// Never shown, and may be given as the path of a file that holds it, in the variable with `_FILE` appended.
    pub secret: bool,
}

const fn row(env: &'static str, yaml: &'static str, default: &'static str, meaning: &'static str) -> SettingRow {
    SettingRow { env, yaml, default, meaning, secret: false }
}

const fn secret(env: &'static str, yaml: &'static str, meaning: &'static str) -> SettingRow {
    SettingRow { env, yaml, default: "", meaning, secret: true }
}

/// Settings of the gateway as a whole.
pub fn reference() -> &'static [SettingRow] {
    GENERAL
}

/// Settings of each provider, of its models, and of aliases.
pub fn supply_reference() -> &'static [SettingRow] {
    SUPPLY
}

const GENERAL: &[SettingRow] = &[
    row("GOTOAI_CONFIG", "", "gotoai.yaml, if there is one", "the settings file"),
    row("HOST", "server.host", "127.0.0.1", "IP address to listen on; 0.0.0.0 for all"),
    row("PORT", "server.port", "8080", "port to listen on; 0 picks a free one"),
    row("BASE_PATH", "server.base_path", "/", "prefix before every route"),
    row("BODY_SIZE_LIMIT", "server.body_size_limit", "10M", "largest request body, 1K to 1G"),
    row("GOTOAI_WORKERS", "server.workers", "", "worker threads of the native server; one a core if unset"),
    row("GOTOAI_TLS_CERT", "server.tls.cert", "", "PEM file with the certificate chain; switches TLS on"),
    row("GOTOAI_TLS_KEY", "server.tls.key", "", "PEM file with the certificate's private key"),
    row("GOTOAI_DRAIN_SECONDS", "server.drain_seconds", "30", "how long running calls may finish at shutdown"),
    secret("GOTOAI_MASTER_KEY", "auth.master_key", "the platform key; without it the first start makes one and prints it once"),
    row("GOTOAI_INSECURE_NO_AUTH", "auth.insecure_no_auth", "false", "serve without any key; loopback addresses only"),
    row("GOTOAI_DATA_DIR", "store.data_dir", "", "where data lives; $XDG_DATA_HOME/gotoai or ~/.local/share/gotoai if unset"),
    secret(
        "GOTOAI_DATABASE_URL",
        "store.database_url",
        "sqlite:///absolute/path or sqlite://relative/path; gotoai.db in the data directory if unset",
    ),
    row("GOTOAI_LEDGER", "ledger.enabled", "on", "off makes a pure proxy that books nothing"),
    row("GOTOAI_DURABILITY", "ledger.durability", "strict", "what an acknowledgement survives: strict, hybrid or relaxed"),
    row("GOTOAI_FEE_PERCENT", "ledger.fee_percent", "0", "the platform's share on top of the provider's cost"),
    row("", "ledger.markup[].provider", "", "a provider, or a pattern such as openai*; markup rules go before the fee, the closest one"),
    row("", "ledger.markup[].model", "", "the provider's name of a model, or a pattern such as gpt-4o*"),
    row("", "ledger.markup[].percent", "", "your share on top of the cost of these calls"),
    row("", "ledger.markup[].price", "", "or a price list of your own: the members of a model's price"),
    row("GOTOAI_HOLD_SECONDS", "ledger.hold_seconds", "900", "how long a hold stays unless its call is still under way"),
    row("GOTOAI_ANSWER_HOURS", "ledger.answer_hours", "24", "how long an Idempotency-Key is remembered and its answer kept, sealed"),
    row("GOTOAI_ANSWER_LIMIT_BYTES", "ledger.answer_limit_bytes", "1048576", "larger answers are not kept; 0 keeps none"),
    row("GOTOAI_RECONCILE_SECONDS", "ledger.reconcile_seconds", "30", "how often the books are reconciled in themselves; 0 is never"),
    row("GOTOAI_RECONCILE_FULL_HOURS", "ledger.reconcile_full_hours", "24", "how often from the first entry; 0 is at the start only"),
    row("GOTOAI_FREEZE_ON_BREAK", "ledger.freeze_on_break", "on", "a broken identity of the books stops new calls"),
    secret("GOTOAI_ALERT_WEBHOOK_URL", "alerts.webhook_url", "where alerts are posted; the log has them in any case"),
    secret("GOTOAI_ALERT_WEBHOOK_SECRET", "alerts.webhook_secret", "signs what is posted there"),
    secret(
        "GOTOAI_STRIPE_WEBHOOK_SECRET",
        "payments.stripe_webhook_secret",
        "of the webhook endpoint at Stripe (whsec_...); opens POST /webhooks/stripe; several, separated by commas, while it is changed",
    ),
    row(
        "GOTOAI_STRIPE_TEST_MODE",
        "payments.stripe_test_mode",
        "off",
        "books events of Stripe's test mode, which move no money: only where a gateway is tried out",
    ),
    row(
        "GOTOAI_ANCHOR_MINUTES",
        "ledger.anchor_minutes",
        "15",
        "how often the head of the ledger's chain is signed when it moved; 0 is off",
    ),
    row("GOTOAI_ANCHOR_KEY", "ledger.anchor_key", "", "file of the Ed25519 key that signs; made beside the database if unset"),
    row("GOTOAI_ANCHOR_FILE", "ledger.anchor_file", "", "file outside with a copy of every anchor; beside the database if unset"),
    row("LOG_LEVEL", "log.level", "info", "debug, info, warn or error"),
    row("LOG_FORMAT", "log.format", "", "text or json; text on a terminal, else json if unset"),
    row("RETRY_MAX_RETRIES", "resilience.retry.max_retries", "2", "further attempts at one endpoint"),
    row(
        "RETRY_INITIAL_BACKOFF",
        "resilience.retry.initial_backoff",
        "0.5",
        "seconds before the first retry, doubled each time, with jitter",
    ),
    row("RETRY_MAX_BACKOFF", "resilience.retry.max_backoff", "8", "longest wait before a retry; a longer Retry-After fails over instead"),
    row(
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        "resilience.circuit_breaker.failure_threshold",
        "5",
        "failures in a row that open an endpoint's breaker",
    ),
    row("CIRCUIT_BREAKER_SUCCESS_THRESHOLD", "resilience.circuit_breaker.success_threshold", "2", "successes in a row that close it again"),
    row("CIRCUIT_BREAKER_TIMEOUT", "resilience.circuit_breaker.timeout", "30", "seconds it stays open before a probe"),
    row(
        "HTTP_RESPONSE_HEADER_TIMEOUT",
        "resilience.http.response_header_timeout",
        "600",
        "longest wait for the head of a provider's reply, seconds",
    ),
    row("HTTP_IDLE_TIMEOUT", "resilience.http.idle_timeout", "300", "longest silence within a provider's reply, seconds"),
    row("CACHE_REFRESH_INTERVAL", "models.refresh_interval", "3600", "seconds between two readings of the providers' model lists"),
    row(
        "CONFIGURED_PROVIDER_MODELS_MODE",
        "models.mode",
        "fallback",
        "what configured model lists mean: fallback (beside what the provider lists) or allowlist (only these)",
    ),
    row("GOTOAI_PRICES", "prices.path", "", "a newer price book than the embedded one"),
    row("GOTOAI_KILL_SWITCH", "kill_switch", "false", "start with all calls refused"),
];

const SUPPLY: &[SettingRow] = &[
    row(
        "",
        "providers.<name>.type",
        "the name, if it is a family's",
        "openai, openrouter, groq, xai, deepseek, mistral, together, fireworks, ollama, vllm or custom",
    ),
    secret("<FAMILY>[_<SUFFIX>]_API_KEY", "providers.<name>.api_key", "the provider's key; OPENAI_EAST_API_KEY makes provider openai-east"),
    secret(
        "<FAMILY>[_<SUFFIX>]_API_KEYS",
        "providers.<name>.api_keys",
        "several keys, used in turn; separated by commas in the environment",
    ),
    row(
        "<FAMILY>[_<SUFFIX>]_BASE_URL",
        "providers.<name>.base_url",
        "the family's",
        "where the API lives, version included: https://host/v1",
    ),
    row("<FAMILY>[_<SUFFIX>]_MODELS", "providers.<name>.models", "", "model ids; separated by commas in the environment"),
    row("", "providers.<name>.models_mode", "models.mode", "fallback or allowlist"),
    row("", "providers.<name>.data_policy", "standard; self_hosted for ollama and vllm", "standard, no_retention or self_hosted"),
    row(
        "",
        "providers.<name>.own_key",
        "false",
        "true: the key is the users' own, who pay the provider themselves; only the fee is charged",
    ),
    SettingRow { secret: true, ..row("", "providers.<name>.headers", "", "extra headers on every call to it") },
    row("", "providers.<name>.resilience", "resilience", "the members of resilience, for this provider"),
    row("", "providers.<name>.models[].id", "", "the provider's own name of the model"),
    row("", "providers.<name>.models[].context_window", "the book's", "tokens of input and output together"),
    row("", "providers.<name>.models[].max_output", "the book's", "tokens of output in one choice"),
    row("", "providers.<name>.models[].quality", "", "0 to 100, for mode quality"),
    row("", "providers.<name>.models[].code_quality", "quality", "0 to 100, for mode code"),
    row("", "providers.<name>.models[].data_policy", "the provider's", "standard, no_retention or self_hosted"),
    row(
        "",
        "providers.<name>.models[].price.from",
        "",
        "the day or the time (UTC) from which the price holds; price may be a list of prices in this order",
    ),
    row("", "providers.<name>.models[].price.input_per_mtok", "", "USD per million input tokens; required with price"),
    row("", "providers.<name>.models[].price.output_per_mtok", "", "USD per million output tokens; required with price"),
    row("", "providers.<name>.models[].price.cache_read_per_mtok", "input_per_mtok", "USD per million input tokens read from the cache"),
    row("", "providers.<name>.models[].price.cache_write_per_mtok", "input_per_mtok", "USD per million input tokens written to the cache"),
    row(
        "",
        "providers.<name>.models[].price.cache_write_1h_per_mtok",
        "cache_write_per_mtok",
        "USD per million input tokens written to the cache for an hour",
    ),
    row("", "providers.<name>.models[].price.reasoning_per_mtok", "output_per_mtok", "USD per million reasoning tokens"),
    row("", "providers.<name>.models[].price.audio_input_per_mtok", "input_per_mtok", "USD per million audio tokens in"),
    row("", "providers.<name>.models[].price.audio_output_per_mtok", "output_per_mtok", "USD per million audio tokens out"),
    row("", "providers.<name>.models[].price.image_input_per_mtok", "input_per_mtok", "USD per million image tokens in"),
    row("", "providers.<name>.models[].price.per_image", "0", "USD per image made"),
    row("", "providers.<name>.models[].price.per_hour_audio", "0", "USD per hour of audio, counted in seconds"),
    row("", "providers.<name>.models[].price.per_mchar", "0", "USD per million characters spoken"),
    row("", "providers.<name>.models[].price.per_search", "0", "USD per web search that the provider makes"),
    row("", "providers.<name>.models[].price.per_request", "0", "USD per call"),
    row("", "providers.<name>.models[].price.off_peak.from", "", "time of day (UTC) from which the prices in off_peak hold"),
    row("", "providers.<name>.models[].price.off_peak.to", "", "time of day until which they hold; it may be past midnight"),
    row("", "providers.<name>.models[].price.tiers.flex", "", "prices of calls in tier flex; off_peak is allowed here too"),
    row("", "providers.<name>.models[].price.tiers.flex_factor", "1", "share of the ordinary price, where tiers.flex has none"),
    row("", "providers.<name>.models[].price.tiers.priority", "", "prices of calls in tier priority"),
    row("", "providers.<name>.models[].price.tiers.priority_factor", "1", "share of the ordinary price, where tiers.priority has none"),
    row("", "providers.<name>.models[].price.tiers.batch", "", "prices of calls in a batch"),
    row(
        "",
        "providers.<name>.models[].price.tiers.batch_factor",
        "1",
        "share of the ordinary price, where tiers.batch has none: 0.5 is half",
    ),
    row("", "providers.<name>.models[].price.tiers.ultrafast", "", "prices of calls in tier ultrafast"),
    row("", "providers.<name>.models[].price.tiers.ultrafast_factor", "1", "share of the ordinary price, where tiers.ultrafast has none"),
    row("", "aliases.<alias>", "", "a name of your own for a model: provider/model"),
];

/// The members that the table knows directly below `place`, in its order, each once.
pub(super) fn members(table: &'static [SettingRow], place: &str) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    for row in table {
        let below = match place {
            "" => Some(row.yaml),
            _ => row.yaml.strip_prefix(place).and_then(|rest| rest.strip_prefix('.')),
        };
        let name = below.and_then(|rest| rest.split(['.', '[']).next()).filter(|name| !name.is_empty());
        found.extend(name.filter(|name| !found.contains(name)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_unique_and_explained() {
        let rows: Vec<_> = GENERAL.iter().chain(SUPPLY).collect();
        for (i, row) in rows.iter().enumerate() {
            assert!(!row.meaning.is_empty(), "{row:?}");
            assert!(!row.env.is_empty() || !row.yaml.is_empty(), "{row:?}");
            assert!(rows[i + 1..].iter().all(|other| row.env.is_empty() || other.env != row.env), "{}", row.env);
            assert!(rows[i + 1..].iter().all(|other| row.yaml.is_empty() || other.yaml != row.yaml), "{}", row.yaml);
        }
    }

    #[test]
    fn members_are_read_off_the_table() {
        assert_eq!(members(GENERAL, "resilience"), ["retry", "circuit_breaker", "http"]);
        assert_eq!(members(GENERAL, "server.tls"), ["cert", "key"]);
        assert!(members(SUPPLY, "providers.<name>").contains(&"models"));
        assert!(members(SUPPLY, "providers.<name>.models[]").contains(&"price"));
    }
}
