//! Reading the usage out of replies, whole or streamed, without changing them.

use crate::Failure;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use memchr::memmem;
use serde::Deserialize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// Only an event that has this is parsed: `"usage":null` stands in all the others.
const USAGE_OBJECT: &[u8] = br#""usage":{"#;
const EVENT_END: &[u8] = b"\n\n";

/// Tokens seen so far.
#[derive(Default)]
pub struct Usage {
    input: AtomicU64,
    output: AtomicU64,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

impl Usage {
    pub fn count(&self, reply: &[u8]) {
        if let Ok(Reply { usage: Some(tokens) }) = serde_json::from_slice(reply) {
            self.input.fetch_add(tokens.prompt_tokens, Ordering::Relaxed);
            self.output.fetch_add(tokens.completion_tokens, Ordering::Relaxed);
        }
    }

    fn count_events(&self, events: &[u8]) {
        let mut rest = events;
        while let Some(found) = memmem::find(rest, USAGE_OBJECT) {
            let start = memmem::rfind(&rest[..found], EVENT_END).map_or(0, |end| end + EVENT_END.len());
            let end = memmem::find(&rest[found..], EVENT_END).map_or(rest.len(), |end| found + end);
            self.count(rest[start..end].strip_prefix(b"data:").unwrap_or_default());
            rest = &rest[end..];
        }
    }
}

/// A stream's body whose usage is counted on the way.
pub struct Counted {
    inner: Incoming,
    usage: Arc<Usage>,
    /// The beginning of an event whose end has not come: nearly always empty.
    unfinished: Vec<u8>,
}

impl Counted {
    pub fn new(inner: Incoming, usage: Arc<Usage>) -> Self {
        Self { inner, usage, unfinished: Vec::new() }
    }

    fn look(&mut self, data: &Bytes) {
        if self.unfinished.is_empty() && data.ends_with(EVENT_END) {
            return self.usage.count_events(data);
        }
        self.unfinished.extend_from_slice(data);
        if let Some(end) = memmem::rfind(&self.unfinished, EVENT_END) {
            let whole: Vec<u8> = self.unfinished.drain(..end + EVENT_END.len()).collect();
            self.usage.count_events(&whole);
        }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.look(data);
        }
        polled.map_err(Failure::from)
    }
}
