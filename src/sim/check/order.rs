//! Owns: one order: its charge from usage, price and terms; the evidence for the usage; what was held; the providers' bill.
//! Refuses to know: what anybody was told of it (promise).

use super::{Audit, Case, is_cleared, nano};
use crate::domain::catalog::Meter;
use crate::domain::ledger::{
    Attempt, AttemptOutcome, ChargeFor, CostSource, FeeFor, HoldPolicy, Legs, OrderState, Outcome, SettlePayload, UsageSource,
};
use crate::sim::mark::Mark;
use crate::sim::plan::Target;
use crate::sim::rule::Rule;
use crate::sim::tariff::{Tariff, Tokens};
use crate::sim::world::Exchange;

/// The most output in one piece of a stream: so much may pass before the meter sees it.
const PIECE_TOKENS: u64 = 300;

/// The meters of a settlement as this simulation counts.
fn tokens_of(settled: &SettlePayload) -> Tokens {
    let count = |meter| settled.usage.get(meter);
    Tokens {
        input: count(Meter::InputUncached),
        cached: count(Meter::CacheRead),
        output: count(Meter::OutputText),
        reasoning: count(Meter::OutputReasoning),
    }
}

impl Case<'_> {
    /// The exchange that was settled.
    fn served(&self) -> Option<&Exchange> {
        let provider = self.settled.provider.as_deref()?;
        self.exchanges.iter().rfind(|exchange| exchange.provider == provider).copied()
    }

    fn legs(&self) -> Option<Legs> {
        self.settled.outcome.map(|outcome| self.agreed.settlement.legs(outcome))
    }

    /// What these tokens are sold for under the terms: all of it, or without the platform's share.
    fn price(&self, tariff: &Tariff, tokens: Tokens) -> i128 {
        let charge = tariff.charge_nano(tokens, self.agreed.share());
        let without_fee = self.legs().is_some_and(|legs| legs.fee == FeeFor::Nothing);
        if without_fee { charge.min(tariff.list_nano(tokens)) } else { charge }
    }

    /// Its stream may run on while its hold grows: not where beta may serve it, which bills to the end whoever hangs up.
    fn is_metered(&self) -> bool {
        let ends_by_hanging_up = match self.plan.target {
            Target::OfAlpha | Target::OfGamma | Target::OfOwn | Target::Unpriced => true,
            Target::Shared | Target::OfBeta => false,
        };
        ends_by_hanging_up && self.plan.stream && self.plan.max_tokens.is_none() && self.agreed.hold == Some(HoldPolicy::Metered)
    }
}

