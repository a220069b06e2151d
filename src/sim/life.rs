//! Owns: one process from start to end: it opens the disk, settles what the one before left open, serves, comes to rest; or
//! dies at any point on the way. The request path in it is the real one, on a runtime whose time is virtual.
//! Refuses to know: what must be true at the end (check).

use super::client;
use super::provider::{MAX_OUTPUT, Upstream};
use super::scenario::{Fault, WALLETS, draw, model_of};
use super::store::Store;
use super::tariff::{FEE, TARIFFS};
use super::world::{Process, Who, World};
use crate::adapters::stores::memory::MemoryLedger;
use crate::app::{SWEEP_EVERY, sweep};
use crate::base::{Clock, ErrorKind, KeyId, OrderId, Ratio, Timestamp};
use crate::domain::catalog::{Catalog, DataPolicy, Endpoint, PriceHistory, ProviderEntry};
use crate::domain::health::{BreakerPolicy, EndpointHealth, RetryPolicy};
use crate::domain::identity::{KeyRing, Scope, UserPath, VirtualKey};
use crate::domain::ledger::{Command, Ledger};
use crate::domain::provider::{Family, Provider};
use crate::domain::usage::{CallRecord, Recorder};
use crate::pipeline::{InFlight, Pipeline, Snapshot};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// A call may hold its money so long; no call of a scenario takes that long.
const HOLD_TIMEOUT: Duration = Duration::from_secs(900);
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
            world.violate("simulation", format!("no runtime: {error}"));
            return End::Impossible;
        }
    };
    runtime.block_on(async {
        let process = Process::start(world);
        let end = tokio::select! {
            biased;
            () = world.crashed() => End::Crashed,
            passed = tokio::time::timeout(LIFE_TIMEOUT, serve(process.clone())) => {
                if passed.is_err() {
                    world.violate("liveness", "a life did not come to rest within six hours".to_owned());
                }
                End::AtRest
            }
        };
        process.end();
        end
    })
}

async fn serve(process: Process) {
    let world = &process.world;
    let clock = Clock::of_runtime(world.wall());
    let memory = Arc::new(MemoryLedger::open(&world.disk, &clock));
    let store = Arc::new(Store { process: process.clone(), memory });
    let mut helpers = JoinSet::new();
    helpers.spawn(Arc::clone(&store).commit_for_ever());
    recover(&store).await;
    helpers.spawn(turn_clock(process.clone(), clock.clone()));
    let ledger: Arc<dyn Ledger> = Arc::clone(&store) as Arc<dyn Ledger>;
    client::operate(process.clone(), Arc::clone(&ledger), true).await;
    let pipeline = Arc::new(pipeline(&process, &clock, &ledger));
    helpers.spawn(sweep_for_ever(process.clone(), Arc::clone(&store), pipeline.in_flight.clone(), clock.clone()));
    let mut people = JoinSet::new();
    people.spawn(client::operate(process.clone(), Arc::clone(&ledger), false));
    let asked = world.seen().told.keys().copied().collect::<Vec<_>>();
    for n in world.scenario.calls.iter().filter(|n| !asked.contains(n)) {
        people.spawn(client::call(process.clone(), Arc::clone(&pipeline), world.scenario.call(*n)));
    }
    while let Some(ended) = people.join_next().await {
        if let Err(panic) = ended {
            world.violate("panic", panic.to_string());
        }
    }
    if !pipeline.in_flight.wait(HOLD_TIMEOUT * 2).await {
        world.violate("liveness", format!("{} calls never came to rest", pipeline.in_flight.count()));
    }
    rest(&process, &store, &pipeline.in_flight, &clock).await;
    while let Some(Err(error)) = helpers.try_join_next() {
        world.violate("panic", error.to_string());
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
    while store.memory.orders().is_ok_and(|orders| orders.iter().any(|receipt| receipt.order.state.is_open())) {
        for ticket in store.memory.recover() {
            let _ = ticket.wait().await;
        }
    }
}

async fn sweep_for_ever(process: Process, store: Arc<Store>, in_flight: InFlight, clock: Clock) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        process.gate("sweep", Who::Sweeper).await;
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
    while store.submit(Command::Expire { order: OrderId([0; 16]) }).wait().await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let open = store.memory.overdue(Timestamp(i64::MAX)).map_or(0, |open| open.len());
    if open > 0 {
        process.world.violate("holds", format!("nothing is in flight, and {open} orders still hold money"));
    }
    process.gate("long after", Who::Operator).await;
    process.world.seen().shift_ms += LONG_AFTER_MS;
    clock.shift_ms(LONG_AFTER_MS);
    // The disk may refuse a few times more; then the next sweep does it.
    while store.memory.overdue(clock.now()).is_ok_and(|open| !open.is_empty()) {
        sweep(&**store, in_flight, HOLD_TIMEOUT, clock.now()).await;
    }
}

