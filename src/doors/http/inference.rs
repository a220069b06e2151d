//! Owns: the routes that run the path: chat completions and embeddings.

use super::answer::{credential, refuse, request_id, respond};
use crate::app::Gateway;
use crate::base::{Error, ErrorKind, Result};
use crate::pipeline::Call;
use crate::protocol::Operation;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;

const MODE: &str = "x-gotoai-mode";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const LABELS: &str = "x-gotoai-labels";
const LABELS_LIMIT: usize = 16;
const LABEL_LIMIT_BYTES: usize = 64;

pub(super) async fn chat(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    infer(gateway, Operation::Chat, request).await
}

pub(super) async fn embeddings(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    infer(gateway, Operation::Embeddings, request).await
}

async fn infer(gateway: Arc<Gateway>, operation: Operation, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts.headers);
    match call(&gateway, operation, &parts, body, &request_id).await {
        Ok(call) => respond(gateway.pipeline().run(call).await, &request_id),
        Err(error) => refuse(&error, &request_id),
    }
}

async fn call(gateway: &Gateway, operation: Operation, parts: &Parts, body: Body, request_id: &Arc<str>) -> Result<Call> {
    Ok(Call {
        operation,
        request_id: Arc::clone(request_id),
        credential: credential(parts)?,
        mode: parts.headers.get(MODE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        labels: labels(parts)?,
        idempotency_key: parts.headers.get(IDEMPOTENCY_KEY).map(|value| String::from_utf8_lossy(value.as_bytes()).into()),
        body: read(parts, body, gateway.settings().server.body_limit_bytes).await?,
    })
}

/// `x-gotoai-labels: team=search, batch`: what budgets and reports may count by.
fn labels(parts: &Parts) -> Result<Vec<Arc<str>>> {
    let Some(value) = parts.headers.get(LABELS) else { return Ok(Vec::new()) };
    let refuse = || {
        let why =
            format!("{LABELS} holds at most {LABELS_LIMIT} labels of 1 to {LABEL_LIMIT_BYTES} visible characters, separated by commas");
        Error::new(ErrorKind::InvalidRequest, why)
    };
    let labels: Vec<Arc<str>> = value.to_str().map_err(|_| refuse())?.split(',').map(|label| label.trim().into()).collect();
    let fits = |label: &Arc<str>| (1..=LABEL_LIMIT_BYTES).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic());
    if labels.len() <= LABELS_LIMIT && labels.iter().all(fits) { Ok(labels) } else { Err(refuse()) }
}

/// The whole body, up to the limit. A declared length beyond it is refused before anything is read.
pub(super) async fn read(parts: &Parts, body: Body, limit_bytes: usize) -> Result<Bytes> {
    let too_large = || {
        let limit = limit_bytes as f64 / f64::from(1 << 20);
        Error::new(ErrorKind::BodyTooLarge, format!("the body is larger than the limit of {limit:.1} MiB (BODY_SIZE_LIMIT)"))
    };
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit_bytes) {
        return Err(too_large());
    }
    match Limited::new(body, limit_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Error::new(ErrorKind::InvalidRequest, "the body did not arrive whole").with_cause(error)),
    }
}