impl Audit<'_> {
    pub(super) fn order(&mut self, case: &Case<'_>) {
        let (order, ask) = (&case.receipt.order, case.ask);
        self.expect(Rule::Liveness, case.receipt.settlement.is_some(), || format!("call {ask}: its order never ended"));
        // Settled late: it was still under way when its hold went back.
        self.expect(Rule::Early, order.state != OrderState::LateSettled, || {
            format!("call {ask}: its hold was given back while it was under way")
        });
        let first = self.expected_charge(case);
        let told = i128::from(case.settled.charge_nano.unwrap_or(0));
        let what = || format!("call {ask} was charged {told} nano; its usage makes {first} nano");
        self.expect(Rule::Charge, told == first, what);
        let expected = self.corrected(case, first);
        let (charge, refunded) = (nano(order.charge), i128::from(order.refunded.as_nano()));
        self.expect(Rule::Correction, charge == expected && refunded <= charge, || {
            format!("call {ask} stands at a charge of {charge} nano less {refunded}; it was {first}, and is {expected} by its provider's figures")
        });
        *self.explained.entry(case.receipt.wallet.to_string()).or_default() += expected - refunded;
        self.sums.charged_nano += charge;
        self.sums.refunded_nano += refunded;
        self.sums.absorbed_nano += i128::from(case.settled.absorbed_nano);
        self.attempts(case);
        self.cost(case);
        self.mark_order(case);
    }

    fn mark_order(&mut self, case: &Case<'_>) {
        let (order, settled, legs) = (&case.receipt.order, &case.settled, case.legs());
        let short = case.receipt.reserve.asked_nano.is_some();
        self.mark(Mark::Clamped, short && !case.is_metered());
        self.mark(Mark::Extended, i128::from(order.hold.as_nano()) > i128::from(case.receipt.reserve.hold_nano));
        self.mark(Mark::CapReached, settled.finish == "cap_reached");
        self.mark(Mark::Failover, settled.attempts.len() > 1 && settled.usage_source == UsageSource::Provider);
        self.mark(Mark::OwnKey, settled.provider.as_deref() == Some("own") && nano(order.charge) > 0);
        self.mark(Mark::ClientLeft, settled.outcome == Some(Outcome::ClientLeft));
        self.mark(Mark::ProviderCut, settled.outcome == Some(Outcome::ProviderCut));
        self.mark(Mark::Undelivered, settled.outcome == Some(Outcome::Undelivered));
        self.mark(Mark::ChargedInPart, legs.is_some_and(|legs| legs.charge == ChargeFor::Delivered));
        self.mark(Mark::ChargedNothing, legs.is_some_and(|legs| legs.charge == ChargeFor::Nothing));
        self.mark(Mark::WithoutFee, legs.is_some_and(|legs| legs.fee == FeeFor::Nothing) && nano(order.charge) > 0);
        let is_told = settled.cost_source == CostSource::Reported;
        self.mark(Mark::CostTold, is_told && order.state == OrderState::Finalized);
        self.mark(Mark::CostToldWithoutPrice, is_told && case.state == OrderState::Unpriced);
        self.mark(Mark::CostToldBesideEstimate, is_told && settled.usage_source == UsageSource::Estimated);
        self.mark(Mark::Overrun, order.overrun.as_nano() > 0);
        self.mark(Mark::Absorbed, settled.absorbed_nano > 0);
    }

    /// What the user owes for this order, from the prices and the providers' reports alone.
    fn expected_charge(&mut self, case: &Case<'_>) -> i128 {
        let (ask, settled) = (case.ask, &case.settled);
        let tokens = tokens_of(settled);
        let tariff = settled.provider.as_deref().and_then(Tariff::of);
        match case.state {
            OrderState::Reserved | OrderState::Released | OrderState::Expired => return 0,
            OrderState::Unpriced => {
                let nobody_knows = tariff.is_some_and(|tariff| !tariff.priced);
                self.expect(Rule::Charge, nobody_knows, || format!("call {ask}: unpriced, though there is a price"));
                return 0;
            }
            OrderState::Finalized | OrderState::LateSettled | OrderState::Provisional => {}
        }
        let tariff = tariff.filter(|tariff| tariff.priced);
        self.expect(Rule::Charge, tariff.is_some(), || format!("call {ask}: charged for a provider without a price"));
        let Some(tariff) = tariff else { return 0 };
        self.evidence(case, tokens, tariff);
        let full = match case.legs().map(|legs| legs.charge) {
            None | Some(ChargeFor::Used) => case.price(tariff, tokens),
            Some(ChargeFor::Nothing) => 0,
            Some(ChargeFor::Delivered) => case.price(tariff, self.delivered(case, tokens)),
        };
        let absorbed = i128::from(settled.absorbed_nano);
        let hold = i128::from(case.receipt.order.hold.as_nano());
        let is_late = case.state == OrderState::LateSettled;
        let let_go = absorbed < 0 || (absorbed > 0 && !is_late && full - absorbed < full.min(hold));
        self.expect(Rule::Charge, !let_go, || format!("call {ask}: {absorbed} nano of {full} were let go although {hold} were held"));
        self.overrun(case, tariff, tokens, full);
        full - absorbed.max(0)
    }

    /// The part of the usage that reached the caller, as the caller has counted it.
    fn delivered(&self, case: &Case<'_>, tokens: Tokens) -> Tokens {
        let outcome = case.settled.outcome;
        // What a provider that cut the stream has counted is what it sent.
        let is_counted = outcome == Some(Outcome::ProviderCut) && case.settled.usage_source == UsageSource::Provider;
        let told = self.seen.told.get(&case.ask);
        let words = told.map_or(0, |told| memchr::memmem::find_iter(&told.body, b"word").count() as u64);
        let died = told.is_none_or(|told| !told.ended) && outcome == Some(Outcome::ProviderCut);
        if is_counted || died {
            return tokens;
        }
        let output = if outcome == Some(Outcome::Undelivered) { 0 } else { words };
        // All output has one price.
        Tokens { output: output.min(tokens.output + tokens.reasoning), reasoning: 0, ..tokens }
    }

    /// What the provider's own figures make of the charge: less, never more.
    fn corrected(&mut self, case: &Case<'_>, first: i128) -> i128 {
        let Some(trued_up) = case.trued_up else { return first };
        let (ask, evidence) = (case.ask, tokens_of(trued_up));
        let billed = case.served().and_then(|exchange| exchange.billed);
        self.expect(Rule::Evidence, billed == Some(evidence), || {
            format!("call {ask} was corrected to {evidence:?}, its provider bills {billed:?}")
        });
        let Some(tariff) = trued_up.provider.as_deref().and_then(Tariff::of) else { return first };
        let cost = nano(case.receipt.order.cost);
        let bill = tariff.cost_nano(evidence);
        self.expect(Rule::Correction, cost == bill, || {
            format!("call {ask}: its cost is {cost} nano after the correction, its provider bills {bill}")
        });
        let now = case.price(tariff, evidence);
        self.mark(Mark::TruedUp, true);
        self.mark(Mark::TruedUpLower, now < first);
        if now >= first {
            return first;
        }
        // Leg by leg, as far as each is lower.
        let was_pass = i128::from(case.settled.pass_through_nano.unwrap_or(0));
        let pass = was_pass.min(tariff.list_nano(evidence).min(now));
        pass + (now - pass).min(first - was_pass).max(0)
    }

    /// Nobody pays more than was held, unless more was used, and then the order says so.
    fn overrun(&mut self, case: &Case<'_>, tariff: &Tariff, tokens: Tokens, full: i128) {
        let (ask, order) = (case.ask, &case.receipt.order);
        let (hold, overrun) = (i128::from(order.hold.as_nano()), i128::from(order.overrun.as_nano()));
        let is_late = case.state == OrderState::LateSettled;
        // What is late has nothing held any more.
        let covered = if is_late { 0 } else { hold };
        let taken = i128::from(case.settled.charge_nano.unwrap_or(0));
        self.expect(Rule::Overrun, taken <= covered + overrun && overrun <= (full - covered).max(0), || {
            format!("call {ask}: {hold} nano held, {full} used, {overrun} taken beyond the hold")
        });
        let counted = |exchange: &&Exchange| exchange.kept_bound && exchange.reported == Some((tokens, true));
        if is_late || !case.exchanges.iter().any(counted) {
            return;
        }
        // A meter sees a piece when it has passed, what a provider thought never, and nothing once its caller has left.
        let unseen = match case.settled.outcome {
            _ if !case.is_metered() => 0,
            Some(Outcome::ClientLeft) => return,
            Some(Outcome::ProviderCut | Outcome::Undelivered) | None => PIECE_TOKENS + tokens.reasoning,
        };
        let held_back = Tokens { output: (tokens.output + tokens.reasoning).saturating_sub(unseen), reasoning: 0, ..tokens };
        let used = tariff.charge_nano(held_back, case.agreed.share());
        self.expect(Rule::Bound, used <= hold, || {
            format!("call {ask}: {used} nano were used within the bound that was sent, {hold} were held")
        });
    }

    /// Does the usage stand on what a provider said, or stay within what may be estimated?
    fn evidence(&mut self, case: &Case<'_>, tokens: Tokens, tariff: &Tariff) {
        let mut own = case.exchanges.iter().filter(|exchange| exchange.provider == tariff.provider);
        let is_reported = |consistent| move |exchange: &&&Exchange| exchange.reported == Some((tokens, consistent));
        let fine = match case.settled.usage_source {
            UsageSource::Provider => own.any(|exchange| is_reported(true)(&exchange)),
            UsageSource::Estimated => {
                let input = case.plan.messages().len().div_ceil(4) as u64;
                let most = case.plan.max_tokens.map_or(tariff.max_output, |asked| asked.min(tariff.max_output));
                let guess = Tokens { input, cached: 0, output: tokens.output.min(most), reasoning: 0 };
                tokens == guess || own.any(|exchange| is_reported(false)(&exchange))
            }
            // The simulation has no cache.
            UsageSource::Cache => false,
            UsageSource::None => tokens == Tokens::default(),
        };
        let ask = case.ask;
        self.expect(Rule::Evidence, fine, || format!("call {ask} was settled on {tokens:?}, which {} never said", tariff.provider));
    }

    /// A crash must know how many providers may bill.
    fn attempts(&mut self, case: &Case<'_>) {
        let noted = if is_cleared(&case.settled) { case.receipt.dispatched.len() + 1 } else { case.settled.attempts.len() };
        let (ask, sent) = (case.ask, case.exchanges.len());
        self.expect(Rule::Attempts, sent <= noted, || format!("call {ask} was sent {sent} times, the ledger knows of {noted}"));
    }

    /// The providers' bill for this order against what is booked.
    fn cost(&mut self, case: &Case<'_>) {
        let bill = |exchange: &&Exchange| {
            let tariff = Tariff::of(exchange.provider)?;
            Some(tariff.cost_nano(exchange.billed?))
        };
        let (order, settled) = (&case.receipt.order, &case.settled);
        let billed: i128 = case.exchanges.iter().copied().filter_map(|exchange| bill(&exchange)).sum();
        let crash = if settled.finish == "crash" { i128::from(order.input_cost.as_nano()) } else { 0 };
        let losses: i128 = settled.losses.iter().map(|loss| i128::from(loss.cost_nano)).sum();
        let booked = nano(order.cost) + losses + crash;
        self.guesses(case);
        self.error_bar(case, billed);
        self.sums.billed_nano += billed;
        self.sums.booked_nano += booked;
        let why = why_uncertain(case);
        if let Some(why) = why.filter(|_| billed != booked) {
            *self.sums.uncertain.entry(why).or_default() += billed - booked;
        }
        let ask = case.ask;
        self.expect(Rule::Cost, billed == booked || why.is_some(), || {
            format!("call {ask}: the providers bill {billed} nano, {booked} are booked, and nothing says why")
        });
    }

    /// Not of a provider that uses more than it was told to, nor of a stream whose hold grows: it was told no bound.
    fn error_bar(&mut self, case: &Case<'_>, billed: i128) {
        let beyond = case.is_metered() || !case.exchanges.iter().all(|exchange| exchange.kept_bound);
        if beyond || case.receipt.has_no_bound() {
            return;
        }
        let parts = case.receipt.spend();
        let known: i128 = parts.iter().map(|(_, spend)| spend.cost_known_nano).sum();
        let most = known + parts.iter().map(|(_, spend)| spend.cost_uncertain_max_nano).sum::<i128>();
        let ask = case.ask;
        self.expect(Rule::ErrorBar, (known..=most).contains(&billed), || {
            format!("call {ask}: the providers bill {billed} nano, told are {known} to {most}")
        });
    }

    /// What is booked without evidence is the estimated price of the input, once an attempt.
    fn guesses(&mut self, case: &Case<'_>) {
        let (ask, order) = (case.ask, &case.receipt.order);
        let tokens = case.plan.messages().len().div_ceil(4) as u64;
        let unit = |provider: &str| Tariff::of(provider).map_or(0, |tariff| tariff.input_nano(tokens));
        let guess = i128::from(order.input_cost.as_nano());
        self.expect(Rule::Cost, guess == unit(&order.provider), || format!("call {ask}: its input is estimated at {guess} nano"));
        for loss in &case.settled.losses {
            let (booked, unit) = (i128::from(loss.cost_nano), unit(&loss.provider));
            let at_provider = |attempt: &&Attempt| attempt.endpoint.starts_with(&*loss.provider);
            let most = case.settled.attempts.iter().filter(at_provider).count() as i128;
            let fine = booked == 0 || (unit != 0 && booked % unit == 0 && booked / unit <= most);
            self.expect(Rule::Cost, fine, || {
                format!("call {ask}: {booked} nano are booked as loss at {}, {unit} an attempt", loss.provider)
            });
        }
    }
}

