//! The body of a streamed reply: role, chunks of content, finish, usage, `[DONE]`; every event a write of its own.

use crate::Stats;
use crate::plan::Plan;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Sleep, sleep};

/// Events beside the chunks of content.
const FRAMING_EVENTS: u64 = 4;

pub struct EventStream {
    head: String,
    plan: Plan,
    sent: u64,
    pause: Pause,
    stats: Arc<Stats>,
}

/// What lies between two events.
enum Pause {
    None,
    /// Once to the socket and back: hyper flushes what it has when a body is pending.
    Flush,
    Gap(Pin<Box<Sleep>>),
}

impl EventStream {
    pub fn new(model: &str, plan: Plan, stats: Arc<Stats>) -> Self {
        let head = format!(
            r#"data: {{"id":"chatcmpl-mock01","object":"chat.completion.chunk","created":1760000000,"model":"{model}","system_fingerprint":"fp_mock","#
        );
        Self { head, plan, sent: 0, pause: Pause::None, stats }
    }

    fn event(&self) -> Bytes {
        let chunks = self.plan.chunks;
        let choice = |delta: &str, finish: &str| {
            format!(r#""choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}],"usage":null}}"#)
        };
        let tail = match self.sent {
            0 => choice(r#"{"role":"assistant","content":""}"#, "null"),
            n if n <= chunks => choice(&format!(r#"{{"content":" token{n}"}}"#), "null"),
            n if n == chunks + 1 => choice("{}", r#""stop""#),
            n if n == chunks + 2 => {
                format!(r#""choices":[],"usage":{{"prompt_tokens":21,"completion_tokens":{chunks},"total_tokens":{}}}}}"#, chunks + 21)
            }
            _ => return Bytes::from_static(b"data: [DONE]\n\n"),
        };
        format!("{}{tail}\n\n", self.head).into()
    }

    fn is_complete(&self) -> bool {
        self.sent == self.plan.chunks + FRAMING_EVENTS
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.pause {
            Pause::None => {}
            Pause::Flush => {
                self.pause = Pause::None;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Pause::Gap(gap) => {
                if gap.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = Pause::None;
            }
        }
        if self.is_complete() {
            return Poll::Ready(None);
        }
        let event = self.event();
        self.sent += 1;
        self.pause = if self.plan.gap.is_zero() { Pause::Flush } else { Pause::Gap(Box::pin(sleep(self.plan.gap))) };
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if !self.is_complete() {
            Stats::count(&self.stats.aborted);
        }
    }
}
