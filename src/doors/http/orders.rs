//! Owns: the receipt of one order over HTTP.

use super::answer::{credential, json, refuse, request_id};
use crate::app::{Gateway, receipt};
use crate::base::{Error, ErrorKind, OrderId};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use std::sync::Arc;

pub(super) async fn retrieve(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>, request: Request) -> Response {
    let request_id = request_id(request.headers());
    let principal = match credential(&request.into_parts().0).and_then(|credential| gateway.principal(&credential)) {
        Ok(principal) => principal,
        Err(error) => return refuse(&error, &request_id),
    };
    let Ok(order) = id.parse::<OrderId>() else {
        return refuse(&Error::new(ErrorKind::NotFound, "an order id looks like ord_ and 32 hexadecimal digits"), &request_id);
    };
    // The store blocks.
    let found = tokio::task::spawn_blocking(move || gateway.order(&principal, order)).await;
    match found {
        Ok(Ok(order)) => json(200, &receipt(&order), &request_id),
        Ok(Err(error)) => refuse(&error, &request_id),
        Err(panic) => refuse(&Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause(panic), &request_id),
    }
}
