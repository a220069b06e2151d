//! Step 8: attempts, with failover until the first byte. Each candidate is tried once in order; further rounds follow a
//! pause, each candidate as often as its own settings say. What fails for the caller's own fault is never repeated.

use super::reserve::{OpenOrder, input_cost};
use crate::base::{Error, ErrorKind};
use crate::domain::catalog::Endpoint;
use crate::domain::health::{Permit, Verdict};
use crate::domain::ledger::{Attempt, AttemptOutcome, Command, Loss, Reply};
use crate::domain::provider::{FaultKind, ProviderBody, ProviderCall, ProviderFault, ProviderReply, Quirk};
use crate::domain::routing::all_rest;
use crate::protocol::openai::{CostForm, Edits, ReplyFacts, StreamScan};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A whole reply larger than this is not one.
const MAX_REPLY_BYTES: usize = 64 << 20;
/// However many candidates and retries: one call is not sent more often than this.
const MAX_ATTEMPTS: u32 = 10;

/// How the attempts ended.
pub(super) enum Executed {
    Whole(Whole),
    Stream(Started),
    /// The provider's own error reply, for the caller to see as it is.
    Rejected(Rejected),
    Failed(Error),
}

pub(super) struct Whole {
    pub(super) content_type: HeaderValue,
    pub(super) body: Bytes,
    pub(super) facts: ReplyFacts,
}

/// A stream whose first piece is here.
pub(super) struct Started {
    pub(super) content_type: HeaderValue,
    pub(super) first: Bytes,
    pub(super) body: ProviderBody,
    pub(super) scan: StreamScan,
}

pub(super) struct Rejected {
    pub(super) status: u16,
    pub(super) content_type: HeaderValue,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// One attempt that did not serve.
struct Missed {
    ended: Executed,
    next: Next,
}

/// What may follow a miss.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The caller's own fault: the answer stands.
    Stop,
    /// Another credential of the same provider is ready: again at once.
    Again,
    /// Another endpoint, or this one after a pause of at least so long.
    Elsewhere(Option<Duration>),
    /// Another endpoint; this one does not have what is asked for.
    Never,
}

/// An endpoint of the plan, with what this call has learned of it.
struct Candidate {
    endpoint: Arc<Endpoint>,
    /// Rounds in which it may still be asked.
    turns: u32,
    /// Not before: its provider asked for a pause.
    ready_at: Instant,
}

impl Candidate {
    fn new(endpoint: &Arc<Endpoint>) -> Self {
        Self { endpoint: Arc::clone(endpoint), turns: endpoint.retry.max_retries.saturating_add(1), ready_at: Instant::now() }
    }

    fn is_due(&self) -> bool {
        self.turns > 0 && self.ready_at <= Instant::now()
    }

    /// How long until it may be asked again after `round` rounds; `None` if that is not worth waiting for.
    fn pause(&self, round: u32) -> Option<Duration> {
        let asked = self.ready_at.saturating_duration_since(Instant::now());
        // A breaker that was opened by the pause itself lets a probe pass when the pause is over; any other is not waited for.
        let worth = self.turns > 0 && asked <= self.endpoint.retry.max_backoff && self.endpoint.health.wait() <= asked;
        worth.then(|| self.endpoint.retry.backoff(round, fastrand::f64()).max(asked))
    }
}

pub(super) async fn execute(order: &mut OpenOrder) -> Executed {
    let mut candidates: Vec<Candidate> = order.cx.plan.iter().map(Candidate::new).collect();
    let mut last = None;
    for round in 1.. {
        for candidate in candidates.iter_mut().filter(|candidate| candidate.is_due()) {
            if let Some(end) = ask(order, candidate, &mut last).await {
                return end;
            }
        }
        let Some(pause) = candidates.iter().filter_map(|candidate| candidate.pause(round)).min() else { break };
        tokio::time::sleep(pause).await;
    }
    last.unwrap_or_else(|| Executed::Failed(none_left()))
}

/// Asks one endpoint, with one ready credential after another. `Some` ends the call; a miss is left in `last`.
async fn ask(order: &mut OpenOrder, candidate: &mut Candidate, last: &mut Option<Executed>) -> Option<Executed> {
    candidate.turns -= 1;
    loop {
        if order.attempts.len() >= MAX_ATTEMPTS as usize {
            return Some(last.take().unwrap_or_else(|| Executed::Failed(none_left())));
        }
        let permit = candidate.endpoint.health.admit().ok()?;
        let missed = match attempt(order, &candidate.endpoint, permit).await {
            Ok(served) => return Some(served),
            Err(missed) => missed,
        };
        if missed.next == Next::Stop {
            return Some(missed.ended);
        }
        *last = Some(missed.ended);
        match missed.next {
            Next::Stop | Next::Again => {}
            Next::Never => {
                candidate.turns = 0;
                return None;
            }
            Next::Elsewhere(pause) => {
                candidate.ready_at = Instant::now() + pause.unwrap_or_default();
                return None;
            }
        }
    }
}

