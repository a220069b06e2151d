//! The twin over real HTTP: what a client sees, and what the twin sees of the client.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{self, Instant};

use super::Twin;

struct Peer {
    twin: Twin,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back: a body that broke off has `whole == false`.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    frames: Vec<Bytes>,
    whole: bool,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8(self.frames.concat()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.frames.concat()).unwrap()
    }

    fn data(&self) -> Vec<String> {
        self.text().split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
    }

    fn chunks(&self) -> Vec<Value> {
        self.data().iter().filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

impl Peer {
    fn new() -> Self {
        let twin = Twin::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { twin, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    fn scripted(steps: Value) -> Self {
        let peer = Self::new();
        peer.twin.script(steps.to_string().as_bytes()).unwrap();
        peer
    }

    /// None: the connection was dropped before any reply.
    async fn send(&self, method: &str, path: &str, key: &str, body: impl Into<Bytes>) -> Option<Got> {
        let url = self.twin.url().replace("/v1", path);
        let request = Request::builder().method(method).uri(url).header("authorization", format!("Bearer {key}"));
        let response = self.client.request(request.body(Full::new(body.into())).unwrap()).await.ok()?;
        let (parts, mut body) = response.into_parts();
        let mut got = Got { status: parts.status, headers: parts.headers, frames: Vec::new(), whole: true };
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => got.frames.extend(frame.into_data().ok()),
                Err(_) => got.whole = false,
            }
        }
        Some(got)
    }

    async fn chat(&self, members: Value) -> Option<Got> {
        let mut request = json!({"model": "twin-small", "messages": [{"role": "user", "content": "Why is the sky blue?"}]});
        request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.send("POST", "/v1/chat/completions", "sk-test-1234", request.to_string()).await
    }

    fn log(&self) -> Value {
        serde_json::from_slice(&self.twin.requests_json()).unwrap()
    }

    /// The twin hears of a peer from the kernel, on its own thread, so all one can do is look again.
    async fn until_counted(&self, counter: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.log()["counters"][counter] != count {
            assert!(Instant::now() < deadline, "the twin never counted {count} as {counter}");
            time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn stream() -> Value {
    json!({"stream": true})
}

#[tokio::test]
async fn only_loopback_and_nothing_after_stop() {
    assert!(Twin::start(SocketAddr::from(([0, 0, 0, 0], 0))).is_err());
    let mut peer = Peer::new();
    assert!(Twin::start(peer.twin.addr).is_err(), "the port is taken");
    assert_eq!(peer.chat(json!({})).await.unwrap().status, 200);
    peer.twin.stop();
    assert!(peer.chat(json!({})).await.is_none());
    assert_eq!(peer.log()["counters"]["received"], 1);
}

#[tokio::test]
async fn a_reply_has_every_member_of_openais() {
    let peer = Peer::new();
    let got = peer.chat(json!({})).await.unwrap();
    let body = got.json();
    let names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"]);
    let choice = &body["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"]["annotations"], json!([]));
    assert!(choice["message"]["content"].as_str().unwrap().contains("Why is the sky blue?"));
    assert_eq!(body["usage"]["prompt_tokens"], 9);
    assert_eq!(body["usage"]["prompt_tokens_details"], json!({"cached_tokens": 0, "audio_tokens": 0}));
    assert!(got.headers["x-request-id"].to_str().unwrap().starts_with("req_"));
    assert_ne!(peer.chat(json!({})).await.unwrap().json()["id"], body["id"]);
    assert_eq!(Peer::new().chat(json!({})).await.unwrap().json(), body, "another twin says the same");
}

#[tokio::test]
async fn the_other_paths_and_the_refusals() {
    let peer = Peer::new();
    let embed = json!({"model": "twin-embed", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 4}).to_string();
    let embedded = peer.send("POST", "/embeddings", "k", embed).await.unwrap().json();
    assert_eq!(embedded["data"][1]["embedding"].as_str().unwrap().len(), 24);
    assert_eq!(embedded["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
    assert_eq!(peer.send("GET", "/v1/models", "k", "").await.unwrap().json()["data"].as_array().unwrap().len(), 4);
    assert_eq!(peer.send("GET", "/v1/models/twin-large", "k", "").await.unwrap().json()["id"], "twin-large");
    for (method, path, key, body, status) in [
        ("GET", "/v1/models/gpt-0", "k", "", 404),
        ("GET", "/v1/nowhere", "k", "", 404),
        ("GET", "/v1/chat/completions", "k", "", 405),
        ("POST", "/v1/chat/completions", "k", "{", 400),
        ("POST", "/v1/chat/completions", "k", r#"{"model": 3}"#, 400),
        ("POST", "/v1/chat/completions", "k", r#"{"model": "m!what", "messages": []}"#, 400),
        ("POST", "/v1/embeddings", "k", r#"{"model": "m", "input": []}"#, 400),
        ("GET", "/v1/models", "invalid", "", 401),
        ("GET", "/v1/models", "", "", 401),
    ] {
        let got = peer.send(method, path, key, body).await.unwrap();
        assert_eq!(got.status, status, "{method} {path}");
        assert!(got.json()["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn a_stream_says_what_the_whole_reply_says() {
    let peer = Peer::new();
    let whole = peer.chat(json!({})).await.unwrap().json();
    let got = peer.chat(json!({"stream": true, "stream_options": {"include_usage": true}})).await.unwrap();
    assert!(got.whole && got.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    assert_eq!(got.data().last().unwrap(), "[DONE]");
    // A frame is at most one chunk of the body, so glued events would show as fewer frames.
    assert!(got.frames.len() >= got.data().len(), "every event is a write of its own");
    let mut chunks = got.chunks();
    let usage = chunks.pop().unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]), (&json!([]), &whole["usage"]));
    assert!(chunks.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": "", "refusal": null}));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    let said: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, whole["choices"][0]["message"]["content"]);
    let without = peer.chat(stream()).await.unwrap().chunks();
    assert!(without.iter().all(|chunk| chunk.get("usage").is_none() && chunk["choices"][0]["index"] == 0));
}

#[tokio::test]
async fn a_tool_call_streams_its_arguments() {
    let peer = Peer::new();
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}]);
    let chunks = peer.chat(json!({"stream": true, "tools": tools, "n": 2})).await.unwrap().chunks();
    let of_second: Vec<_> = chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == 1).collect();
    assert_eq!(of_second[0]["delta"]["tool_calls"][0]["function"]["name"], "weather");
    let pieces = of_second.iter().filter_map(|choice| choice.pointer("/delta/tool_calls/0/function/arguments")?.as_str());
    assert_eq!(pieces.collect::<String>(), r#"{"city":"some city"}"#);
    assert_eq!(of_second.last().unwrap()["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn replies_go_wrong_as_scripted() {
    let peer = Peer::scripted(json!([
        {"status": 429, "headers": {"retry-after": "7"}},
        {"status": 418, "body": {"odd": true}},
        {"body": "raw {", "content_type": "application/json"},
        {"close": true},
        {"garbage": true},
        {"truncate": 10},
        {"truncate": 1_000_000},
        {"omit_usage": true},
        {"usage": {"prompt_tokens": 1}},
        {"status": 202, "delay_ms": 1}
    ]));
    let limited = peer.chat(json!({})).await.unwrap();
    assert_eq!((limited.status.as_u16(), &limited.headers["retry-after"]), (429, &"7".parse().unwrap()));
    assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
    let odd = peer.chat(json!({})).await.unwrap();
    assert_eq!((odd.status.as_u16(), odd.json()), (418, json!({"odd": true})));
    assert_eq!(peer.chat(json!({})).await.unwrap().text(), "raw {");
    assert!(peer.chat(json!({})).await.is_none());
    let garbage = peer.chat(json!({})).await.unwrap();
    assert!(garbage.status == 200 && garbage.text().starts_with("<html>"));
    let cut = peer.chat(json!({})).await.unwrap();
    assert!(!cut.whole && cut.text().len() == 10);
    let cut_late = peer.chat(json!({})).await.unwrap();
    assert!(!cut_late.whole && cut_late.json()["choices"].is_array());
    assert!(peer.chat(json!({})).await.unwrap().json().get("usage").is_none());
    assert_eq!(peer.chat(json!({})).await.unwrap().json()["usage"], json!({"prompt_tokens": 1}));
    assert_eq!(peer.chat(json!({})).await.unwrap().status, 202);
    assert_eq!(peer.log()["counters"], json!({"received": 10, "kept": 10, "client_gone": 0}));
}

#[tokio::test]
async fn streams_go_wrong_as_scripted() {
    let recording = "event: message_start\r\ndata: {}\r\n\r\nevent: message_stop\r\ndata: {}\r\n\r\n";
    let peer = Peer::scripted(json!([
        {"cut_after_events": 2},
        {"cut_after_events": 0},
        {"end_after_events": 99},
        {"stream_error_after_events": 1, "gap_ms": 1},
        {"garbage": true},
        {"omit_usage": true},
        {"reply_text": recording, "match": {"path": "/messages"}},
        {"reply_base64": "ZGF0YTogMQoKZGF0YTogMgoK", "cut_after_events": 1}
    ]));
    let cut = peer.chat(stream()).await.unwrap();
    assert!(!cut.whole && cut.data().len() == 2);
    let cut = peer.chat(stream()).await.unwrap();
    assert!(!cut.whole && cut.status == 200 && cut.frames.is_empty());
    let ended = peer.chat(stream()).await.unwrap();
    assert!(ended.whole && ended.data().len() > 2);
    assert!(ended.chunks().iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    assert!(!ended.text().contains("[DONE]"));
    let failed = peer.chat(stream()).await.unwrap();
    assert!(failed.whole && failed.chunks().len() == 2);
    assert_eq!(failed.chunks()[1]["error"]["type"], "server_error");
    assert!(peer.chat(stream()).await.unwrap().text().starts_with("data: <html>"));
    let silent = peer.chat(json!({"stream": true, "stream_options": {"include_usage": true}})).await.unwrap();
    assert!(silent.chunks().iter().all(|chunk| chunk["usage"].is_null()));
    let replayed = peer.send("POST", "/v1/messages", "", "{}").await.unwrap();
    assert_eq!((replayed.frames.len(), replayed.text().as_str()), (2, recording));
    let replayed = peer.chat(json!({})).await.unwrap();
    assert_eq!((replayed.whole, replayed.text().as_str()), (false, "data: 1\n\n"));
    assert_eq!(peer.log()["counters"]["client_gone"], 0);
}

#[tokio::test]
async fn a_peer_that_leaves_is_noticed() {
    let peer = Peer::scripted(json!([{"stall": true}, {"stall_after_events": 2}, {"delay_ms": 600_000}, {"gap_ms": 600_000}]));
    for (index, members) in [json!({}), stream(), json!({}), stream()].into_iter().enumerate() {
        // Dropping the request is what leaving looks like. It may only be dropped once it has arrived.
        tokio::select! {
            got = peer.chat(members) => panic!("nothing was to be answered in full, got {}", got.is_some()),
            () = peer.until_counted("received", index + 1) => {}
        }
        peer.until_counted("client_gone", index + 1).await;
    }
    assert!(peer.log()["requests"].as_array().unwrap().iter().all(|request| request["client_gone"] == true));
}

#[tokio::test]
async fn suffixes_work_without_a_script() {
    let peer = Peer::new();
    let limited = peer.chat(json!({"model": "twin-small!429"})).await.unwrap();
    assert_eq!((limited.status.as_u16(), &limited.headers["retry-after"]), (429, &"1".parse().unwrap()));
    assert!(!peer.chat(json!({"model": "twin-small!cut"})).await.unwrap().whole);
    let cut = peer.chat(json!({"model": "twin-small!cut", "stream": true})).await.unwrap();
    assert!(!cut.whole && cut.data().len() == 3);
    assert!(peer.chat(json!({"model": "twin-small!no-usage"})).await.unwrap().json().get("usage").is_none());
}

#[tokio::test]
async fn another_process_steers_it() {
    let peer = Peer::new();
    let set = peer.send("POST", "/twin/script", "", r#"{"steps":[{"status":500},{"status":501}]}"#).await.unwrap();
    assert_eq!(set.json(), json!({"waiting": 2}));
    let refused = peer.send("POST", "/twin/script", "", r#"[{"satus":500}]"#).await.unwrap();
    assert!(refused.status == 400 && refused.text().contains("unknown field `satus`"));
    assert_eq!(peer.chat(json!({})).await.unwrap().status, 500);
    let log = peer.send("GET", "/twin/requests", "", "").await.unwrap().json();
    assert_eq!(log, peer.log());
    assert_eq!(log["requests"][0]["headers"]["authorization"], "...1234");
    assert_eq!(log["requests"][0]["body"]["model"], "twin-small");
    assert_eq!(peer.send("POST", "/twin/reset", "", "").await.unwrap().status, 200);
    assert_eq!(peer.log()["requests"], json!([]));
    assert_eq!(peer.chat(json!({})).await.unwrap().status, 200);
    assert_eq!(peer.send("GET", "/twin/script", "", "").await.unwrap().status, 405);
}

#[tokio::test]
async fn a_body_announced_too_large_is_refused_unread() {
    let peer = Peer::new();
    let mut socket = TcpStream::connect(peer.twin.addr).await.unwrap();
    socket.write_all(b"POST /v1/embeddings HTTP/1.1\r\nhost: twin\r\ncontent-length: 33554433\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    socket.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
}
