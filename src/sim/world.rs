//! Owns: what stands around the process and outlives it: the disk, what providers did and will bill, what callers and the
//! operator have been told, how much time has passed; and the points at which the process may die.
//! Refuses to know: how a process is built (life) and what must be true at the end (check).

use super::fault::Fault;
use super::mark::Mark;
use super::plan::Ask;
use super::rule::Rule;
use super::scenario::Scenario;
use super::tariff::Tokens;
use crate::adapters::stores::memory::{Disk, MemoryLedger};
use crate::base::{Money, OrderId, Result, Timestamp};
use crate::domain::ledger::{Action, Reply, Ticket};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// When the simulation begins: 21 November 2026.
pub(super) const START: Timestamp = Timestamp(1_795_219_200_000);

/// On whose way a point lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Call(Ask),
    Operator,
    Ledger,
    Sweeper,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(n) => write!(f, "call {n}"),
            Self::Operator => f.write_str("operator"),
            Self::Ledger => f.write_str("ledger"),
            Self::Sweeper => f.write_str("sweeper"),
        }
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
}

/// One exchange as its provider keeps it: the second witness.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) ask: Ask,
    pub(super) provider: &'static str,
    /// It used no more output than it was told to.
    pub(super) kept_bound: bool,
    /// What the invoice will say; `None`: nothing.
    pub(super) billed: Option<Tokens>,
    /// The usage that went out, and whether its parts fit.
    pub(super) reported: Option<(Tokens, bool)>,
}

/// What a caller has seen of its call.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) status: Option<u16>,
    pub(super) order: Option<OrderId>,
    pub(super) charge: Option<Money>,
    /// The reply came to its end.
    pub(super) ended: bool,
    /// It says that it was given before.
    pub(super) replayed: bool,
    /// Of an error in the gateway's own words.
    pub(super) code: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) life: u32,
    /// Since the simulation began.
    pub(super) asked_at: Duration,
    pub(super) ended_at: Duration,
}

/// How something ended that the operator had to get done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Booked,
    /// The ledger says no, or there is nothing to be done any more.
    Dropped(&'static str),
}

/// What everybody outside has seen so far.
#[derive(Default)]
pub(super) struct Seen {
    life: u32,
    alive: bool,
    points: u64,
    elapsed: Duration,
    pub(super) shift_ms: i64,
    /// Jumps of the clock that have happened.
    pub(super) jumps: usize,
    pub(super) commits: u64,
    pub(super) places: BTreeMap<&'static str, u64>,
    pub(super) injected: BTreeMap<Fault, u64>,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) told: BTreeMap<Ask, Told>,
    /// Which request an order is for.
    pub(super) asks: BTreeMap<OrderId, Ask>,
    /// What the operator has got done.
    pub(super) done: BTreeMap<u32, Done>,
    /// What the operator wrote down to ask for, where that depends on what it saw.
    pub(super) decided: BTreeMap<u32, Action>,
    /// Deliveries of reports that were confirmed: task and number.
    pub(super) delivered: BTreeSet<(u32, u32)>,
    /// Orders that a power cut took with it, or threw back to what they were at the last sync.
    pub(super) lost: BTreeSet<OrderId>,
    /// Orders that a process had queued when it was given up for dead.
    pub(super) fenced: BTreeSet<OrderId>,
    /// The ledger of the last process.
    pub(super) ledger: Option<Arc<MemoryLedger>>,
    /// How often each rule was put to the test, and what was come upon.
    pub(super) checked: BTreeMap<Rule, u64>,
    pub(super) marks: BTreeMap<Mark, u64>,
    /// Settlements that were answered with an error: nobody was promised anything.
    pub(super) unpromised: BTreeSet<OrderId>,
    pub(super) violations: Vec<Violation>,
    pub(super) trace: Option<Vec<String>>,
    /// Ends of tickets that nobody will ever answer.
    buried: Vec<oneshot::Sender<Result<Reply>>>,
}

impl Seen {
    pub(super) fn points(&self) -> u64 {
        self.points
    }

    pub(super) fn lives(&self) -> u32 {
        self.life
    }
}

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) disk: Disk,
    seen: Mutex<Seen>,
    crash: Notify,
}

impl World {
    pub(super) fn new(scenario: Scenario, traced: bool) -> Arc<Self> {
        let seen = Seen { trace: traced.then(Vec::new), ..Seen::default() };
        Arc::new(Self { scenario, disk: Disk::default(), seen: Mutex::new(seen), crash: Notify::new() })
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }

