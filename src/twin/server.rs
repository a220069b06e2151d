//! Owns: the listener, the connections, and the way of a request: read, log, find its step, carry it out. Also the `/twin` paths.
//! Refuses to know: what a reply says (`api`) and how it is sent (`delivery`).

use std::future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::{task, time};

use super::api::{self, Call, UsageScript};
use super::delivery::{self, Dropped, Outgoing};
use super::log::{Exchange, RequestLog};
use super::reply::{EVENT_STREAM, JSON, Payload, Reply, event, split_events};
use super::script::{self, Script, Step};

const BODY_BYTES_MAX: usize = 32 << 20;
/// When no connection can be taken (too many open files), trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What the twin's owner and its connections share.
#[derive(Default)]
pub(super) struct State {
    script: Mutex<Script>,
    log: Arc<Mutex<RequestLog>>,
}

impl State {
    pub(super) fn load_script(&self, steps_json: &[u8]) -> Result<usize, String> {
        self.script.lock().load(steps_json)
    }

    pub(super) fn requests_json(&self) -> Vec<u8> {
        let log = self.log.lock().to_json();
        log.to_string().into_bytes()
    }

    fn reset(&self) {
        self.script.lock().clear();
        self.log.lock().clear();
    }
}

/// Serves until `stopped` is told or its sender dropped.
#[expect(clippy::disallowed_methods, reason = "conversations end with the twin's runtime")]
pub(super) async fn serve(listener: TcpListener, state: Arc<State>, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(task::spawn(converse(stream, Arc::clone(&state)))),
                Err(_) => time::sleep(ACCEPT_PAUSE).await,
            },
            _ = &mut stopped => return,
        }
    }
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    // Events must leave at once; a socket that refuses the option still works, only later.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| handle(Arc::clone(&state), request));
    // An error means that the peer left or that a step dropped the connection: both are what was asked for.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Outgoing>, Dropped> {
    let (parts, body) = request.into_parts();
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Ok(plain(too_large()));
    }
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Ok(plain(too_large())),
        Err(_) => return Err(Dropped),
    };
    if let Some(path) = parts.uri.path().strip_prefix("/twin/") {
        return Ok(plain(steer(&state, &parts.method, path, &body)));
    }
    answer(&state, parts, body).await
}

fn too_large() -> Reply {
    let message = format!("The body is larger than {BODY_BYTES_MAX} bytes.");
    Reply::refusal(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", None, message)
}

/// The paths by which another process steers the twin.
fn steer(state: &State, method: &Method, path: &str, body: &[u8]) -> Reply {
    match (method.as_str(), path) {
        ("POST", "script") => match state.load_script(body) {
            Ok(waiting) => Reply::ok(&json!({"waiting": waiting})),
            Err(fault) => Reply::bad_request(None, fault),
        },
        ("POST", "reset") => {
            state.reset();
            Reply::ok(&json!({"waiting": 0}))
        }
        ("GET", "requests") => {
            Reply { status: StatusCode::OK, content_type: JSON.into(), payload: Payload::Whole(state.requests_json().into()) }
        }
        (_, "script" | "reset" | "requests") => {
            Reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", None, "POST script, POST reset, GET requests")
        }
        (_, _) => Reply::refusal(StatusCode::NOT_FOUND, "invalid_request_error", None, "the twin knows script, reset and requests"),
    }
}

fn plain(reply: Reply) -> Response<Outgoing> {
    let body = match reply.payload {
        Payload::Whole(body) => body,
        Payload::Events { events, .. } => events.concat().into(),
    };
    let mut response = Response::new(delivery::whole(body));
    *response.status_mut() = reply.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// The two members of a body that steps depend on.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Addressed {
    model: Value,
    stream: Value,
}

async fn answer(state: &State, parts: Parts, body: Bytes) -> Result<Response<Outgoing>, Dropped> {
    let addressed: Addressed = serde_json::from_slice(&body).unwrap_or_default();
    let model = addressed.model.as_str();
    let mut exchange = Exchange::begin(&state.log, &parts.method, &parts.uri, &parts.headers, body.clone());
    let scripted = state.script.lock().take(&parts.method, parts.uri.path(), model);
    let step = match (scripted, model.and_then(script::step_of_suffix)) {
        (Some(step), _) => step,
        (None, Some(Ok(step))) => Arc::new(step),
        (None, Some(Err(fault))) => {
            return Ok(delivery::respond(Reply::bad_request(Some("model"), fault), &Step::default(), exchange));
        }
        (None, None) => Arc::default(),
    };
    if !step.delay().is_zero() {
        time::sleep(step.delay()).await;
    }
    if step.stall {
        // hyper drops this future, and the exchange with it, when the peer leaves.
        future::pending::<()>().await;
    }
    if step.close {
        exchange.settle();
        return Err(Dropped);
    }
    let call = Call { method: parts.method, path: parts.uri.path().to_owned(), headers: parts.headers, body, index: exchange.index };
    let reply = reply_of(&step, &call, addressed.stream == true);
    Ok(delivery::respond(reply, &step, exchange))
}

/// The step's own reply if it has one, else what the twin would say.
fn reply_of(step: &Step, call: &Call, streaming: bool) -> Reply {
    let usage = UsageScript { omit: step.omit_usage, replacement: step.usage.as_ref() };
    let mut reply = match (step.recording(), &step.body, step.status) {
        (Some(recording), _, _) => replay(recording, step.content_type.clone()),
        (None, Some(body), _) => scripted_body(body, step.content_type.clone()),
        (None, None, _) if step.garbage => garbage(streaming),
        (None, None, Some(status)) if status.as_u16() >= 400 => Reply::of_status(status),
        (None, None, _) => api::answer(call, usage),
    };
    // A refusal (no key, bad JSON) stays one: the step's success was meant for a proper request.
    if let Some(status) = step.status.filter(|_| reply.status.is_success()) {
        reply.status = status;
    }
    reply
}

fn replay(recording: Bytes, content_type: Option<String>) -> Reply {
    let looks_like_events = [b"data:".as_slice(), b"event:", b"id:", b":"].iter().any(|start| recording.starts_with(start));
    let content_type = content_type.unwrap_or_else(|| if looks_like_events { EVENT_STREAM.into() } else { JSON.into() });
    let payload = if content_type.starts_with("text/event-stream") {
        Payload::Events { events: split_events(&recording), closing: 1 }
    } else {
        Payload::Whole(recording)
    };
    Reply { status: StatusCode::OK, content_type, payload }
}

fn scripted_body(body: &Value, content_type: Option<String>) -> Reply {
    let (text, usual) = match body {
        Value::String(raw) => (raw.clone(), "text/plain; charset=utf-8"),
        json => (json.to_string(), JSON),
    };
    Reply { status: StatusCode::OK, content_type: content_type.unwrap_or_else(|| usual.into()), payload: Payload::Whole(text.into()) }
}

fn garbage(streaming: bool) -> Reply {
    const GARBAGE: &str = "<html><body>This is not what you asked for.</body></html>";
    if streaming {
        return Reply::stream(vec![event(GARBAGE)], 1);
    }
    Reply { status: StatusCode::OK, content_type: JSON.into(), payload: Payload::Whole(Bytes::from_static(GARBAGE.as_bytes())) }
}
