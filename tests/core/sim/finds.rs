//! Owns: the proof that the simulation can fail: each defect put into the ledger on purpose is found by the rule that it breaks,
//! made small, and found again by the command line that the failure names.

use super::holds::play;
use gotoai::sim::{Failure, Named, Sabotage};
use serde_json::{Value, json};

/// Without the ids of orders, which are never the same twice.
fn unnamed(what: &str) -> String {
    what.split_whitespace().filter(|word| !word.starts_with("ord_")).collect::<Vec<_>>().join(" ")
}

/// The failure's command line, asked again.
fn again(failure: &Failure) -> Failure {
    let words: Vec<&str> = failure.command.split_whitespace().collect();
    let option = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]).unwrap();
    let list = |name: &str| -> Vec<&str> { option(name).split(',').filter(|word| *word != "none").collect() };
    let numbers = |name: &str| list(name).iter().map(|word| word.parse::<u64>().unwrap()).collect::<Vec<_>>();
    let mut summary = play(json!({
        "seed": option("--seed").parse::<u64>().unwrap(), "calls": numbers("--calls"), "faults": list("--faults"),
        "features": list("--features"), "crash_at": numbers("--crash-at"), "sabotage": option("--sabotage"),
    }));
    summary.failures.remove(0)
}

/// Plays until the defect breaks the rule.
fn found(sabotage: Sabotage, rule: &str, mut question: Value) -> Failure {
    question["sabotage"] = sabotage.name().into();
    let mut summary = play(question);
    let at = summary.failures.iter().position(|failure| failure.rule == rule);
    let told: Vec<_> = summary.failures.iter().map(|failure| (failure.rule, &failure.what)).collect();
    assert!(at.is_some(), "{} breaks no rule '{rule}': {told:?}", sabotage.name());
    summary.failures.remove(at.unwrap())
}

fn assert_repeats(failure: &Failure) {
    let repeated = again(failure);
    assert_eq!((repeated.rule, unnamed(&repeated.what), &repeated.trace), (failure.rule, unnamed(&failure.what), &failure.trace));
}

/// Defects that show without a fault, with the features that they need.
const PLAIN: &[(Sabotage, &str, &[&str], u64)] = &[
    (Sabotage::LostSettlement, "holds", &[], 1),
    (Sabotage::KeptHold, "verify", &[], 1),
    (Sabotage::DoubleCharge, "once", &[], 1),
    (Sabotage::UncountedBudget, "budget", &["budgets"], 4),
    (Sabotage::UncappedBudget, "budget", &["budgets"], 6),
    (Sabotage::UnspentGrant, "grant", &["grants"], 2),
    (Sabotage::LastingGrant, "verify", &["grants"], 2),
    (Sabotage::ForgottenMark, "once", &["marks"], 1),
    (Sabotage::LostReplay, "replay", &["marks"], 1),
    (Sabotage::DoubleRefund, "correction", &["refunds"], 4),
    (Sabotage::UntoldCost, "error bar", &[], 1),
];

#[test]
fn every_defect_is_found_and_made_small() {
    for (sabotage, rule, features, seed) in PLAIN {
        let failure = found(*sabotage, rule, json!({"seed": seed, "seeds": 12, "features": features, "faults": []}));
        assert!(failure.command.contains("--faults none"), "{}", failure.command);
        assert_repeats(&failure);
        if features.is_empty() {
            assert_eq!(failure.command.matches(',').count(), 0, "one call is enough: {}", failure.command);
        }
    }
}

/// Defects that need a death, a disk that fails, or a history that is not everybody's.
#[test]
fn defects_that_need_a_fault_are_found_with_it() {
    for (sabotage, rule, question) in [
        (Sabotage::IgnoredSync, "verify", json!({"seed": 1, "seeds": 60, "faults": ["sync_error"], "features": []})),
        (Sabotage::NoFence, "fence", json!({"seed": 1, "seeds": 80, "features": []})),
        (Sabotage::UnsyncedAnswer, "promise", json!({"seed": 1, "seeds": 200, "features": []})),
        (Sabotage::ShortHold, "early", json!({"seed": 1, "seeds": 60, "faults": ["slow_reader", "stall"], "features": []})),
        (Sabotage::BlindEvidence, "error bar", json!({"seed": 1, "seeds": 60, "features": ["true_ups"]})),
        (Sabotage::EmptyExtension, "bound", json!({"seed": 1, "seeds": 1, "features": ["terms"], "faults": []})),
    ] {
        assert_repeats(&found(sabotage, rule, question));
    }
}

/// Between the answer and the commit there is one point; only a death there shows the defect.
#[test]
fn an_early_answer_is_found_by_dying_at_every_point() {
    let failure = found(Sabotage::EarlyAnswer, "promise", json!({"seed": 1, "seeds": 1, "enumerate": true}));
    assert!(failure.command.contains("--faults none --features none --crash-at ") && !failure.command.contains("--crash-at none"));
    assert!(failure.trace.iter().any(|step| step.contains("the process dies")), "{:#?}", failure.trace);
    assert_eq!(again(&failure).trace, failure.trace);
}

#[test]
fn no_defect_goes_untested() {
    let apart = [
        Sabotage::EarlyAnswer,
        Sabotage::IgnoredSync,
        Sabotage::NoFence,
        Sabotage::UnsyncedAnswer,
        Sabotage::BlindEvidence,
        Sabotage::EmptyExtension,
        Sabotage::ShortHold,
    ];
    for sabotage in Sabotage::ALL {
        let is_tested = PLAIN.iter().any(|row| row.0 == *sabotage) || apart.contains(sabotage);
        assert!(is_tested, "{}", sabotage.name());
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..6 {
        let traced = || play(json!({"seed": seed, "orders": 12, "trace": true})).trace;
        let (one, other) = (traced(), traced());
        assert!(one.len() > 100);
        assert_eq!(one, other, "seed {seed}");
    }
}

/// What is left out takes nothing else with it: the calls that stay do what they did.
#[test]
fn leaving_out_a_feature_leaves_the_rest() {
    let calls = |features: Value| {
        let trace = play(json!({"seed": 5, "orders": 30, "faults": [], "features": features, "crash_at": [], "trace": true})).trace;
        let asks = trace.into_iter().filter(|step| step.contains("client ask"));
        let times: std::collections::BTreeSet<String> =
            asks.map(|step| format!("{} {}", &step[..11], step.rsplit("call ").next().unwrap())).collect();
        times
    };
    let (plain, marked) = (calls(json!([])), calls(json!(["marks", "budgets", "refunds", "terms"])));
    assert!(marked.is_superset(&plain) && marked.len() > plain.len(), "{plain:?}");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    for (question, name) in
        [(json!({"faults": ["crush"]}), "crush"), (json!({"features": ["budget"]}), "budget"), (json!({"sabotage": "none"}), "none")]
    {
        let question = serde_json::from_value(question).unwrap();
        let refused = gotoai::sim::simulate(&question, |_| std::ops::ControlFlow::Continue(())).unwrap_err();
        assert!(refused.message.contains(name), "{}", refused.message);
    }
}
