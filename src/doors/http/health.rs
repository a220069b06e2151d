//! Owns: what machines ask of a gateway: alive, ready, metrics, its API as a document. None of it needs a key, and none of it
//! tells anything of a tenant.

use super::answer::{json, refuse, request_id, text};
use crate::app::Gateway;
use crate::base::{Error, ErrorKind};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const OPENAPI: &str = include_str!("openapi.json");

pub(super) async fn live(headers: HeaderMap) -> Response {
    json(200, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }), &request_id(&headers))
}

pub(super) async fn ready(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    let id = request_id(&headers);
    let Ok(readiness) = tokio::task::spawn_blocking(move || gateway.readiness()).await else {
        return refuse(&Error::new(ErrorKind::Internal, "the gateway failed on this request"), &id);
    };
    let checks: Map<String, Value> = readiness
        .checks
        .into_iter()
        .map(|(name, outcome)| (name.to_owned(), outcome.err().unwrap_or_else(|| "ok".to_owned()).into()))
        .collect();
    let (status, word) = if readiness.ready { (200, "ready") } else { (503, "not_ready") };
    json(status, &json!({ "status": word, "checks": checks }), &id)
}

pub(super) async fn metrics(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    let id = request_id(&headers);
    match gateway.metrics().render() {
        Ok(rendered) => text(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", rendered, &id),
        Err(error) => refuse(&error, &id),
    }
}

pub(super) async fn openapi(headers: HeaderMap) -> Response {
    text(200, "application/json", OPENAPI.to_owned(), &request_id(&headers))
}
