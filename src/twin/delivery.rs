//! Owns: how a reply goes onto the wire: whole, event by event, cut, stalled or ended early, as its step wants.
//! Refuses to know: what the reply says.

use std::convert::Infallible;
use std::future;
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::{task, time};

use super::log::Exchange;
use super::reply::{Payload, Reply, envelope, event};
use super::script::{Fate, Step};
use super::text;

pub(super) type Outgoing = UnsyncBoxBody<Bytes, Dropped>;

/// The script says to drop the connection: an error is the one way to make hyper do it.
#[derive(Debug, thiserror::Error)]
#[error("the script drops this connection")]
pub(super) struct Dropped;

impl From<Infallible> for Dropped {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The response for `reply`, treated as `step` says.
pub(super) fn respond(reply: Reply, step: &Step, mut exchange: Exchange) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::default());
    *response.status_mut() = reply.status;
    set_headers(response.headers_mut(), &reply, step, exchange.index);
    *response.body_mut() = match reply.payload {
        Payload::Whole(body) => match step.truncate {
            Some(length) => {
                // Always one byte short at least: a truncated body that arrives whole would test nothing.
                let announced = body.len().max(length + 1);
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(announced));
                let kept = body.slice(..length.min(body.len()));
                Flow { parts: vec![kept].into_iter(), end: End::Cut, gap: Duration::ZERO, begun: false, exchange }.into_body()
            }
            None => {
                exchange.settle();
                whole(body)
            }
        },
        Payload::Events { events, closing } => flow(events, closing, step, exchange).into_body(),
    };
    response
}

pub(super) fn whole(body: Bytes) -> Outgoing {
    Full::new(body).map_err(Dropped::from).boxed_unsync()
}

fn set_headers(headers: &mut HeaderMap, reply: &Reply, step: &Step, index: u64) {
    // Both texts were checked where they were made; a header that cannot be written is left out.
    headers.extend(HeaderValue::from_str(&reply.content_type).ok().map(|value| (CONTENT_TYPE, value)));
    headers.extend(HeaderValue::from_str(&text::id("req_", index, 24)).ok().map(|id| (HeaderName::from_static("x-request-id"), id)));
    headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
    if matches!(reply.payload, Payload::Events { .. }) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    for (name, value) in &step.headers {
        headers.insert(name, value.clone());
    }
}

fn flow(mut events: Vec<Bytes>, closing: usize, step: &Step, exchange: Exchange) -> Flow {
    let end = match step.fate() {
        Fate::Complete => End::Clean,
        Fate::Cut(count) => {
            events.truncate(count);
            End::Cut
        }
        Fate::EndEarly(count) => {
            events.truncate(count.min(events.len().saturating_sub(closing)));
            End::Clean
        }
        Fate::Stall(count) => {
            events.truncate(count);
            End::Stall
        }
        Fate::Error(count) => {
            events.truncate(count);
            let message = "The server had an error while processing your request. Sorry about that!".to_owned();
            events.push(event(envelope(message, "server_error", None, None)));
            End::Clean
        }
    };
    Flow { parts: events.into_iter(), end, gap: step.gap(), begun: false, exchange }
}

/// A body that is sent part by part.
struct Flow {
    parts: vec::IntoIter<Bytes>,
    end: End,
    gap: Duration,
    begun: bool,
    exchange: Exchange,
}

#[derive(Clone, Copy)]
enum End {
    Clean,
    Cut,
    Stall,
}

impl Flow {
    fn into_body(self) -> Outgoing {
        StreamBody::new(stream::unfold(self, Self::next)).boxed_unsync()
    }

    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Dropped>, Self)> {
        // hyper flushes when a body has nothing ready, so this makes every part a write of its own.
        task::yield_now().await;
        if self.begun && !self.gap.is_zero() {
            time::sleep(self.gap).await;
        }
        self.begun = true;
        if let Some(part) = self.parts.next() {
            // Settled with the last part, since many clients hang up as soon as they have read `[DONE]`.
            if self.parts.len() == 0 && matches!(self.end, End::Clean) {
                self.exchange.settle();
            }
            return Some((Ok(Frame::data(part)), self));
        }
        match self.end {
            End::Stall => future::pending().await,
            End::Clean => {
                self.exchange.settle();
                None
            }
            End::Cut => {
                self.exchange.settle();
                Some((Err(Dropped), self))
            }
        }
    }
}
