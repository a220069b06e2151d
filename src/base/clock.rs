//! Owns: the one source of wall-clock time, and the type that time has everywhere.
//! Refuses to know: time zones and calendars (presentation).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, as the OpenAI dialect writes `created`.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    #[expect(clippy::many_single_char_names, reason = "the names of the published algorithm")]
    /// RFC 3339 in UTC with milliseconds. Civil date from days by Howard Hinnant's `civil_from_days`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// Wall clock, or a hand-set one for tests and simulation. Cloning shares the hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Hand>);

/// What a clock that is not the system's shows: a number that somebody sets, and what has passed since `from`.
#[derive(Clone, Debug)]
struct Hand {
    set: Arc<AtomicI64>,
    from: Option<Instant>,
}

impl Clock {
    pub fn system() -> Self {
        Self(None)
    }

    pub fn manual(start: Timestamp) -> Self {
        Self(Some(Hand { set: Arc::new(AtomicI64::new(start.0)), from: None }))
    }

    /// Runs with the time of the runtime it is made in: a simulation pauses that, and so has one time for timers and stamps.
    pub fn of_runtime(start: Timestamp) -> Self {
        Self(Some(Hand { set: Arc::new(AtomicI64::new(start.0)), from: Some(Instant::now()) }))
    }

    pub fn now(&self) -> Timestamp {
        if let Some(hand) = &self.0 {
            let passed = hand.from.map_or(Duration::ZERO, |from| from.elapsed());
            return Timestamp(hand.set.load(Ordering::SeqCst)).plus(passed);
        }
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Moves a manual clock; a system clock ignores it.
    pub fn advance(&self, span: Duration) {
        self.shift_ms(i64::try_from(span.as_millis()).unwrap_or(0));
    }

    /// Sets a manual clock forward or, as operators and time servers do, back.
    pub fn shift_ms(&self, ms: i64) {
        if let Some(hand) = &self.0 {
            hand.set.fetch_add(ms, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_795_247_999_123).to_string(), "2026-11-21T07:59:59.123Z");
        assert_eq!(Timestamp(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(Timestamp(5));
        let twin = clock.clone();
        clock.advance(Duration::from_millis(7));
        assert_eq!(twin.now(), Timestamp(12));
        clock.shift_ms(-10);
        assert_eq!(twin.now(), Timestamp(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_of_the_runtime_moves_with_its_timers() {
        let clock = Clock::of_runtime(Timestamp(5));
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(clock.now(), Timestamp(3_600_005));
        clock.shift_ms(-3_600_000);
        assert_eq!(clock.now(), Timestamp(5));
    }
}
