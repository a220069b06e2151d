//! Step 7: the hold: the most the call may be charged, taken before anything is sent, in one transaction.

use super::context::Context;
use super::in_flight::Flight;
use crate::base::{Error, ErrorKind, Money, Ratio, Result, Rounding};
use crate::domain::catalog::{Endpoint, Meter, Rating, ServiceTier, Usage};
use crate::domain::ledger::{Attempt, Command, Ledger, Loss, Reply, Reserve, hold_for};
use crate::protocol::openai::RequestFacts;
use std::sync::Arc;
use std::time::Duration;

/// Output bound where neither the caller nor the catalog names one.
const DEFAULT_MAX_OUTPUT: u64 = 32_768;
/// Tokens that an image given by reference may count for: no listed provider counts more for one image.
const IMAGE_TOKENS: u64 = 8_192;
/// English text and code take about four bytes a token; used for estimates only, never for a bound.
const BYTES_PER_TOKEN: u64 = 4;

/// A call whose order is open. Whatever happens to it, its drop settles.
pub(super) struct OpenOrder {
    pub(super) cx: Context,
    pub(super) facts: RequestFacts,
    pub(super) attempts: Vec<Attempt>,
    /// Attempts that failed and may be billed, in order.
    pub(super) losses: Vec<Loss>,
    /// The endpoint that is serving, or was tried last.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) first_byte: Option<Duration>,
    pub(super) settled: bool,
    pub(super) _flight: Flight,
}

/// Input tokens as an estimate, for costs that nobody will ever count for us.
pub(super) fn estimated_input(facts: &RequestFacts) -> u64 {
    facts.input_bytes.div_ceil(BYTES_PER_TOKEN)
}

/// What the call asks to be rated by: its tier, and the time of its start.
pub(super) fn asked(cx: &Context, facts: &RequestFacts) -> Rating {
    Rating { tier: ServiceTier::asked(facts.service_tier.as_deref()), at: cx.began_at }
}

fn bound(cx: &Context, facts: &RequestFacts, endpoint: &Endpoint) -> Result<Option<Money>> {
    let Some(price) = endpoint.price_at(cx.began_at) else { return Ok(None) };
    let input = facts.input_bytes.saturating_add(facts.images.saturating_mul(IMAGE_TOKENS));
    let input = endpoint.context_window.map_or(input, |window| input.min(window));
    let (output, sell) = (output_bound(facts, endpoint), cx.snapshot.sell(endpoint));
    hold_for(&price.sheet, input, output, &asked(cx, facts), &sell, Ratio::ZERO).map(Some)
}

/// Output tokens that the endpoint may send at most.
pub(super) fn output_bound(facts: &RequestFacts, endpoint: &Endpoint) -> u64 {
    let per_choice = match (facts.max_output, endpoint.max_output) {
        (Some(asked), Some(limit)) => asked.min(limit),
        (Some(asked), None) => asked,
        (None, limit) => limit.or(endpoint.context_window).unwrap_or(DEFAULT_MAX_OUTPUT),
    };
    per_choice.saturating_mul(facts.choices)
}

/// The largest bound over the plan: one charge will be made, by whichever endpoint serves.
fn hold(cx: &Context, facts: &RequestFacts) -> Result<Option<Money>> {
    let mut most = None;
    for endpoint in &cx.plan {
        most = most.max(bound(cx, facts, endpoint)?);
    }
    Ok(most)
}

pub(super) fn input_cost(cx: &Context, facts: &RequestFacts, endpoint: &Endpoint) -> Money {
    let usage = Usage::default().with(Meter::InputUncached, estimated_input(facts));
    let amount = endpoint.price_at(cx.began_at).and_then(|price| price.sheet.amount(&usage, &asked(cx, facts)).ok());
    amount.and_then(|exact| exact.round(Rounding::HalfEven)).unwrap_or(Money::ZERO)
}

fn command(cx: &Context, facts: &RequestFacts, ledger: &dyn Ledger) -> Result<Command> {
    let (Some(principal), Some(first)) = (&cx.principal, cx.plan.first()) else {
        return Err(Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause("reserve before route"));
    };
    let (node, epoch) = ledger.node();
    Ok(Command::Reserve(Box::new(Reserve {
        order: cx.order,
        wallet: Arc::clone(&principal.wallet),
        key: principal.key_id,
        user_path: principal.user_path.shared(),
        operation: cx.call.operation.name(),
        model: Arc::clone(&facts.model),
        endpoint: Arc::clone(&first.id),
        provider: Arc::clone(&first.provider_name),
        hold: hold(cx, facts)?,
        input_cost: input_cost(cx, facts, first),
        stream: facts.stream,
        expires_at: cx.began_at.plus(cx.snapshot.hold_timeout),
        node,
        epoch,
    })))
}

async fn ask(cx: &Context, facts: &RequestFacts) -> Result<()> {
    let Some(ledger) = &cx.pipeline.ledger else { return Ok(()) };
    match ledger.submit(command(cx, facts, &**ledger)?).wait().await? {
        Reply::Held { .. } => Ok(()),
        Reply::Refused(refusal) => Err(refusal.to_error(cx.principal.as_ref().map_or("", |principal| &principal.wallet))),
        other @ (Reply::Done { .. } | Reply::Settled { .. }) => {
            Err(Error::new(ErrorKind::LedgerUnavailable, "the ledger failed on this request").with_cause(format!("{other:?}")))
        }
    }
}

/// Opens the order, or gives the call back with the reason.
pub(super) async fn reserve(mut cx: Context) -> Result<OpenOrder, (Context, Error)> {
    let Some(facts) = cx.facts.take() else {
        return Err((cx, Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause("reserve before resolve")));
    };
    let flight = cx.pipeline.in_flight.enter();
    if let Err(error) = ask(&cx, &facts).await {
        cx.facts = Some(facts);
        return Err((cx, error));
    }
    Ok(OpenOrder {
        cx,
        facts,
        attempts: Vec::with_capacity(1),
        losses: Vec::new(),
        endpoint: None,
        first_byte: None,
        settled: false,
        _flight: flight,
    })
}
