//! Owns: the product under simulation: together more than 100 000 orders, with deaths at every point and by chance, and not
//! one nano-unit leaked. `make simulate` runs the same for longer.

use gotoai::sim::{Fault, Mark, Named, Question, Rule, Summary, simulate};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

pub(super) fn play(question: Value) -> Summary {
    let question: Question = serde_json::from_value(question).unwrap();
    simulate(&question, |_| ControlFlow::Continue(())).unwrap()
}

/// No rule is broken, and at least so many orders have shown it.
fn assert_clean(summary: &Summary, orders: u64) {
    let told: Vec<_> = summary.failures.iter().map(|failure| (failure.rule, &failure.what, &failure.command)).collect();
    assert!(told.is_empty(), "{told:#?}\n{}", summary.failures[0].trace.join("\n"));
    assert_eq!(summary.leaked, 0);
    assert!(summary.orders >= orders, "only {} orders", summary.orders);
}

/// What is not met is not tested: all of them have to have come up, and be counted.
fn assert_met<T: Named>(counts: &BTreeMap<&'static str, u64>, but: &[T]) {
    let missed = |member: &&T| !but.contains(member) && counts.get(member.name()).copied().unwrap_or(0) == 0;
    let missed: Vec<_> = T::ALL.iter().filter(missed).map(|member| member.name()).collect();
    assert!(missed.is_empty(), "never met, of each {}: {missed:?}", T::WORD);
}

fn assert_named(counts: &BTreeMap<&'static str, u64>, names: &[&str]) {
    for name in names {
        assert!(counts.contains_key(name), "never '{name}': {counts:?}");
    }
}

/// Whether the simulation itself could run is asked only where it could not.
const NEVER_ASKED: &[Rule] = &[Rule::Simulation];

#[test]
fn death_at_every_point_leaks_nothing() {
    let summary = play(json!({"seed": 1, "seeds": 36, "enumerate": true}));
    assert_clean(&summary, 18_000);
    assert_met::<Fault>(&summary.faults, &[]);
    assert_met(&summary.rules, NEVER_ASKED);
    assert_named(&summary.states, &["finalized", "released", "provisional", "unpriced"]);
    assert_named(&summary.places, &["submit reserve", "submit dispatch", "submit settle", "submit extend", "commit", "sync", "answer"]);
    assert_named(&summary.places, &["provider call", "client read", "recover", "restart", "zombie"]);
}

/// Two halves, for machines with more than one core; each meets everything.
fn long_histories(seed: u64) {
    let summary = play(json!({"seed": seed, "seeds": 1500}));
    assert_clean(&summary, 41_500);
    assert_met::<Fault>(&summary.faults, &[]);
    assert_met(&summary.rules, NEVER_ASKED);
    assert_met::<Mark>(&summary.marks, &[]);
    assert_named(&summary.states, &["finalized", "released", "provisional", "unpriced"]);
    assert_named(&summary.places, &["submit renew", "submit expire grant", "recover"]);
    // The clock has jumped by a day and more; who lives keeps its holds all the same.
    for early in ["expired", "late_settled"] {
        assert!(!summary.states.contains_key(early), "a hold was taken from a living call: {:?}", summary.states);
    }
}

#[test]
fn long_histories_leak_nothing() {
    long_histories(1_000_000);
}

#[test]
fn other_long_histories_leak_nothing() {
    long_histories(2_000_000);
}
