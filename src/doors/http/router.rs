//! STUB, replaced at merge: routes that exercise every kind of reply a door has to carry.

use super::Trusted;
use crate::app::Gateway;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Streams and slow calls that are open now: the tests see by it that a client which left was noticed.
static OPEN: AtomicUsize = AtomicUsize::new(0);

struct Opened;

impl Opened {
    fn new() -> Self {
        OPEN.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::SeqCst);
    }
}

pub fn router(gateway: Arc<Gateway>) -> Router {
    let base_path = gateway.settings().server.base_path.clone();
    let limit = gateway.settings().server.body_limit_bytes;
    let routes = Router::new()
        .route("/health", get(|| async { ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#) }))
        .route("/v1/echo", post(echo))
        .route("/v1/target", get(|request: Request| async move { request.uri().to_string() }))
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route("/v1/refused", get(refused))
        .route("/v1/panic", get(panics))
        .route("/v1/slow", get(slow))
        .route("/v1/open", get(|| async { OPEN.load(Ordering::SeqCst).to_string() }))
        .route("/v1/stream/{events}/{pause_ms}", get(events))
        .route("/v1/cut", get(cut))
        .layer(DefaultBodyLimit::max(limit))
        .with_state(gateway);
    if base_path.is_empty() { routes } else { Router::new().nest(&base_path, routes) }
}

async fn echo(headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).cloned();
    let mut response = body.into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

async fn models(request: Request) -> Response {
    if request.extensions().get::<Trusted>().is_none() && !request.headers().contains_key(header::AUTHORIZATION) {
        let body = r#"{"error":{"message":"No key.","type":"authentication_error","param":null,"code":"missing_api_key"}}"#;
        return (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    ([(header::CONTENT_TYPE, "application/json")], r#"{"object":"list","data":[{"id":"stub","object":"model"}]}"#).into_response()
}

async fn chat(State(_): State<Arc<Gateway>>, body: Bytes) -> Response {
    let receipt =
        [("x-gotoai-order", "ord_1"), ("x-gotoai-endpoint", "twin/stub"), ("x-gotoai-attempts", "1"), ("x-gotoai-charge", "0.00125")];
    if body.windows(13).any(|w| w == br#""stream":true"#) {
        let deltas = stream::iter(["Hel", "lo"]).map(|text| {
            Ok::<_, io::Error>(Bytes::from(format!(
                "data: {{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
            )))
        });
        let done = stream::iter([Ok(Bytes::from_static(b"data: [DONE]\n\n"))]);
        return (receipt, [(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(deltas.chain(done))).into_response();
    }
    let reply = r#"{"object":"chat.completion","model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"}}]}"#;
    (receipt, [(header::CONTENT_TYPE, "application/json")], reply).into_response()
}

async fn refused() -> Response {
    let body = r#"{"error":{"message":"Slow down.","type":"rate_limit_error","param":"model","code":"provider_rate_limited"}}"#;
    (StatusCode::TOO_MANY_REQUESTS, [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "7")], body).into_response()
}

#[allow(clippy::panic)]
async fn panics() -> Response {
    panic!("on purpose")
}

async fn slow() -> Response {
    let _open = Opened::new();
    tokio::time::sleep(Duration::from_secs(60)).await;
    "late".into_response()
}

async fn events(axum::extract::Path((count, pause_ms)): axum::extract::Path<(usize, u64)>) -> Response {
    let open = Opened::new();
    let body = stream::unfold((0, open), move |(n, open)| async move {
        if n == count {
            return None;
        }
        if pause_ms > 0 && n > 0 {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        Some((Ok::<_, io::Error>(Bytes::from(format!("data: {n}\n\n"))), (n + 1, open)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

async fn cut() -> Response {
    let first = stream::iter([Ok(Bytes::from_static(b"data: 0\n\n"))]);
    let body = first.chain(stream::once(async {
        tokio::time::sleep(Duration::from_millis(20)).await; // hyper drops what it has not flushed
        Err(io::Error::other("cut"))
    }));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}
