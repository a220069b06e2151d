//! Owns: a provider that plays the acts of the scenario and keeps its own books of what it will bill.
//! Refuses to know: what the gateway makes of it.

use super::fault::Fault;
use super::named::Named;
use super::plan::{Act, Ask, CallPlan};
use super::tariff::{Tariff, Tokens};
use super::world::{Exchange, Process, Who};
use crate::domain::provider::{Disconnect, Family, FaultKind, Pending, Provider, ProviderBody, ProviderCall, ProviderFault, ProviderReply};
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;
use std::collections::VecDeque;
use std::time::Duration;

pub(super) struct Upstream {
    pub(super) process: Process,
    pub(super) tariff: &'static Tariff,
    pub(super) family: &'static Family,
}

/// What one exchange has come to so far. Dropped before its end (nobody reads any more), it is billed as the family does.
struct Meter {
    process: Process,
    /// Which of the world's exchanges.
    at: usize,
    full: Tokens,
    /// Bills to the end whoever listens.
    to_the_end: bool,
    open: bool,
}

impl Meter {
    fn bill(&self, tokens: Tokens) {
        if let Some(exchange) = self.process.world.seen().exchanges.get_mut(self.at) {
            exchange.billed = Some(tokens);
        }
    }

    fn report(&self, tokens: Tokens, consistent: bool) {
        if let Some(exchange) = self.process.world.seen().exchanges.get_mut(self.at) {
            exchange.reported = Some((tokens, consistent));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.open && self.to_the_end {
            self.bill(self.full);
        }
    }
}

/// A piece of a body.
enum Piece {
    /// Bytes, what has been generated when they go out, and whether the usage is among them.
    Bytes(Bytes, Tokens, bool),
    Break,
    Silence,
}

/// A body on its way.
struct Sending {
    meter: Meter,
    pieces: VecDeque<Piece>,
    usage: (Tokens, bool),
    gap: Duration,
    silence: Duration,
    who: Who,
}

/// The output that a request allows.
fn allowed(body: &[u8], tariff: &Tariff) -> u64 {
    let asked: Bound = serde_json::from_slice(body).unwrap_or_default();
    asked.max_completion_tokens.or(asked.max_tokens).unwrap_or(tariff.max_output).min(tariff.max_output)
}

#[derive(Default, serde::Deserialize)]
struct Bound {
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

/// What is generated, and what the usage will say of it.
fn tokens(plan: &CallPlan, act: &Act, allowed: u64) -> Tokens {
    let output = match act.fault {
        Some(Fault::Overrun) => allowed * 3 + 7,
        _ => (allowed * act.output_percent / 100).max(1),
    };
    let prompt = (plan.messages().len() as u64 / act.bytes_per_token).max(1);
    let (cached, reasoning) = (prompt * act.cached_percent / 100, output * act.reasoning_percent / 100);
    Tokens { input: prompt - cached, cached, output: output - reasoning, reasoning }
}

fn usage_json(tariff: &Tariff, tokens: Tokens, consistent: bool) -> serde_json::Value {
    let (prompt, completion) = (tokens.input + tokens.cached, tokens.output + tokens.reasoning);
    let cached = if consistent { tokens.cached } else { prompt + 5 };
    let mut usage = json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    });
    if let Some(cost) = tariff.told(tokens) {
        usage["cost"] = cost.into();
    }
    usage
}

/// The usage as the gateway should read it: parts that do not fit are taken as far as they go.
fn usage_of(full: Tokens, fault: Option<Fault>) -> (Tokens, bool) {
    match fault {
        Some(Fault::ZeroUsage) => (Tokens::default(), true),
        Some(Fault::WrongUsage) => (Tokens { input: 0, cached: full.input + full.cached, ..full }, false),
        _ => (full, true),
    }
}

impl Provider for Upstream {
    fn call(&self, call: ProviderCall) -> Pending<'_, Result<ProviderReply, ProviderFault>> {
        Box::pin(self.exchange(call))
    }

    fn list_models(&self) -> Pending<'_, Result<Vec<String>, ProviderFault>> {
        Box::pin(async { Ok(vec![self.tariff.model.to_owned()]) })
    }

    fn has_ready_credential(&self) -> bool {
        false
    }
}

