//! Owns: reading retries, breakers and timeouts, for the gateway or for one provider.
//! Refuses to know: which of the two it reads for.

use super::ResilienceSettings;
use super::scalar::Scalar;
use crate::base::Result;
use crate::domain::health::BreakerPolicy;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

/// `read` gives the text of a member below `resilience`.
pub(super) fn read_resilience(read: &dyn Fn(&str) -> Result<Scalar>) -> Result<ResilienceSettings> {
    let max_backoff = read("retry.max_backoff")?;
    let settings = ResilienceSettings {
        max_retries: read("retry.max_retries")?.whole(0..=10)?,
        initial_backoff: read("retry.initial_backoff")?.duration(Duration::ZERO..=HOUR)?,
        max_backoff: max_backoff.duration(Duration::ZERO..=HOUR)?,
        breaker: BreakerPolicy {
            failure_threshold: read("circuit_breaker.failure_threshold")?.whole(1..=10_000)?,
            success_threshold: read("circuit_breaker.success_threshold")?.whole(1..=10_000)?,
            open_for: read("circuit_breaker.timeout")?.duration(MILLISECOND..=24 * HOUR)?,
        },
        head_timeout: read("http.response_header_timeout")?.duration(MILLISECOND..=24 * HOUR)?,
        idle_timeout: read("http.idle_timeout")?.duration(MILLISECOND..=24 * HOUR)?,
    };
    if settings.initial_backoff > settings.max_backoff {
        return Err(max_backoff.fail("is shorter than initial_backoff"));
    }
    Ok(settings)
}
