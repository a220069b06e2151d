//! Owns: what one unit of each meter costs, exactly, and how usage times price becomes an amount.
//! Refuses to know: rounding (base), who pays (ledger), where prices come from (the book, settings).

use crate::base::{Exact, Timestamp};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What is counted. Meters are a disjoint partition of a call's usage: no token is in two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(usize)]
pub enum Meter {
    InputUncached,
    CacheRead,
    CacheWrite,
    OutputText,
    OutputReasoning,
    AudioIn,
    AudioOut,
    ImageIn,
    Request,
}

impl Meter {
    pub const COUNT: usize = 9;
    pub const ALL: [Self; Self::COUNT] = [
        Self::InputUncached,
        Self::CacheRead,
        Self::CacheWrite,
        Self::OutputText,
        Self::OutputReasoning,
        Self::AudioIn,
        Self::AudioOut,
        Self::ImageIn,
        Self::Request,
    ];

    /// Where a provider names no price of its own for this meter, it bills the meter as this one.
    pub const fn billed_as(self) -> Option<Self> {
        match self {
            Self::CacheRead | Self::CacheWrite | Self::AudioIn | Self::ImageIn => Some(Self::InputUncached),
            Self::OutputReasoning | Self::AudioOut => Some(Self::OutputText),
            Self::InputUncached | Self::OutputText | Self::Request => None,
        }
    }

    pub const fn is_input(self) -> bool {
        match self {
            Self::InputUncached | Self::CacheRead | Self::CacheWrite | Self::AudioIn | Self::ImageIn => true,
            Self::OutputText | Self::OutputReasoning | Self::AudioOut | Self::Request => false,
        }
    }
}

/// Counts per meter of one call, disjoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage([u64; Meter::COUNT]);

impl Usage {
    pub const fn get(&self, meter: Meter) -> u64 {
        self.0[meter as usize]
    }

    pub const fn set(&mut self, meter: Meter, count: u64) {
        self.0[meter as usize] = count;
    }

    #[must_use]
    pub const fn with(mut self, meter: Meter, count: u64) -> Self {
        self.set(meter, count);
        self
    }

    /// All input tokens, cached or not.
    pub fn input_tokens(&self) -> u64 {
        Meter::ALL.iter().filter(|m| m.is_input()).fold(0, |sum, m| sum.saturating_add(self.get(*m)))
    }

    /// All output tokens, visible or not.
    pub fn output_tokens(&self) -> u64 {
        [Meter::OutputText, Meter::OutputReasoning, Meter::AudioOut].iter().fold(0, |sum, m| sum.saturating_add(self.get(*m)))
    }
}

impl Serialize for Usage {
    /// A map of the meters that are not zero.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Meter::ALL.iter().filter(|m| self.get(**m) > 0).map(|m| (m, self.get(*m))))
    }
}

impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let counts = std::collections::BTreeMap::<Meter, u64>::deserialize(deserializer)?;
        Ok(counts.into_iter().fold(Self::default(), |usage, (meter, count)| usage.with(meter, count)))
    }
}

/// One line of a price sheet: `num` pico-units (10^-12) of the currency buy `per` units of the meter. $0.0375 per
/// million tokens is 37 500 000 000 per 1 000 000; `per` exists because $0.04 an hour is no finite decimal per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceLine {
    pub meter: Meter,
    pub num: i64,
    pub per: u32,
    /// Tier: holds for the whole call when its input tokens exceed this; the highest threshold exceeded wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_input_tokens: Option<u64>,
}

/// The prices of one model at one provider from one day on. Immutable once used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceSheet {
    pub lines: Vec<PriceLine>,
    /// Where the figures come from: a data set with its version, `settings`, or `self-hosted`.
    pub source: String,
    pub effective_at_ms: i64,
}

/// An amount that no 128-bit rational holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountTooLarge;

impl fmt::Display for AmountTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the amount is too large to be exact")
    }
}

