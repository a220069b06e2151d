//! Step 7: the hold: the most the call may be charged, taken before anything is sent, in one transaction.

use super::Reply;
use super::context::Context;
use super::in_flight::Flight;
use super::meter::{Meter, STEP_TOKENS};
use crate::base::{Error, ErrorKind, Money, Result, Rounding};
use crate::domain::catalog::{Endpoint, Meter as Tokens, Usage};
use crate::domain::ledger::{Attempt, Command, HoldPolicy, Ledger, Loss, Reply as LedgerReply, Reserve};
use crate::domain::provider::Disconnect;
use crate::protocol::Operation;
use crate::protocol::openai::RequestFacts;
use std::sync::Arc;
use std::time::Duration;

/// Output bound where neither the caller nor the catalog names one.
const DEFAULT_MAX_OUTPUT: u64 = 32_768;
/// Tokens that an image given by reference may count for: no listed provider counts more for one image.
const IMAGE_TOKENS: u64 = 8_192;
/// Tokens that a file given by reference may count for where nobody knows how many fit.
const FILE_TOKENS: u64 = 131_072;
/// Tokens that providers add to the prompt of a call with tools: Anthropic documents up to 530 (tool-use-pricing-and-tokens).
const TOOL_PROMPT_TOKENS: u64 = 1_024;
/// Tokens that what was found by one web search may count for: OpenAI bills its small models a block of 8,000 for it (pricing,
/// web search). Nobody documents a limit for others; what goes beyond is charged as an overrun.
const SEARCH_TOKENS: u64 = 8_192;
/// A reply shorter than this is not worth a call: less is refused, not clamped.
const LEAST_OUTPUT: u64 = 16;
/// English text and code take about four bytes a token; used for estimates only, never for a bound.
const BYTES_PER_TOKEN: u64 = 4;

/// A call whose order is open. Whatever happens to it, its drop settles.
pub(super) struct OpenOrder {
    pub(super) cx: Box<Context>,
    pub(super) facts: RequestFacts,
    pub(super) attempts: Vec<Attempt>,
    /// Attempts that failed and may be billed, in order.
    pub(super) losses: Vec<Loss>,
    /// The endpoint that is serving, or was tried last.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) first_byte: Option<Duration>,
    /// Output tokens in one choice that the hold affords, where the wallet or a budget gave less than was asked.
    pub(super) max_output: Option<u64>,
    /// Of a stream whose hold grows.
    pub(super) meter: Option<Meter>,
    pub(super) settled: bool,
    pub(super) _flight: Flight,
}

