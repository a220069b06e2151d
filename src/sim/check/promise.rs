//! Owns: what callers were told, against what the ledger has: charges, orders, ends of streams, answers to marked requests.
//! Refuses to know: amounts (order).

use super::{Audit, Case, nano};
use crate::base::OrderId;
use crate::domain::ledger::OrderState;
use crate::sim::fault::Fault;
use crate::sim::mark::Mark;
use crate::sim::plan::Ask;
use crate::sim::rule::Rule;
use crate::sim::world::Told;
use std::collections::BTreeMap;

/// Came to its end with an answer.
fn is_served(told: &Told) -> bool {
    told.ended && told.status == Some(200)
}

impl Audit<'_> {
    pub(super) fn told(&mut self, cases: &[Case<'_>]) {
        let by_id: BTreeMap<OrderId, &Case<'_>> = cases.iter().map(|case| (case.receipt.order.id, case)).collect();
        for (ask, told) in &self.seen.told {
            self.mark_refusal(told);
            let Some(id) = told.order else { continue };
            let Some(case) = by_id.get(&id).filter(|case| case.ask.call == ask.call) else {
                let lost = self.seen.lost.contains(&id) && (!told.ended || self.seen.unpromised.contains(&id));
                self.expect(Rule::Promise, lost, || format!("call {ask} was told of an order that the ledger does not know"));
                continue;
            };
            self.charge_told(*ask, told, case);
            self.ending(*ask, told, case);
        }
    }

    fn charge_told(&mut self, ask: Ask, told: &Told, case: &Case<'_>) {
        let (order, id) = (&case.receipt.order, case.receipt.order.id);
        if let Some(charge) = told.charge {
            // Before it was corrected, or after.
            let known = [i128::from(case.settled.charge_nano.unwrap_or(0)), nano(order.charge)];
            self.expect(Rule::Promise, known.contains(&i128::from(charge.as_nano())), || {
                format!("call {ask} was told a charge of {charge}, the ledger has {:?}", order.charge)
            });
        }
        // An answer that came to its end was settled first; unless the disk failed, which the log says and no header hides.
        let is_free = matches!(order.state, OrderState::Released | OrderState::Expired);
        let broken = is_served(told) && is_free && !self.seen.unpromised.contains(&id);
        self.expect(Rule::Promise, !broken, || format!("call {ask} was served to its end and its order ended as {}", case.settled.finish));
    }

    fn ending(&mut self, ask: Ask, told: &Told, case: &Case<'_>) {
        if !case.plan.stream || !is_served(told) {
            return;
        }
        let has = |what: &[u8]| memchr::memmem::find(&told.body, what).is_some();
        let clean = told.body.ends_with(b"data: [DONE]\n\n") || has(b"data: {\"error\"") || has(b"\"finish_reason\":\"stop\"");
        self.expect(Rule::Ending, clean, || format!("call {ask}: its stream ended without a mark or an error"));
        let (capped, said) = (case.settled.finish == "cap_reached", has(b"cap_reached") && has(b"\"finish_reason\":\"length\""));
        let settled_later = self.seen.unpromised.contains(&case.receipt.order.id);
        self.expect(Rule::Ending, capped == said || settled_later, || {
            format!("call {ask}: its order ended as {}, and its stream said that the hold was used up: {said}", case.settled.finish)
        });
    }

    fn mark_refusal(&mut self, told: &Told) {
        let Some(code) = told.code.as_deref() else { return };
        let marks = [
            ("insufficient_funds", Mark::InsufficientFunds),
            ("wallet_frozen", Mark::Frozen),
            ("budget_exceeded", Mark::BudgetExceeded),
            ("budget_rate_limited", Mark::BudgetRate),
            ("idempotency_in_progress", Mark::StillRunning),
            ("replay_unavailable", Mark::ReplayUnavailable),
            ("idempotency_key_reused", Mark::OtherBody),
        ];
        for (name, mark) in marks {
            self.mark(mark, code == name);
        }
    }

    /// Asked again with the same mark, the same answer, byte for byte; with another request under it, none.
    pub(super) fn replays(&mut self, cases: &[Case<'_>]) {
        for case in cases.iter().filter(|case| case.plan.marked) {
            let id = case.receipt.order.id;
            let of_call = Ask { call: case.ask.call, again: 0 }..Ask { call: case.ask.call + 1, again: 0 };
            let told: Vec<(Ask, &Told)> = self.seen.told.range(of_call).map(|(ask, told)| (*ask, told)).collect();
            // The first one to have had the answer whole, whoever it was.
            let Some((answered, first)) =
                told.iter().filter(|(_, told)| told.order == Some(id) && is_served(told)).min_by_key(|(_, told)| told.ended_at).copied()
            else {
                continue;
            };
            let other = case.plan.is_other(case.ask.again);
            let is_kept = case.settled.finish == "complete" && !self.seen.unpromised.contains(&id) && !self.seen.lost.contains(&id);
            for (ask, again) in told.into_iter().filter(|(ask, _)| *ask != answered) {
                let same = again.order == Some(id) && is_served(again);
                if same {
                    let fine = again.body == first.body && case.plan.is_other(ask.again) == other;
                    self.expect(Rule::Replay, fine, || {
                        format!("call {ask} was answered as call {answered} was, and not with the same bytes")
                    });
                    self.mark(Mark::Replayed, again.replayed);
                    self.mark(Mark::StreamReplayed, again.replayed && case.plan.stream);
                    self.mark(Mark::ReplayedAfterCrash, again.replayed && again.life > first.life);
                }
                if is_kept && again.asked_at > first.ended_at && again.ended {
                    let refused = |code| again.code.as_deref() == Some(code);
                    // What was answered before the disk failed is told again once it works.
                    let unsure = self.scenario.faults.has(Fault::PowerCut) && refused("ledger_unavailable");
                    let is_same = case.plan.is_other(ask.again) == other;
                    let fine = unsure || if is_same { same && again.replayed } else { refused("idempotency_key_reused") };
                    self.expect(Rule::Replay, fine, || {
                        format!(
                            "call {ask} was asked after call {answered} had its answer, and was told {:?} {:?}",
                            again.status, again.code
                        )
                    });
                }
            }
        }
    }
}
