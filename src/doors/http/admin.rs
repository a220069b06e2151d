//! Owns: administration over HTTP: one route, the operation in the path, the same JSON as in process.
//! Refuses to know: which operations there are and what scopes they need (app).

use super::answer::{credential, refuse, request_id, text};
use super::inference::read;
use crate::app::Gateway;
use crate::base::{Error, ErrorKind, Result};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use std::sync::Arc;

/// Runs `POST /admin/{operation}`. Operations block on the store, so they run beside the workers.
pub(super) async fn run(State(gateway): State<Arc<Gateway>>, Path(operation): Path<String>, request: Request) -> Response {
    let request_id = request_id(request.headers());
    match answer(gateway, operation, request).await {
        Ok(json) => text(200, "application/json", json, &request_id),
        Err(error) => refuse(&error, &request_id),
    }
}

async fn answer(gateway: Arc<Gateway>, operation: String, request: Request) -> Result<String> {
    let (parts, body) = request.into_parts();
    let caller = gateway.principal(&credential(&parts)?)?;
    let body = read(&parts, body, gateway.settings().server.body_limit_bytes).await?;
    let failed = |cause: String| Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause(cause);
    let arguments = if body.is_empty() { b"{}".to_vec() } else { body.to_vec() };
    let ran = tokio::task::spawn_blocking(move || gateway.admin_for(&caller, &operation, &arguments)).await;
    let answer = ran.map_err(|panic| failed(panic.to_string()))??;
    String::from_utf8(answer).map_err(|error| failed(error.to_string()))
}