/// Input tokens as an estimate, for costs that nobody will ever count for us.
pub(super) fn estimated_input(facts: &RequestFacts) -> u64 {
    facts.input_bytes.div_ceil(BYTES_PER_TOKEN)
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

/// The most that one call may use at the endpoint, with at most `output` tokens in all choices.
fn most(facts: &RequestFacts, endpoint: &Endpoint, output: u64) -> Usage {
    let window = endpoint.context_window;
    let references = facts.images.saturating_mul(IMAGE_TOKENS).saturating_add(facts.searches.saturating_mul(SEARCH_TOKENS));
    let files = facts.files.saturating_mul(window.unwrap_or(FILE_TOKENS));
    let added = if facts.tools { TOOL_PROMPT_TOKENS } else { 0 };
    let input = facts.input_bytes.saturating_add(references).saturating_add(files).saturating_add(added);
    Usage::default()
        .with(Tokens::InputUncached, window.map_or(input, |window| input.min(window)))
        .with(Tokens::OutputText, output.min(output_bound(facts, endpoint)))
        .with(Tokens::Searches, facts.searches)
        .with(Tokens::Request, 1)
}

/// The largest bound over the plan, with at most `output` tokens in all choices: one charge will be made, by whichever endpoint
/// serves.
fn hold(cx: &Context, facts: &RequestFacts, output: u64) -> Result<Option<Money>> {
    let mut bound = None;
    for endpoint in &cx.plan {
        let Some(quote) = cx.quote(facts, endpoint) else { continue };
        bound = bound.max(Some(quote.hold(&most(facts, endpoint, output))?));
    }
    Ok(bound)
}

/// The most output tokens, between `least` (known to fit) and `most`, whose bound is within `held`.
fn affordable(cx: &Context, facts: &RequestFacts, held: Money, least: u64, most: u64) -> u64 {
    let (mut fits, mut beyond) = (least, most.saturating_add(1));
    while beyond - fits > 1 {
        let middle = fits + (beyond - fits) / 2;
        match hold(cx, facts, middle) {
            Ok(Some(bound)) if bound <= held => fits = middle,
            Ok(_) | Err(_) => beyond = middle,
        }
    }
    fits
}

/// The longest reply that any endpoint of the plan may give.
fn most_output(cx: &Context, facts: &RequestFacts) -> u64 {
    cx.plan.iter().map(|endpoint| output_bound(facts, endpoint)).max().unwrap_or(0)
}

/// Is this a stream whose hold may grow while it runs? Only where hanging up ends the bill: else what a provider goes on to send
/// would be beyond any hold, and the bound is sent instead.
fn is_metered(cx: &Context, facts: &RequestFacts) -> bool {
    let stops = cx.plan.iter().all(|endpoint| match endpoint.family.disconnect {
        Disconnect::Abort => true,
        Disconnect::Drain => false,
    });
    stops && facts.stream && facts.max_output.is_none() && cx.terms.as_ref().is_some_and(|wallet| wallet.hold() == HoldPolicy::Metered)
}

pub(super) fn input_cost(cx: &Context, facts: &RequestFacts, endpoint: &Endpoint) -> Money {
    if endpoint.own_key {
        return Money::ZERO;
    }
    let usage = Usage::default().with(Tokens::InputUncached, estimated_input(facts));
    let amount = endpoint.price_at(cx.began_at).and_then(|price| price.sheet.amount(&usage, &cx.asked(facts)).ok());
    amount.and_then(|exact| exact.round(Rounding::HalfEven)).unwrap_or(Money::ZERO)
}

/// What the hold is asked to cover, in output tokens of all choices.
struct Ask {
    output: u64,
    /// The least that makes a reply worth having; `None`: all or nothing.
    least_output: Option<u64>,
    metered: bool,
}

impl Ask {
    fn of(cx: &Context, facts: &RequestFacts) -> Self {
        let most = most_output(cx, facts);
        let metered = is_metered(cx, facts) && most > STEP_TOKENS;
        let output = if metered { STEP_TOKENS } else { most };
        let least_output = (cx.call.operation == Operation::Chat).then(|| output.min(LEAST_OUTPUT.saturating_mul(facts.choices)));
        Self { output, least_output, metered }
    }
}

fn command(cx: &Context, facts: &RequestFacts, ask: &Ask, ledger: &dyn Ledger) -> Result<Command> {
    let (Some(principal), Some(first)) = (&cx.principal, cx.plan.first()) else {
        return Err(Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause("reserve before route"));
    };
    let (node, epoch) = ledger.node();
    Ok(Command::Reserve(Box::new(Reserve {
        order: cx.order,
        wallet: Arc::clone(&principal.wallet),
        key: principal.key_id,
        user_path: principal.user_path.clone(),
        labels: cx.call.labels.clone(),
        operation: cx.call.operation.name(),
        model: Arc::clone(&facts.model),
        endpoint: Arc::clone(&first.id),
        fallbacks: cx.plan.iter().skip(1).map(|endpoint| Arc::clone(&endpoint.id)).collect(),
        provider: Arc::clone(&first.provider_name),
        hold: hold(cx, facts, ask.output)?,
        least: ask.least_output.map(|output| hold(cx, facts, output)).transpose()?.flatten(),
        input_cost: input_cost(cx, facts, first),
        stream: facts.stream,
        expires_at: cx.began_at.plus(cx.snapshot.hold_timeout),
        node,
        epoch,
        once: cx.marked.as_ref().map(|marked| marked.once),
    })))
}

/// What the ledger granted: how much is held, and how many output tokens it covers where that is less than was asked.
struct Granted {
    max_output: Option<u64>,
    meter: Option<Meter>,
}

async fn ask(cx: &Context, facts: &RequestFacts) -> Result<Granted> {
    let Some(ledger) = &cx.pipeline.ledger else { return Ok(Granted { max_output: None, meter: None }) };
    let ask = Ask::of(cx, facts);
    let command = command(cx, facts, &ask, &**ledger)?;
    let asked = match &command {
        Command::Reserve(reserve) => reserve.hold,
        _ => None,
    };
    match ledger.submit(command).wait().await? {
        LedgerReply::Held { hold } => {
            let short = asked.is_some_and(|asked| hold < asked);
            let covered = if short { affordable(cx, facts, hold, ask.least_output.unwrap_or(0), ask.output) } else { ask.output };
            Ok(Granted {
                max_output: (short && !ask.metered).then(|| (covered / facts.choices).max(1)),
                meter: ask.metered.then(|| Meter::new(covered, hold)),
            })
        }
        LedgerReply::Refused(refusal) => Err(refusal.to_error(cx.principal.as_ref().map_or("", |principal| &principal.wallet))),
        other @ (LedgerReply::Done { .. } | LedgerReply::Settled { .. }) => {
            Err(Error::new(ErrorKind::LedgerUnavailable, "the ledger failed on this request").with_cause(format!("{other:?}")))
        }
    }
}

impl OpenOrder {
    /// The most the call may be charged with so many output tokens.
    pub(super) fn bound(&self, output: u64) -> Option<Money> {
        hold(&self.cx, &self.facts, output).ok().flatten()
    }

    pub(super) fn affordable(&self, held: Money, least: u64, most: u64) -> u64 {
        affordable(&self.cx, &self.facts, held, least, most)
    }
}

/// Opens the order, or tells why there is none.
pub(super) async fn reserve(mut cx: Box<Context>, flight: Flight) -> Result<OpenOrder, Reply> {
    let Some(facts) = cx.facts.take() else {
        let error = Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause("reserve before resolve");
        return Err(cx.refuse(error));
    };
    // Open before it is asked for: where this task ends while the answer is on its way, the drop gives the hold back.
    let mut order = OpenOrder {
        cx,
        facts,
        attempts: Vec::with_capacity(1),
        losses: Vec::new(),
        endpoint: None,
        first_byte: None,
        max_output: None,
        meter: None,
        settled: false,
        _flight: flight,
    };
    match ask(&order.cx, &order.facts).await {
        Ok(granted) => {
            (order.max_output, order.meter) = (granted.max_output, granted.meter);
            Ok(order)
        }
        Err(error) => Err(order.refuse(&error)),
    }
}
