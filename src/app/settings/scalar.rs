//! Owns: how one text of the settings becomes a value, and what is said when it does not: where, what was wrong, what is
//! allowed. Refuses to know: which settings there are and which layer the text came from.

use super::suggest::suggest;
use crate::base::{Error, ErrorKind, Result};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// A configuration error: `place: problem`.
pub(super) fn wrong(place: &str, problem: impl Display) -> Error {
    Error::new(ErrorKind::Configuration, format!("{place}: {problem}"))
}

/// A text with the place it stands at: a variable's name or a path in the file.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) place: String,
    pub(super) text: String,
    /// As an error may show it: before variables were put in. `None`: not at all.
    pub(super) shown: Option<String>,
}

impl Scalar {
    /// The error "`place`: `value` is not ...".
    pub(super) fn fail(&self, problem: impl Display) -> Error {
        match &self.shown {
            Some(shown) => {
                let short: String = shown.chars().take(60).collect();
                wrong(&self.place, format!("'{short}' {problem}"))
            }
            None => wrong(&self.place, format!("the value {problem}")),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn on_off(&self) -> Result<bool> {
        match self.text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Ok(true),
            "off" | "false" | "no" | "0" => Ok(false),
            _ => Err(self.fail("is neither on nor off; allowed: on, off, true, false, yes, no, 1, 0")),
        }
    }

    pub(super) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T> {
        let text = self.text.to_ascii_lowercase();
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.fail(format!("is not one of the choices; allowed: {}", names.join(", ")))
        })
    }

    pub(super) fn whole<T: FromStr + PartialOrd + Display>(&self, range: RangeInclusive<T>) -> Result<T> {
        let value = self.text.parse::<T>().ok().filter(|value| range.contains(value));
        value.ok_or_else(|| self.fail(format!("is not a whole number from {} to {}", range.start(), range.end())))
    }

    /// Seconds as a decimal number, or a number with one of the units ms, s, m, h.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration> {
        let (number, unit_ns) = [("ms", 1_000_000_i64), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)]
            .into_iter()
            .find_map(|(unit, ns)| self.text.strip_suffix(unit).map(|number| (number, ns)))
            .unwrap_or((&self.text, 1_000_000_000));
        let span = Decimal::from_str_exact(number.trim())
            .ok()
            .and_then(|value| value.checked_mul(Decimal::from(unit_ns)))
            .and_then(|ns| ns.round().to_u64())
            .map(Duration::from_nanos)
            .filter(|span| range.contains(span));
        span.ok_or_else(|| {
            let (low, high) = (range.start().as_secs_f64(), range.end().as_secs_f64());
            self.fail(format!("is not a time from {low} to {high} seconds; write 30, 0.5, 500ms, 30s, 5m or 1h"))
        })
    }

    /// Bytes: a whole number with an optional K, M or G (powers of 1024) and an optional B.
    pub(super) fn size_bytes(&self, range: RangeInclusive<u64>) -> Result<u64> {
        let upper = self.text.to_ascii_uppercase();
        let plain = upper.strip_suffix('B').unwrap_or(&upper);
        let (digits, shift) = [('K', 10), ('M', 20), ('G', 30)]
            .into_iter()
            .find_map(|(unit, shift)| plain.strip_suffix(unit).map(|digits| (digits, shift)))
            .unwrap_or((plain, 0));
        let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let size = digits.and_then(|digits| digits.parse::<u64>().ok()).and_then(|count| count.checked_mul(1 << shift));
        size.filter(|size| range.contains(size))
            .ok_or_else(|| self.fail(format!("is not a size from {} to {} bytes; write 512K, 10M or 1G", range.start(), range.end())))
    }

    /// USD per `units` as (pico-USD, units), exactly.
    pub(super) fn pico_usd(&self) -> Result<i64> {
        let value = Decimal::from_str_exact(self.text.trim()).map_err(|_| self.fail("is not a decimal amount of USD, such as 0.15"))?;
        if value.is_sign_negative() && !value.is_zero() {
            return Err(self.fail("is negative; a price is 0 or more"));
        }
        let pico = value.checked_mul(Decimal::from(1_000_000_000_000_i64)).map(|pico| pico.normalize());
        match pico {
            Some(pico) if pico.scale() > 0 => Err(self.fail("is finer than 0.000000000001")),
            Some(pico) => pico.to_i64().ok_or_else(|| self.fail("is too large for a price")),
            None => Err(self.fail("is too large for a price")),
        }
    }

    /// The error of a name that is not among those allowed.
    pub(super) fn unknown(&self, what: &str, allowed: &[&str]) -> Error {
        self.fail(format!("is no {what}; {}", suggest(&self.text, allowed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(text: &str) -> Scalar {
        Scalar { place: "P".into(), text: text.into(), shown: Some(text.into()) }
    }

    #[test]
    fn durations() {
        let read = |text: &str| scalar(text).duration(Duration::ZERO..=Duration::from_secs(7200)).map_err(|e| e.message);
        assert_eq!(read("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(read("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(read("1 h"), Ok(Duration::from_secs(3600)));
        for bad in ["", "soon", "-1", "3h", "1e3", "99999999999999999999h"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        let read = |text: &str| scalar(text).size_bytes(1024..=1 << 30).ok();
        assert_eq!(read("10M"), Some(10 << 20));
        assert_eq!(read("1kb"), Some(1024));
        assert_eq!(read("1048576"), Some(1 << 20));
        for bad in ["", "M", "1.5M", "10X", "+10M", "1", "2G", "99999999999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn prices_are_exact() {
        assert_eq!(scalar("0.0375").pico_usd(), Ok(37_500_000_000));
        assert_eq!(scalar("0").pico_usd(), Ok(0));
        for bad in ["-1", "", "1e-3", "0.0000000000001", "99999999999"] {
            assert!(scalar(bad).pico_usd().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_to_be_shown_is_not_shown() {
        let hidden = Scalar { shown: None, ..scalar("sk-live-1") };
        assert!(!hidden.whole(1..=2).unwrap_err().message.contains("sk-live"));
        assert!(scalar("80a").whole(0..=9).unwrap_err().message.starts_with("P: '80a' is not"));
    }
}
