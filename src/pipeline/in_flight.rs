//! Owns: which calls are not settled yet, so that a shutdown can wait for them and no hold is taken from a call under way.

use crate::base::{FastMap, OrderId};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A call that takes longer is stuck, such as at a reader that reads no more: it keeps no hold, and is settled late when it ends.
const LONGEST_CALL: Duration = Duration::from_secs(86_400);

/// The calls under way, with a bell that rings when none is left.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Since when.
    orders: Mutex<FastMap<OrderId, Instant>>,
    idle: Notify,
}

/// One call in flight; dropped when its settlement is on its way to the ledger.
pub(super) struct Flight {
    order: OrderId,
    all: Arc<Inner>,
}

impl InFlight {
    pub(super) fn enter(&self, order: OrderId) -> Flight {
        self.0.orders.lock().insert(order, Instant::now());
        Flight { order, all: Arc::clone(&self.0) }
    }

    pub fn count(&self) -> usize {
        self.0.orders.lock().len()
    }

    /// Does a call still need the hold of its order?
    pub fn needs(&self, order: OrderId) -> bool {
        self.0.orders.lock().get(&order).is_some_and(|since| since.elapsed() < LONGEST_CALL)
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
        let mut orders = self.all.orders.lock();
        orders.remove(&self.order);
        if orders.is_empty() {
            self.all.idle.notify_waiters();
        }
    }
}
