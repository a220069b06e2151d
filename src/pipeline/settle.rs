//! Steps 9 and 10: finalize and release, one event: real usage becomes a charge, the rest of the hold goes back. However
//! a call ends, it ends here, exactly once; a dropped order settles itself.

use super::execute::{Rejected, Started, Whole};
use super::record::Settling;
use super::relay::Relay;
use super::reserve::{OpenOrder, estimated_input, output_bound};
use super::{Reply, ReplyBody};
use crate::base::{Error, ErrorKind, Exact, Money, OrderId};
use crate::domain::catalog::{Meter, Usage};
use crate::domain::ledger::{
    Amounts, AttemptOutcome, Borne, Command, CostSource, CostTo, Loss, OrderReceipt, Outcome, Rated, Reply as LedgerReply, Settle,
    SettlementPolicy, UsageSource,
};
use crate::domain::usage::CallRecord;
use crate::protocol::Operation;
use crate::protocol::openai::{ReportedCost, UsageReport};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

const ORDER: HeaderName = HeaderName::from_static("x-gotoai-order");
const ENDPOINT: HeaderName = HeaderName::from_static("x-gotoai-endpoint");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-gotoai-attempts");
const CHARGE: HeaderName = HeaderName::from_static("x-gotoai-charge");

/// How a call ended, as money sees it.
pub(super) struct Ending {
    /// The provider's count and its cost, as far as it gave them.
    pub(super) report: UsageReport,
    /// The class of service, in the provider's words.
    pub(super) service_tier: Option<Box<str>>,
    /// Output tokens that reached the caller, estimated.
    pub(super) delivered: u64,
    /// Output tokens that the provider sent, estimated: more, where it was read on after the caller had left.
    pub(super) sent: u64,
    /// `None`: served to its end.
    pub(super) outcome: Option<Outcome>,
    pub(super) provider_request_id: Option<Arc<str>>,
    /// Content type and body as the caller gets them, where a marked request is served to its end.
    pub(super) answer: Option<(HeaderValue, Bytes)>,
    pub(super) finish: &'static str,
    pub(super) status: u16,
    pub(super) error: Option<ErrorKind>,
}

impl Ending {
    /// An end without service.
    fn unserved(status: u16, error: Option<ErrorKind>, finish: &'static str) -> Self {
        Self {
            report: UsageReport::default(),
            service_tier: None,
            delivered: 0,
            sent: 0,
            outcome: Some(Outcome::Undelivered),
            provider_request_id: None,
            answer: None,
            finish,
            status,
            error,
        }
    }
}

impl OpenOrder {
    /// A whole reply: settled and durable before the caller sees it, so that the charge in its headers is a fact.
    pub(super) async fn deliver(&mut self, whole: Whole) -> Reply {
        let mut headers = self.receipt();
        headers.insert(CONTENT_TYPE, whole.content_type.clone());
        let delivered = match self.cx.call.operation {
            Operation::Chat => whole.body.len() as u64 / 4,
            Operation::Embeddings => 0,
        };
        let ending = Ending {
            report: whole.facts.report,
            service_tier: whole.facts.service_tier,
            delivered,
            sent: delivered,
            outcome: None,
            provider_request_id: whole.facts.id.map(Arc::from),
            answer: self.cx.marked.as_ref().map(|_| (whole.content_type.clone(), whole.body.clone())),
            finish: "complete",
            status: 200,
            error: None,
        };
        if let Some(settling) = self.close(ending) {
            match settling.await {
                Ok(LedgerReply::Settled { charge: Some(charge), .. }) => drop(headers.insert(CHARGE, charge_value(charge))),
                Ok(
                    LedgerReply::Settled { charge: None, .. }
                    | LedgerReply::Done { .. }
                    | LedgerReply::Held { .. }
                    | LedgerReply::Refused(_),
                ) => {}
                // The caller's answer was paid for; the ledger keeps trying to book it.
                Err(error) => tracing::error!(order = %self.cx.order, %error, "settlement is not durable yet"),
            }
        }
        Reply { status: 200, headers, body: ReplyBody::Whole(whole.body) }
    }

