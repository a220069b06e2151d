//! The simulation: the real request path over the ledger in memory, on one thread and on a virtual clock, with providers,
//! callers and a disk that do what a seed says, and a process that dies where the seed says. The same seed is the same run.
//!
//! Read in this order: `scenario`, `plan`, `wallet` and `budget` (what a seed stands for), `world` (what outlives the process),
//! `client`, `operator`, `provider` (who is outside), `life` and `store` (one process), `check` (what must be true at the end),
//! `shrink` (from a failure to a small one), `report` (the question and the answer). `fault`, `feature`, `rule`, `mark` and
//! `sabotage` are closed lists.
//!
//! A process can only die between two things that somebody outside could notice: a command handed to the store, a commit, an
//! answer, a request to a provider, a piece of a reply, a read, a timer. Between two of these it changes nothing but its own
//! memory, which dies with it; so to enumerate these points is to enumerate every await point.

mod budget;
mod check;
mod client;
mod defect;
mod fault;
mod feature;
mod life;
mod mark;
mod named;
mod operator;
mod plan;
mod provider;
mod report;
mod rule;
mod sabotage;
mod scenario;
mod shrink;
mod store;
mod tariff;
mod wallet;
mod world;

pub use fault::{Fault, Faults};
pub use feature::{Feature, Features};
pub use mark::Mark;
pub use named::{Named, Set};
pub use report::{Failure, Question, Summary, simulate};
pub use rule::Rule;
pub use sabotage::Sabotage;
pub use scenario::Scenario;
pub use world::Violation;

use check::Sums;
use life::End;
use std::collections::BTreeMap;
use world::World;

/// More lives than this and the scenario itself is wrong.
const MOST_LIVES: u32 = 64;

/// One run, from the first start to the last order's end.
pub(crate) struct Run {
    sums: Sums,
    violations: Vec<Violation>,
    points: u64,
    lives: u32,
    calls: u64,
    places: BTreeMap<&'static str, u64>,
    injected: BTreeMap<Fault, u64>,
    checked: BTreeMap<Rule, u64>,
    marks: BTreeMap<Mark, u64>,
    trace: Vec<String>,
}

/// Plays a scenario, and looks at what it has left behind.
fn run(scenario: &Scenario, traced: bool) -> Run {
    let world = World::new(scenario.clone(), traced);
    // The path warns of every fault that it meets; here they are its daily bread.
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
        while life::live(&world) == End::Crashed {
            if world.lives() > MOST_LIVES {
                world.violate(Rule::Liveness, format!("it has died {MOST_LIVES} times"));
                break;
            }
        }
    });
    let sums = check::audit(&world);
    let mut seen = world.seen();
    let violations = std::mem::take(&mut seen.violations);
    Run {
        sums,
        violations,
        points: seen.points(),
        lives: seen.lives(),
        calls: seen.told.len() as u64,
        places: std::mem::take(&mut seen.places),
        injected: std::mem::take(&mut seen.injected),
        checked: std::mem::take(&mut seen.checked),
        marks: std::mem::take(&mut seen.marks),
        trace: seen.trace.take().unwrap_or_default(),
    }
}
