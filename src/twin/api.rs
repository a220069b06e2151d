//! Owns: the twin's normal behaviour: which path does what, who is let in, the model list.
//! Refuses to know: the script, beyond what it wants done to the usage.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::reply::Reply;
use super::{chat, embeddings, text};

/// A fixed moment (2025-06-15), so that replies repeat.
pub(super) const CREATED: u64 = 1_750_000_000;
const MODELS: [&str; 4] = ["twin-small", "twin-large", "twin-reasoner", "twin-embed"];

/// A request, as far as an answer depends on it.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Counted since the last reset.
    pub(super) index: u64,
}

/// What a step wants done to the usage.
#[derive(Clone, Copy)]
pub(super) struct UsageScript<'a> {
    pub(super) omit: bool,
    pub(super) replacement: Option<&'a Value>,
}

impl UsageScript<'_> {
    pub(super) fn apply(self, counted: Value) -> Option<Value> {
        if self.omit { None } else { Some(self.replacement.cloned().unwrap_or(counted)) }
    }
}

impl Call {
    /// Ids differ from request to request, and repeat when the requests do.
    pub(super) fn seed(&self) -> u64 {
        text::fingerprint(&self.body).wrapping_add(self.index)
    }

    /// The path without `/v1` and a slash at its end.
    fn operation(&self) -> &str {
        let path = self.path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(&self.path);
        path.strip_suffix('/').unwrap_or(path)
    }
}

pub(super) fn answer(call: &Call, usage: UsageScript) -> Reply {
    if let Err(refusal) = admit(&call.headers) {
        return refusal;
    }
    let operation = call.operation();
    match (call.method.as_str(), operation) {
        ("POST", "/chat/completions") => chat::reply(call, usage),
        ("POST", "/embeddings") => embeddings::reply(call, usage),
        ("GET", "/models") => Reply::ok(&json!({"object": "list", "data": MODELS.map(model)})),
        ("GET", path) if path.starts_with("/models/") => one_model(&path["/models/".len()..]),
        (method, "/chat/completions" | "/embeddings" | "/models") => {
            let message = format!("Not allowed to {method} on {}.", call.path);
            Reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", Some("method_not_supported"), message)
        }
        (method, _) => {
            let message = format!("Invalid URL ({method} {})", call.path);
            Reply::refusal(StatusCode::NOT_FOUND, "invalid_request_error", None, message)
        }
    }
}

fn admit(headers: &HeaderMap) -> Result<(), Reply> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token.trim());
    let message = match token {
        "" => "You didn't provide an API key. Provide it in an Authorization header using Bearer auth (Authorization: Bearer YOUR_KEY).",
        "invalid" => "Incorrect API key provided.",
        _ => return Ok(()),
    };
    let code = (token == "invalid").then_some("invalid_api_key");
    Err(Reply::refusal(StatusCode::UNAUTHORIZED, "invalid_request_error", code, message))
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "twin"})
}

fn one_model(id: &str) -> Reply {
    if MODELS.contains(&id) {
        return Reply::ok(&model(id));
    }
    Reply::refusal(StatusCode::NOT_FOUND, "invalid_request_error", Some("model_not_found"), format!("The model '{id}' does not exist"))
}

/// Reads a body, or says what OpenAI says about one it cannot read.
pub(super) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    serde_json::from_slice(body).map_err(|error| {
        let message = if error.is_data() {
            format!("Invalid type in the body of your request: {error}")
        } else {
            format!("We could not parse the JSON body of your request: {error}")
        };
        Reply::bad_request(None, message)
    })
}
