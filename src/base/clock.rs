//! Owns: the one source of wall-clock time, and the type that time has everywhere.
//! Refuses to know: time zones and calendars (presentation).

use super::{DAY_MS, Date};
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
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Date { year, month, day }, ms) = (Date::of(*self), self.0.rem_euclid(DAY_MS));
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

impl std::str::FromStr for Timestamp {
    type Err = String;

    /// A date (its midnight UTC) or an RFC 3339 time, with up to milliseconds: `2026-12-01`, `2026-12-01T06:30:00Z`,
    /// `2026-12-01T06:30:00.250+01:00`.
    fn from_str(text: &str) -> Result<Self, String> {
        written(text).ok_or_else(|| format!("'{text}' is no date; write 2026-12-01 or 2026-12-01T06:30:00Z"))
    }
}

fn written(text: &str) -> Option<Timestamp> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let midnight = days(date)?.checked_mul(86_400_000)?;
    let Some(time) = time else { return Some(Timestamp(midnight)) };
    let (clock, offset_minutes) = match time.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let (clock, offset) = time.split_at(time.rfind(['+', '-'])?);
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let minutes = number(hours, 2, 0..=23)? * 60 + number(minutes, 2, 0..=59)?;
            (clock, if offset.starts_with('-') { -minutes } else { minutes })
        }
    };
    let (whole, fraction) = clock.split_once('.').map_or((clock, "0"), |(whole, fraction)| (whole, fraction));
    let mut parts = whole.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let span = (number(hours, 2, 0..=23)? * 60 + number(minutes, 2, 0..=59)? - offset_minutes) * 60_000;
    let seconds_ms = number(seconds, 2, 0..=59)? * 1000;
    let fraction_ms = if fraction.len() <= 3 { number(&format!("{fraction:0<3}"), 3, 0..=999)? } else { return None };
    parts.next().is_none().then_some(Timestamp(midnight + span + seconds_ms + fraction_ms))
}

/// Days since 1970 of an ISO date. By Howard Hinnant's `days_from_civil`.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (number(parts.next()?, 4, 1..=9999)?, number(parts.next()?, 2, 1..=12)?, number(parts.next()?, 2, 1..=31)?);
    let y = if month <= 2 { year - 1 } else { year };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    // The 31st of a shorter month is the day of another one.
    let same = Timestamp(days * 86_400_000).to_string().starts_with(date);
    (parts.next().is_none() && same).then_some(days)
}

/// Exactly so many digits, within the range.
fn number(text: &str, digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let valid = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|value| valid && range.contains(value))
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
    fn reads_dates_and_rfc3339() {
        let read = |text: &str| text.parse::<Timestamp>().map(|at| at.to_string());
        assert_eq!(read("2026-12-01"), Ok("2026-12-01T00:00:00.000Z".into()));
        assert_eq!(read("2026-12-01T06:30:05Z"), Ok("2026-12-01T06:30:05.000Z".into()));
        assert_eq!(read("2000-02-29T00:30:00.25+01:00"), Ok("2000-02-28T23:30:00.250Z".into()));
        assert_eq!(read("1969-12-31T23:59:59.999-00:00"), Ok("1969-12-31T23:59:59.999Z".into()));
        for bad in [
            "",
            "May",
            "2026-13-01",
            "2026-02-29",
            "2026-2-1",
            "2026-12-01T",
            "2026-12-01T06:30Z",
            "2026-12-01T06:30:00",
            "2026-12-01-01",
            "2026-12-01T24:00:00Z",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
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