/// Tells of what must never be recorded.
struct Watcher(Process);

impl Recorder for Watcher {
    fn record(&self, call: &CallRecord) {
        let wrong = call.error == Some(ErrorKind::Internal) || call.finish == "dropped";
        if wrong && self.0.is_alive() {
            self.0.world.violate("panic", format!("call {} ended as '{}' ({:?})", call.request_id, call.finish, call.error));
        }
    }
}

fn pipeline(process: &Process, clock: &Clock, ledger: &Arc<dyn Ledger>) -> Pipeline {
    let scenario = &process.world.scenario;
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
            max_output: Some(MAX_OUTPUT),
            quality: None,
            code_quality: None,
            data_policy: DataPolicy::Standard,
            own_key: false,
            retry: RetryPolicy { head_timeout: Duration::from_secs(20), idle_timeout: Duration::from_secs(10), ..RetryPolicy::default() },
            rank: u32::try_from(rank).unwrap_or(0),
            provider,
            health: EndpointHealth::new(BreakerPolicy::default()),
        }));
    }
    let aliases = scenario.calls.iter().map(|n| (model_of(*n), scenario.call(*n).ask.selector().to_owned())).collect();
    let (num, den) = (u32::try_from(FEE.0).unwrap_or(0), u32::try_from(FEE.1).unwrap_or(1));
    Pipeline {
        clock: clock.clone(),
        snapshot: ArcSwap::from_pointee(Snapshot {
            catalog: Catalog::new(entries, endpoints, aliases),
            fee: Ratio { num, den },
            markup: Vec::new(),
            hold_timeout: HOLD_TIMEOUT,
            answer_lifetime: Duration::from_secs(86_400),
            answer_limit_bytes: 1 << 20,
            kill_switch: false,
            open: false,
            guardrails: Vec::new(),
        }),
        keys: ArcSwap::from_pointee(KeyRing::new(&keys(), None)),
        terms: ArcSwap::default(),
        frozen: ArcSwapOption::empty(),
        ledger: Some(Arc::clone(ledger)),
        cache: None,
        recorder: Arc::new(Watcher(process.clone())),
        in_flight: InFlight::default(),
    }
}

/// A key for each wallet.
fn keys() -> Vec<VirtualKey> {
    let key = |(n, wallet): (usize, &super::scenario::WalletPlan)| VirtualKey {
        id: KeyId::new(),
        name: wallet.name.to_owned(),
        digest: VirtualKey::digest_of(&client::secret_of(n)),
        hint: String::new(),
        scopes: [Scope::Chat].into_iter().collect(),
        models: Vec::new(),
        user_path: UserPath::root(),
        wallet: wallet.name.to_owned(),
        mode: None,
        builder: None,
        created_at: Timestamp(0),
        expires_at: None,
        revoked_at: None,
    };
    WALLETS.iter().enumerate().map(key).collect()
}
