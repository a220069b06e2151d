//! The command line, and the request that is sent over and over.

use crate::Failure;
use std::collections::HashMap;
use std::time::Duration;

pub const USAGE: &str = "\
load --url http://127.0.0.1:9100/v1/chat/completions [--model mock] [--connections 32] [--seconds 5] [--warmup 1]
     [--stream] [--expect-chunks N]   a stream counts as served with N events and [DONE]
     [--rate N]                       open loop: N requests a second
     [--auth KEY] [--header 'name: value']...
     [--watch NAME=PID]...            CPU and memory of a process and its children
Loopback only, at most 256 connections and 30 seconds.";

const MAX_CONNECTIONS: usize = 256;
const MAX_SECONDS: f64 = 30.0;
const PROMPT: &str = "All work and no play makes Jack a dull boy. ";
const PROMPT_BYTES: usize = 400;

pub struct Options {
    pub host: String,
    pub connections: usize,
    /// Requests a second; `None` is a closed loop.
    pub rate: Option<f64>,
    pub duration: Duration,
    pub warmup: Duration,
    pub stream: bool,
    pub expected_events: u64,
    /// Name and process id.
    pub watched: Vec<(String, u32)>,
    /// Head and body as they go on the wire.
    pub request: Vec<u8>,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut values: HashMap<String, String> = HashMap::new();
        let (mut watched, mut headers, mut stream) = (Vec::new(), Vec::new(), false);
        while let Some(name) = arguments.next() {
            if name == "--stream" {
                stream = true;
                continue;
            }
            let value = arguments.next().ok_or(USAGE)?;
            match name.as_str() {
                "--header" => headers.push(value),
                "--watch" => {
                    let (name, pid) = value.split_once('=').ok_or(USAGE)?;
                    watched.push((name.to_owned(), pid.parse()?));
                }
                "--url" | "--model" | "--connections" | "--seconds" | "--warmup" | "--expect-chunks" | "--rate" | "--auth" => {
                    values.insert(name, value);
                }
                _ => return Err(USAGE.into()),
            }
        }
        let number = |name: &str, default: f64| values.get(name).map_or(Ok(default), |value| value.parse());
        let url = values.get("--url").and_then(|url| url.strip_prefix("http://")).ok_or(USAGE)?;
        let (host, path) = url.split_once('/').ok_or(USAGE)?;
        if !host.starts_with("127.0.0.1:") {
            return Err(USAGE.into());
        }
        let text = |name: &str, default: &str| values.get(name).cloned().unwrap_or_else(|| default.to_owned());
        let body = body(&text("--model", "mock"), stream);
        headers.push(format!("authorization: Bearer {}", text("--auth", "sk-bench")));
        Ok(Self {
            request: request(host, path, &headers, &body),
            host: host.to_owned(),
            connections: values.get("--connections").map_or(Ok(32), |value| value.parse())?.min(MAX_CONNECTIONS),
            rate: values.get("--rate").map(|rate| rate.parse()).transpose()?,
            duration: Duration::try_from_secs_f64(number("--seconds", 5.0)?.min(MAX_SECONDS))?,
            warmup: Duration::try_from_secs_f64(number("--warmup", 1.0)?)?,
            stream,
            expected_events: values.get("--expect-chunks").map_or(Ok(1), |value| value.parse())?,
            watched,
        })
    }
}

fn body(model: &str, stream: bool) -> String {
    let prompt: String = PROMPT.chars().cycle().take(PROMPT_BYTES).collect();
    let messages = format!(r#"[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"{prompt}"}}]"#);
    let stream = if stream { r#","stream":true,"stream_options":{"include_usage":true}"# } else { "" };
    format!(r#"{{"model":"{model}","messages":{messages},"temperature":0.7,"max_tokens":256{stream}}}"#)
}

fn request(host: &str, path: &str, headers: &[String], body: &str) -> Vec<u8> {
    let headers = headers.join("\r\n");
    let length = body.len();
    format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nuser-agent: load/0.1\r\naccept: */*\r\n{headers}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
