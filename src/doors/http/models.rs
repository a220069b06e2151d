//! Owns: the model list in the OpenAI dialect.

use super::answer::{credential, refuse, request_id, text};
use crate::app::{Gateway, ModelView, price_view};
use crate::base::{Error, ErrorKind, Result, Timestamp};
use crate::domain::identity::{Principal, Scope};
use crate::protocol::openai::{ModelObject, model_list, model_object};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

fn object(view: &ModelView, now: Timestamp) -> ModelObject {
    let first = view.endpoints.first();
    let metadata = json!({
        "endpoints": view.endpoints.iter().map(|endpoint| &*endpoint.id).collect::<Vec<_>>(),
        "context_window": first.and_then(|endpoint| endpoint.context_window),
        "max_output_tokens": first.and_then(|endpoint| endpoint.max_output),
        "pricing": first.and_then(|endpoint| endpoint.price_at(now)).map(|price| price_view(price)),
    });
    let owner = first.map_or_else(String::new, |endpoint| endpoint.provider_name.to_string());
    model_object(view.id.clone(), owner, serde_json::value::to_raw_value(&metadata).ok())
}

fn caller(gateway: &Gateway, request: Request) -> Result<Arc<Principal>> {
    let principal = gateway.principal(&credential(&request.into_parts().0)?)?;
    principal.require(Scope::Chat)?;
    Ok(principal)
}

fn written(json: serde_json::Result<Vec<u8>>) -> Result<String> {
    let unwritable = |cause: String| Error::new(ErrorKind::Internal, "the list cannot be written").with_cause(cause);
    String::from_utf8(json.map_err(|error| unwritable(error.to_string()))?).map_err(|error| unwritable(error.to_string()))
}

pub(super) async fn list(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let id = request_id(request.headers());
    let listed = caller(&gateway, request).and_then(|principal| {
        let models: Vec<ModelObject> = gateway.models(&principal).iter().map(|view| object(view, gateway.now())).collect();
        written(Ok(model_list(&models)))
    });
    match listed {
        Ok(body) => text(200, "application/json", body, &id),
        Err(error) => refuse(&error, &id),
    }
}

pub(super) async fn retrieve(State(gateway): State<Arc<Gateway>>, Path(name): Path<String>, request: Request) -> Response {
    let id = request_id(request.headers());
    let found = caller(&gateway, request)
        .and_then(|principal| gateway.model(&principal, &name))
        .and_then(|view| written(serde_json::to_vec(&object(&view, gateway.now()))));
    match found {
        Ok(body) => text(200, "application/json", body, &id),
        Err(error) => refuse(&error, &id),
    }
}