    pub(super) fn lives(&self) -> u32 {
        self.seen().lives()
    }

    /// The wall clock at this moment, before the next process begins.
    pub(super) fn wall(&self) -> Timestamp {
        let seen = self.seen();
        Timestamp(START.0.saturating_add(seen.shift_ms)).plus(seen.elapsed)
    }

    pub(super) fn violate(&self, rule: Rule, what: String) {
        self.seen().violations.push(Violation { rule, what });
    }

    /// Puts a rule to the test.
    pub(super) fn expect(&self, rule: Rule, holds: bool, what: impl FnOnce() -> String) {
        *self.seen().checked.entry(rule).or_default() += 1;
        if !holds {
            self.violate(rule, what());
        }
    }

    pub(super) fn mark(&self, mark: Mark) {
        *self.seen().marks.entry(mark).or_default() += 1;
    }

    /// Returns when the process has died.
    pub(super) async fn crashed(&self) {
        self.crash.notified().await;
    }
}

/// One process's tie to the world. Once it is cut nothing that the process does is seen by anybody.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) world: Arc<World>,
    life: u32,
    born: Instant,
}

impl Process {
    pub(super) fn start(world: &Arc<World>) -> Self {
        let mut seen = world.seen();
        seen.life += 1;
        seen.alive = true;
        Self { world: Arc::clone(world), life: seen.life, born: Instant::now() }
    }

    /// The end of a process, by death or not.
    pub(super) fn end(&self) {
        let mut seen = self.world.seen();
        seen.alive = false;
        seen.elapsed += self.born.elapsed();
        seen.buried.clear();
    }

    pub(super) fn is_alive(&self) -> bool {
        let seen = self.world.seen();
        seen.alive && seen.life == self.life
    }

    pub(super) fn life(&self) -> u32 {
        self.life
    }

    /// The operator ends it and starts another.
    pub(super) fn kill(&self) {
        let mut seen = self.world.seen();
        if seen.alive && seen.life == self.life {
            seen.alive = false;
            self.world.crash.notify_one();
        }
    }

    /// Since the simulation began.
    pub(super) fn elapsed(&self) -> Duration {
        self.world.seen().elapsed + self.born.elapsed()
    }

    /// Waits until so much time has passed since the simulation began.
    pub(super) async fn until(&self, at_ms: u64) {
        tokio::time::sleep(Duration::from_millis(at_ms).saturating_sub(self.elapsed())).await;
    }

    /// Everything that crosses the border of the process passes here. False: it is dead, nothing crosses.
    pub(super) fn pass(&self, place: &'static str, who: Who) -> bool {
        let now = self.born.elapsed();
        let mut seen = self.world.seen();
        if !seen.alive || seen.life != self.life {
            return false;
        }
        let point = seen.points;
        seen.points += 1;
        *seen.places.entry(place).or_default() += 1;
        let dies = self.world.scenario.crash_at.contains(&point);
        let (now, life) = (seen.elapsed + now, self.life);
        if let Some(trace) = &mut seen.trace {
            let end = if dies { "  <- the process dies before this" } else { "" };
            trace.push(format!("{:>9.3} s  life {life}  #{point:<5} {place:<18} {who}{end}", now.as_secs_f64()));
        }
        if dies {
            seen.alive = false;
            *seen.injected.entry(Fault::Crash).or_default() += 1;
            self.world.crash.notify_one();
        }
        !dies
    }

    /// As `pass`, for what can wait: a dead process waits for ever.
    pub(super) fn gate(&self, place: &'static str, who: Who) -> impl Future<Output = ()> + Send + use<> {
        let passes = self.pass(place, who);
        std::future::poll_fn(move |_| if passes { std::task::Poll::Ready(()) } else { std::task::Poll::Pending })
    }

    /// A ticket of a dead process.
    pub(super) fn never(&self) -> Ticket {
        let (sender, ticket) = Ticket::new();
        self.world.seen().buried.push(sender);
        ticket
    }

    /// More for the trace.
    pub(super) fn note(&self, who: Who, what: impl FnOnce() -> String) {
        let mut seen = self.world.seen();
        if seen.alive
            && let Some(trace) = &mut seen.trace
        {
            trace.push(format!("{:>24}       {who}: {}", "", what()));
        }
    }

    pub(super) fn count(&self, fault: Fault) {
        *self.world.seen().injected.entry(fault).or_default() += 1;
    }
}
