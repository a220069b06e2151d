//! Owns: the product under simulation: at least 100 000 orders, with crashes at every point, and not one nano-unit leaked.

use gotoai::sim::{Question, Summary, simulate};
use serde_json::{Value, json};
use std::ops::ControlFlow;

pub(super) fn play(question: Value) -> Summary {
    let question: Question = serde_json::from_value(question).unwrap();
    simulate(&question, |_| ControlFlow::Continue(())).unwrap()
}

fn assert_clean(summary: &Summary) {
    let told: Vec<_> = summary.failures.iter().map(|failure| (failure.rule, &failure.what, &failure.command)).collect();
    assert!(told.is_empty(), "{told:#?}\n{}", summary.failures[0].trace.join("\n"));
    assert_eq!(summary.leaked, 0);
}

#[test]
fn every_point_of_death_leaks_nothing() {
    let summary = play(json!({"seed": 1, "seeds": 4, "enumerate": true}));
    assert_clean(&summary);
    println!("{}", serde_json::to_string_pretty(&summary).unwrap());
}

#[test]
fn long_histories_leak_nothing() {
    let summary = play(json!({"seed": 1, "seeds": 60}));
    assert_clean(&summary);
    println!("{}", serde_json::to_string_pretty(&summary).unwrap());
}
