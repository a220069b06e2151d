//! What came back: counts, latencies and failures.

use crate::Failure;
use crate::options::Options;
use crate::reply::Reply;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use tokio::time::Instant;

const LONGEST_US: u64 = 120_000_000;

pub struct Tally {
    latency_us: Histogram<u64>,
    first_byte_us: Histogram<u64>,
    served: u64,
    events: u64,
    failures: BTreeMap<String, u64>,
    /// The beginning of the first reply that was an error.
    sample: String,
}

impl Tally {
    pub fn new() -> Result<Self, Failure> {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_US, 3);
        Ok(Self {
            latency_us: histogram()?,
            first_byte_us: histogram()?,
            served: 0,
            events: 0,
            failures: BTreeMap::new(),
            sample: String::new(),
        })
    }

    pub fn count(&mut self, options: &Options, answered: &io::Result<Reply>, began: Instant, ended: Instant) {
        let reply = match answered {
            Err(failure) => return self.fail(format!("connection: {failure}")),
            Ok(reply) if reply.status != 200 => {
                if self.sample.is_empty() {
                    self.sample = String::from_utf8_lossy(&reply.error).into_owned();
                }
                return self.fail(format!("status {}", reply.status));
            }
            Ok(reply) => reply,
        };
        if options.stream && !(reply.is_done && reply.events >= options.expected_events) {
            return self.fail("incomplete stream".to_owned());
        }
        self.served += 1;
        self.events += reply.events;
        let since = |moment: Instant| u64::try_from(moment.saturating_duration_since(began).as_micros()).unwrap_or(LONGEST_US);
        self.latency_us.saturating_record(since(ended));
        self.first_byte_us.saturating_record(since(reply.first_byte.unwrap_or(ended)));
    }

    fn fail(&mut self, what: String) {
        *self.failures.entry(what).or_default() += 1;
    }

    pub fn report(&self, seconds: f64) -> Value {
        json!({
            "served": self.served,
            "events": self.events,
            "requests_per_s": self.served as f64 / seconds,
            "events_per_s": self.events as f64 / seconds,
            "latency_us": quantiles(&self.latency_us),
            "first_byte_us": quantiles(&self.first_byte_us),
            "failures": self.failures,
            "failure_sample": self.sample,
        })
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    let at = |quantile| histogram.value_at_quantile(quantile);
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": histogram.max() })
}
