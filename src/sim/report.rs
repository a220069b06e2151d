//! Owns: what may be asked of the simulation and what it answers, over many seeds: what was played, what it came to, and for
//! each failure a small scenario with the command line that plays it again.
//! Refuses to know: who asks (doors) and how it is printed (command line).

use super::named::{Named, Set};
use super::sabotage::Sabotage;
use super::scenario::Scenario;
use super::{Run, run, shrink};
use crate::base::{Error, ErrorKind, Money, Result};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const CALLS_PER_SEED: u32 = 40;
/// When every point of a scenario is died at once, there are many runs a seed.
const CALLS_PER_SEED_ENUMERATED: u32 = 4;
const MOST_CALLS: u32 = 10_000;
/// After so many failures more of them say nothing new.
const MOST_FAILURES: usize = 5;

/// What is asked. Everything but `seed` and `seeds` narrows what the seed itself would say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    #[serde(default)]
    pub seed: u64,
    #[serde(default = "one")]
    pub seeds: u64,
    /// Calls of each seed.
    pub orders: Option<u32>,
    /// Run each seed once without a crash, then once for each point of it, dying there.
    #[serde(default)]
    pub enumerate: bool,
    pub calls: Option<Vec<u32>>,
    pub faults: Option<Vec<String>>,
    pub features: Option<Vec<String>>,
    pub crash_at: Option<Vec<u64>>,
    pub sabotage: Option<String>,
    /// Tell step by step what happened, failure or not; for one scenario.
    #[serde(default)]
    pub trace: bool,
}

const fn one() -> u64 {
    1
}

/// A broken rule, made small.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub seed: u64,
    pub rule: &'static str,
    pub what: String,
    /// Plays it again.
    pub command: String,
    /// Every step of it.
    pub trace: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub seeds: u64,
    pub runs: u64,
    pub lives: u64,
    /// Points at which the process could have died.
    pub points: u64,
    pub calls: u64,
    pub orders: u64,
    /// Orders by the state in which they ended.
    pub states: BTreeMap<&'static str, u64>,
    /// How often each fault has happened, each rule was put to the test, each mark was come upon; 0: never.
    pub faults: BTreeMap<&'static str, u64>,
    pub rules: BTreeMap<&'static str, u64>,
    pub marks: BTreeMap<&'static str, u64>,
    /// Points by where they lie.
    pub places: BTreeMap<&'static str, u64>,
    #[serde(serialize_with = "as_money")]
    pub paid_in: i128,
    #[serde(serialize_with = "as_money")]
    pub granted: i128,
    #[serde(serialize_with = "as_money")]
    pub charged: i128,
    /// Given back of it.
    #[serde(serialize_with = "as_money")]
    pub refunded: i128,
    /// Used, and charged to nobody: beyond the hold, the cash and the credit.
    #[serde(serialize_with = "as_money")]
    pub absorbed: i128,
    #[serde(serialize_with = "as_money")]
    pub billed_by_providers: i128,
    #[serde(serialize_with = "as_money")]
    pub cost_booked: i128,
    /// Billed less booked, by why it is not known; the orders say so themselves.
    #[serde(serialize_with = "as_moneys")]
    pub uncertain: BTreeMap<&'static str, i128>,
    #[serde(serialize_with = "as_money")]
    pub leaked: i128,
    pub failures: Vec<Failure>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
}

fn text(amount_nano: i128) -> String {
    i64::try_from(amount_nano).map_or_else(|_| format!("{amount_nano} nano"), |nano| Money::nano(nano).to_string())
}

fn as_money<S: Serializer>(amount_nano: &i128, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&text(*amount_nano))
}

fn as_moneys<S: Serializer>(amounts: &BTreeMap<&'static str, i128>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(amounts.iter().map(|(name, nano)| (name, text(*nano))))
}

