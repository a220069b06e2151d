//! Owns: what is known of an endpoint's health from its own traffic: breaker and time to first byte.
//! Refuses to know: how the pieces are weighed against price and policy (plan).

use super::breaker::{BreakerPolicy, BreakerState};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What an attempt told about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered; how long until the first byte.
    Served { first_byte: Duration },
    /// It failed.
    Failed,
    /// It asked for a pause of this length.
    Throttled { pause: Duration },
    /// Nothing about its health: the request itself was at fault.
    Unrelated,
}

/// Health of one endpoint, shared by all requests and kept across snapshots.
#[derive(Debug)]
pub struct EndpointHealth {
    policy: BreakerPolicy,
    breaker: Mutex<BreakerState>,
    /// Exponentially weighted mean (1/8) of the time to first byte, microseconds; 0 = nothing known.
    first_byte_us: AtomicU64,
}

impl EndpointHealth {
    pub fn new(policy: BreakerPolicy) -> Arc<Self> {
        Arc::new(Self { policy, breaker: Mutex::new(BreakerState::Closed { failures: 0 }), first_byte_us: AtomicU64::new(0) })
    }

    /// A permit for one attempt, or how long to wait.
    pub fn admit(self: &Arc<Self>) -> Result<Permit, Duration> {
        self.breaker.lock().admit(Instant::now())?;
        Ok(Permit { health: Arc::clone(self), judged: false })
    }

    /// How long until an attempt may pass; zero if now.
    pub fn wait(&self) -> Duration {
        self.breaker.lock().wait(Instant::now())
    }

    pub fn breaker(&self) -> BreakerState {
        *self.breaker.lock()
    }

    /// `None` until the endpoint has answered once.
    pub fn first_byte(&self) -> Option<Duration> {
        Some(self.first_byte_us.load(Ordering::Relaxed)).filter(|us| *us > 0).map(Duration::from_micros)
    }

    fn observe(&self, first_byte: Duration) {
        let new = u64::try_from(first_byte.as_micros()).unwrap_or(u64::MAX).max(1);
        let old = self.first_byte_us.load(Ordering::Relaxed);
        // Lost updates between load and store only make the mean a little older.
        let mean = if old == 0 { new } else { old - old / 8 + new / 8 };
        self.first_byte_us.store(mean.max(1), Ordering::Relaxed);
    }
}

/// The right to make one attempt. Dropped without a verdict, it gives a half-open breaker its probe back.
#[derive(Debug)]
pub struct Permit {
    health: Arc<EndpointHealth>,
    judged: bool,
}

impl Permit {
    pub fn judge(mut self, verdict: Verdict) {
        self.judged = true;
        let health = &self.health;
        match verdict {
            Verdict::Served { first_byte } => {
                health.observe(first_byte);
                health.breaker.lock().succeed(&health.policy);
            }
            Verdict::Failed => health.breaker.lock().fail(&health.policy, Instant::now(), None),
            Verdict::Throttled { pause } => health.breaker.lock().fail(&health.policy, Instant::now(), Some(pause)),
            Verdict::Unrelated => health.breaker.lock().release_probe(),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.judged {
            self.health.breaker.lock().release_probe();
        }
    }
}