    /// A stream: it settles when its last byte has passed, or when its reader has left.
    pub(super) fn relay(self, started: Started) -> Reply {
        let mut headers = self.receipt();
        headers.insert(CONTENT_TYPE, started.content_type.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Reply { status: 200, headers, body: ReplyBody::Stream(Box::new(Relay::new(self, started))) }
    }

    /// The provider's error goes to the caller as it is.
    pub(super) async fn reject(&mut self, rejected: Rejected) -> Reply {
        let mut headers = self.receipt();
        headers.insert(CONTENT_TYPE, rejected.content_type);
        if let Some(span) = rejected.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(span.as_secs().max(1)));
        }
        let kind = if rejected.status == 429 { ErrorKind::ProviderRateLimited } else { ErrorKind::ProviderRejected };
        self.close_and_wait(Ending::unserved(rejected.status, Some(kind), "rejected")).await;
        let (status, body) = if rejected.body.trim_ascii().first() == Some(&b'{') {
            (rejected.status, rejected.body)
        } else {
            let provider = self.endpoint.as_ref().map_or("", |endpoint| &endpoint.provider_name);
            let error = Error::new(kind, format!("provider '{provider}' answered with status {} and no explanation", rejected.status));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            (rejected.status, Bytes::from(crate::protocol::openai::error_envelope(&error)))
        };
        Reply { status, headers, body: ReplyBody::Whole(body) }
    }

    /// No endpoint answered.
    pub(super) async fn fail(&mut self, error: Error) -> Reply {
        let receipt = self.receipt();
        self.close_and_wait(Ending::unserved(error.kind.status(), Some(error.kind), "failed")).await;
        let mut reply = Reply::error(&error);
        reply.headers.extend(receipt);
        reply
    }

    /// The ledger gave no hold: there is no order, only the record of a call.
    pub(super) fn refuse(mut self, error: &Error) -> Reply {
        self.settled = true;
        let mut record = self.record(&Ending::unserved(error.kind.status(), Some(error.kind), "refused"), Usage::default(), None);
        record.order = None;
        self.cx.pipeline.record(&record, error.cause.as_deref());
        Reply::error(error)
    }

    async fn close_and_wait(&mut self, ending: Ending) {
        if let Some(settling) = self.close(ending)
            && let Err(error) = settling.await
        {
            tracing::error!(order = %self.cx.order, %error, "the hold is not released yet");
        }
    }

    fn receipt(&self) -> HeaderMap {
        headers_of(self.cx.order, self.endpoint.as_ref().map(|endpoint| &*endpoint.id), self.attempts.len())
    }

    /// Settles: computes the amounts, sends the one command, makes the record. Only the first call does anything.
    pub(super) fn close(&mut self, ending: Ending) -> Option<Settling> {
        if std::mem::replace(&mut self.settled, true) {
            return None;
        }
        let (usage, usage_source) = self.usage(&ending);
        let Some(ledger) = self.cx.pipeline.ledger.clone() else {
            self.cx.pipeline.record(&self.record(&ending, usage, None), None);
            return None;
        };
        let reported = self.reported(&ending).filter(|_| usage_source != UsageSource::None);
        let booked = self.amounts(&usage, usage_source, &ending, reported);
        // What has no price is not in the amounts: they are then not the last word.
        let unpriced = booked.as_ref().is_some_and(|booked| !booked.covered) && usage_source == UsageSource::Provider;
        let usage_source = if unpriced { UsageSource::Estimated } else { usage_source };
        let mut record = self.record(&ending, usage, booked.as_ref().map(|booked| booked.borne.amounts.charge));
        let served = self.endpoint.as_ref().filter(|_| usage_source != UsageSource::None);
        let builder = self.cx.principal.as_ref().and_then(|principal| principal.builder.as_ref());
        let settle = Settle {
            order: self.cx.order,
            endpoint: served.map(|endpoint| Arc::clone(&endpoint.id)),
            provider: served.map(|endpoint| Arc::clone(&endpoint.provider_name)),
            usage,
            usage_source,
            amounts: booked.as_ref().map(|booked| booked.borne.amounts),
            // What is billed to the caller's own key is no cost of ours.
            unpriced_cost: reported.filter(|_| booked.is_none() && served.is_some_and(|endpoint| !endpoint.own_key)),
            outcome: ending.outcome.filter(|_| usage_source != UsageSource::None),
            loss: booked.as_ref().map_or(Money::ZERO, |booked| booked.borne.loss),
            suspense: booked.as_ref().is_some_and(|booked| booked.suspense),
            rated: booked.and_then(|booked| booked.rated),
            builder: builder.map(|(name, _)| Arc::clone(name)),
            losses: self.losses(usage_source),
            attempts: std::mem::take(&mut self.attempts),
            provider_request_id: ending.provider_request_id,
            finish: ending.finish,
            answer: self.cx.marked.as_ref().zip(ending.answer).and_then(|(marked, (kind, body))| marked.seal(&kind, &body)),
        };
        (record.cost, record.cost_reported) = (settle.cost(), settle.cost_source() == CostSource::Reported);
        let ticket = ledger.submit(Command::Settle(Box::new(settle)));
        Some(Settling::new(ticket, record, &self.cx.pipeline))
    }

    /// Real usage where the provider gave it; else an estimate that is never zero when something may be billed.
    fn usage(&self, ending: &Ending) -> (Usage, UsageSource) {
        if let Some(read) = &ending.report.usage {
            return (
                Usage::from(*read).with(Meter::Request, 1),
                if read.consistent { UsageSource::Provider } else { UsageSource::Estimated },
            );
        }
        let last = self.attempts.last().map(|attempt| attempt.outcome);
        let billable = match last {
            None | Some(AttemptOutcome::Rejected | AttemptOutcome::Unreachable) => false,
            Some(
                AttemptOutcome::Dispatched
                | AttemptOutcome::Served
                | AttemptOutcome::Timeout
                | AttemptOutcome::Broken
                | AttemptOutcome::Abandoned,
            ) => true,
        };
        if !billable {
            return (Usage::default(), UsageSource::None);
        }
        // What the hold covers is also the most that was allowed: an estimate does not go beyond it.
        let allowed = self.endpoint.as_ref().map_or(u64::MAX, |endpoint| output_bound(&self.facts, endpoint));
        let usage = Usage::default()
            .with(Meter::InputUncached, estimated_input(&self.facts))
            .with(Meter::OutputText, ending.sent.min(allowed))
            .with(Meter::Request, 1);
        (usage, UsageSource::Estimated)
    }

    /// What the provider says that the call cost: to us, or to whose key it was.
    fn reported(&self, ending: &Ending) -> Option<Exact> {
        let endpoint = self.endpoint.as_ref()?;
        match ending.report.cost? {
            ReportedCost::Told { billed, passed_on } if endpoint.own_key => passed_on.and_then(|more| billed.checked_add(more)),
            // What it passed on is billed by somebody else, who is not paid through this provider's accounts.
            ReportedCost::Told { billed, .. } => Some(billed),
            ReportedCost::Absurd => {
                tracing::warn!(order = %self.cx.order, endpoint = &*endpoint.id, "the reply names a cost that no call has; usage and price make it");
                None
            }
        }
    }

    /// Failed attempts before the last, one entry a provider. The last one, if it failed and may be billed, is what is being
    /// settled as undelivered.
    fn losses(&mut self, source: UsageSource) -> Vec<Loss> {
        let last = self.attempts.last().map(|attempt| attempt.outcome);
        let failed_last = matches!(last, Some(AttemptOutcome::Timeout | AttemptOutcome::Broken)) && self.first_byte.is_none();
        if failed_last && source == UsageSource::Estimated {
            self.losses.pop();
        }
        let mut merged: Vec<Loss> = Vec::new();
        for loss in std::mem::take(&mut self.losses) {
            match merged.iter_mut().find(|known| known.provider == loss.provider) {
                Some(known) => known.cost_nano = known.cost_nano.saturating_add(loss.cost_nano),
                None => merged.push(loss),
            }
        }
        merged
    }

    /// What is booked, under the settlement policy where the call did not end well; `None` when no price is known.
    fn amounts(&self, usage: &Usage, source: UsageSource, ending: &Ending, reported: Option<Exact>) -> Option<Booked> {
        if source == UsageSource::None {
            return Some(Booked {
                borne: Borne { amounts: Amounts::ZERO, loss: Money::ZERO },
                rated: None,
                suspense: false,
                covered: true,
            });
        }
        let quote = self.cx.quote(&self.facts, self.endpoint.as_ref()?)?;
        let settle = |usage: &Usage, reported| match quote.settle(usage, ending.service_tier.as_deref(), reported) {
            Ok(settled) => Some(settled),
            Err(error) => {
                tracing::error!(order = %self.cx.order, %error, "the usage is beyond any amount; booked as unknown spend");
                None
            }
        };
        let (used, rated) = settle(usage, reported)?;
        let covered = quote.covers(usage, ending.service_tier.as_deref());
        let Some(outcome) = ending.outcome else {
            return Some(Booked { borne: Borne { amounts: used, loss: Money::ZERO }, rated: Some(rated), suspense: false, covered });
        };
        let legs = self.cx.terms.as_ref().map_or_else(SettlementPolicy::default, |wallet| wallet.terms.settlement).legs(outcome);
        let output = usage.output_tokens();
        // A provider that cut the stream and counted all the same has counted what it sent: better than our estimate.
        let counted = outcome == Outcome::ProviderCut && source == UsageSource::Provider;
        let delivered = if ending.delivered < output && !counted {
            let part = settle(&delivered(usage, ending.delivered), None)?.0;
            if reported.is_some() { part.at_share_of(&used, settle(usage, None)?.0.cost).ok()? } else { part }
        } else {
            used
        };
        let suspense = legs.cost == CostTo::Suspense && source == UsageSource::Estimated && reported.is_none();
        Some(Booked { borne: legs.bear(used, delivered), rated: Some(rated), suspense, covered })
    }

    fn record(&self, ending: &Ending, usage: Usage, charge: Option<Money>) -> CallRecord {
        let mut record = self.cx.record();
        record.order = Some(self.cx.order);
        record.model = Some(Arc::clone(&self.facts.model));
        record.stream = self.facts.stream;
        record.endpoint.clone_from(&self.endpoint);
        record.status = ending.status;
        record.error = ending.error;
        record.attempts = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        record.usage = usage;
        record.charge = charge;
        record.finish = ending.finish;
        record.first_byte = self.first_byte;
        record
    }
}