impl Summary {
    fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.lives += u64::from(run.lives);
        self.points += run.points;
        self.calls += run.calls;
        self.orders += run.sums.orders;
        for (state, count) in &run.sums.states {
            *self.states.entry(state).or_default() += count;
        }
        count(&mut self.faults, &run.injected);
        count(&mut self.rules, &run.checked);
        count(&mut self.marks, &run.marks);
        for (place, count) in &run.places {
            *self.places.entry(place).or_default() += count;
        }
        for (why, nano) in &run.sums.uncertain {
            *self.uncertain.entry(why).or_default() += nano;
        }
        self.paid_in += run.sums.paid_nano;
        self.granted += run.sums.granted_nano;
        self.charged += run.sums.charged_nano;
        self.refunded += run.sums.refunded_nano;
        self.absorbed += run.sums.absorbed_nano;
        self.billed_by_providers += run.sums.billed_nano;
        self.cost_booked += run.sums.booked_nano;
        self.leaked += run.sums.leaked_nano;
    }

    /// Plays one scenario. False if it broke a rule, which is then among the failures, shrunk unless it is what was asked for.
    fn play(&mut self, scenario: &Scenario, exact: bool) -> (u64, bool) {
        let run = run(scenario, false);
        self.add(&run);
        let Some(violation) = run.violations.first() else { return (run.points, true) };
        let small = if exact { scenario.clone() } else { shrink::shrink(scenario, violation) };
        let told = super::run(&small, true);
        let shown = told.violations.iter().find(|found| found.rule == violation.rule).unwrap_or(violation);
        self.failures.push(Failure {
            seed: scenario.seed,
            rule: shown.rule.name(),
            what: shown.what.clone(),
            command: small.to_string(),
            trace: told.trace,
        });
        (run.points, false)
    }

    fn enumerate(&mut self, scenario: &Scenario, on_run: &mut impl FnMut(&Self) -> ControlFlow<()>) -> ControlFlow<()> {
        let (points, mut fine) = self.play(&Scenario { crash_at: Vec::new(), ..scenario.clone() }, false);
        for point in 0..points {
            if !fine {
                break;
            }
            on_run(self)?;
            fine = self.play(&Scenario { crash_at: vec![point], ..scenario.clone() }, false).1;
        }
        ControlFlow::Continue(())
    }
}

/// Adds counts, those of nothing too: what was not met is part of the answer.
fn count<T: Named + Ord>(sums: &mut BTreeMap<&'static str, u64>, counts: &BTreeMap<T, u64>) {
    for member in T::ALL {
        *sums.entry(member.name()).or_default() += counts.get(member).copied().unwrap_or(0);
    }
}

fn set<T: Named>(names: &[String]) -> Result<Set<T>> {
    names.iter().map(|name| T::by_name(name)).collect()
}

impl Question {
    /// A failure's own command line: it is played as it is.
    const fn is_exact(&self) -> bool {
        self.calls.is_some() && self.faults.is_some() && self.features.is_some() && self.crash_at.is_some()
    }

    /// The scenario of one seed, with what is asked in place of what the seed says.
    fn scenario(&self, seed: u64) -> Result<Scenario> {
        let calls = self.orders.unwrap_or(if self.enumerate { CALLS_PER_SEED_ENUMERATED } else { CALLS_PER_SEED });
        if calls > MOST_CALLS {
            return Err(Error::new(ErrorKind::InvalidRequest, format!("at most {MOST_CALLS} orders a seed; ask for more seeds")));
        }
        let mut scenario = Scenario::of_seed(seed, calls);
        if let Some(calls) = &self.calls {
            scenario.calls.clone_from(calls);
            scenario.calls.sort_unstable();
            scenario.calls.dedup();
        }
        if let Some(names) = &self.faults {
            scenario.faults = set(names)?;
        }
        if let Some(names) = &self.features {
            scenario.features = set(names)?;
        }
        if let Some(points) = &self.crash_at {
            scenario.crash_at.clone_from(points);
        }
        if let Some(name) = &self.sabotage {
            scenario.sabotage = Some(Sabotage::by_name(name)?);
        }
        Ok(scenario)
    }
}

/// Plays what is asked, seed by seed; `on_run` hears of each run and may end it.
pub fn simulate(question: &Question, mut on_run: impl FnMut(&Summary) -> ControlFlow<()>) -> Result<Summary> {
    let mut summary = Summary::default();
    for seed in (question.seed..=u64::MAX).take(usize::try_from(question.seeds).unwrap_or(usize::MAX)) {
        let scenario = question.scenario(seed)?;
        if question.enumerate {
            if summary.enumerate(&scenario, &mut on_run).is_break() {
                break;
            }
        } else {
            summary.play(&scenario, question.is_exact());
        }
        summary.seeds += 1;
        if question.trace {
            summary.trace = run(&scenario, true).trace;
        }
        if on_run(&summary).is_break() || summary.failures.len() >= MOST_FAILURES {
            break;
        }
    }
    Ok(summary)
}
