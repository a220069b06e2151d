//! Owns: the Gregorian calendar in UTC: from day numbers to dates and back.
//! Refuses to know: the current time, time zones.
//!
//! The algorithms are Howard Hinnant's `civil_from_days` and `days_from_civil`: exact for every day an `i64` of milliseconds reaches.

use super::Timestamp;
use std::fmt;

pub const DAY_MS: i64 = 86_400_000;

/// A date; `month` and `day` count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

impl Date {
    /// The date of a number of days since 1970-01-01.
    pub const fn of_day(days: i64) -> Self {
        let z = days + 719_468;
        let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        Self { year: yoe + era * 400 + (month <= 2) as i64, month, day: doy - (153 * mp + 2) / 5 + 1 }
    }

    pub const fn of(at: Timestamp) -> Self {
        Self::of_day(at.0.div_euclid(DAY_MS))
    }

    /// Days since 1970-01-01. A day beyond the month's end runs on into the next month.
    pub const fn day_number(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let (era, yoe) = (year.div_euclid(400), year.rem_euclid(400));
        let mp = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * mp + 2) / 5 + self.day - 1;
        era * 146_097 + doe - 719_468
    }

    /// Midnight, UTC.
    pub const fn start(self) -> Timestamp {
        Timestamp(self.day_number() * DAY_MS)
    }

    /// The same day of the month `months` later (or earlier); a day the month does not have runs on into the next.
    #[must_use]
    pub const fn plus_months(self, months: i64) -> Self {
        let month = self.year * 12 + self.month - 1 + months;
        Self { year: month.div_euclid(12), month: month.rem_euclid(12) + 1, day: self.day }
    }

    /// `2026-12-01`; `None` if it is no such date.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<i64>().ok()).flatten());
        let date = Self { year: parts.next()??, month: parts.next()??, day: parts.next()?? };
        let exists = parts.next().is_none() && (1970..=9999).contains(&date.year) && Self::of_day(date.day_number()) == date;
        exists.then_some(date)
    }
}

impl fmt::Display for Date {
    /// `2026-12-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        assert_eq!(Date::of(Timestamp(951_782_400_000)), Date { year: 2000, month: 2, day: 29 });
        assert_eq!(Date::parse("2026-12-01").map(Date::day_number), Some(20_788));
        assert_eq!(Date::parse("2026-02-29"), None);
        assert_eq!(Date::parse("2026-1"), None);
        assert_eq!(Date::of(Timestamp(951_782_400_000)).to_string(), "2000-02-29");
        let last = Date { year: 2026, month: 12, day: 1 }.plus_months(1);
        assert_eq!(last, Date { year: 2027, month: 1, day: 1 });
    }

    proptest! {
        #[test]
        fn days_and_dates_are_the_same_thing(day in -1_000_000_i64..3_000_000) {
            prop_assert_eq!(Date::of_day(day).day_number(), day);
        }
    }
}
