//! Owns: which path leads where. The OpenAI routes stand under `/v1` and, for clients that leave it out, without it.

use super::answer::{refuse, request_id};
use super::{admin, health, inference, models, orders, webhooks};
use crate::app::Gateway;
use crate::base::{Error, ErrorKind};
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use std::sync::Arc;

type Route = (&'static str, &'static str, fn() -> MethodRouter<Arc<Gateway>>);

/// Method, path, handler. `openapi.json` documents each of them; a test compares the two.
pub const ROUTES: &[Route] = &[
    ("POST", "/v1/chat/completions", || post(inference::chat)),
    ("POST", "/v1/embeddings", || post(inference::embeddings)),
    ("GET", "/v1/models", || get(models::list)),
    ("GET", "/v1/models/{*name}", || get(models::retrieve)),
    ("GET", "/v1/orders/{id}", || get(orders::retrieve)),
    ("POST", "/admin/{operation}", || post(admin::run)),
    ("POST", "/webhooks/stripe", || post(webhooks::stripe)),
    ("GET", "/health", || get(health::live)),
    ("GET", "/health/ready", || get(health::ready)),
    ("GET", "/metrics", || get(health::metrics)),
    ("GET", "/openapi.json", || get(health::openapi)),
];

/// The one router behind every door.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let base_path = gateway.settings().server.base_path.clone();
    let mut routes = Router::new();
    for (_, path, handler) in ROUTES {
        routes = routes.route(path, handler());
        if let Some(bare) = path.strip_prefix("/v1") {
            routes = routes.route(bare, handler());
        }
    }
    let routes = routes.method_not_allowed_fallback(wrong_method).with_state(gateway);
    let all = if base_path.is_empty() { routes } else { Router::new().nest(&base_path, routes) };
    all.fallback(unknown)
}

async fn unknown(request: Request) -> Response {
    let shown: String = request.uri().path().chars().take(200).collect();
    let error = Error::new(ErrorKind::NotFound, format!("there is no '{shown}' here; GET /openapi.json lists what there is"));
    refuse(&error, &request_id(request.headers()))
}

async fn wrong_method(request: Request) -> Response {
    let error = Error::new(ErrorKind::MethodNotAllowed, format!("{} is not possible here", request.method()));
    refuse(&error, &request_id(request.headers()))
}

#[cfg(test)]
mod tests {
    use super::ROUTES;
    use serde_json::Value;

    #[test]
    fn every_route_is_documented_and_every_documented_route_exists() {
        let document: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let mut documented: Vec<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase())))
            .collect();
        let mut routed: Vec<String> = ROUTES.iter().map(|(method, path, _)| format!("{method} {}", path.replace("{*", "{"))).collect();
        documented.sort();
        routed.sort();
        assert_eq!(documented, routed);
    }
}
