//! Owns: one HTTP exchange without HTTP: a request made of Python's parts, and what kind of reply came back.
//! Refuses to know: how it gets to Python (`door`: asyncio; `blocking`: threads).

use crate::app::Gateway;
use crate::base::{Error, ErrorKind, Result};
use crate::doors::http::Trusted;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use http_body::Body as _;
use http_body_util::BodyExt;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyTuple};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;
use tower_service::Service;

/// A body up to here is handed over in one piece.
const WHOLE_MAX: u64 = 1 << 20;
/// Above this a request body is lent by Python, not copied.
const COPY_MAX: usize = 16 << 10;

/// What every entrance of one gateway shares.
pub(super) struct House {
    pub(super) gateway: Arc<Gateway>,
    pub(super) router: Router,
    /// Turns true at close. Every exchange holds a receiver while it lives, so that close can wait for the last one.
    pub(super) closing: watch::Sender<bool>,
}

/// A request as the router knows it.
pub(super) fn request(
    method: &str,
    target: &str,
    headers: &Bound<'_, PyAny>,
    body: Bound<'_, PyBytes>,
    trusted: bool,
) -> PyResult<Request> {
    let mut request = Request::new(copy_or_lend(body));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| invalid("The method is not a token."))?;
    *request.uri_mut() = Uri::try_from(target).map_err(|_| invalid("The target is not a path with an optional query."))?;
    *request.headers_mut() = header_map(headers)?;
    if trusted {
        request.extensions_mut().insert(Trusted);
    }
    Ok(request)
}

fn copy_or_lend(body: Bound<'_, PyBytes>) -> Body {
    if body.as_bytes().len() <= COPY_MAX {
        return Body::from(Bytes::copy_from_slice(body.as_bytes()));
    }
    Body::from(Bytes::from_owner(PyBackedBytes::from(body)))
}

fn header_map(headers: &Bound<'_, PyAny>) -> PyResult<HeaderMap> {
    let mut map = HeaderMap::with_capacity(headers.len().unwrap_or(8));
    for pair in headers.try_iter()? {
        let pair = pair?;
        let (name, value) = match pair.cast::<PyTuple>() {
            Ok(pair) => (pair.get_item(0)?, pair.get_item(1)?),
            Err(_) => (pair.get_item(0)?, pair.get_item(1)?), // ASGI allows any pair
        };
        let name = HeaderName::from_bytes(name.cast::<PyBytes>()?.as_bytes()).map_err(|_| invalid("A header name is not a token."))?;
        let value = HeaderValue::from_bytes(value.cast::<PyBytes>()?.as_bytes())
            .map_err(|_| invalid("A header value holds control characters."))?;
        map.append(name, value);
    }
    Ok(map)
}

pub(super) fn py_headers<'py>(py: Python<'py>, headers: &HeaderMap) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, headers.iter().map(|(name, value)| (PyBytes::new(py, name.as_str().as_bytes()), PyBytes::new(py, value.as_bytes()))))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::ShuttingDown, "The gateway is closed.")
}

/// The router's reply. The router cannot fail: its errors are replies.
pub(super) async fn answer(mut router: Router, request: Request) -> Response {
    let mut response = match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never as Infallible {},
    };
    if response.status() == StatusCode::NO_CONTENT {
        response.headers_mut().remove(header::CONTENT_LENGTH); // as hyper does it at the native door
    }
    response
}

/// Is the body to be handed over in one piece? Only where its length is known and small, and it is no event stream.
pub(super) fn is_whole(response: &Response) -> bool {
    let events = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    !events && response.body().size_hint().exact().is_some_and(|length| length <= WHOLE_MAX)
}

/// The next bytes of a body; `None` at its end. An error means that the reply is incomplete and the connection must not end well.
pub(super) async fn next_bytes(body: &mut Body) -> Result<Option<Bytes>> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(e)) => return Err(Error::new(ErrorKind::StreamCut, "The reply ended before it was complete.").with_cause(e)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes)),
                Err(_trailers) => {}
            },
        }
    }
}

/// All of a body that is known to be small; with an error comes what there was before it.
pub(super) async fn gather(mut body: Body) -> Result<Bytes, (Bytes, Error)> {
    let mut gathered = Bytes::new();
    loop {
        match next_bytes(&mut body).await {
            Ok(Some(bytes)) if gathered.is_empty() => gathered = bytes,
            Ok(Some(bytes)) => gathered = [gathered, bytes].concat().into(),
            Ok(None) => return Ok(gathered),
            Err(error) => return Err((gathered, error)),
        }
    }
}