impl Upstream {
    async fn exchange(&self, call: ProviderCall) -> Result<ProviderReply, ProviderFault> {
        let ask = Ask::parse(&call.request_id).unwrap_or(Ask { call: u32::MAX, again: 0 });
        let who = Who::Call(ask);
        self.process.gate("provider call", who).await;
        let plan = self.process.world.scenario.call(ask.call);
        let (at, act) = self.accept(ask);
        self.process.note(who, || format!("{} meets {}", self.tariff.provider, act.fault.map_or("no fault", Fault::name)));
        let full = tokens(&plan, &act, allowed(&call.body, self.tariff));
        let to_the_end = !plan.stream || self.family.disconnect == Disconnect::Drain;
        let mut meter = Meter { process: self.process.clone(), at, full, to_the_end, open: false };
        tokio::time::sleep(Duration::from_millis(act.head_ms)).await;
        if let Some(status) = refusal(act.fault) {
            self.process.gate("provider head", who).await;
            return Ok(refused(status, &act));
        }
        if act.fault == Some(Fault::Unreachable) {
            self.process.gate("provider fault", who).await;
            return Err(ProviderFault::new(FaultKind::Connect, "no route"));
        }
        // From here on it works, and bills.
        meter.open = true;
        meter.bill(Tokens { output: 0, reasoning: 0, ..full });
        match act.fault {
            Some(Fault::ErrorBilled) => {
                self.process.gate("provider head", who).await;
                meter.bill(full);
                Ok(refused(500, &act))
            }
            Some(Fault::Broken) => {
                self.process.gate("provider fault", who).await;
                meter.bill(full);
                Err(ProviderFault::new(FaultKind::Broken, "reset before the head"))
            }
            Some(Fault::HeadTimeout) => {
                tokio::time::sleep(call.head_timeout).await;
                self.process.gate("provider fault", who).await;
                meter.bill(full);
                Err(ProviderFault::new(FaultKind::Timeout, "no head in time"))
            }
            _ => {
                self.process.gate("provider head", who).await;
                Ok(self.reply(plan.stream, &act, &call, meter))
            }
        }
    }

    /// Opens the exchange in the books.
    fn accept(&self, ask: Ask) -> (usize, Act) {
        let mut seen = self.process.world.seen();
        let attempt = seen.exchanges.iter().filter(|exchange| exchange.ask.call == ask.call).count();
        let act = self.process.world.scenario.act(ask.call, u32::try_from(attempt).unwrap_or(u32::MAX));
        if let Some(fault) = act.fault {
            *seen.injected.entry(fault).or_default() += 1;
        }
        let kept_bound = act.fault != Some(Fault::Overrun);
        seen.exchanges.push(Exchange { ask, provider: self.tariff.provider, kept_bound, billed: None, reported: None });
        (seen.exchanges.len() - 1, act)
    }

    fn reply(&self, stream: bool, act: &Act, call: &ProviderCall, meter: Meter) -> ProviderReply {
        let (full, usage) = (meter.full, usage_of(meter.full, act.fault));
        let mut meter = meter;
        if act.fault == Some(Fault::ZeroUsage) {
            meter.full = Tokens::default();
            meter.bill(meter.full);
        }
        let asked = memchr::memmem::find(&call.body, b"\"include_usage\":true").is_some() || self.family.name == "mistral";
        let told = (act.fault != Some(Fault::NoUsage)).then(|| usage_json(self.tariff, if usage.1 { usage.0 } else { full }, usage.1));
        let (kind, pieces) = if act.fault == Some(Fault::Garbage) {
            ("text/html", VecDeque::from([Piece::Bytes(Bytes::from_static(b"<html>busy</html>"), full, false)]))
        } else if stream {
            ("text/event-stream", stream_pieces(full, told.filter(|_| asked), act))
        } else {
            ("application/json", whole_pieces(full, told, act))
        };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        let who = Who::Call(Ask::parse(&call.request_id).unwrap_or(Ask { call: u32::MAX, again: 0 }));
        let sending = Sending { meter, pieces, usage, gap: Duration::from_millis(act.gap_ms), silence: call.idle_timeout, who };
        let body: ProviderBody = Box::pin(StreamBody::new(stream::unfold(sending, next_piece)));
        ProviderReply { status: 200, headers, body }
    }
}