/// Which of an order's own words say that its cost is not known for sure.
fn why_uncertain(case: &Case<'_>) -> Option<&'static str> {
    let settled = &case.settled;
    if is_cleared(settled) {
        return Some(if settled.finish == "crash" { "crash" } else { "deadline" });
    }
    let failed = settled.attempts.iter().any(|attempt| match attempt.outcome {
        AttemptOutcome::Timeout | AttemptOutcome::Broken | AttemptOutcome::Abandoned | AttemptOutcome::Dispatched => true,
        AttemptOutcome::Rejected => attempt.status.is_some_and(|status| status >= 500),
        AttemptOutcome::Served | AttemptOutcome::Unreachable => false,
    });
    let is_told = settled.cost_source == CostSource::Reported;
    match case.state {
        OrderState::Unpriced if !is_told => Some("unpriced"),
        // The provider's own figures are no estimate.
        OrderState::Provisional if case.trued_up.is_none() && !is_told => Some("estimated"),
        _ if failed => Some("failed attempts"),
        // Late, on an estimate: the state does not tell, the source does.
        OrderState::LateSettled if case.trued_up.is_none() && !is_told && settled.usage_source == UsageSource::Estimated => {
            Some("estimated")
        }
        OrderState::Provisional
        | OrderState::Unpriced
        | OrderState::Reserved
        | OrderState::Expired
        | OrderState::Finalized
        | OrderState::Released
        | OrderState::LateSettled => None,
    }
}
