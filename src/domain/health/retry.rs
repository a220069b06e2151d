//! Owns: how often and when an attempt is repeated, and how long one may take.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Rounds over the candidates after the first.
    pub max_retries: u32,
    pub initial_backoff: Duration,
    /// A provider's Retry-After longer than this is not waited for.
    pub max_backoff: Duration,
    /// Longest wait for a reply's head.
    pub head_timeout: Duration,
    /// Longest silence within a reply.
    pub idle_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 2,
            initial_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(8),
            head_timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// The pause before round `round` (from 1): doubled each time, with full jitter. `jitter` is in 0..1.
    pub fn backoff(&self, round: u32, jitter: f64) -> Duration {
        let doubled = self.initial_backoff.saturating_mul(1_u32.checked_shl(round.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.max_backoff).mul_f64(jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_maximum() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff(1, 1.0), Duration::from_millis(500));
        assert_eq!(policy.backoff(3, 1.0), Duration::from_secs(2));
        assert_eq!(policy.backoff(60, 1.0), Duration::from_secs(8));
        assert_eq!(policy.backoff(1, 0.0), Duration::ZERO);
    }
}