/// `sum` plus `pico / per` pico-units.
fn add_pico(sum: Exact, pico: i128, per: u32) -> Result<Exact, AmountTooLarge> {
    if pico == 0 {
        return Ok(sum);
    }
    let part = Exact::new(pico, i128::from(per) * 1000).ok_or(AmountTooLarge)?;
    sum.checked_add(part).ok_or(AmountTooLarge)
}

impl PriceSheet {
    /// A sheet on which everything costs nothing, by declaration of the operator (self-hosted models).
    pub fn free(source: &str) -> Self {
        let line = |meter| PriceLine { meter, num: 0, per: 1_000_000, above_input_tokens: None };
        Self { lines: vec![line(Meter::InputUncached), line(Meter::OutputText)], source: source.into(), effective_at_ms: 0 }
    }

    pub fn effective_at(&self) -> Timestamp {
        Timestamp(self.effective_at_ms)
    }

    /// The line that prices `meter` in a call with `input_tokens`, following `Meter::billed_as`.
    pub fn line(&self, meter: Meter, input_tokens: u64) -> Option<&PriceLine> {
        let fits = |line: &&PriceLine| line.meter == meter && line.above_input_tokens.is_none_or(|above| input_tokens > above);
        let own = self.lines.iter().filter(fits).max_by_key(|line| line.above_input_tokens.map_or(0, |above| above.saturating_add(1)));
        own.or_else(|| meter.billed_as().and_then(|other| self.line(other, input_tokens)))
    }

    /// Exact amount of a call, in nano-units: the sum over the meters of count x num / per. A meter that has neither a
    /// line nor one it is billed as costs nothing here (`Request` on most sheets).
    pub fn amount(&self, usage: &Usage) -> Result<Exact, AmountTooLarge> {
        let input_tokens = usage.input_tokens();
        // Lines with the same `per`, on most sheets all of them, are added as whole pico-units and reduced once.
        let (mut sum, mut pico, mut per) = (Exact::ZERO, 0_i128, 1_u32);
        for meter in Meter::ALL.into_iter().filter(|meter| usage.get(*meter) > 0) {
            let Some(line) = self.line(meter, input_tokens) else { continue };
            if line.per != per {
                sum = add_pico(sum, pico, per)?;
                (pico, per) = (0, line.per);
            }
            let part = i128::from(usage.get(meter)).checked_mul(line.num.into()).ok_or(AmountTooLarge)?;
            pico = pico.checked_add(part).ok_or(AmountTooLarge)?;
        }
        add_pico(sum, pico, per)
    }

    /// Upper bound of a call's cost: all input at the dearest input meter, all output at the dearest output meter, each
    /// at the dearest tier it may reach.
    pub fn upper_bound(&self, input_tokens: u64, output_tokens: u64) -> Result<Exact, AmountTooLarge> {
        let dearest = |wanted: fn(Meter) -> bool, count: u64| -> Result<Exact, AmountTooLarge> {
            let mut worst = Exact::ZERO;
            for line in self.lines.iter().filter(|l| wanted(l.meter) && l.above_input_tokens.is_none_or(|a| input_tokens > a)) {
                let pico = i128::from(count).checked_mul(line.num.into()).ok_or(AmountTooLarge)?;
                let amount = Exact::new(pico, i128::from(line.per) * 1000).ok_or(AmountTooLarge)?;
                if amount > worst {
                    worst = amount;
                }
            }
            Ok(worst)
        };
        let input = dearest(Meter::is_input, input_tokens)?;
        let output = dearest(|m| !m.is_input() && m != Meter::Request, output_tokens)?;
        let request = dearest(|m| m == Meter::Request, 1)?;
        input.checked_add(output).and_then(|sum| sum.checked_add(request)).ok_or(AmountTooLarge)
    }
}

/// A price sheet with its content hash: what an order refers to for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedPrice {
    pub hash: [u8; 32],
    /// The sheet as canonical JSON: what the hash is of.
    pub json: Box<str>,
}

