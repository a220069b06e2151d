//! Owns: one instance of an OpenAI-compatible provider: how a call becomes a request, and how its models are listed.
//! Refuses to know: policy, retries, prices, and what bodies mean.

use super::credentials::Credentials;
use super::http::HttpClient;
use super::idle::IdleBody;
use crate::base::{Error, ErrorKind, Result, Secret};
use crate::domain::provider::{Family, FaultKind, Pending, Provider, ProviderCall, ProviderFault, ProviderReply};
use crate::protocol::Operation;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;

const LIST_TIMEOUT: Duration = Duration::from_secs(10);
const LIST_LIMIT_BYTES: usize = 8 << 20;
const AGENT: &str = concat!("gotoai/", env!("CARGO_PKG_VERSION"));
/// OpenAI refuses longer ones.
const REQUEST_ID_LIMIT_BYTES: usize = 512;

/// What makes an instance.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    pub name: String,
    pub family: &'static Family,
    /// With the API's version, without a trailing slash.
    pub base_url: String,
    /// Used in turn; may be empty.
    pub keys: Vec<Secret>,
    /// Sent with every call; they replace headers of the same name.
    pub headers: Vec<(String, Secret)>,
}

/// A provider that speaks the OpenAI dialect over HTTP. All that does not change from call to call is made once.
pub struct OpenAiCompatible {
    name: String,
    client: HttpClient,
    credentials: Credentials,
    request_id_header: HeaderName,
    chat: Uri,
    embeddings: Uri,
    models: Uri,
}

impl OpenAiCompatible {
    /// Opens no connection. Fails only on what cannot be sent at all: a malformed URL, key or header.
    pub fn new(config: &ProviderConfig, client: HttpClient) -> Result<Self> {
        let wrong = |what: String| Error::new(ErrorKind::Configuration, format!("provider '{}': {what}", config.name));
        let uri = |path: &str| -> Result<Uri> {
            let uri = Uri::try_from(format!("{}{path}", config.base_url)).ok().filter(|uri| uri.authority().is_some());
            uri.ok_or_else(|| wrong("the base URL is malformed".into()))
        };
        let common = common_headers(config).map_err(wrong)?;
        let headers = match config.keys.as_slice() {
            [] => vec![common],
            keys => keys
                .iter()
                .map(|key| with_key(&common, key))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("a key holds characters that no header may carry".into()))?,
        };
        Ok(Self {
            name: config.name.clone(),
            client,
            credentials: Credentials::new(headers),
            request_id_header: HeaderName::from_bytes(config.family.request_id_header.as_bytes())
                .map_err(|_| wrong("its family's request id header is malformed".into()))?,
            chat: uri(Operation::Chat.path())?,
            embeddings: uri(Operation::Embeddings.path())?,
            models: uri("/models")?,
        })
    }

    async fn exchange(&self, call: ProviderCall) -> Result<ProviderReply, ProviderFault> {
        let (credential, headers) = self.credentials.pick().map_err(|wait| {
            ProviderFault::new(FaultKind::NoCredential, format!("every key rests after a refusal, the first for another {wait:?}"))
        })?;
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = match call.operation {
            Operation::Chat => self.chat.clone(),
            Operation::Embeddings => self.embeddings.clone(),
        };
        *request.headers_mut() = headers.clone();
        // A request id that no header may carry is not worth failing the call for.
        if let Some(id) =
            Some(&*call.request_id).filter(|id| id.len() <= REQUEST_ID_LIMIT_BYTES).and_then(|id| HeaderValue::from_str(id).ok())
        {
            request.headers_mut().insert(self.request_id_header.clone(), id);
        }
        let (head, body) = self.client.send(request, call.head_timeout).await?.into_parts();
        self.credentials.judge(credential, head.status, &head.headers);
        Ok(ProviderReply { status: head.status.as_u16(), headers: head.headers, body: Box::pin(IdleBody::new(body, call.idle_timeout)) })
    }

    async fn read_models(&self) -> Result<Vec<String>, ProviderFault> {
        let broken = |detail: String| ProviderFault::new(FaultKind::Broken, detail);
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = self.models.clone();
        if let Some(headers) = self.credentials.any() {
            *request.headers_mut() = headers.clone();
            request.headers_mut().remove(CONTENT_TYPE);
        }
        let (head, body) = self.client.send(request, LIST_TIMEOUT).await?.into_parts();
        // The credential is not judged: a key restricted to inference may not list, and works all the same.
        if !head.status.is_success() {
            return Err(broken(format!("the model list was answered with status {}", head.status.as_u16())));
        }
        let bytes = Limited::new(body, LIST_LIMIT_BYTES)
            .collect()
            .await
            .map_err(|error| broken(format!("the model list broke off: {error}")))?
            .to_bytes();
        let value = serde_json::from_slice(&bytes).map_err(|error| broken(format!("the model list is not JSON: {error}")))?;
        model_ids(&value).ok_or_else(|| broken("the reply is not a model list".into()))
    }
}

impl Provider for OpenAiCompatible {
    fn call(&self, call: ProviderCall) -> Pending<'_, Result<ProviderReply, ProviderFault>> {
        Box::pin(self.exchange(call))
    }

    fn list_models(&self) -> Pending<'_, Result<Vec<String>, ProviderFault>> {
        Box::pin(async move {
            let listed = timeout(LIST_TIMEOUT, self.read_models()).await;
            listed.unwrap_or_else(|_| Err(ProviderFault::new(FaultKind::Timeout, format!("no model list within {LIST_TIMEOUT:?}"))))
        })
    }

    fn has_ready_credential(&self) -> bool {
        self.credentials.has_ready()
    }
}

impl fmt::Debug for OpenAiCompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenAiCompatible({})", self.name)
    }
}

fn common_headers(config: &ProviderConfig) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(8 + config.headers.len());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Replies are relayed and read in passing; compression would save the local link nothing and cost both ends time.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in &config.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value.expose()).ok());
        let (header, mut value) = parsed.ok_or_else(|| format!("the header '{name}' cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

/// An `authorization` among the configured headers wins over the key.
fn with_key(common: &HeaderMap, key: &Secret) -> Option<HeaderMap> {
    let mut headers = common.clone();
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?;
    bearer.set_sensitive(true);
    headers.entry(AUTHORIZATION).or_insert(bearer);
    Some(headers)
}

/// `{"data": [...]}`, `{"models": [...]}` or a bare list (together), of objects with an `id`, `name` or `model`, or of
/// texts. In the provider's order, without repeats. An empty list may be written as null (ollama).
fn model_ids(list: &Value) -> Option<Vec<String>> {
    let items = match list {
        Value::Array(items) => items.as_slice(),
        Value::Object(members) => match members.get("data").or_else(|| members.get("models"))? {
            Value::Array(items) => items.as_slice(),
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => return None,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    let id = |item: &Value| -> Option<String> {
        let text = item.as_str().or_else(|| ["id", "name", "model"].iter().find_map(|member| item.get(member)?.as_str()));
        text.filter(|id| !id.is_empty()).map(str::to_owned)
    };
    let mut seen = HashSet::new();
    Some(items.iter().filter_map(id).filter(|id| seen.insert(id.clone())).collect())
}

#[cfg(test)]
#[path = "openai_compatible_tests.rs"]
mod tests;
