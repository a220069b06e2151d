//! Owns: what the twin received: the last requests, counters, and whether the peer left before its reply was complete.
//! Refuses to know: what was answered. Keys are cut to their last four characters before they are kept.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

const REQUESTS_MAX: usize = 1000;
/// Bodies may be large; together they must not be.
const BODY_BYTES_MAX: usize = 64 << 20;
const SECRET_HEADERS: [&str; 6] = ["authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"];
const SECRET_QUERY_NAMES: [&str; 3] = ["key", "api_key", "access_token"];

/// Bounded by count and by bytes; the oldest leave first.
#[derive(Default)]
pub(super) struct RequestLog {
    kept: VecDeque<Received>,
    body_bytes: usize,
    /// Requests since the twin started. Never goes back, so that an exchange from before a reset cannot mark a later request.
    serial_next: u64,
    /// The serial of the first request since the last reset.
    serial_base: u64,
    gone_count: u64,
}

struct Received {
    serial: u64,
    method: Method,
    path: String,
    query: Option<String>,
    headers: Map<String, Value>,
    body: Bytes,
    client_gone: bool,
}

impl RequestLog {
    /// Returns the serial and the index since the last reset.
    fn record(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> (u64, u64) {
        let serial = self.serial_next;
        self.serial_next += 1;
        self.body_bytes += body.len();
        self.kept.push_back(Received {
            serial,
            method: method.clone(),
            path: uri.path().to_owned(),
            query: uri.query().map(public_query),
            headers: public_headers(headers),
            body,
            client_gone: false,
        });
        while self.kept.len() > REQUESTS_MAX || (self.body_bytes > BODY_BYTES_MAX && self.kept.len() > 1) {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.body_bytes -= oldest.body.len();
        }
        (serial, serial - self.serial_base)
    }

    fn mark_gone(&mut self, serial: u64) {
        if serial < self.serial_base {
            return;
        }
        self.gone_count += 1;
        if let Some(received) = self.kept.iter_mut().find(|received| received.serial == serial) {
            received.client_gone = true;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self { serial_next: self.serial_next, serial_base: self.serial_next, ..Self::default() };
    }

    pub(super) fn to_json(&self) -> Value {
        let requests: Vec<Value> = self.kept.iter().map(|received| received.to_json(self.serial_base)).collect();
        let counters = json!({
            "received": self.serial_next - self.serial_base,
            "kept": requests.len(),
            "client_gone": self.gone_count,
        });
        json!({"counters": counters, "requests": requests})
    }
}

impl Received {
    fn to_json(&self, serial_base: u64) -> Value {
        let body = match serde_json::from_slice(&self.body) {
            Ok(body) => body,
            Err(_) if self.body.is_empty() => Value::Null,
            Err(_) => Value::String(String::from_utf8_lossy(&self.body).into_owned()),
        };
        json!({
            "index": self.serial - serial_base,
            "method": self.method.as_str(),
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": body,
            "client_gone": self.client_gone,
        })
    }
}

fn public_headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut public = Map::new();
    for name in headers.keys() {
        let values: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let value = values.join(", ");
        let value = if SECRET_HEADERS.contains(&name.as_str()) { last_four(&value) } else { value };
        public.insert(name.as_str().to_owned(), Value::String(value));
    }
    public
}

fn public_query(query: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if SECRET_QUERY_NAMES.contains(&name) => format!("{name}={}", last_four(value)),
        Some(_) | None => pair.to_owned(),
    };
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

fn last_four(secret: &str) -> String {
    let hidden = secret.chars().count().saturating_sub(4);
    format!("...{}", secret.chars().skip(hidden).collect::<String>())
}

/// One request under way. Dropped before it is settled, it notes that the peer left: hyper drops what it was
/// working on as soon as it sees the connection closed.
pub(super) struct Exchange {
    log: Arc<Mutex<RequestLog>>,
    serial: u64,
    /// Counted since the last reset.
    pub(super) index: u64,
    settled: bool,
}

impl Exchange {
    pub(super) fn begin(log: &Arc<Mutex<RequestLog>>, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Self {
        let (serial, index) = log.lock().record(method, uri, headers, body);
        Self { log: Arc::clone(log), serial, index, settled: false }
    }

    /// The twin has done all it will; what happens from here on is not the peer's leaving.
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.settled {
            self.log.lock().mark_gone(self.serial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn begin(log: &Arc<Mutex<RequestLog>>, uri: &'static str, body: &'static str) -> Exchange {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer sk-secret-1234"));
        Exchange::begin(log, &Method::POST, &Uri::from_static(uri), &headers, Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn keys_are_cut_and_bodies_kept() {
        let log = Arc::default();
        begin(&log, "/v1/x?key=topsecret&alt=sse", r#"{"a":1}"#).settle();
        begin(&log, "/v1/y", "plain").settle();
        let json = log.lock().to_json();
        assert_eq!(json["requests"][0]["headers"]["authorization"], "...1234");
        assert_eq!(json["requests"][0]["query"], "key=...cret&alt=sse");
        assert_eq!(json["requests"][0]["body"], json!({"a": 1}));
        assert_eq!(json["requests"][1]["body"], "plain");
        assert!(!json.to_string().contains("secret"));
    }

    #[test]
    fn leaving_is_noted_unless_settled_or_reset() {
        let log = Arc::default();
        let (kept, mut settled, old) = (begin(&log, "/a", ""), begin(&log, "/b", ""), begin(&log, "/c", ""));
        settled.settle();
        drop((kept, settled));
        let json = log.lock().to_json();
        assert_eq!(json["requests"][0]["client_gone"], true);
        assert_eq!(json["requests"][1]["client_gone"], false);
        log.lock().clear();
        let mut fresh = begin(&log, "/d", "");
        fresh.settle();
        drop(old);
        assert_eq!(fresh.index, 0);
        assert_eq!(log.lock().to_json()["counters"], json!({"received": 1, "kept": 1, "client_gone": 0}));
    }

    #[test]
    fn the_log_is_bounded() {
        let log = Arc::default();
        for _ in 0..REQUESTS_MAX + 5 {
            begin(&log, "/a", "").settle();
        }
        let json = log.lock().to_json();
        assert_eq!(json["counters"]["received"], REQUESTS_MAX + 5);
        assert_eq!(json["counters"]["kept"], REQUESTS_MAX);
        assert_eq!(json["requests"][0]["index"], 5);
    }
}
