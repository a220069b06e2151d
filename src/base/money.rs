//! Owns: amounts and exact arithmetic. An amount is an `i64` count of 10^-9 of the currency; what has not been rounded
//! yet is an exact rational. Refuses to know: prices, accounts and who pays.
//!
//! Rounding happens in two functions only (`Exact::half_even`, `Exact::ceil`), once per order (ledger law, section 1.2).

use rust_decimal::Decimal;
use std::fmt;
use std::str::FromStr;

/// Nano-units of the currency: 1 USD = 1 000 000 000. Checked arithmetic only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);

    pub const fn nano(amount_nano: i64) -> Self {
        Self(amount_nano)
    }

    pub const fn as_nano(self) -> i64 {
        self.0
    }

    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for Money {
    /// Decimal text with at least two digits after the point and no trailing zeros beyond: `25.00`, `0.0000071`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, nanos) = (self.0.unsigned_abs() / 1_000_000_000, self.0.unsigned_abs() % 1_000_000_000);
        let digits = format!("{nanos:09}");
        let kept = digits.trim_end_matches('0').len().max(2);
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{units}.{}", &digits[..kept])
    }
}

impl FromStr for Money {
    type Err = String;

    /// Decimal text, exactly: more than nine digits after the point are refused, never rounded away.
    fn from_str(text: &str) -> Result<Self, String> {
        let value = Decimal::from_str_exact(text.trim()).map_err(|_| format!("'{text}' is not a decimal amount such as 25.00"))?;
        let scaled = value.checked_mul(Decimal::from(1_000_000_000)).ok_or(format!("'{text}' is too large"))?;
        if !scaled.fract().is_zero() {
            return Err(format!("'{text}' is finer than 0.000000001"));
        }
        i64::try_from(scaled.trunc().mantissa() / 10_i128.pow(scaled.trunc().scale()))
            .map(Self)
            .map_err(|_| format!("'{text}' is too large"))
    }
}

impl serde::Serialize for Money {
    /// As decimal text: money is never a JSON number.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A factor, `num / den`, such as a fee of 5.5 % = 55/1000. In JSON `[num, den]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct Ratio {
    pub num: u32,
    pub den: u32,
}

impl Ratio {
    pub const ZERO: Self = Self { num: 0, den: 1 };

    /// From a percentage as decimal text, exactly: `5.5` is 55/1000.
    pub fn from_percent(text: &str) -> Result<Self, String> {
        let value = Decimal::from_str_exact(text.trim()).map_err(|_| format!("'{text}' is not a percentage"))?.normalize();
        let den = 10_u32.checked_pow(value.scale()).and_then(|d| d.checked_mul(100));
        match (u32::try_from(value.mantissa()), den) {
            (Ok(num), Some(den)) => Ok(Self { num, den }),
            _ => Err(format!("'{text}' is out of range for a percentage")),
        }
    }

    /// From a factor as decimal text, exactly: `0.5` is 5/10.
    pub fn from_decimal(text: &str) -> Result<Self, String> {
        let value = Decimal::from_str_exact(text.trim()).map_err(|_| format!("'{text}' is not a factor"))?.normalize();
        match (u32::try_from(value.mantissa()), 10_u32.checked_pow(value.scale())) {
            (Ok(num), Some(den)) => Ok(Self { num, den }),
            _ => Err(format!("'{text}' is out of range for a factor")),
        }
    }

    /// As a percentage in decimal text; exact for what `from_percent` has read.
    pub fn to_percent(self) -> String {
        let hundredfold = Decimal::from(self.num) * Decimal::from(100);
        hundredfold.checked_div(Decimal::from(self.den)).unwrap_or_default().normalize().to_string()
    }
}

impl TryFrom<(u32, u32)> for Ratio {
    type Error = &'static str;

    fn try_from((num, den): (u32, u32)) -> Result<Self, &'static str> {
        if den == 0 { Err("a ratio has no denominator 0") } else { Ok(Self { num, den }) }
    }
}