impl PinnedPrice {
    pub fn of(sheet: &PriceSheet) -> Arc<Self> {
        // A sheet of numbers and text always serialises; an empty text would only make the hash useless, not wrong.
        let json = serde_json::to_string(sheet).unwrap_or_default();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, json.as_bytes()).as_ref());
        Arc::new(Self { hash, json: json.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Money, Rounding};
    use proptest::prelude::*;

    fn line(meter: Meter, num: i64, per: u32, above_input_tokens: Option<u64>) -> PriceLine {
        PriceLine { meter, num, per, above_input_tokens }
    }

    fn sheet(lines: Vec<PriceLine>) -> PriceSheet {
        PriceSheet { lines, source: "test".into(), effective_at_ms: 0 }
    }

    /// gpt-4o-mini: $0.15 in, $0.075 cached, $0.60 out per million.
    fn mini() -> PriceSheet {
        sheet(vec![
            line(Meter::InputUncached, 150_000_000_000, 1_000_000, None),
            line(Meter::CacheRead, 75_000_000_000, 1_000_000, None),
            line(Meter::OutputText, 600_000_000_000, 1_000_000, None),
        ])
    }

    fn nano(sheet: &PriceSheet, usage: Usage) -> i64 {
        sheet.amount(&usage).unwrap().round(Rounding::HalfEven).unwrap().as_nano()
    }

    #[test]
    fn worked_example() {
        let usage = Usage::default().with(Meter::InputUncached, 60).with(Meter::CacheRead, 40).with(Meter::OutputText, 20);
        assert_eq!(nano(&mini(), usage), 60 * 150 + 40 * 75 + 20 * 600);
    }

    #[test]
    fn one_embedding_token_rounds_once() {
        let embed = sheet(vec![line(Meter::InputUncached, 37_500_000_000, 1_000_000, None)]);
        assert_eq!(nano(&embed, Usage::default().with(Meter::InputUncached, 1)), 38);
    }

    #[test]
    fn reasoning_without_its_own_line_is_billed_as_text() {
        assert_eq!(nano(&mini(), Usage::default().with(Meter::OutputReasoning, 10)), 6000);
    }

    #[test]
    fn tier_holds_for_the_whole_call() {
        let tiered = sheet(vec![line(Meter::InputUncached, 1_000_000, 1, None), line(Meter::InputUncached, 2_000_000, 1, Some(100))]);
        assert_eq!(nano(&tiered, Usage::default().with(Meter::InputUncached, 100)), 100 * 1000);
        assert_eq!(nano(&tiered, Usage::default().with(Meter::InputUncached, 101)), 101 * 2000);
    }

    proptest! {
        #[test]
        fn never_above_the_bound_and_never_panics(counts in proptest::array::uniform8(0..u64::MAX), cap in any::<bool>()) {
            let limit = if cap { 10_000_000 } else { u64::MAX / 8 };
            let mut usage = Usage::default();
            for (meter, count) in Meter::ALL.iter().zip(counts) { usage.set(*meter, count % limit); }
            if let (Ok(amount), Ok(bound)) = (mini().amount(&usage), mini().upper_bound(usage.input_tokens(), usage.output_tokens())) {
                prop_assert!(amount <= bound);
                prop_assert!(amount.round(Rounding::HalfEven) <= bound.round(Rounding::Up) || bound.round(Rounding::Up).is_none());
            }
        }

        #[test]
        fn more_usage_never_costs_less(a in 0..1_000_000_u64, more in 0..1_000_000_u64) {
            let one = Usage::default().with(Meter::OutputText, a);
            let two = Usage::default().with(Meter::OutputText, a + more);
            prop_assert!(mini().amount(&one).unwrap() <= mini().amount(&two).unwrap());
        }

        #[test]
        fn usage_round_trips_as_json(counts in proptest::array::uniform8(any::<u64>())) {
            let mut usage = Usage::default();
            for (meter, count) in Meter::ALL.iter().zip(counts) { usage.set(*meter, count); }
            let text = serde_json::to_string(&usage).unwrap();
            prop_assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), usage);
        }
    }

    #[test]
    fn free_is_zero_by_declaration() {
        let bound = PriceSheet::free("self-hosted").upper_bound(1000, 1000).unwrap();
        assert_eq!(bound.round(Rounding::Up), Some(Money::ZERO));
    }
}
