//! Owns: what runs beside the requests: model lists, the hold sweeper, anchors, reconciliation, alerts, changes made by other
//! processes. All are joined at close.

use super::gateway::Gateway;
use super::settings::ModelsMode;
use super::supply::Instance;
use super::{alerts, reconcile};
use crate::base::{OrderId, Result, Timestamp};
use crate::domain::ledger::{Command, Ledger, LedgerReader};
use crate::pipeline::InFlight;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Messages to people are looked for this often.
const DELIVER_EVERY: Duration = Duration::from_secs(1);
/// How often the reconciliation is watched.
const WATCH_SILENCE_EVERY: Duration = Duration::from_secs(5);
/// Open holds past their deadline are looked for this often.
pub const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// A key revoked by another process stops working within this time; within this process at once.
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// While a provider has given no list yet, it is asked this often.
const RETRY_LIST_EVERY: Duration = Duration::from_secs(15);

pub(super) fn start(gateway: &Arc<Gateway>, runtime: &Handle, stop: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let seen = gateway.database.control_version().unwrap_or(-1);
    let mut tasks = vec![
        runtime.spawn(every(WATCH_EVERY, Arc::downgrade(gateway), stop.clone(), watch(seen))),
        runtime.spawn(every(SWEEP_EVERY, Arc::downgrade(gateway), stop.clone(), |gateway| {
            Box::pin(async move {
                let now = gateway.clock.now();
                sweep(&*gateway.ledger, &gateway.pipeline.in_flight, gateway.settings.ledger.hold_timeout, now).await;
                expire_grants(&gateway, now).await;
                forget_answers(&gateway, now).await;
            })
        })),
    ];
    tasks.push(runtime.spawn(every(DELIVER_EVERY, Arc::downgrade(gateway), stop.clone(), |gateway| Box::pin(alerts::deliver(gateway)))));
    if let Some(span) = gateway.settings.ledger.reconcile_every.filter(|_| gateway.settings.ledger.on) {
        tasks.push(runtime.spawn(every(span, Arc::downgrade(gateway), stop.clone(), |gateway| Box::pin(reconcile::turn(gateway)))));
        let watch = every(WATCH_SILENCE_EVERY, Arc::downgrade(gateway), stop.clone(), |gateway| Box::pin(reconcile::watch(gateway)));
        tasks.push(runtime.spawn(watch));
    }
    if let Some(span) = gateway.settings.ledger.anchor_every.filter(|_| gateway.settings.ledger.on) {
        tasks.push(runtime.spawn(every(span, Arc::downgrade(gateway), stop.clone(), |gateway| Box::pin(anchor(gateway)))));
    }
    for instance in &gateway.supply.instances {
        if instance.settings.models_mode == ModelsMode::Fallback {
            tasks.push(runtime.spawn(list_models(Arc::clone(instance), Arc::downgrade(gateway), stop.clone())));
        }
    }
    tasks
}

type Step = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `step` again and again until the gateway stops or is gone.
async fn every(span: Duration, gateway: Weak<Gateway>, mut stop: watch::Receiver<bool>, mut step: impl FnMut(Arc<Gateway>) -> Step) {
    let mut ticks = interval(span);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            _ = ticks.tick() => {
                let Some(gateway) = gateway.upgrade() else { return };
                step(gateway).await;
            }
        }
    }
}

/// Notices changes of keys and prices that other processes (the command line) made; `seen` is the version known.
fn watch(seen: i64) -> impl FnMut(Arc<Gateway>) -> Step {
    let seen = Arc::new(AtomicI64::new(seen));
    move |gateway| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            // One row by its key from the page cache: cheaper than handing it to another thread.
            let Ok(version) = gateway.database.control_version() else { return };
            if seen.swap(version, Ordering::Relaxed) == version {
                return;
            }
            let reloaded = gateway.reload_keys().and_then(|()| gateway.reload_terms()).and_then(|()| gateway.reload_book());
            if let Err(error) = reloaded.and_then(|()| gateway.reload_frozen()) {
                tracing::error!(%error, "a change cannot be read; what was known before stays in force");
                seen.store(-1, Ordering::Relaxed);
            }
        })
    }
}

/// Marks of requests whose time is over, with their answers; a part at a time, so that calls are booked in between.
async fn forget_answers(gateway: &Gateway, now: Timestamp) {
    loop {
        let database = gateway.database.clone();
        match tokio::task::spawn_blocking(move || database.forget_answers(now)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return,
            Ok(Err(error)) => return tracing::error!(%error, "old answers could not be forgotten"),
            Err(panic) => return tracing::error!(%panic, "old answers could not be forgotten"),
        }
    }
}

