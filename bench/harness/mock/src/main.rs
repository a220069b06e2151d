//! The provider that all gateways are measured against: speaks the OpenAI dialect, on one thread, and does as little as it can.
//! `mock-upstream 127.0.0.1:9100`. How it behaves is said by the model's name (`plan.rs`), because every gateway forwards that.
//! `GET /stats` counts connections, requests and streams, those among them that the peer gave up.

mod plan;
mod stream;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use plan::Plan;
use serde::Deserialize;
use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use stream::EventStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const CONTENT: &str = "The quick brown fox jumps over the lazy dog while the five boxing wizards jump quickly and \
sphinx of black quartz judges my vow; this sentence is here only to make the reply of a typical short size.";
const MODELS: &str = r#"{"object":"list","data":[{"id":"mock","object":"model","created":1760000000,"owned_by":"mock"}]}"#;

type Body = BoxBody<Bytes, Infallible>;

/// What has been asked of this provider since it started.
#[derive(Default)]
struct Stats {
    connections: AtomicU64,
    requests: AtomicU64,
    streams: AtomicU64,
    aborted: AtomicU64,
}

impl Stats {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn json(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            r#"{{"connections":{},"requests":{},"streams":{},"aborted":{}}}"#,
            read(&self.connections),
            read(&self.requests),
            read(&self.streams),
            read(&self.aborted),
        )
    }
}

/// The members of a request that matter here.
#[derive(Deserialize)]
struct ChatRequest<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(default)]
    stream: Option<bool>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: mock-upstream ADDRESS")?;
    let listener = TcpListener::bind(&address).await?;
    let stats = Arc::new(Stats::default());
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(serve(connection, Arc::clone(&stats)));
    }
}

/// One connection to its end. A peer that leaves is counted where its stream is dropped.
async fn serve(connection: TcpStream, stats: Arc<Stats>) {
    Stats::count(&stats.connections);
    if connection.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| answer(request, Arc::clone(&stats)));
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await.ok();
}

async fn answer(request: Request<Incoming>, stats: Arc<Stats>) -> Result<Response<Body>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    Ok(match path.strip_prefix("/v1").unwrap_or(path) {
        "/chat/completions" => chat(&body.collect().await?.to_bytes(), stats).await,
        "/models" => json(StatusCode::OK, MODELS),
        "/stats" => json(StatusCode::OK, stats.json()),
        _ => json(StatusCode::NOT_FOUND, r#"{"error":{"message":"no such path","type":"invalid_request_error"}}"#),
    })
}

async fn chat(body: &[u8], stats: Arc<Stats>) -> Response<Body> {
    Stats::count(&stats.requests);
    let Ok(request) = serde_json::from_slice::<ChatRequest>(body) else {
        return json(StatusCode::BAD_REQUEST, r#"{"error":{"message":"bad JSON","type":"invalid_request_error"}}"#);
    };
    let plan = Plan::named(&request.model);
    if !plan.delay.is_zero() {
        sleep(plan.delay).await;
    }
    if request.stream != Some(true) {
        return json(StatusCode::OK, completion(&request.model));
    }
    Stats::count(&stats.streams);
    let mut response = Response::new(EventStream::new(&request.model, plan, stats).boxed());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    response
}

fn completion(model: &str) -> String {
    let choice = format!(r#"{{"index":0,"message":{{"role":"assistant","content":"{CONTENT}","refusal":null}},"finish_reason":"stop"}}"#);
    let usage = concat!(
        r#"{"prompt_tokens":21,"completion_tokens":42,"total_tokens":63,"prompt_tokens_details":{"cached_tokens":0},"#,
        r#""completion_tokens_details":{"reasoning_tokens":0}}"#
    );
    format!(
        r#"{{"id":"chatcmpl-mock000000000000000000000001","object":"chat.completion","created":1760000000,"model":"{model}","choices":[{choice}],"usage":{usage},"system_fingerprint":"fp_mock"}}"#
    )
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-request-id", HeaderValue::from_static("req_mock"));
    response
}
