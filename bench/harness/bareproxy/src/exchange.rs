//! One request to the upstream and its reply, passed through or looked into.

use crate::usage::{Counted, Usage};
use crate::{Body, Failure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// Headers that concern one hop, or that the client library writes itself.
const NOT_FORWARDED: [HeaderName; 6] =
    [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TE, header::UPGRADE];

pub struct Exchange {
    upstream: Authority,
    client: Client<HttpConnector, Body>,
    usage: Arc<Usage>,
}

/// The member of a request that is rewritten.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
}

impl Exchange {
    /// `upstream` is an address, such as `127.0.0.1:9100`.
    pub fn new(upstream: &str) -> Result<Self, Failure> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(512).build(connector);
        Ok(Self { upstream: upstream.parse()?, client, usage: Arc::default() })
    }

    /// Both bodies flow through unread.
    pub async fn pass(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let (mut parts, body) = request.into_parts();
        let length = parts.headers.get(header::CONTENT_LENGTH).cloned();
        self.address(&mut parts.headers, &mut parts.uri)?;
        if let Some(length) = length {
            parts.headers.insert(header::CONTENT_LENGTH, length);
        }
        parts.extensions.clear();
        let response = self.client.request(Request::from_parts(parts, body.map_err(Failure::from).boxed_unsync())).await?;
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(header::CONNECTION);
        Ok(Response::from_parts(parts, body.map_err(Failure::from).boxed_unsync()))
    }

    /// The model is swapped in the request's bytes, the usage is read from the reply's, which stay as they are.
    pub async fn splice(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let (mut parts, body) = request.into_parts();
        let body = swap_model(&body.collect().await?.to_bytes())?;
        self.address(&mut parts.headers, &mut parts.uri)?;
        parts.extensions.clear();
        let body = Full::new(body).map_err(Failure::from).boxed_unsync();
        let (mut parts, body) = self.client.request(Request::from_parts(parts, body)).await?.into_parts();
        parts.headers.remove(header::CONNECTION);
        parts.headers.remove(header::TRANSFER_ENCODING);
        let streams =
            parts.headers.get(header::CONTENT_TYPE).is_some_and(|media_type| media_type.as_bytes().starts_with(b"text/event-stream"));
        if streams {
            let body = Counted::new(body, Arc::clone(&self.usage));
            return Ok(Response::from_parts(parts, body.boxed_unsync()));
        }
        let body = body.collect().await?.to_bytes();
        self.usage.count(&body);
        Ok(Response::from_parts(parts, Full::new(body).map_err(Failure::from).boxed_unsync()))
    }

    fn address(&self, headers: &mut HeaderMap, uri: &mut Uri) -> Result<(), Failure> {
        for name in &NOT_FORWARDED {
            headers.remove(name);
        }
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer sk-upstream"));
        let mut parts = std::mem::take(uri).into_parts();
        (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(self.upstream.clone()));
        *uri = Uri::from_parts(parts)?;
        Ok(())
    }
}

/// `provider/model` becomes `model`; a name without a slash is written back as it was.
fn swap_model(body: &[u8]) -> Result<Bytes, Failure> {
    let raw = serde_json::from_slice::<Envelope>(body)?.model.get();
    let name: Cow<str> = serde_json::from_str(raw)?;
    let name = name.split_once('/').map_or(&*name, |(_, model)| model);
    let start = raw.as_ptr() as usize - body.as_ptr() as usize;
    let mut spliced = Vec::with_capacity(body.len() + 32);
    spliced.extend_from_slice(&body[..start]);
    serde_json::to_writer(&mut spliced, name)?;
    spliced.extend_from_slice(&body[start + raw.len()..]);
    Ok(spliced.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_changes() {
        let spliced = swap_model(br#"{"x": 1, "model" : "openai/mock", "y":[ ]}"#).unwrap();
        assert_eq!(spliced, r#"{"x": 1, "model" : "mock", "y":[ ]}"#);
    }
}
