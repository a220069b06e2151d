//! Owns: a reply before it is sent: status, kind of content, and a body that is whole or a list of events; OpenAI's error envelope.
//! Refuses to know: how a reply is delivered or damaged.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

pub(super) const JSON: &str = "application/json";
pub(super) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: String,
    pub(super) payload: Payload,
}

pub(super) enum Payload {
    Whole(Bytes),
    /// Server-sent events, each with its blank line. The last `closing` of them tell a client that the reply is complete.
    Events {
        events: Vec<Bytes>,
        closing: usize,
    },
}

impl Reply {
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self { status, content_type: JSON.into(), payload: Payload::Whole(body.to_string().into()) }
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(super) fn stream(events: Vec<Bytes>, closing: usize) -> Self {
        Self { status: StatusCode::OK, content_type: EVENT_STREAM.into(), payload: Payload::Events { events, closing } }
    }

    /// A request that OpenAI would refuse, in its words.
    pub(super) fn bad_request(param: Option<&str>, message: impl Into<String>) -> Self {
        Self::json(StatusCode::BAD_REQUEST, &envelope(message.into(), "invalid_request_error", param, None))
    }

    pub(super) fn refusal(status: StatusCode, kind: &str, code: Option<&str>, message: impl Into<String>) -> Self {
        Self::json(status, &envelope(message.into(), kind, None, code))
    }

    /// What OpenAI says with an error status when nothing more is known.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (kind, code, message) = match status.as_u16() {
            401 => ("invalid_request_error", Some("invalid_api_key"), "Incorrect API key provided."),
            403 => ("permission_error", Some("forbidden"), "You are not allowed to use this resource."),
            404 => ("invalid_request_error", Some("model_not_found"), "The model does not exist or you do not have access to it."),
            429 => ("requests", Some("rate_limit_exceeded"), "Rate limit reached for requests. Please try again in 1s."),
            503 => ("server_error", Some("server_overloaded"), "The engine is currently overloaded, please try again later."),
            500.. => ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
            _ => ("invalid_request_error", None, "The request was refused."),
        };
        Self::refusal(status, kind, code, message)
    }
}

pub(super) fn envelope(message: String, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

/// One server-sent event with the given data.
pub(super) fn event(data: impl std::fmt::Display) -> Bytes {
    format!("data: {data}\n\n").into()
}

/// A recorded stream, event by event: joined, the parts are the recording again.
pub(super) fn split_events(recording: &Bytes) -> Vec<Bytes> {
    let mut events = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < recording.len() {
        match blank_line(&recording[at..]) {
            Some(length) => {
                at += length;
                events.push(recording.slice(start..at));
                start = at;
            }
            None => at += 1,
        }
    }
    if start < recording.len() {
        events.push(recording.slice(start..));
    }
    events
}

fn blank_line(bytes: &[u8]) -> Option<usize> {
    [b"\r\n\r\n".as_slice(), b"\n\n", b"\r\r"].into_iter().find(|end| bytes.starts_with(end)).map(<[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_fall_into_events_and_lose_nothing() {
        for (recording, count) in
            [("", 0), ("data: 1\n\ndata: 2\n\n", 2), ("event: a\r\ndata: 1\r\n\r\ndata: 2", 2), ("data: 1\r\rdata: 2\r\r", 2), ("x", 1)]
        {
            let events = split_events(&Bytes::from_static(recording.as_bytes()));
            assert_eq!(events.len(), count, "{recording:?}");
            assert_eq!(events.concat(), recording.as_bytes());
        }
    }
}