/// What a call is booked with.
struct Booked {
    borne: Borne,
    rated: Option<Rated>,
    suspense: bool,
    /// All that was used has a price.
    covered: bool,
}

/// The usage as if the provider had stopped after so many output tokens.
fn delivered(usage: &Usage, tokens: u64) -> Usage {
    [Meter::OutputReasoning, Meter::OutputText, Meter::AudioOut]
        .into_iter()
        .fold((*usage, tokens), |(usage, left), meter| {
            let kept = usage.get(meter).min(left);
            (usage.with(meter, kept), left - kept)
        })
        .0
}

fn headers_of(order: OrderId, endpoint: Option<&str>, attempts: usize) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    if let Ok(order) = HeaderValue::try_from(order.to_string()) {
        headers.insert(ORDER, order);
    }
    if let Some(Ok(endpoint)) = endpoint.map(HeaderValue::from_str) {
        headers.insert(ENDPOINT, endpoint);
    }
    headers.insert(ATTEMPTS, HeaderValue::from(attempts));
    headers
}

/// The headers of an order that was answered before.
pub(super) fn receipt_headers(order: OrderId, receipt: Option<&OrderReceipt>, charge: Option<Money>) -> HeaderMap {
    let settled = receipt.and_then(|receipt| receipt.settlement.as_ref());
    let endpoint = settled.and_then(|settled| settled.endpoint.as_deref());
    let mut headers = headers_of(order, endpoint, settled.map_or(0, |settled| settled.attempts.len()));
    if let Some(charge) = charge {
        headers.insert(CHARGE, charge_value(charge));
    }
    headers
}

fn charge_value(charge: Money) -> HeaderValue {
    HeaderValue::try_from(charge.to_string()).unwrap_or(HeaderValue::from_static("0.00"))
}

impl Drop for OpenOrder {
    /// A panic, or a runtime that is shut down: the order ends all the same, on what is known.
    fn drop(&mut self) {
        if !self.settled {
            let now = self.cx.pipeline.clock.now().0;
            if let Some(attempt) = self.attempts.last_mut().filter(|attempt| attempt.outcome == AttemptOutcome::Dispatched) {
                (attempt.outcome, attempt.ended_at_ms) = (AttemptOutcome::Abandoned, now);
            }
            drop(self.close(Ending::unserved(500, Some(ErrorKind::Internal), "dropped")));
        }
    }
}
