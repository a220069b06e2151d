//! Owns: what payment providers send us over HTTP. No key: each message is signed.
//! Refuses to know: what a message says and what follows from it (app).

use super::answer::{json, refuse, request_id};
use super::inference::read;
use crate::app::Gateway;
use crate::base::{Error, ErrorKind, Result};
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;

const SIGNATURE: &str = "stripe-signature";
/// Whoever may send is known only when all has been read. Stripe's events are far smaller.
const EVENT_LIMIT_BYTES: usize = 512 << 10;

/// `POST /webhooks/stripe`: 200 once what the event says is durable, 400 to 499 if it cannot be booked, 500 and above to send it
/// again.
pub(super) async fn stripe(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let request_id = request_id(request.headers());
    match answer(gateway, request).await {
        Ok(answer) => json(200, &answer, &request_id),
        Err(error) => refuse(&error, &request_id),
    }
}

async fn answer(gateway: Arc<Gateway>, request: Request) -> Result<Value> {
    let keys = gateway.stripe_keys()?;
    let (parts, body) = request.into_parts();
    let missing =
        || Error::new(ErrorKind::InvalidSignature, "the header Stripe-Signature is missing: only Stripe may send to this address");
    let signature = parts.headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).ok_or_else(missing)?.to_owned();
    let body = read(&parts, body, gateway.settings().server.body_limit_bytes.min(EVENT_LIMIT_BYTES)).await?;
    // The store blocks.
    let booked = tokio::task::spawn_blocking(move || gateway.stripe_event(&keys, &signature, &body)).await;
    booked.unwrap_or_else(|panic| Err(Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause(panic)))
}
