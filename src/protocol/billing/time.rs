//! Owns: times as bills write them, and the UTC day they fall on.

use crate::base::{DAY_MS, Date, Timestamp};

/// A date, or a date and a time after `T` or a blank, with `Z`, an offset, or none (UTC), to the second.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let day = Date::parse(date)?.start();
    let Some(time) = rest.strip_prefix(['T', ' ', 't']) else { return rest.is_empty().then_some(day) };
    let (clock, offset_min) = offset(time)?;
    let mut parts = clock.split('.').next()?.split(':');
    let mut part = |limit: i64| -> Option<i64> {
        let text = parts.next()?;
        let number = (text.len() == 2).then(|| text.parse::<i64>().ok()).flatten()?;
        (0..limit).contains(&number).then_some(number)
    };
    let seconds = part(24)? * 3600 + part(60)? * 60 + part(61).unwrap_or(0);
    Some(Timestamp(day.0 + (seconds - offset_min * 60) * 1000))
}

/// The time of day without its offset, and the offset in minutes.
fn offset(time: &str) -> Option<(&str, i64)> {
    let time = time.trim_end_matches("UTC").trim_end();
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (clock, written) = time.split_at(at);
    let digits: String = written[1..].chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = (digits.get(..2)?.parse::<i64>().ok()?, digits.get(2..4).unwrap_or("0").parse::<i64>().ok()?);
    let minutes = hours * 60 + minutes;
    Some((clock, if written.starts_with('-') { -minutes } else { minutes }))
}

pub(super) fn day(text: &str) -> Option<Date> {
    instant(text).map(Date::of)
}

pub(super) fn day_of_seconds(seconds: i64) -> Option<Date> {
    (0..253_402_300_800).contains(&seconds).then(|| Date::of(Timestamp(seconds * 1000)))
}

/// The days of a bucket from `start` (inclusive) to `end` (exclusive), if they are one day.
pub(super) fn one_day(start: Timestamp, end: Timestamp) -> Option<Date> {
    let last = Timestamp((end.0 - 1).max(start.0));
    (start.0.div_euclid(DAY_MS) == last.0.div_euclid(DAY_MS)).then(|| Date::of(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for text in [
            "2026-09-01",
            "2026-09-01T00:00:00Z",
            "2026-09-01 18:54:30.040",
            "2026-09-01T23:59:59.999999+00:00",
            "2026-09-01T09:30:00.000Z",
            "2026-09-02T01:00:00+02:00",
            "2026-08-31T23:00:00-0700",
            "2026-09-01 00:00:00 UTC",
        ] {
            assert_eq!(day(text), Date::parse("2026-09-01"), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "2026-09-01X", "2026-09-01T25:00:00Z", "2026-09-01T1:00"] {
            assert_eq!(day(text), None, "{text}");
        }
    }

    #[test]
    fn a_bucket_is_of_one_day_or_not() {
        let at = |text| instant(text).unwrap();
        assert_eq!(one_day(at("2026-09-01"), at("2026-09-02")), Date::parse("2026-09-01"));
        assert_eq!(one_day(at("2026-09-01T13:00:00Z"), at("2026-09-01T14:00:00Z")), Date::parse("2026-09-01"));
        assert_eq!(one_day(at("2026-09-01"), at("2026-10-01")), None);
    }
}
