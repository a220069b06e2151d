//! Owns: how many calls are not settled yet, so that a shutdown can wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// A shared count with a bell that rings at zero.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Inner>);

#[derive(Default)]
struct Inner {
    count: AtomicUsize,
    idle: Notify,
}

/// One call in flight; dropped when it is settled.
pub(super) struct Flight(Arc<Inner>);

impl InFlight {
    pub(super) fn enter(&self) -> Flight {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Flight(Arc::clone(&self.0))
    }

    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
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
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
