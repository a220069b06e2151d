//! Step 8b: a stream on its way to the caller. Bytes pass as they come; usage and end marks are read in passing. The relay
//! owns the order: it settles when the stream ends, or when its reader leaves.

use super::execute::Started;
use super::meter::Go;
use super::record::Settling;
use super::reserve::OpenOrder;
use super::settle::Ending;
use crate::base::{Error, ErrorKind};
use crate::domain::ledger::{AttemptOutcome, Outcome};
use crate::domain::provider::{Disconnect, ProviderBody, ProviderFault};
use crate::protocol::openai::{StreamEnd, StreamScan, error_envelope};
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;

/// A streamed reply body.
pub struct Relay {
    /// `None` once the stream has ended.
    live: Option<Live>,
    /// What is left to say once the provider's bytes have run out.
    farewell: Option<Bytes>,
    /// The settlement on its way to the disk: the transfer ends behind it, so that a caller who has seen the end can rely
    /// on the receipt.
    settling: Option<Settling>,
    /// Where to read on when the reader leaves: the drop may happen on any thread.
    runtime: Handle,
}

struct Live {
    order: OpenOrder,
    upstream: ProviderBody,
    scan: StreamScan,
    first: Option<Bytes>,
    /// What has gone to the caller of a marked request, while it is small enough to keep.
    copy: Option<BytesMut>,
    content_type: HeaderValue,
    /// Where its reader has left: output tokens that had passed by then.
    left_at: Option<u64>,
}

impl Relay {
    pub(super) fn new(order: OpenOrder, started: Started) -> Self {
        let copy = order.cx.marked.is_some().then(BytesMut::new);
        let (upstream, scan, content_type) = (started.body, started.scan, started.content_type);
        let live = Live { order, upstream, scan, first: Some(started.first), copy, content_type, left_at: None };
        Self { live: Some(live), farewell: None, settling: None, runtime: Handle::current() }
    }

    /// The hold is used up and nobody pays for more: the stream ends as one that reached its bound does, and says why.
    fn cap(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        let order = live.order.cx.order;
        tracing::info!(%order, "stream ended: what its wallet or a budget affords has been used");
        self.farewell = Some(capped_events(&live.scan, &live.order.facts.model, &order.to_string()));
        // The provider is left; what it counted so far is not known, so what passed is charged.
        self.settling = live.close("cap_reached", None, None);
    }

    /// The upstream's bytes have run out, well or badly. What the caller still has to be told comes back.
    fn finish(&mut self, fault: Option<&ProviderFault>) {
        let Some(mut live) = self.live.take() else { return };
        let (end, last) = live.scan.finish();
        let provider = live.order.endpoint.as_ref().map_or_else(|| "".into(), |endpoint| Arc::clone(&endpoint.provider_name));
        match end {
            StreamEnd::Complete => {}
            StreamEnd::ErrorEvent | StreamEnd::Cut => {
                if let Some(attempt) = live.order.attempts.last_mut() {
                    attempt.outcome = AttemptOutcome::Broken;
                }
            }
        }
        if !last.is_empty() {
            self.farewell = Some(last.clone());
        }
        if end == StreamEnd::Cut {
            let error = Error::new(
                ErrorKind::StreamCut,
                format!("provider '{provider}' ended the stream before it was complete; what arrived is charged, the rest is not"),
            );
            tracing::warn!(order = %live.order.cx.order, cause = fault.map(ToString::to_string), "stream cut by the provider");
            let gap: &[u8] = if last.is_empty() { b"" } else { b"\n\n" };
            self.farewell = Some([&*last, gap, b"data: ", &*error_envelope(&error), b"\n\n"].concat().into());
        }
        live.copy_out(&last);
        self.settling = live.settle(end);
    }

    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(settling) = &mut self.settling else { return Poll::Ready(()) };
        let settled = ready!(Pin::new(settling).poll(cx));
        self.settling = None;
        if let Err(error) = settled {
            // The caller's answer was paid for; the ledger keeps trying to book it.
            tracing::error!(%error, "the settlement of a stream is not durable yet");
        }
        Poll::Ready(())
    }
}