fn none_left() -> Error {
    all_rest(Duration::from_secs(1))
}

/// One try: noted, sent, judged.
async fn attempt(order: &mut OpenOrder, endpoint: &Arc<Endpoint>, permit: Permit) -> Result<Executed, Missed> {
    let began = Instant::now();
    order.begin_attempt(endpoint).await?;
    // From here on it may bill; before, what is booked is the attempt before it.
    order.endpoint = Some(Arc::clone(endpoint));
    let ask_usage = order.facts.stream && !endpoint.family.has(Quirk::NoStreamOptions);
    let max_output = order.max_output.map(|limit| (limit, endpoint.family.output_limit));
    let edits = Edits { model: &endpoint.model, ask_usage, max_output };
    let call = ProviderCall {
        operation: order.cx.call.operation,
        body: order.facts.splice(&order.cx.call.body, &edits),
        request_id: Arc::clone(&order.cx.call.request_id),
        head_timeout: endpoint.retry.head_timeout,
        idle_timeout: endpoint.retry.idle_timeout,
    };
    let hide_usage = ask_usage && !order.facts.wants_usage;
    let received = match endpoint.provider.call(call).await {
        Ok(reply) if (200..300).contains(&reply.status) => {
            let status = reply.status;
            receive(reply, order.facts.stream, hide_usage, endpoint.family.cost)
                .await
                .map(|served| (status, served))
                .map_err(|fault| (Some(status), fault))
        }
        Ok(reply) => return Err(reject(order, endpoint, permit, reply).await),
        Err(fault) => Err((None, fault)),
    };
    match received {
        Ok((status, served)) => {
            let first_byte = began.elapsed();
            permit.judge(Verdict::Served { first_byte });
            order.first_byte = Some(order.cx.began.elapsed());
            order.end_attempt(AttemptOutcome::Served, Some(status), true);
            Ok(served)
        }
        Err((status, fault)) => Err(fail(order, endpoint, permit, status, &fault)),
    }
}

impl OpenOrder {
    /// Attempt 1 was noted by the reserve; every further one is made durable before it is sent.
    async fn begin_attempt(&mut self, endpoint: &Arc<Endpoint>) -> Result<(), Missed> {
        let now = self.cx.pipeline.clock.now();
        let attempt = Attempt {
            n: u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1),
            endpoint: Arc::clone(&endpoint.id),
            outcome: AttemptOutcome::Dispatched,
            status: None,
            started_at_ms: now.0,
            first_byte_at_ms: None,
            ended_at_ms: now.0,
        };
        let Some(ledger) = self.cx.pipeline.ledger.as_ref().filter(|_| attempt.n > 1) else {
            self.attempts.push(attempt);
            return Ok(());
        };
        let noted = ledger.submit(Command::Dispatch { order: self.cx.order, attempt: attempt.clone() }).wait().await;
        let error = match noted {
            // Only now: a task that ends while it waits has sent nothing here.
            Ok(Reply::Done { .. }) => {
                self.attempts.push(attempt);
                return Ok(());
            }
            // Nothing is sent that no hold covers.
            Ok(Reply::Settled { .. } | Reply::Held { .. } | Reply::Refused(_)) => Error::new(
                ErrorKind::ProviderTimeout,
                "the call's hold was given back while it waited for a provider; send the request again",
            ),
            Err(error) => error,
        };
        Err(Missed { ended: Executed::Failed(error), next: Next::Stop })
    }

    fn end_attempt(&mut self, outcome: AttemptOutcome, status: Option<u16>, first_byte: bool) {
        let now = self.cx.pipeline.clock.now().0;
        if let Some(attempt) = self.attempts.last_mut() {
            (attempt.outcome, attempt.status, attempt.ended_at_ms) = (outcome, status, now);
            attempt.first_byte_at_ms = first_byte.then_some(now);
        }
    }
}

/// A success: the whole of it, or a stream up to its first piece (until then another endpoint may still serve).
async fn receive(reply: ProviderReply, stream: bool, hide_usage: bool, cost: Option<CostForm>) -> Result<Executed, ProviderFault> {
    let content_type = reply.headers.get(CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static("application/json"));
    if stream && content_type.as_bytes().starts_with(b"text/event-stream") {
        return start(content_type, reply.body, StreamScan::new(hide_usage, cost)).await;
    }
    let body = whole(reply.body).await?;
    match ReplyFacts::read(&body, cost) {
        Some(facts) => Ok(Executed::Whole(Whole { content_type, body, facts })),
        None => Err(garbage("the body is not a reply: no JSON object, or an error under a status of success")),
    }
}

async fn start(content_type: HeaderValue, mut body: ProviderBody, mut scan: StreamScan) -> Result<Executed, ProviderFault> {
    loop {
        let Some(frame) = body.frame().await else { return Err(garbage("the stream ended before its first event")) };
        let Ok(piece) = frame?.into_data() else { continue };
        let first = scan.pass(piece).ok_or_else(|| garbage("the stream's first event is too large"))?;
        if first.is_empty() {
            continue;
        }
        if scan.errored() {
            return Err(garbage("the stream began with an error event"));
        }
        if scan.garbled() {
            return Err(garbage("the stream's first event is not JSON"));
        }
        return Ok(Executed::Stream(Started { content_type, first, body, scan }));
    }
}

