//! Owns: the circuit breaker's states and transitions, as pure functions of time.
//! Refuses to know: endpoints, locks, what counts as a failure (health).

use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Consecutive failures that open the breaker.
    pub failure_threshold: u32,
    /// Consecutive successes that close it again.
    pub success_threshold: u32,
    /// How long it stays open before one probe is let through.
    pub open_for: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failure_threshold: 5, success_threshold: 2, open_for: Duration::from_secs(30) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { successes: u32, probing: bool },
}

impl BreakerState {
    /// May a call pass? `Err` says how long to wait. A call that passes a half-open breaker is its only probe.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match *self {
            Self::Closed { .. } => Ok(()),
            Self::Open { until } if now < until => Err(until - now),
            Self::Open { .. } => {
                *self = Self::HalfOpen { successes: 0, probing: true };
                Ok(())
            }
            Self::HalfOpen { probing: true, .. } => Err(Duration::from_secs(1)),
            Self::HalfOpen { successes, probing: false } => {
                *self = Self::HalfOpen { successes, probing: true };
                Ok(())
            }
        }
    }

    /// How long until `admit` may pass; zero if it may now. Changes nothing.
    pub fn wait(&self, now: Instant) -> Duration {
        match *self {
            Self::Closed { .. } | Self::HalfOpen { probing: false, .. } => Duration::ZERO,
            Self::Open { until } => until.saturating_duration_since(now),
            Self::HalfOpen { probing: true, .. } => Duration::from_secs(1),
        }
    }

    pub(super) fn succeed(&mut self, policy: &BreakerPolicy) {
        *self = match *self {
            Self::Closed { .. } => Self::Closed { failures: 0 },
            // A late success of a call admitted before the breaker opened proves nothing about now.
            Self::Open { until } => Self::Open { until },
            Self::HalfOpen { successes, .. } if successes + 1 >= policy.success_threshold => Self::Closed { failures: 0 },
            Self::HalfOpen { successes, .. } => Self::HalfOpen { successes: successes + 1, probing: false },
        };
    }

    /// `cool_down`: the provider named its own time (Retry-After). A longer deadline is never shortened.
    pub(super) fn fail(&mut self, policy: &BreakerPolicy, now: Instant, cool_down: Option<Duration>) {
        let until = now + cool_down.unwrap_or(policy.open_for);
        *self = match *self {
            Self::Closed { failures } if cool_down.is_none() && failures + 1 < policy.failure_threshold => {
                Self::Closed { failures: failures + 1 }
            }
            Self::Closed { .. } | Self::HalfOpen { .. } => Self::Open { until },
            Self::Open { until: before } => Self::Open { until: before.max(until) },
        };
    }

    /// A probe ended without a verdict (its caller left).
    pub(super) fn release_probe(&mut self) {
        if let Self::HalfOpen { successes, .. } = *self {
            *self = Self::HalfOpen { successes, probing: false };
        }
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> BreakerPolicy {
        BreakerPolicy { failure_threshold: 2, success_threshold: 2, open_for: Duration::from_secs(30) }
    }

    #[tokio::test(start_paused = true)]
    async fn opens_probes_once_and_closes() {
        let (now, policy) = (Instant::now(), policy());
        let mut state = BreakerState::Closed { failures: 0 };
        state.fail(&policy, now, None);
        assert!(state.admit(now).is_ok());
        state.fail(&policy, now, None);
        assert_eq!(state.admit(now), Err(Duration::from_secs(30)));
        let later = now + Duration::from_secs(30);
        assert!(state.admit(later).is_ok());
        assert!(state.admit(later).is_err(), "one probe at a time");
        state.succeed(&policy);
        assert!(state.admit(later).is_ok());
        state.succeed(&policy);
        assert_eq!(state, BreakerState::Closed { failures: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_cool_down_is_kept() {
        let (now, policy) = (Instant::now(), policy());
        let mut state = BreakerState::Closed { failures: 0 };
        state.fail(&policy, now, Some(Duration::from_secs(90)));
        state.fail(&policy, now, None);
        assert_eq!(state.wait(now), Duration::from_secs(90));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_caller_left_frees_the_slot() {
        let (now, policy) = (Instant::now(), policy());
        let mut state = BreakerState::Open { until: now };
        assert!(state.admit(now).is_ok());
        state.release_probe();
        assert!(state.admit(now).is_ok());
        state.fail(&policy, now, None);
        assert_eq!(state.wait(now), Duration::from_secs(30));
    }
}
