//! Owns: the Prometheus metrics, and the access line of each call. Labels come from the catalog and closed lists only, so
//! that no caller can grow them.

use super::ledger_gauges::LedgerGauges;
use crate::base::{Error, ErrorKind, Fault, Result};
use crate::domain::catalog::Endpoint;
use crate::domain::usage::{CallRecord, Recorder};
use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: String,
    provider: String,
    model: String,
    outcome: String,
    /// Who has to act: none, client, policy, provider or gateway.
    fault: &'static str,
}

fn fault(error: Option<ErrorKind>) -> &'static str {
    match error.map(ErrorKind::fault) {
        None => "none",
        Some(Fault::Client) => "client",
        Some(Fault::Policy) => "policy",
        Some(Fault::Provider) => "provider",
        Some(Fault::Gateway) => "gateway",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    provider: String,
    model: String,
}

/// The counters of one endpoint, looked up once a call without making label text.
struct Series {
    served: Counter,
    duration: Histogram,
    first_byte: Histogram,
    attempts: Counter,
    input_tokens: Counter,
    output_tokens: Counter,
    charged_nano: Counter,
}

/// Endpoints with counters of their own.
const MAX_SERIES: usize = 5_000;

/// Endpoint id and operation.
type SeriesKey = (Arc<str>, &'static str);

/// All metrics of a gateway.
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    duration: Family<EndpointLabels, Histogram>,
    first_byte: Family<EndpointLabels, Histogram>,
    attempts: Family<EndpointLabels, Counter>,
    input_tokens: Family<EndpointLabels, Counter>,
    output_tokens: Family<EndpointLabels, Counter>,
    charged_nano: Family<EndpointLabels, Counter>,
    pub in_flight: Gauge,
    pub ledger: LedgerGauges,
    series: RwLock<HashMap<SeriesKey, Arc<Series>>>,
}

fn seconds() -> Histogram {
    // 1 ms to 131 s, doubling.
    Histogram::new(exponential_buckets(0.001, 2.0, 18))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("gotoai");
        let calls = Family::default();
        let duration = Family::new_with_constructor(seconds as fn() -> Histogram);
        let first_byte = Family::new_with_constructor(seconds as fn() -> Histogram);
        let (attempts, input_tokens, output_tokens, charged_nano) =
            (Family::default(), Family::default(), Family::default(), Family::default());
        let (in_flight, ledger) = (Gauge::default(), LedgerGauges::default());
        registry.register("calls", "Calls ended, by outcome", calls.clone());
        registry.register("call_duration_seconds", "From request to last byte", duration.clone());
        registry.register("first_byte_seconds", "From request to the provider's first byte", first_byte.clone());
        registry.register("attempts", "Attempts at providers, failed ones included", attempts.clone());
        registry.register("input_tokens", "Input tokens, cached ones included", input_tokens.clone());
        registry.register("output_tokens", "Output tokens, hidden ones included", output_tokens.clone());
        registry.register("charged_nano_usd", "Charged to users, in 10^-9 USD", charged_nano.clone());
        registry.register("in_flight", "Calls not settled yet", in_flight.clone());
        ledger.register(&mut registry);
        Self {
            registry,
            calls,
            duration,
            first_byte,
            attempts,
            input_tokens,
            output_tokens,
            charged_nano,
            in_flight,
            ledger,
            series: RwLock::default(),
        }
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> Result<String> {
        let mut text = String::new();
        encode(&mut text, &self.registry)
            .map_err(|error| Error::new(ErrorKind::Internal, "the metrics cannot be written").with_cause(error))?;
        Ok(text)
    }

    fn series(&self, call: &CallRecord) -> Option<Arc<Series>> {
        let endpoint = call.endpoint.as_ref()?;
        let key = (Arc::clone(&endpoint.id), call.operation.name());
        if let Some(series) = self.series.read().get(&key) {
            return Some(Arc::clone(series));
        }
        let labels = EndpointLabels { provider: endpoint.provider_name.to_string(), model: self.model_label(endpoint) };
        let served = CallLabels {
            operation: call.operation.name().to_owned(),
            provider: labels.provider.clone(),
            model: labels.model.clone(),
            outcome: "served".to_owned(),
            fault: fault(None),
        };
        let series = Arc::new(Series {
            served: self.calls.get_or_create(&served).clone(),
            duration: self.duration.get_or_create(&labels).clone(),
            first_byte: self.first_byte.get_or_create(&labels).clone(),
            attempts: self.attempts.get_or_create(&labels).clone(),
            input_tokens: self.input_tokens.get_or_create(&labels).clone(),
            output_tokens: self.output_tokens.get_or_create(&labels).clone(),
            charged_nano: self.charged_nano.get_or_create(&labels).clone(),
        });
        let mut known = self.series.write();
        if known.len() < MAX_SERIES {
            known.insert(key, Arc::clone(&series));
        }
        drop(known);
        Some(series)
    }

    /// Callers may make up names while a provider's list is unknown: beyond the limit they share one label.
    fn model_label(&self, endpoint: &Endpoint) -> String {
        if self.series.read().len() < MAX_SERIES { endpoint.model.to_string() } else { "other".to_owned() }
    }

    fn count(&self, call: &CallRecord) {
        let series = self.series(call);
        match (call.error, &series) {
            (None, Some(series)) => drop(series.served.inc()),
            (error, _) => {
                let labels = CallLabels {
                    operation: call.operation.name().to_owned(),
                    provider: call.endpoint.as_ref().map_or_else(String::new, |endpoint| endpoint.provider_name.to_string()),
                    model: call.endpoint.as_ref().map_or_else(String::new, |endpoint| self.model_label(endpoint)),
                    outcome: error.map_or("served", ErrorKind::code).to_owned(),
                    fault: fault(error),
                };
                self.calls.get_or_create(&labels).inc();
            }
        }
        let Some(series) = series else { return };
        series.duration.observe(call.duration.as_secs_f64());
        if let Some(first_byte) = call.first_byte {
            series.first_byte.observe(first_byte.as_secs_f64());
        }
        series.attempts.inc_by(call.attempts.into());
        series.input_tokens.inc_by(call.usage.input_tokens());
        series.output_tokens.inc_by(call.usage.output_tokens());
        series.charged_nano.inc_by(call.charge.map_or(0, |charge| u64::try_from(charge.as_nano()).unwrap_or(0)));
    }
}

impl Recorder for Metrics {
    fn record(&self, call: &CallRecord) {
        self.count(call);
        tracing::info!(
            request_id = &*call.request_id,
            order = call.order.map(tracing::field::display),
            operation = call.operation.name(),
            model = call.model.as_deref(),
            endpoint = call.endpoint.as_ref().map(|endpoint| &*endpoint.id),
            user_path = call.user_path.as_deref(),
            key = call.key_id.map(tracing::field::display),
            stream = call.stream,
            status = call.status,
            error = call.error.map(ErrorKind::code),
            fault = call.error.map(|error| fault(Some(error))),
            attempts = call.attempts,
            input_tokens = call.usage.input_tokens(),
            output_tokens = call.usage.output_tokens(),
            charge = call.charge.map(tracing::field::display),
            cost = call.cost.map(tracing::field::display),
            cost_source = call.cost.map(|_| if call.cost_reported { "reported" } else { "computed" }),
            duration_ms = u64::try_from(call.duration.as_millis()).unwrap_or(u64::MAX),
            finish = call.finish,
            "call"
        );
    }
}