fn garbage(detail: &str) -> ProviderFault {
    ProviderFault::new(FaultKind::Garbage, detail)
}

async fn whole(mut body: ProviderBody) -> Result<Bytes, ProviderFault> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        if first.is_empty() {
            first = piece;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&piece);
        if all.len() > MAX_REPLY_BYTES {
            return Err(garbage("the reply is larger than 64 MiB"));
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// No usable reply.
fn fail(order: &mut OpenOrder, endpoint: &Endpoint, permit: Permit, status: Option<u16>, fault: &ProviderFault) -> Missed {
    let outcome = match fault.kind {
        FaultKind::Connect | FaultKind::NoCredential => AttemptOutcome::Unreachable,
        FaultKind::Broken | FaultKind::Garbage => AttemptOutcome::Broken,
        FaultKind::Timeout => AttemptOutcome::Timeout,
    };
    order.end_attempt(outcome, status, false);
    if fault.may_have_billed() {
        let cost_nano = input_cost(&order.cx, &order.facts, endpoint).as_nano();
        order.losses.push(Loss { provider: Arc::clone(&endpoint.provider_name), cost_nano });
    }
    permit.judge(Verdict::Failed);
    tracing::warn!(request_id = &*order.cx.call.request_id, endpoint = &*endpoint.id, %fault, "attempt failed");
    Missed { ended: Executed::Failed(fault.to_error(&endpoint.provider_name)), next: Next::Elsewhere(None) }
}

/// An error status: whose fault, and what may follow.
async fn reject(order: &mut OpenOrder, endpoint: &Arc<Endpoint>, permit: Permit, reply: ProviderReply) -> Missed {
    let status = reply.status;
    let retry_after = retry_after(&reply.headers);
    let content_type = reply.headers.get(CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static("application/json"));
    // The connection may break in the middle of an error page; its status has said enough.
    let body = whole(reply.body).await.unwrap_or_default();
    order.end_attempt(AttemptOutcome::Rejected, Some(status), false);
    let again = matches!(status, 401 | 403 | 429) && endpoint.provider.has_ready_credential();
    let (verdict, next) = match status {
        _ if again => (Verdict::Unrelated, Next::Again),
        429 => (throttled(retry_after), Next::Elsewhere(retry_after)),
        401 | 403 | 408 | 500.. => (Verdict::Failed, Next::Elsewhere(retry_after)),
        404 => (Verdict::Unrelated, Next::Never),
        _ => (Verdict::Unrelated, Next::Stop),
    };
    permit.judge(verdict);
    tracing::warn!(request_id = &*order.cx.call.request_id, endpoint = &*endpoint.id, status, "attempt rejected");
    let ended = match status {
        // It is the gateway's credential that was refused, not the caller's.
        401 | 403 => Executed::Failed(Error::new(
            ErrorKind::ProviderRejected,
            format!(
                "provider '{}' refused the gateway's credential (status {status}); an operator must check its API key",
                endpoint.provider_name
            ),
        )),
        _ => Executed::Rejected(Rejected { status, content_type, retry_after, body }),
    };
    Missed { ended, next }
}

/// A provider that names a pause gets it; without one the breaker counts an ordinary failure.
fn throttled(retry_after: Option<Duration>) -> Verdict {
    retry_after.map_or(Verdict::Failed, |pause| Verdict::Throttled { pause })
}

#[expect(clippy::disallowed_methods, reason = "an HTTP date is wall-clock time, compared as it arrives")]
fn until(date: SystemTime) -> Option<Duration> {
    date.duration_since(SystemTime::now()).ok()
}

/// Retry-After in seconds or as a date, or its finer `retry-after-ms`. Never longer than a day, whatever is written.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(86_400);
    written_retry_after(headers).map(|span| span.min(LONGEST))
}

fn written_retry_after(headers: &HeaderMap) -> Option<Duration> {
    const MILLIS: HeaderName = HeaderName::from_static("retry-after-ms");
    if let Some(ms) = headers.get(MILLIS).and_then(|value| value.to_str().ok()?.parse::<u64>().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => httpdate::parse_http_date(text).ok().and_then(until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_retry_after() {
        let of = |name: &'static str, value: &str| {
            retry_after(&HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())]))
        };
        assert_eq!(of("retry-after", "2"), Some(Duration::from_secs(2)));
        assert_eq!(of("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(of("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        assert_eq!(of("retry-after", "soon"), None);
        assert_eq!(of("retry-after", "-1"), None);
        let date = "Fri, 01 Jan 2500 00:00:00 GMT";
        assert_eq!(of("retry-after", date), Some(Duration::from_secs(86_400)));
        assert_eq!(of("retry-after-ms", "18446744073709551615"), Some(Duration::from_secs(86_400)));
        assert_eq!(of("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT"), None);
    }
}
