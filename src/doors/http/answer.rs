//! Owns: from the path's replies to HTTP responses, and what every request is asked for: its id and its credential.

use super::Trusted;
use crate::base::{Error, ErrorKind, Result, Secret};
use crate::pipeline::{Credential, Reply, ReplyBody};
use axum::body::{Body, Bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const REQUEST_ID_LIMIT_BYTES: usize = 128;

/// The caller's `X-Request-ID` where it is usable, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> Arc<str> {
    let usable = |text: &&str| !text.is_empty() && text.len() <= REQUEST_ID_LIMIT_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(usable) {
        Some(own) => own.into(),
        None => {
            let mut buffer = Uuid::encode_buffer();
            let id: &str = Uuid::now_v7().as_hyphenated().encode_lower(&mut buffer);
            id.into()
        }
    }
}

/// `Authorization: Bearer <key>`, or `x-api-key`.
pub(super) fn credential(parts: &Parts) -> Result<Credential> {
    if parts.extensions.get::<Trusted>().is_some() {
        return Ok(Credential::Trusted);
    }
    let refuse = || Error::new(ErrorKind::MissingKey, "the Authorization header is not of the form 'Bearer <key>'");
    match (parts.headers.get(AUTHORIZATION), parts.headers.get(API_KEY)) {
        (Some(value), _) => {
            let (scheme, key) = value.to_str().map_err(|_| refuse())?.trim().split_once(' ').ok_or_else(refuse)?;
            if !scheme.eq_ignore_ascii_case("bearer") || key.trim().is_empty() {
                return Err(refuse());
            }
            Ok(Credential::Key(Secret::new(key.trim())))
        }
        (None, Some(value)) => Ok(Credential::Key(Secret::new(value.to_str().map_err(|_| refuse())?))),
        (None, None) => Ok(Credential::None),
    }
}

/// The path's reply as a response. Lengths are set here, so that every door sends the same headers.
pub(super) fn respond(reply: Reply, request_id: &str) -> Response {
    let mut response = Response::new(match reply.body {
        ReplyBody::Stream(relay) => Body::new(*relay),
        ReplyBody::Whole(bytes) => return whole(reply.status, reply.headers, bytes, request_id),
    });
    finish(&mut response, reply.status, reply.headers, request_id);
    response
}

pub(super) fn whole(status: u16, mut headers: HeaderMap, bytes: Bytes, request_id: &str) -> Response {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let mut response = Response::new(Body::from(bytes));
    finish(&mut response, status, headers, request_id);
    response
}

fn finish(response: &mut Response, status: u16, headers: HeaderMap, request_id: &str) {
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

pub(super) fn refuse(error: &Error, request_id: &str) -> Response {
    respond(Reply::error(error), request_id)
}

pub(super) fn json(status: u16, value: &Value, request_id: &str) -> Response {
    text(status, "application/json", value.to_string(), request_id)
}

pub(super) fn text(status: u16, content_type: &'static str, text: String, request_id: &str) -> Response {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    whole(status, headers, text.into(), request_id)
}