async fn next_piece(mut sending: Sending) -> Option<(Result<Frame<Bytes>, ProviderFault>, Sending)> {
    let Some(piece) = sending.pieces.pop_front() else {
        sending.meter.open = false;
        return None;
    };
    let process = sending.meter.process.clone();
    let pause = if matches!(piece, Piece::Silence) { sending.silence } else { sending.gap };
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    process.gate("provider frame", sending.who).await;
    let frame = match piece {
        Piece::Bytes(bytes, generated, is_usage) => {
            if sending.usage.0 != Tokens::default() {
                sending.meter.bill(generated);
            }
            if is_usage {
                sending.meter.report(sending.usage.0, sending.usage.1);
            }
            Ok(Frame::data(bytes))
        }
        Piece::Break => Err(ProviderFault::new(FaultKind::Broken, "reset in the body")),
        Piece::Silence => Err(ProviderFault::new(FaultKind::Timeout, "silence in the body")),
    };
    Some((frame, sending))
}

/// Statuses behind which nothing was done.
const fn refusal(fault: Option<Fault>) -> Option<u16> {
    match fault {
        Some(Fault::Refused) => Some(400),
        Some(Fault::Throttled) => Some(429),
        Some(Fault::Unavailable) => Some(503),
        _ => None,
    }
}

fn refused(status: u16, act: &Act) -> ProviderReply {
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    if let Some(pause_ms) = act.retry_after_ms {
        headers.insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(pause_ms));
    }
    let body = Bytes::from_static(b"{\"error\":{\"message\":\"as the seed says\",\"type\":\"simulated\"}}");
    let body: ProviderBody = Box::pin(StreamBody::new(stream::iter([Ok(Frame::data(body))])));
    ProviderReply { status, headers, body }
}

fn whole_pieces(full: Tokens, usage: Option<serde_json::Value>, act: &Act) -> VecDeque<Piece> {
    let text = "word".repeat(usize::try_from(full.output).unwrap_or(0));
    let mut reply =
        json!({"id": "sim", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]});
    let has_usage = usage.is_some();
    if let Some(usage) = usage {
        reply["usage"] = usage;
    }
    let bytes = Bytes::from(reply.to_string());
    match broken(act.fault) {
        Some(end) => VecDeque::from([Piece::Bytes(bytes.slice(..bytes.len() / 2), full, false), end]),
        None => VecDeque::from([Piece::Bytes(bytes, full, has_usage)]),
    }
}

fn broken(fault: Option<Fault>) -> Option<Piece> {
    match fault {
        Some(Fault::Cut) => Some(Piece::Break),
        Some(Fault::Stall) => Some(Piece::Silence),
        _ => None,
    }
}

/// A chat stream, cut where the act says.
fn stream_pieces(full: Tokens, usage: Option<serde_json::Value>, act: &Act) -> VecDeque<Piece> {
    let event = |value: &serde_json::Value| Bytes::from(format!("data: {value}\n\n"));
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        event(&json!({"id": "sim", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": null}))
    };
    let mut generated = Tokens { output: 0, ..full };
    let mut pieces = VecDeque::from([Piece::Bytes(chunk(json!({"role": "assistant", "content": ""}), None), generated, false)]);
    // A long reply comes in more pieces.
    let count = u64::from(act.pieces) + full.output / 300;
    for piece in 1..=count {
        let upto = full.output * piece / count;
        let text = "word".repeat(usize::try_from(upto - generated.output).unwrap_or(0));
        generated.output = upto;
        pieces.push_back(Piece::Bytes(chunk(json!({"content": text}), None), generated, false));
    }
    pieces.push_back(Piece::Bytes(chunk(json!({}), Some("stop")), full, false));
    if let Some(usage) = usage {
        pieces.push_back(Piece::Bytes(event(&json!({"id": "sim", "choices": [], "usage": usage})), full, true));
    }
    pieces.push_back(Piece::Bytes(Bytes::from_static(b"data: [DONE]\n\n"), full, false));
    let end = match act.fault {
        Some(Fault::ErrorEvent) => {
            let error = event(&json!({"error": {"message": "as the seed says", "type": "simulated"}}));
            Some(Piece::Bytes(error, generated, false))
        }
        fault => broken(fault),
    };
    if let Some(end) = end {
        let kept = usize::try_from(act.breaks_after).unwrap_or(0).min(pieces.len() - 1);
        pieces.truncate(kept);
        let end = match (end, pieces.back()) {
            (Piece::Bytes(bytes, ..), Some(Piece::Bytes(_, so_far, _))) => Piece::Bytes(bytes, *so_far, false),
            (Piece::Bytes(bytes, ..), _) => Piece::Bytes(bytes, Tokens { output: 0, reasoning: 0, ..full }, false),
            (end, _) => end,
        };
        pieces.push_back(end);
    }
    pieces
}
