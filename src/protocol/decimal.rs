//! Owns: numbers as bills and replies write them, read exactly from their text: `0.0600000000`, `1.5e-06`, `"123.45"`.

use crate::base::Exact;
use serde_json::value::RawValue;

/// USD as written, in nano-units.
pub(super) const USD: i32 = 9;
/// Cents as written, in nano-units.
pub(super) const CENTS: i32 = 7;
/// Ticks as written, 10^-10 USD, in nano-units.
pub(super) const TICKS: i32 = -1;

/// `digits x 10^power`.
struct Number {
    digits: i128,
    power: i32,
}

fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let written = !whole.is_empty() || mantissa.len() > 1;
    if !written || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) || exponent.abs() > 60 {
        return None;
    }
    let digits = format!("{whole}{fraction}").parse::<i128>().ok()?;
    let power = exponent - i32::try_from(fraction.len()).ok()?;
    Some(Number { digits: if negative { -digits } else { digits }, power })
}

fn ten_to(power: i32) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(power).ok()?)
}

/// The amount in nano-units; `unit` is `USD`, `CENTS` or `TICKS`. `None` if it is no number or beyond 128 bits.
pub(super) fn amount(text: &str, unit: i32) -> Option<Exact> {
    let Number { digits, power } = number(text)?;
    if digits == 0 {
        return Some(Exact::ZERO);
    }
    let power = power + unit;
    if power >= 0 { Exact::new(digits.checked_mul(ten_to(power)?)?, 1) } else { Exact::new(digits, ten_to(-power)?) }
}

/// A count, written in units of 10^`unit`; `None` if that is no whole number, or negative.
pub(super) fn count(text: &str, unit: i32) -> Option<u64> {
    let Number { digits, power } = number(text)?;
    if digits == 0 {
        return Some(0);
    }
    let power = power + unit;
    let counted = if power >= 0 {
        digits.checked_mul(ten_to(power)?)?
    } else {
        let scale = ten_to(-power)?;
        if digits % scale != 0 {
            return None;
        }
        digits / scale
    };
    u64::try_from(counted).ok()
}

/// The text of a JSON number, or of a number in a JSON string.
pub(super) fn text_of(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    if text.starts_with('"') { serde_json::from_str(text).ok() } else { Some(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Money, Rounding};
    use proptest::prelude::*;

    fn nano(text: &str, unit: i32) -> Option<String> {
        amount(text, unit).map(|exact| exact.to_string())
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(nano("0.06", USD), Some("60000000".into()));
        assert_eq!(nano("0.0600000000000000000000", USD), Some("60000000".into()));
        assert_eq!(nano("1.5e-06", USD), Some("1500".into()));
        assert_eq!(nano("3.75e-8", USD), Some("75/2".into()));
        assert_eq!(nano("0.13080438340307526", USD), Some("6540219170153763/50000000".into()));
        assert_eq!(nano("123.78912", CENTS), Some("1237891200".into()));
        assert_eq!(nano("37756000", TICKS), Some("3775600".into()));
        assert_eq!(nano("5", TICKS), Some("1/2".into()));
        assert_eq!(nano("-0.0015", USD), Some("-1500000".into()));
        assert_eq!(nano("0", USD), Some("0".into()));
        assert_eq!(nano(".5", USD), Some("500000000".into()));
        for wrong in ["", ".", "-", "x", "1,5", "1.2.3", "1e", "1e999", "$1", "NaN", "99999999999999999999999999999999999999999"] {
            assert_eq!(nano(wrong, USD), None, "{wrong}");
        }
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!(count("1.2345", 3), None);
        assert_eq!(count("1.2340000000", 3), Some(1234));
        assert_eq!(count("0.0015", 6), Some(1500));
        assert_eq!(count("5000", 0), Some(5000));
        assert_eq!(count("-1", 0), None);
        assert_eq!(count("18446744073709551616", 0), None);
    }

    proptest! {
        #[test]
        fn what_money_prints_is_read_back(n in any::<i64>()) {
            let text = Money::nano(n).to_string();
            prop_assert_eq!(amount(&text, USD).and_then(|exact| exact.round(Rounding::HalfEven)), Some(Money::nano(n)));
        }

        #[test]
        fn no_text_panics(text in "[-0-9.eE+]{0,24}", unit in -3..10_i32) {
            let _ = (amount(&text, unit), count(&text, unit));
        }
    }
}
