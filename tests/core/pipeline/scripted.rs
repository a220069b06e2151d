//! Owns: a provider that does what the test tells it, one act a call, without a network.

#![expect(clippy::unnecessary_wraps, reason = "pieces are what a body yields, and a body may fail")]

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use gotoai::domain::provider::{FaultKind, Pending, Provider, ProviderBody, ProviderCall, ProviderFault, ProviderReply};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

type Piece = Result<Bytes, ProviderFault>;

/// What a call meets.
pub(crate) enum Act {
    Reply {
        status: u16,
        headers: HeaderMap,
        body: Vec<Piece>,
    },
    /// A stream whose pieces the test sends.
    Fed(mpsc::Receiver<Piece>),
    /// The reply comes when the test says so.
    Later(oneshot::Receiver<()>, Box<Act>),
    Fault(FaultKind),
    Panic,
    /// A stream whose reading panics after these pieces.
    PanicAfter(Vec<Piece>),
}

impl Act {
    pub(crate) fn served() -> Self {
        Self::json(
            200,
            r#"{"id":"chatcmpl-1","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#,
        )
    }

    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::Reply { status, headers: typed("application/json"), body: vec![Ok(Bytes::copy_from_slice(body.as_bytes()))] }
    }

    pub(crate) fn stream(pieces: Vec<Piece>) -> Self {
        Self::Reply { status: 200, headers: typed("text/event-stream"), body: pieces }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        if let Self::Reply { headers, .. } = &mut self {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        self
    }
}

fn typed(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

// Events of a chat stream, each a piece of its own.

pub(crate) fn said(text: &str) -> Piece {
    Ok(Bytes::from(format!("data: {{\"id\":\"c1\",\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n")))
}

pub(crate) fn finished() -> Piece {
    Ok(Bytes::from_static(b"data: {\"id\":\"c1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"))
}

pub(crate) fn counted() -> Piece {
    Ok(Bytes::from_static(b"data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}\n\n"))
}

pub(crate) fn done() -> Piece {
    Ok(Bytes::from_static(b"data: [DONE]\n\n"))
}

pub(crate) fn error_event() -> Piece {
    Ok(Bytes::from_static(b"data: {\"error\":{\"message\":\"overloaded\"}}\n\n"))
}

pub(crate) fn broken() -> Piece {
    Err(ProviderFault::new(FaultKind::Broken, "reset"))
}

pub(crate) struct Scripted {
    acts: Mutex<VecDeque<Act>>,
    calls: Mutex<Vec<(Instant, ProviderCall)>>,
    called: Semaphore,
    has_other_key: AtomicBool,
}

impl Scripted {
    pub(crate) fn new(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self {
            acts: Mutex::new(acts.into_iter().collect()),
            calls: Mutex::default(),
            called: Semaphore::new(0),
            has_other_key: AtomicBool::new(false),
        })
    }

    pub(crate) fn add(&self, act: Act) {
        self.acts.lock().push_back(act);
    }

    /// After a refusal another credential is ready, once.
    pub(crate) fn offer_other_key(&self) {
        self.has_other_key.store(true, Ordering::SeqCst);
    }

    pub(crate) fn count(&self) -> usize {
        self.calls.lock().len()
    }

    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.calls.lock().iter().map(|(_, call)| call.body.clone()).collect()
    }

    /// When each call came.
    pub(crate) fn times(&self) -> Vec<Instant> {
        self.calls.lock().iter().map(|(at, _)| *at).collect()
    }

    /// Waits for the next call.
    pub(crate) async fn called(&self) {
        self.called.acquire().await.unwrap().forget();
    }
}

fn body(pieces: Vec<Piece>) -> ProviderBody {
    Box::pin(StreamBody::new(stream::iter(pieces).map(|piece| piece.map(Frame::data))))
}

async fn perform(act: Act) -> Result<ProviderReply, ProviderFault> {
    match act {
        Act::Reply { status, headers, body: pieces } => Ok(ProviderReply { status, headers, body: body(pieces) }),
        Act::Fed(mut pieces) => {
            let fed = stream::poll_fn(move |cx| pieces.poll_recv(cx)).map(|piece| piece.map(Frame::data));
            Ok(ProviderReply { status: 200, headers: typed("text/event-stream"), body: Box::pin(StreamBody::new(fed)) })
        }
        Act::Later(go, act) => {
            go.await.unwrap();
            Box::pin(perform(*act)).await
        }
        Act::Fault(kind) => Err(ProviderFault::new(kind, "as the test says")),
        Act::Panic => panic!("as the test says"),
        Act::PanicAfter(pieces) => {
            let pieces = stream::iter(pieces).chain(stream::once(async { panic!("as the test says") }));
            let body = Box::pin(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))));
            Ok(ProviderReply { status: 200, headers: typed("text/event-stream"), body })
        }
    }
}

impl Provider for Scripted {
    fn call(&self, call: ProviderCall) -> Pending<'_, Result<ProviderReply, ProviderFault>> {
        self.calls.lock().push((Instant::now(), call));
        self.called.add_permits(1);
        let act = self.acts.lock().pop_front().unwrap_or_else(Act::served);
        Box::pin(perform(act))
    }

    fn list_models(&self) -> Pending<'_, Result<Vec<String>, ProviderFault>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn has_ready_credential(&self) -> bool {
        self.has_other_key.swap(false, Ordering::SeqCst)
    }
}
