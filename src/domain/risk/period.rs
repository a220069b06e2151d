//! Owns: the periods over which budgets count, and where each begins and ends.
//! Refuses to know: what is counted. A new period is a new window, never a reset: there is nothing to race on.

use crate::base::{DAY_MS, Date, Timestamp};
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// How a budget's time is cut. Offsets are minutes that local time is ahead of UTC; hours and days are those at which a period
/// begins in that local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "every", rename_all = "snake_case", deny_unknown_fields)]
pub enum Period {
    Hour,
    Day {
        #[serde(default)]
        offset_minutes: i32,
        #[serde(default)]
        hour: u8,
    },
    Week {
        #[serde(default)]
        offset_minutes: i32,
        #[serde(default)]
        hour: u8,
        /// 1 Monday to 7 Sunday.
        #[serde(default = "monday")]
        weekday: u8,
    },
    /// A calendar month, from its `day` on (1 to 28).
    Month {
        #[serde(default)]
        offset_minutes: i32,
        #[serde(default)]
        hour: u8,
        #[serde(default = "first")]
        day: u8,
    },
    /// Any span, counted from a moment.
    Custom {
        span_minutes: u32,
        from_ms: i64,
    },
    /// Never again: a cap for good.
    Lifetime,
}

const fn monday() -> u8 {
    1
}

const fn first() -> u8 {
    1
}

/// One period: `start` included, `end` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Period {
    /// Why these settings make no period.
    pub fn check(&self) -> Result<(), &'static str> {
        let (offset, hour) = match *self {
            Self::Day { offset_minutes, hour } | Self::Week { offset_minutes, hour, .. } | Self::Month { offset_minutes, hour, .. } => {
                (offset_minutes, hour)
            }
            Self::Hour | Self::Custom { .. } | Self::Lifetime => (0, 0),
        };
        match *self {
            _ if offset.abs() > 14 * 60 => Err("offset_minutes is beyond 14 hours"),
            _ if hour > 23 => Err("hour must be 0 to 23"),
            Self::Week { weekday, .. } if !(1..=7).contains(&weekday) => Err("weekday must be 1 (Monday) to 7 (Sunday)"),
            Self::Month { day, .. } if !(1..=28).contains(&day) => Err("day must be 1 to 28: every month has those"),
            Self::Custom { span_minutes: 0, .. } => Err("span_minutes must be at least 1"),
            Self::Hour | Self::Day { .. } | Self::Week { .. } | Self::Month { .. } | Self::Custom { .. } | Self::Lifetime => Ok(()),
        }
    }

    /// The period that `now` lies in.
    pub fn window(&self, now: Timestamp) -> Window {
        let spans = |span_ms: i64, origin_ms: i64| {
            let start = origin_ms.saturating_add(now.0.saturating_sub(origin_ms).div_euclid(span_ms).saturating_mul(span_ms));
            Window { start: Timestamp(start), end: Timestamp(start.saturating_add(span_ms)) }
        };
        // The moment at which local midnight of day 0 plus the hour falls.
        let origin = |offset_minutes: i32, hour: u8| i64::from(hour) * HOUR_MS - i64::from(offset_minutes) * MINUTE_MS;
        match *self {
            Self::Hour => spans(HOUR_MS, 0),
            Self::Day { offset_minutes, hour } => spans(DAY_MS, origin(offset_minutes, hour)),
            // 1970-01-01 was a Thursday, so the first Monday is day 4.
            Self::Week { offset_minutes, hour, weekday } => {
                spans(7 * DAY_MS, origin(offset_minutes, hour) + (3 + i64::from(weekday)) * DAY_MS)
            }
            Self::Month { offset_minutes, hour, day } => {
                let shift = origin(offset_minutes, hour) + (i64::from(day) - 1) * DAY_MS;
                let month = Date { day: 1, ..Date::of(Timestamp(now.0.saturating_sub(shift))) };
                let start = |date: Date| Timestamp(date.start().0.saturating_add(shift));
                Window { start: start(month), end: start(month.plus_months(1)) }
            }
            Self::Custom { span_minutes, from_ms } => spans(i64::from(span_minutes.max(1)) * MINUTE_MS, from_ms),
            Self::Lifetime => Window { start: Timestamp(0), end: Timestamp(i64::MAX) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-23T23:30:00Z, a Monday.
    const NOW: Timestamp = Timestamp(1_795_476_600_000);

    fn shown(period: Period) -> (String, String) {
        let window = period.window(NOW);
        (window.start.to_string()[..16].to_owned(), window.end.to_string()[..16].to_owned())
    }

    #[test]
    fn periods_follow_the_calendar() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(shown(Period::Hour), pair("2026-11-23T23:00", "2026-11-24T00:00"));
        assert_eq!(shown(Period::Day { offset_minutes: 0, hour: 0 }), pair("2026-11-23T00:00", "2026-11-24T00:00"));
        // In Berlin (UTC+1) it is 00:30 of the next day already.
        assert_eq!(shown(Period::Day { offset_minutes: 60, hour: 0 }), pair("2026-11-23T23:00", "2026-11-24T23:00"));
        assert_eq!(shown(Period::Week { offset_minutes: 0, hour: 0, weekday: 1 }), pair("2026-11-23T00:00", "2026-11-30T00:00"));
        assert_eq!(shown(Period::Week { offset_minutes: 0, hour: 0, weekday: 7 }), pair("2026-11-22T00:00", "2026-11-29T00:00"));
        assert_eq!(shown(Period::Month { offset_minutes: 0, hour: 0, day: 1 }), pair("2026-11-01T00:00", "2026-12-01T00:00"));
        assert_eq!(shown(Period::Month { offset_minutes: 0, hour: 6, day: 24 }), pair("2026-10-24T06:00", "2026-11-24T06:00"));
        assert_eq!(
            shown(Period::Custom { span_minutes: 90, from_ms: NOW.0 - 60 * MINUTE_MS }),
            pair("2026-11-23T22:30", "2026-11-24T00:00")
        );
    }

    fn any_period() -> impl Strategy<Value = Period> {
        let (offset, hour) = (-840..=840_i32, 0..24_u8);
        prop_oneof![
            Just(Period::Hour),
            (offset.clone(), hour.clone()).prop_map(|(offset_minutes, hour)| Period::Day { offset_minutes, hour }),
            (offset.clone(), hour.clone(), 1..=7_u8).prop_map(|(offset_minutes, hour, weekday)| Period::Week {
                offset_minutes,
                hour,
                weekday
            }),
            (offset, hour, 1..=28_u8).prop_map(|(offset_minutes, hour, day)| Period::Month { offset_minutes, hour, day }),
            (1..=100_000_u32, any::<i32>()).prop_map(|(span_minutes, from)| Period::Custom { span_minutes, from_ms: i64::from(from) }),
        ]
    }

    proptest! {
        /// Windows tile time: each moment is in exactly one, and the next begins where it ends.
        #[test]
        fn windows_tile_time(period in any_period(), now in -4_000_000_000_000_i64..8_000_000_000_000) {
            let window = period.window(Timestamp(now));
            prop_assert!(window.start.0 <= now && now < window.end.0);
            prop_assert_eq!(period.window(window.start), window);
            prop_assert_eq!(period.window(window.end).start, window.end);
            prop_assert_eq!(period.window(Timestamp(window.end.0 - 1)), window);
        }
    }
}
