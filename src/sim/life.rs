//! Owns: one process from start to end: it opens the disk, settles what the one before left open, serves, comes to rest; or
//! dies at any point on the way. The request path in it is the real one, on a runtime whose time is virtual.
//! Refuses to know: what must be true at the end (check).

use super::fault::Fault;
use super::mark::Mark;
use super::provider::Upstream;
use super::rule::Rule;
use super::sabotage::Sabotage;
use super::scenario::draw;
use super::store::Store;
use super::tariff::{FEE, TARIFFS};
use super::wallet::{keys, ratio};
use super::world::{Process, Who, World};
use super::{client, operator};
use crate::adapters::stores::memory::MemoryLedger;
use crate::app::{SWEEP_EVERY, sweep};
use crate::base::{Clock, ErrorKind, OrderId, Timestamp};
use crate::domain::catalog::{Catalog, DataPolicy, Endpoint, PriceHistory, ProviderEntry};
use crate::domain::health::{BreakerPolicy, EndpointHealth, RetryPolicy};
use crate::domain::identity::KeyRing;
use crate::domain::ledger::{Command, Ledger};
use crate::domain::provider::{Family, Provider};
use crate::domain::risk::BudgetStore;
use crate::domain::usage::{CallRecord, Recorder};
use crate::pipeline::{InFlight, Pipeline, Snapshot};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// A call may hold its money so long; only a caller who hardly reads takes longer.
pub(super) const HOLD_TIMEOUT: Duration = Duration::from_secs(900);
/// Answers to marked requests are kept beyond every jump of the clock.
const ANSWER_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// When a process that was given up for dead comes back.
const ZOMBIE_AFTER: Duration = Duration::from_secs(1);
/// A life that has not come to rest by then never will.
const LIFE_TIMEOUT: Duration = Duration::from_secs(6 * 3600);
/// Beyond every jump of the clock and every deadline.
const LONG_AFTER_MS: i64 = 4 * 86_400_000;

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Crashed,
    AtRest,
    /// It could not even be started; the reason is among the violations.
    Impossible,
}

/// One life.
pub(super) fn live(world: &Arc<World>) -> End {
    // The only randomness of the path itself: the jitter of its pauses.
    fastrand::seed(draw(world.scenario.seed, "jitter", world.lives().into()).u64(..));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            world.violate(Rule::Simulation, format!("no runtime: {error}"));
            return End::Impossible;
        }
    };
    let end = runtime.block_on(async {
        let process = Process::start(world);
        let end = tokio::select! {
            biased;
            () = world.crashed() => End::Crashed,
            passed = tokio::time::timeout(LIFE_TIMEOUT, serve(process.clone())) => {
                world.expect(Rule::Liveness, passed.is_ok(), || "a life did not come to rest within six hours".to_owned());
                End::AtRest
            }
        };
        process.end();
        end
    });
    if end == End::Crashed && world.scenario.faults.has(Fault::PowerCut) {
        let lost = world.disk.lose_unsynced();
        let mut seen = world.seen();
        if !lost.is_empty() {
            *seen.injected.entry(Fault::PowerCut).or_default() += 1;
        }
        seen.lost.extend(lost);
    }
    end
}

async fn serve(process: Process) {
    let world = &process.world;
    let clock = Clock::of_runtime(world.wall());
    let memory = Arc::new(MemoryLedger::open(&world.disk, &clock));
    let zombie = world.seen().ledger.replace(Arc::clone(&memory));
    keep_budgets(&process, &memory);
    let store = Arc::new(Store { process: process.clone(), memory });
    let mut helpers = JoinSet::new();
    helpers.spawn(Arc::clone(&store).commit_for_ever());
    recover(&store).await;
    helpers.spawn(turn_clock(process.clone(), clock.clone()));
    if let Some(zombie) = zombie.filter(|_| world.scenario.faults.has(Fault::Zombie)) {
        helpers.spawn(come_back(process.clone(), Arc::clone(&store), zombie));
    }
    let ledger: Arc<dyn Ledger> = Arc::clone(&store) as Arc<dyn Ledger>;
    operator::operate(process.clone(), Arc::clone(&ledger), true).await;
    let pipeline = Arc::new(pipeline(&process, &clock, &store));
    helpers.spawn(sweep_for_ever(process.clone(), Arc::clone(&store), pipeline.in_flight.clone(), clock.clone()));
    let mut people = JoinSet::new();
    people.spawn(operator::operate(process.clone(), Arc::clone(&ledger), false));
    let asked = world.seen().told.keys().copied().collect::<BTreeSet<_>>();
    for plan in world.scenario.calls.iter().map(|n| world.scenario.call(*n)) {
        for ask in client::asks(&plan).filter(|ask| !asked.contains(ask)) {
            people.spawn(client::ask(process.clone(), Arc::clone(&pipeline), plan.clone(), ask));
        }
    }
    while let Some(ended) = people.join_next().await {
        world.expect(Rule::Panic, ended.is_ok(), || format!("{ended:?}"));
    }
    let at_rest = pipeline.in_flight.wait(HOLD_TIMEOUT * 2).await;
    world.expect(Rule::Liveness, at_rest, || format!("{} calls never came to rest", pipeline.in_flight.count()));
    rest(&process, &store, &pipeline.in_flight, &clock).await;
    while let Some(ended) = helpers.try_join_next() {
        world.expect(Rule::Panic, ended.is_ok(), || format!("{ended:?}"));
    }
}

