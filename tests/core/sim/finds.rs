//! Owns: the proof that the simulation can fail: each defect put into the ledger on purpose is found, made small, and found
//! again by the command line that the failure names.

use super::holds::play;
use gotoai::sim::{Failure, Named, Sabotage};
use serde_json::json;

fn found(sabotage: Sabotage, enumerate: bool) -> Failure {
    let mut summary = play(json!({"seed": 1, "seeds": 8, "sabotage": sabotage.name(), "enumerate": enumerate}));
    assert!(!summary.failures.is_empty(), "{}", sabotage.name());
    summary.failures.remove(0)
}

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
        "crash_at": numbers("--crash-at"), "sabotage": option("--sabotage"),
    }));
    summary.failures.remove(0)
}

#[test]
fn every_defect_is_found_and_made_small() {
    for (sabotage, rule) in [(Sabotage::LostSettlement, "holds"), (Sabotage::KeptHold, "verify"), (Sabotage::DoubleCharge, "once")] {
        let failure = found(sabotage, false);
        assert_eq!(failure.rule, rule, "{}: {}", sabotage.name(), failure.what);
        assert!(failure.command.contains("--faults none --crash-at none"), "{}", failure.command);
        assert_eq!(failure.command.matches(',').count(), 0, "one call is enough: {}", failure.command);
        let repeated = again(&failure);
        assert_eq!((repeated.rule, unnamed(&repeated.what), &repeated.trace), (failure.rule, unnamed(&failure.what), &failure.trace));
    }
}

/// Between the answer and the commit there is one point; only a death there shows the defect.
#[test]
fn an_early_answer_is_found_by_dying_at_every_point() {
    let failure = found(Sabotage::EarlyAnswer, true);
    assert_eq!(failure.rule, "promise", "{}", failure.what);
    assert!(failure.command.contains("--faults none --crash-at ") && !failure.command.ends_with("none"), "{}", failure.command);
    assert!(failure.trace.iter().any(|step| step.contains("the process dies")), "{:#?}", failure.trace);
    assert_eq!(again(&failure).trace, failure.trace);
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

#[test]
fn what_is_not_known_is_refused_by_name() {
    for (question, name) in [(json!({"faults": ["crush"]}), "crush"), (json!({"sabotage": "none"}), "none")] {
        let question = serde_json::from_value(question).unwrap();
        let refused = gotoai::sim::simulate(&question, |_| std::ops::ControlFlow::Continue(())).unwrap_err();
        assert!(refused.message.contains(name), "{}", refused.message);
    }
}