impl From<Ratio> for (u32, u32) {
    fn from(ratio: Ratio) -> Self {
        (ratio.num, ratio.den)
    }
}

/// How an exact amount becomes a whole number of nano-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Costs and charges: unbiased.
    HalfEven,
    /// Holds: never too small.
    Up,
}

/// An exact amount, `num / den` nano-units, in lowest terms with `den > 0`. Sums of prices stay exact in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    num: i128,
    den: i128,
}

/// Division of 128 bits is slow, so it is used only until both numbers fit in 64: usually never.
fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        if let (Ok(x), Ok(y)) = (u64::try_from(a), u64::try_from(b)) {
            return i128::from(gcd_64(x, y));
        }
        (a, b) = (b, a % b);
    }
    i128::try_from(a.max(1)).unwrap_or(1)
}

fn gcd_64(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

impl Exact {
    pub const ZERO: Self = Self { num: 0, den: 1 };

    /// `num / den` nano-units. `None` if `den` is zero.
    pub fn new(num: i128, den: i128) -> Option<Self> {
        if den == 0 {
            return None;
        }
        let g = gcd(num, den) * den.signum();
        Some(Self { num: num / g, den: den / g })
    }

    pub fn is_zero(self) -> bool {
        self.num == 0
    }

    /// `None` on overflow of 128 bits, which a caller treats as "too large", never as zero.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.den == other.den {
            return Self::new(self.num.checked_add(other.num)?, self.den);
        }
        let g = gcd(self.den, other.den);
        let left = self.num.checked_mul(other.den / g)?;
        let right = other.num.checked_mul(self.den / g)?;
        Self::new(left.checked_add(right)?, (self.den / g).checked_mul(other.den)?)
    }

    pub fn checked_mul(self, num: i128, den: i128) -> Option<Self> {
        Self::new(self.num.checked_mul(num)?, self.den.checked_mul(den)?)
    }

    /// `None` on overflow, as for `checked_add`.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self { num: other.num.checked_neg()?, den: other.den })
    }

    /// The share `ratio` of this amount.
    pub fn share(self, ratio: Ratio) -> Option<Self> {
        self.checked_mul(ratio.num.into(), ratio.den.into())
    }

    pub fn is_negative(self) -> bool {
        self.num < 0
    }

    /// This amount plus the share `ratio` of it.
    pub fn with_share(self, ratio: Ratio) -> Option<Self> {
        self.checked_mul(i128::from(ratio.den) + i128::from(ratio.num), i128::from(ratio.den))
    }

    /// `None` if the result does not fit an amount.
    pub fn round(self, rounding: Rounding) -> Option<Money> {
        let (floor, rest) = (self.num.div_euclid(self.den), self.num.rem_euclid(self.den));
        let up = match rounding {
            Rounding::Up => rest > 0,
            Rounding::HalfEven => {
                let twice = rest.checked_mul(2)?;
                twice > self.den || (twice == self.den && floor.rem_euclid(2) == 1)
            }
        };
        i64::try_from(floor + i128::from(up)).ok().map(Money::nano)
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.num.checked_mul(other.den)?.cmp(&other.num.checked_mul(self.den)?))
    }
}

impl fmt::Display for Exact {
    /// Nano-units as `num` or `num/den`: exact, and the same text for the same amount.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.den {
            1 => write!(f, "{}", self.num),
            den => write!(f, "{}/{den}", self.num),
        }
    }
}

impl FromStr for Exact {
    type Err = String;

    /// As it is printed, and in no other way: the same amount has one text.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not an exact amount");
        let number = |part: &str| part.parse::<i128>().map_err(|_| wrong());
        let Some((num, den)) = text.split_once('/') else { return number(text).map(|num| Self { num, den: 1 }) };
        let read = Self { num: number(num)?, den: number(den)? };
        if read.den > 1 && gcd(read.num, read.den) == 1 { Ok(read) } else { Err(wrong()) }
    }
}