/// The budgets of the scenario, kept by the first process.
fn keep_budgets(process: &Process, memory: &MemoryLedger) {
    let scenario = &process.world.scenario;
    let now = process.world.wall();
    if memory.list_budgets(now).is_ok_and(|kept| kept.is_empty()) {
        for plan in scenario.budgets() {
            if let Err(error) = memory.insert_budget(plan.budget(scenario.sabotage), now) {
                process.world.violate(Rule::Simulation, format!("budget {}: {error}", plan.name));
            }
        }
        process.world.disk.sync();
    }
}

/// A process that was given up for dead was only slow: it writes what it had queued.
async fn come_back(process: Process, store: Arc<Store>, zombie: Arc<MemoryLedger>) {
    tokio::time::sleep(ZOMBIE_AFTER).await;
    process.gate("zombie", Who::Ledger).await;
    let batch = zombie.take();
    let mut queued = 0;
    for command in batch.commands() {
        queued += 1;
        if let Command::Reserve(reserve) = command {
            process.world.seen().fenced.insert(reserve.order);
        }
        if process.world.scenario.sabotage == Some(Sabotage::NoFence) {
            drop(store.memory.submit(command.clone()));
        }
    }
    if queued > 0 {
        process.count(Fault::Zombie);
        process.note(Who::Ledger, || format!("a dead process writes {queued} commands"));
        process.world.mark(Mark::ZombieWrites);
        zombie.commit(batch).deliver();
    }
}

/// As the start of the real store: nothing is served before what was left open is settled.
async fn recover(store: &Store) {
    for ticket in store.memory.recover() {
        while !store.process.pass("recover", Who::Ledger) {
            std::future::pending::<()>().await;
        }
        let _ = ticket.wait().await;
    }
    // A full disk refuses recoveries too; the start is then tried again.
    again(&store.process, "recovery", async || {
        let left = store.memory.orders().is_ok_and(|orders| orders.iter().any(|receipt| receipt.order.state.is_open()));
        for ticket in if left { store.memory.recover() } else { Vec::new() } {
            let _ = ticket.wait().await;
        }
        !left
    })
    .await;
}

/// Tries something until it is done; what is not done after so many tries never will be.
async fn again(process: &Process, what: &str, mut step: impl AsyncFnMut() -> bool) {
    const MOST_TRIES: u32 = 1_000;
    for _ in 0..MOST_TRIES {
        if step().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    process.world.violate(Rule::Liveness, format!("{what} never comes to an end"));
}

/// As the gateway does every few seconds.
async fn expire_grants(store: &Store, clock: &Clock) {
    for (wallet, grant) in store.memory.expired_grants(clock.now()) {
        let _ = store.submit(Command::ExpireGrant { wallet, grant }).wait().await;
    }
}

async fn sweep_for_ever(process: Process, store: Arc<Store>, in_flight: InFlight, clock: Clock) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        process.gate("sweep", Who::Sweeper).await;
        expire_grants(&store, &clock).await;
        sweep(&*store, &in_flight, HOLD_TIMEOUT, clock.now()).await;
    }
}

