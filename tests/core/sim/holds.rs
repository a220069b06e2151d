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

/// What is not met is not tested: each of these has to have come up.
fn assert_met<T: Named>(counts: &BTreeMap<&'static str, u64>, but: &[T]) {
    let missed: Vec<_> =
        T::ALL.iter().filter(|member| !but.contains(member) && counts.get(member.name()) == Some(&0)).map(|member| member.name()).collect();
    assert!(missed.is_empty(), "never met, of each {}: {missed:?}", T::WORD);
}

fn assert_covers(summary: &Summary, states: &[&str], places: &[&str]) {
    for state in states {
        assert!(summary.states.contains_key(state), "no order was {state}: {:?}", summary.states);
    }
    for place in places {
        assert!(summary.places.contains_key(place), "nothing has passed '{place}'");
    }
}

#[test]
fn death_at_every_point_leaks_nothing() {
    let summary = play(json!({"seed": 1, "seeds": 70, "enumerate": true}));
    assert_clean(&summary, 30_000);
    let places = ["submit reserve", "submit dispatch", "submit settle", "commit", "answer", "provider call", "client read", "recover"];
    assert_covers(&summary, &["finalized", "released", "provisional", "unpriced"], &places);
}

fn long_histories(seed: u64) {
    let summary = play(json!({"seed": seed, "seeds": 1000}));
    assert_clean(&summary, 35_000);
    assert_covers(&summary, &["finalized", "released", "provisional", "unpriced"], &["submit renew", "recover"]);
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