impl serde::Serialize for Exact {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Exact {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl serde::de::Visitor<'_> for Text {
            type Value = Exact;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an exact amount, `num` or `num/den`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Exact, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn money_text_is_exact() {
        assert_eq!("25".parse::<Money>(), Ok(Money::nano(25_000_000_000)));
        assert_eq!("0.0000071".parse::<Money>().map(|m| m.to_string()), Ok("0.0000071".into()));
        assert_eq!(Money::nano(-1).to_string(), "-0.000000001");
        assert_eq!(Money::nano(1_500_000_000).to_string(), "1.50");
        assert!("0.0000000001".parse::<Money>().is_err());
        assert!("1e400".parse::<Money>().is_err());
        assert!("9999999999999".parse::<Money>().is_err());
    }

    #[test]
    fn ratio_reads_percent_exactly() {
        assert_eq!(Ratio::from_percent("5.5"), Ok(Ratio { num: 55, den: 1000 }));
        assert_eq!(Ratio::from_percent("0"), Ok(Ratio { num: 0, den: 100 }));
        assert!(Ratio::from_percent("-1").is_err());
        assert_eq!(Ratio::from_percent("5.50").map(Ratio::to_percent), Ok("5.5".into()));
        assert_eq!(Ratio::from_decimal("0.5"), Ok(Ratio { num: 5, den: 10 }));
        assert_eq!(serde_json::to_string(&Ratio { num: 1, den: 2 }).unwrap(), "[1,2]");
        assert!(serde_json::from_str::<Ratio>("[1,0]").is_err());
    }

    #[test]
    fn half_even_and_ceil() {
        let half = |n| Exact::new(n, 2).and_then(|e| e.round(Rounding::HalfEven));
        assert_eq!(half(1), Some(Money::nano(0)));
        assert_eq!(half(3), Some(Money::nano(2)));
        assert_eq!(half(5), Some(Money::nano(2)));
        assert_eq!(Exact::new(1, 3).and_then(|e| e.round(Rounding::Up)), Some(Money::nano(1)));
    }

    proptest! {
        #[test]
        fn money_round_trips(n in any::<i64>()) {
            prop_assert_eq!(Money::nano(n).to_string().parse::<Money>(), Ok(Money::nano(n)));
        }

        #[test]
        fn half_even_never_exceeds_ceil_and_is_within_half(num in 0..i64::MAX, den in 1..1_000_000_i64) {
            let exact = Exact::new(num.into(), den.into()).unwrap();
            let (even, up) = (exact.round(Rounding::HalfEven).unwrap(), exact.round(Rounding::Up).unwrap());
            prop_assert!(even <= up);
            let error = (i128::from(even.as_nano()) * i128::from(den) - i128::from(num)).abs() * 2;
            prop_assert!(error <= i128::from(den));
        }

        #[test]
        fn exact_text_is_read_back(num in any::<i64>(), den in 1..1_000_000_i64) {
            let exact = Exact::new(num.into(), den.into()).unwrap();
            prop_assert_eq!(exact.to_string().parse::<Exact>(), Ok(exact));
            let doubled = format!("{}/{}", i128::from(num) * 2, den * 2);
            prop_assert!(doubled.parse::<Exact>().is_err());
        }

        #[test]
        fn addition_is_exact(a in -1_000_000_000_000_i64..1_000_000_000_000, b in -1_000_000_000_000_i64..1_000_000_000_000, d in 1..100_000_i64, e in 1..100_000_i64) {
            let (x, y) = (Exact::new(a.into(), d.into()).unwrap(), Exact::new(b.into(), e.into()).unwrap());
            let want = Exact::new(i128::from(a) * i128::from(e) + i128::from(b) * i128::from(d), i128::from(d) * i128::from(e)).unwrap();
            prop_assert_eq!(x.checked_add(y), Some(want));
        }
    }
}