impl Live {
    /// Keeps what goes to the caller, up to the limit.
    fn copy_out(&mut self, piece: &Bytes) {
        let limit = self.order.cx.marked.as_ref().map_or(0, |marked| marked.limit_bytes);
        self.copy = self.copy.take().filter(|copy| copy.len() + piece.len() <= limit);
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(piece);
        }
    }

    /// Settles on what was read. A stream cut before anything useful came costs the user nothing.
    fn settle(mut self, end: StreamEnd) -> Option<Settling> {
        let (finish, error) = match end {
            StreamEnd::Complete => ("complete", None),
            StreamEnd::ErrorEvent => ("provider_error", Some(ErrorKind::StreamCut)),
            StreamEnd::Cut => ("provider_cut", Some(ErrorKind::StreamCut)),
        };
        let outcome = match end {
            StreamEnd::Complete => None,
            StreamEnd::ErrorEvent | StreamEnd::Cut => Some(self.cut_off()),
        };
        self.close(finish, error, outcome)
    }

    /// How a stream ended that stopped under its reader.
    fn cut_off(&self) -> Outcome {
        let nothing = self.scan.delivered_tokens == 0 && self.scan.report.usage.is_none();
        if nothing { Outcome::Undelivered } else { Outcome::ProviderCut }
    }

    fn close(&mut self, finish: &'static str, error: Option<ErrorKind>, outcome: Option<Outcome>) -> Option<Settling> {
        if let Some(attempt) = self.order.attempts.last_mut() {
            attempt.ended_at_ms = self.order.cx.pipeline.clock.now().0;
        }
        self.order.close(Ending {
            report: self.scan.report,
            service_tier: self.scan.service_tier.take(),
            delivered: self.left_at.unwrap_or(self.scan.delivered_tokens),
            sent: self.scan.delivered_tokens,
            outcome,
            provider_request_id: self.scan.id.take().map(Arc::from),
            answer: self.copy.take().filter(|_| finish == "complete").map(|copy| (self.content_type.clone(), copy.freeze())),
            finish,
            status: 200,
            error,
        })
    }

    /// The reader has left and the provider bills to the end all the same: read on for the real usage.
    async fn drain(mut self) {
        let limit = self.order.cx.snapshot.hold_timeout;
        let read_on = async {
            while let Some(Ok(frame)) = self.upstream.frame().await {
                if let Ok(piece) = frame.into_data()
                    && self.scan.pass(piece).is_none()
                {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(limit, read_on).await.is_ok();
        // The usage may stand in the very last bytes; nobody is left to pass them on to.
        drop(self.scan.finish());
        drop(self.close(if in_time { "client_left_drained" } else { "client_left" }, None, Some(Outcome::ClientLeft)));
    }
}

impl Drop for Live {
    /// A runtime that ends while the stream is read on, or a panic: what has passed is known and is settled, until the provider's
    /// own count comes.
    fn drop(&mut self) {
        if self.order.settled {
            return;
        }
        let (finish, error, outcome) = match self.left_at {
            Some(_) => ("client_left", None, Outcome::ClientLeft),
            None => ("dropped", Some(ErrorKind::Internal), self.cut_off()),
        };
        drop(self.close(finish, error, Some(outcome)));
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            let Some(live) = &mut this.live else {
                if let Some(event) = this.farewell.take() {
                    return Poll::Ready(Some(Ok(Frame::data(event))));
                }
                return this.poll_settled(cx).map(|()| None);
            };
            if let Some(first) = live.first.take() {
                live.copy_out(&first);
                return Poll::Ready(Some(Ok(Frame::data(first))));
            }
            if let Some(mut meter) = live.order.meter.take() {
                let go = meter.poll(&live.order, live.scan.delivered_tokens, cx);
                live.order.meter = Some(meter);
                match ready!(go) {
                    Go::On => {}
                    Go::Stop => {
                        this.cap();
                        continue;
                    }
                }
            }
            match live.upstream.as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => this.finish(None),
                Poll::Ready(Some(Err(fault))) => this.finish(Some(&fault)),
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(piece) = frame.into_data() else { continue };
                    match live.scan.pass(piece) {
                        None => this.finish(None),
                        Some(whole) if whole.is_empty() => {}
                        Some(whole) => {
                            live.copy_out(&whole);
                            return Poll::Ready(Some(Ok(Frame::data(whole))));
                        }
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.live.is_none() && self.farewell.is_none() && self.settling.is_none()
    }
}

/// A last chunk with `finish_reason: length`, an event that says why, and the end mark.
fn capped_events(scan: &StreamScan, model: &str, order: &str) -> Bytes {
    let chunk = json!({
        "id": scan.id.as_deref().unwrap_or_default(),
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": [{ "index": 0, "delta": {}, "finish_reason": "length" }],
        "gotoai": { "type": "cap_reached", "order": order, "message": "what the wallet or a budget affords has been used" },
    });
    format!("data: {chunk}\n\ndata: [DONE]\n\n").into()
}

impl Drop for Relay {
    /// The reader has left before the end.
    fn drop(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        if live.scan.is_done() {
            // Everything had come; only the end of the transfer was not awaited.
            drop(live.settle(StreamEnd::Complete));
            return;
        }
        if std::thread::panicking() {
            return; // it has not left: `Live` closes on what has passed
        }
        if let Some(attempt) = live.order.attempts.last_mut() {
            attempt.outcome = AttemptOutcome::Abandoned;
        }
        live.left_at = Some(live.scan.delivered_tokens);
        match live.order.endpoint.as_ref().map(|endpoint| endpoint.family.disconnect) {
            Some(Disconnect::Drain) => {
                let (order, in_flight) = (live.order.cx.order, live.order.cx.pipeline.in_flight.clone());
                in_flight.carry(order, self.runtime.spawn(live.drain()).abort_handle());
            }
            Some(Disconnect::Abort) | None => drop(live.close("client_left", None, Some(Outcome::ClientLeft))),
        }
    }
}
