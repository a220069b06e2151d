//! Owns: which calls are not settled yet, so that a shutdown can wait for them and stop them, and no hold is taken from a call under way.

use crate::base::{FastMap, OrderId};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A call that takes longer is stuck, such as at a reader that reads no more: it keeps no hold, and is settled late when it ends.
const LONGEST_CALL: Duration = Duration::from_secs(86_400);

/// The calls under way, with a bell that rings when none is left.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Inner>);

#[derive(Default)]
struct Inner {
    calls: Mutex<Calls>,
    idle: Notify,
}

#[derive(Default)]
struct Calls {
    under_way: FastMap<OrderId, UnderWay>,
    /// No task works on any longer.
    stopped: bool,
}

struct UnderWay {
    since: Instant,
    /// Works on the call, or did so last.
    task: Option<AbortHandle>,
}

/// One call in flight; dropped when its settlement is on its way to the ledger.
pub(super) struct Flight {
    order: OrderId,
    all: Arc<Inner>,
}

impl InFlight {
    pub(super) fn enter(&self, order: OrderId) -> Flight {
        self.0.calls.lock().under_way.insert(order, UnderWay { since: Instant::now(), task: None });
        Flight { order, all: Arc::clone(&self.0) }
    }

    /// This task works on the call from now on; its future owns the order.
    pub(super) fn carry(&self, order: OrderId, task: AbortHandle) {
        let mut calls = self.0.calls.lock();
        if calls.stopped {
            task.abort();
        } else if let Some(call) = calls.under_way.get_mut(&order) {
            call.task = Some(task);
        }
    }

    /// Ends all tasks that work on a call: each settles on what is known so far. For the end of a drain, before the ledger closes.
    pub fn stop(&self) {
        let tasks: Vec<AbortHandle> = {
            let mut calls = self.0.calls.lock();
            calls.stopped = true;
            calls.under_way.values_mut().filter_map(|call| call.task.take()).collect()
        };
        for task in tasks {
            task.abort();
        }
    }

    pub fn count(&self) -> usize {
        self.0.calls.lock().under_way.len()
    }

    /// Does a call still need the hold of its order?
    pub fn needs(&self, order: OrderId) -> bool {
        self.0.calls.lock().under_way.get(&order).is_some_and(|call| call.since.elapsed() < LONGEST_CALL)
    }

    /// Waits until nothing is in flight.
    pub async fn rest(&self) {
        loop {
            let bell = self.0.idle.notified();
            if self.count() == 0 {
                return;
            }
            bell.await;
        }
    }

    /// The same, for at most `timeout`. True if it came to rest.
    pub async fn wait(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.rest()).await.is_ok()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut calls = self.all.calls.lock();
        calls.under_way.remove(&self.order);
        if calls.under_way.is_empty() {
            self.all.idle.notify_waiters();
        }
    }
}