async fn turn_clock(process: Process, clock: Clock) {
    let done = process.world.seen().jumps;
    for (at_ms, jump_ms) in process.world.scenario.jumps().into_iter().skip(done) {
        process.until(at_ms).await;
        process.gate("clock", Who::Operator).await;
        process.count(Fault::Clock);
        process.note(Who::Operator, || format!("the wall clock jumps by {jump_ms} ms"));
        let mut seen = process.world.seen();
        seen.jumps += 1;
        seen.shift_ms += jump_ms;
        clock.shift_ms(jump_ms);
    }
}

/// Everything queued is committed; nothing is open any more, and long after its deadline nothing is swept.
async fn rest(process: &Process, store: &Arc<Store>, in_flight: &InFlight, clock: &Clock) {
    // A settlement that the disk refused stands before this in the queue.
    again(process, "what is queued", async || store.submit(Command::Expire { order: OrderId([0; 16]) }).wait().await.is_ok()).await;
    let open = store.memory.overdue(Timestamp(i64::MAX)).map_or(0, |open| open.len());
    process.world.expect(Rule::Holds, open == 0, || format!("nothing is in flight, and {open} orders still hold money"));
    process.gate("long after", Who::Operator).await;
    process.world.seen().shift_ms += LONG_AFTER_MS;
    clock.shift_ms(LONG_AFTER_MS);
    // The disk may refuse a few times more; then the next sweep does it.
    again(process, "the sweep", async || {
        sweep(&**store, in_flight, HOLD_TIMEOUT, clock.now()).await;
        store.memory.overdue(clock.now()).is_ok_and(|open| open.is_empty())
    })
    .await;
    if process.world.scenario.sabotage != Some(Sabotage::LastingGrant) {
        again(process, "the end of grants", async || {
            expire_grants(store, clock).await;
            store.memory.expired_grants(clock.now()).is_empty()
        })
        .await;
    }
}

/// Tells of what must never be recorded.
struct Watcher(Process);

impl Recorder for Watcher {
    fn record(&self, call: &CallRecord) {
        let wrong = call.error == Some(ErrorKind::Internal) || call.finish == "dropped";
        if self.0.is_alive() {
            self.0.world.expect(Rule::Panic, !wrong, || format!("call {} ended as '{}' ({:?})", call.request_id, call.finish, call.error));
        }
    }
}

fn pipeline(process: &Process, clock: &Clock, store: &Arc<Store>) -> Pipeline {
    let mut entries = Vec::new();
    let mut endpoints = Vec::new();
    for (rank, tariff) in TARIFFS.iter().enumerate() {
        let Some(family) = Family::by_name(tariff.family) else { continue };
        let provider: Arc<dyn Provider> = Arc::new(Upstream { process: process.clone(), tariff, family });
        entries.push(ProviderEntry { name: tariff.provider.into(), family, provider: Arc::clone(&provider), unlisted: None });
        endpoints.push(Arc::new(Endpoint {
            id: format!("{}/{}", tariff.provider, tariff.model).into(),
            provider_name: tariff.provider.into(),
            family,
            model: tariff.model.into(),
            prices: PriceHistory::of(tariff.sheet().iter()),
            context_window: None,
            max_output: Some(tariff.max_output),
            quality: None,
            code_quality: None,
            data_policy: DataPolicy::Standard,
            own_key: tariff.own_key,
            retry: RetryPolicy { head_timeout: Duration::from_secs(20), idle_timeout: Duration::from_secs(10), ..RetryPolicy::default() },
            rank: u32::try_from(rank).unwrap_or(0),
            provider,
            health: EndpointHealth::new(BreakerPolicy::default()),
        }));
    }
    Pipeline {
        clock: clock.clone(),
        snapshot: ArcSwap::from_pointee(Snapshot {
            catalog: Catalog::new(entries, endpoints, HashMap::new()),
            fee: ratio(FEE.0, FEE.1),
            markup: Vec::new(),
            hold_timeout: HOLD_TIMEOUT,
            answer_lifetime: ANSWER_LIFETIME,
            answer_limit_bytes: 1 << 20,
            kill_switch: false,
            open: false,
            guardrails: Vec::new(),
        }),
        keys: ArcSwap::from_pointee(KeyRing::new(&keys(), None)),
        terms: ArcSwap::from_pointee(store.memory.terms()),
        frozen: ArcSwapOption::empty(),
        ledger: Some(Arc::clone(store) as Arc<dyn Ledger>),
        cache: None,
        recorder: Arc::new(Watcher(process.clone())),
        in_flight: InFlight::default(),
    }
}