/// Takes back what is left of grants whose day has come.
async fn expire_grants(gateway: &Gateway, now: Timestamp) {
    let ledger = Arc::clone(&gateway.ledger);
    let expired = match tokio::task::spawn_blocking(move || ledger.expired_grants(now)).await {
        Ok(Ok(expired)) => expired,
        Ok(Err(error)) => return tracing::error!(%error, "expired grants cannot be read"),
        Err(panic) => return tracing::error!(%panic, "expired grants cannot be read"),
    };
    // All at once: they share commits.
    let submitted: Vec<_> = expired
        .into_iter()
        .map(|(wallet, grant)| (Arc::clone(&wallet), gateway.ledger.submit(Command::ExpireGrant { wallet, grant })))
        .collect();
    for (wallet, ticket) in submitted {
        if let Err(error) = ticket.wait().await {
            tracing::error!(%wallet, %error, "an expired grant could not be taken back yet");
        }
    }
}

/// Looks after the holds past their deadline: a call under way keeps its hold for another span, what nobody works on goes
/// back; and what a process that died has left open is settled as after a crash.
pub async fn sweep(ledger: &dyn Ledger, in_flight: &InFlight, hold_timeout: Duration, now: Timestamp) {
    let found = |found: Result<Vec<OrderId>>| {
        found.unwrap_or_else(|error| {
            tracing::error!(%error, "open holds cannot be read");
            Vec::new()
        })
    };
    let (overdue, orphans) = (found(ledger.overdue(now)), found(ledger.orphans(now)));
    let mut commands = Vec::with_capacity(overdue.len() + orphans.len());
    for order in overdue {
        if in_flight.needs(order) {
            commands.push((order, Command::Renew { order, until: now.plus(hold_timeout) }));
        } else {
            tracing::warn!(%order, "the hold's deadline has passed and no call uses it; it goes back");
            commands.push((order, Command::Expire { order }));
        }
    }
    for order in orphans {
        tracing::warn!(%order, "the process that made this order is dead, or has long given no sign of life; its hold goes back");
        commands.push((order, Command::Recover { order }));
    }
    let submitted: Vec<_> = commands.into_iter().map(|(order, command)| (order, ledger.submit(command))).collect();
    for (order, ticket) in submitted {
        if let Err(error) = ticket.wait().await {
            tracing::error!(%order, %error, "the hold could not be looked after yet");
        }
    }
}

/// Signs the head of the ledger's chain if it moved.
pub(super) async fn anchor(gateway: Arc<Gateway>) {
    let done = tokio::task::spawn_blocking(move || gateway.anchor_if_moved()).await;
    if let Ok(Err(error)) = done {
        tracing::error!(%error, "the ledger's head could not be anchored");
    }
}

/// Fetches a provider's model list now and then. A provider that is down keeps the list it gave last.
async fn list_models(instance: Arc<Instance>, gateway: Weak<Gateway>, mut stop: watch::Receiver<bool>) {
    loop {
        let fetched = tokio::select! {
            _ = stop.changed() => return,
            fetched = instance.provider.list_models() => fetched,
        };
        let Some(gateway) = gateway.upgrade() else { return };
        let pause = match &fetched {
            Ok(_) => gateway.settings.models_refresh,
            Err(_) => RETRY_LIST_EVERY.min(gateway.settings.models_refresh),
        };
        take_list(&gateway, &instance, fetched.map_err(|fault| fault.to_string()));
        drop(gateway);
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn take_list(gateway: &Gateway, instance: &Instance, fetched: Result<Vec<String>, String>) {
    let name = &instance.settings.name;
    let now = gateway.clock.now();
    let changed = {
        let mut status = gateway.supply.status.lock();
        let entry = status.entry(name.clone()).or_default();
        match fetched {
            Ok(models) => {
                (entry.error, entry.fetched_at) = (None, Some(now));
                let changed = entry.models.as_ref() != Some(&models);
                entry.models = Some(models);
                changed
            }
            Err(error) => {
                tracing::warn!(provider = name, error, "the model list could not be fetched");
                entry.error = Some(error);
                false
            }
        }
    };
    if !changed {
        return;
    }
    gateway.publish();
    let models = gateway.supply.status.lock().get(name).and_then(|status| status.models.clone()).unwrap_or_default();
    tracing::info!(provider = name, models = models.len(), "model list fetched");
    if let Err(error) = gateway.database.store_model_list(name, &models, now) {
        tracing::warn!(provider = name, %error, "the model list could not be stored");
    }
}
