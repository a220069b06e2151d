//! Owns: which calls are not settled yet, so that a shutdown can wait for them and no hold is taken from a call under way.

use crate::base::OrderId;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A shared set with a bell that rings when it becomes empty.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Inner>);

#[derive(Default)]
struct Inner {
    orders: Mutex<HashSet<OrderId>>,
    idle: Notify,
}

/// One call in flight; dropped when its settlement is on its way to the ledger.
pub(super) struct Flight {
    order: OrderId,
    all: Arc<Inner>,
}

impl InFlight {
    pub(super) fn enter(&self, order: OrderId) -> Flight {
        self.0.orders.lock().insert(order);
        Flight { order, all: Arc::clone(&self.0) }
    }

    pub fn count(&self) -> usize {
        self.0.orders.lock().len()
    }

    pub fn has(&self, order: OrderId) -> bool {
        self.0.orders.lock().contains(&order)
    }

    /// Waits until nothing is in flight, at most `timeout`. True if it came to rest.
    pub async fn wait(&self, timeout: Duration) -> bool {
        let rest = async {
            loop {
                let bell = self.0.idle.notified();
                if self.count() == 0 {
                    return;
                }
                bell.await;
            }
        };
        tokio::time::timeout(timeout, rest).await.is_ok()
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
