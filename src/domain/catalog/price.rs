//! Owns: what one unit of each meter costs, exactly, and how usage times price becomes an amount.
//! Refuses to know: rounding (base), who pays (ledger), what is charged beyond the cost (markup), where prices come from
//! (the book, settings).

use super::{DayWindow, Meter, Rating, ServiceTier, Usage};
use crate::base::{Exact, Ratio, Timestamp, hex};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One line of a price sheet: `num` pico-units (10^-12) of the currency buy `per` units of the meter. $0.0375 per
/// million tokens is 37 500 000 000 per 1 000 000; `per` exists because $0.04 an hour is no finite decimal per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceLine {
    pub meter: Meter,
    pub num: i64,
    pub per: u32,
    /// Holds for the whole call when its input tokens exceed this; the highest threshold exceeded wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_input_tokens: Option<u64>,
    /// Only in this tier. `None`: in every tier that has no line of its own for the meter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<ServiceTier>,
    /// Only at this time of day, where it goes before a line without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<DayWindow>,
}

impl PriceLine {
    /// In every tier, at every time, for calls of every size.
    pub const fn new(meter: Meter, num: i64, per: u32) -> Self {
        Self { meter, num, per, above_input_tokens: None, tier: None, window: None }
    }

    fn fits(&self, meter: Meter, tier: Option<ServiceTier>, input_tokens: u64, at: Timestamp) -> bool {
        self.meter == meter
            && self.tier == tier
            && self.above_input_tokens.is_none_or(|above| input_tokens > above)
            && self.window.is_none_or(|window| window.contains(at))
    }
}

/// The prices of one model at one provider from one day on. Immutable once used. What a sheet does not have is left out
/// of its JSON, so that the hash of a sheet stays as it was when sheets learn to say more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceSheet {
    pub lines: Vec<PriceLine>,
    /// Where the figures come from: a data set with its version, `settings`, or `self-hosted`.
    pub source: String,
    pub effective_at_ms: i64,
    /// Tiers that cost this much of the ordinary price of a meter wherever they have no line of their own for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<ServiceTier, Ratio>,
}

/// An amount that no 128-bit rational holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountTooLarge;

impl fmt::Display for AmountTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the amount is too large to be exact")
    }
}

/// The ordinary price.
const WHOLE: Ratio = Ratio { num: 1, den: 1 };

/// What `count` units on a line come to, times `factor`: pico-units, and of how many units.
fn pico(line: &PriceLine, factor: Ratio, count: u64) -> Result<(i128, u64), AmountTooLarge> {
    let num = i128::from(line.num) * i128::from(factor.num);
    let pico = i128::from(count).checked_mul(num).ok_or(AmountTooLarge)?;
    Ok((pico, u64::from(line.per) * u64::from(factor.den)))
}

/// `sum` plus `pico / per` pico-units.
fn add_pico(sum: Exact, pico: i128, per: u64) -> Result<Exact, AmountTooLarge> {
    if pico == 0 {
        return Ok(sum);
    }
    let part = Exact::new(pico, i128::from(per) * 1000).ok_or(AmountTooLarge)?;
    if sum.is_zero() { Ok(part) } else { sum.checked_add(part).ok_or(AmountTooLarge) }
}

impl PriceSheet {
    pub const fn new(lines: Vec<PriceLine>, source: String, effective_at_ms: i64) -> Self {
        Self { lines, source, effective_at_ms, factors: BTreeMap::new() }
    }

    /// A sheet on which everything costs nothing, by declaration of the operator (self-hosted models).
    pub fn free(source: &str) -> Self {
        let line = |meter| PriceLine::new(meter, 0, 1_000_000);
        Self::new(vec![line(Meter::InputUncached), line(Meter::OutputText)], source.to_owned(), 0)
    }

    pub fn effective_at(&self) -> Timestamp {
        Timestamp(self.effective_at_ms)
    }

    /// The line that prices `meter` in a call with `input_tokens`, and its factor: the tier's own line; else the ordinary
    /// one times the tier's factor; else that of the meter it is billed as.
    fn line(&self, meter: Meter, input_tokens: u64, rating: &Rating) -> Option<(&PriceLine, Ratio)> {
        let rank = |line: &&PriceLine| (line.above_input_tokens.map_or(0, |above| above.saturating_add(1)), line.window.is_some());
        let of = |tier| self.lines.iter().filter(|line| line.fits(meter, tier, input_tokens, rating.at)).max_by_key(rank);
        if let Some(own) = of(Some(rating.tier)) {
            return Some((own, WHOLE));
        }
        let ordinary = of(None).map(|line| (line, self.factor(rating.tier, meter)));
        ordinary.or_else(|| meter.billed_as().and_then(|other| self.line(other, input_tokens, rating)))
    }

    /// Tiers are classes of computing: what is not tokens has one price in all of them.
    fn factor(&self, tier: ServiceTier, meter: Meter) -> Ratio {
        let factor = self.factors.get(&tier).filter(|_| meter.is_input() || meter.is_output());
        factor.copied().unwrap_or(WHOLE)
    }

    /// Exact amount of a call, in nano-units: the sum over the meters of count x num / per. A meter that has neither a
    /// line nor one it is billed as costs nothing here (`Request` on most sheets).
    pub fn amount(&self, usage: &Usage, rating: &Rating) -> Result<Exact, AmountTooLarge> {
        let input_tokens = usage.input_tokens();
        // Lines with the same `per`, on most sheets all of them, are added as whole pico-units and reduced once.
        let (mut sum, mut whole, mut per) = (Exact::ZERO, 0_i128, 1_u64);
        for meter in Meter::ALL.into_iter().filter(|meter| usage.get(*meter) > 0) {
            let Some((line, factor)) = self.line(meter, input_tokens, rating) else { continue };
            let (part, part_per) = pico(line, factor, usage.get(meter))?;
            if part_per != per {
                sum = add_pico(sum, whole, per)?;
                (whole, per) = (0, part_per);
            }
            whole = whole.checked_add(part).ok_or(AmountTooLarge)?;
        }
        add_pico(sum, whole, per)
    }

    /// Upper bound of the amount of a call that uses at most `most`: all its input at the dearest input meter, all its
    /// output at the dearest output meter, other units at their own price; each at the dearest threshold it may reach, in
    /// the dearest tier that may serve it, at the dearest time of day, because nobody knows when the provider looks at
    /// its clock.
    pub fn bound(&self, most: &Usage, rating: &Rating) -> Result<Exact, AmountTooLarge> {
        let input_tokens = most.input_tokens();
        let mut worst = Exact::ZERO;
        let mut plain_is_known = false;
        for tier in ServiceTier::PRICED.into_iter().filter(|tier| rating.tier.may_become(*tier)) {
            // Most sheets say nothing of most tiers, and those cost all the same.
            if self.is_plain(tier) && std::mem::replace(&mut plain_is_known, true) {
                continue;
            }
            let dearest = |wanted: &dyn Fn(Meter) -> bool, count| self.dearest(wanted, count, input_tokens, tier);
            let mut sum = dearest(&Meter::is_input, input_tokens)?;
            sum = sum.checked_add(dearest(&Meter::is_output, most.output_tokens())?).ok_or(AmountTooLarge)?;
            for unit in Meter::ALL.into_iter().filter(|meter| !meter.is_input() && !meter.is_output() && most.get(*meter) > 0) {
                sum = sum.checked_add(dearest(&|meter| meter == unit, most.get(unit))?).ok_or(AmountTooLarge)?;
            }
            worst = dearer(worst, sum)?;
        }
        Ok(worst)
    }

    /// A meter that was used and has no price here, nor one that it is billed as: what the call costs is then not known.
    /// Most sheets have no price for the request itself, which is no gap.
    pub fn unpriced(&self, usage: &Usage) -> Option<Meter> {
        if self.is_free() {
            return None;
        }
        let priced = |meter: Meter| std::iter::successors(Some(meter), |meter| meter.billed_as()).any(|meter| self.has(meter));
        Meter::ALL.into_iter().find(|meter| *meter != Meter::Request && usage.get(*meter) > 0 && !priced(*meter))
    }

    /// Does the sheet say what a call in this tier costs? Where it says nothing of a tier, a lesser one costs the ordinary price
    /// at most; what a better one costs is then unknown.
    pub fn sells(&self, tier: ServiceTier) -> bool {
        match tier {
            ServiceTier::Auto | ServiceTier::Standard | ServiceTier::Flex | ServiceTier::Batch => true,
            ServiceTier::Priority | ServiceTier::Ultrafast => {
                self.is_free() || self.factors.contains_key(&tier) || self.lines.iter().any(|line| line.tier == Some(tier))
            }
        }
    }

    /// Has the tier nothing of its own here?
    fn is_plain(&self, tier: ServiceTier) -> bool {
        !self.factors.contains_key(&tier) && self.lines.iter().all(|line| line.tier != Some(tier))
    }

    fn is_free(&self) -> bool {
        self.lines.iter().all(|line| line.num == 0)
    }

    fn has(&self, meter: Meter) -> bool {
        self.lines.iter().any(|line| line.meter == meter)
    }

    /// The most that `count` units of the wanted meters may cost in `tier`.
    fn dearest(&self, wanted: &dyn Fn(Meter) -> bool, count: u64, input_tokens: u64, tier: ServiceTier) -> Result<Exact, AmountTooLarge> {
        // Compared crosswise: only the dearest is brought to lowest terms.
        let (mut worst, mut worst_per) = (0_i128, 1_u64);
        let reached = |line: &&PriceLine| wanted(line.meter) && line.above_input_tokens.is_none_or(|above| input_tokens > above);
        for line in self.lines.iter().filter(reached) {
            let factor = match line.tier {
                Some(other) if other == tier => WHOLE,
                Some(_) => continue,
                None if self.replaced(line.meter, tier) => continue,
                None => self.factor(tier, line.meter),
            };
            let (whole, per) = pico(line, factor, count)?;
            let crosswise = |whole: i128, per: u64| whole.checked_mul(per.into()).ok_or(AmountTooLarge);
            if crosswise(whole, worst_per)? > crosswise(worst, per)? {
                (worst, worst_per) = (whole, per);
            }
        }
        add_pico(Exact::ZERO, worst, worst_per)
    }

    /// Has the tier a line of its own for the meter that holds always?
    fn replaced(&self, meter: Meter, tier: ServiceTier) -> bool {
        let always = |line: &PriceLine| line.above_input_tokens.is_none() && line.window.is_none();
        self.lines.iter().any(|line| line.meter == meter && line.tier == Some(tier) && always(line))
    }
}

/// The larger of two amounts. What cannot be compared is too large to be held.
fn dearer(a: Exact, b: Exact) -> Result<Exact, AmountTooLarge> {
    a.partial_cmp(&b).map(|order| if order.is_lt() { b } else { a }).ok_or(AmountTooLarge)
}

/// A price sheet with its content hash: what an order refers to for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedPrice {
    pub hash: [u8; 32],
    /// The sheet as canonical JSON: what the hash is of.
    pub json: Box<str>,
    pub sheet: PriceSheet,
}

impl PinnedPrice {
    pub fn of(sheet: &PriceSheet) -> Arc<Self> {
        // A sheet of numbers and text always serialises; an empty text would only make the hash useless, not wrong.
        let json = serde_json::to_string(sheet).unwrap_or_default();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, json.as_bytes()).as_ref());
        Arc::new(Self { hash, json: json.into(), sheet: sheet.clone() })
    }

    pub fn hash_hex(&self) -> String {
        hex(&self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Money, Rounding};
    use proptest::prelude::*;

    const NOON: Timestamp = Timestamp(43_200_000);

    fn sheet(lines: Vec<PriceLine>) -> PriceSheet {
        PriceSheet::new(lines, "test".into(), 0)
    }

    /// gpt-4o-mini: $0.15 in, $0.075 cached, $0.60 out per million.
    fn mini() -> PriceSheet {
        sheet(vec![
            PriceLine::new(Meter::InputUncached, 150_000_000_000, 1_000_000),
            PriceLine::new(Meter::CacheRead, 75_000_000_000, 1_000_000),
            PriceLine::new(Meter::OutputText, 600_000_000_000, 1_000_000),
        ])
    }

    /// The same with a flex price, a batch factor, a long-context price and a night price.
    fn rich() -> PriceSheet {
        let mut rich = mini();
        let dear = PriceLine { above_input_tokens: Some(1000), ..PriceLine::new(Meter::InputUncached, 300_000_000_000, 1_000_000) };
        let night =
            PriceLine { window: DayWindow::between("16:30", "00:30"), ..PriceLine::new(Meter::OutputText, 300_000_000_000, 1_000_000) };
        let flex = PriceLine { tier: Some(ServiceTier::Flex), ..PriceLine::new(Meter::InputUncached, 75_000_000_000, 1_000_000) };
        rich.lines.extend([dear, night, flex, PriceLine::new(Meter::Searches, 10_000_000_000_000, 1000)]);
        rich.factors = BTreeMap::from([(ServiceTier::Batch, Ratio { num: 1, den: 2 }), (ServiceTier::Priority, Ratio { num: 2, den: 1 })]);
        rich
    }

    fn tokens(input: u64, output: u64) -> Usage {
        Usage::default().with(Meter::InputUncached, input).with(Meter::OutputText, output)
    }

    fn rated(sheet: &PriceSheet, usage: Usage, tier: ServiceTier, at: Timestamp) -> i64 {
        sheet.amount(&usage, &Rating { tier, at }).unwrap().round(Rounding::HalfEven).unwrap().as_nano()
    }

    fn nano(sheet: &PriceSheet, usage: Usage) -> i64 {
        rated(sheet, usage, ServiceTier::Standard, NOON)
    }

    #[test]
    fn worked_example() {
        let usage = Usage::default().with(Meter::InputUncached, 60).with(Meter::CacheRead, 40).with(Meter::OutputText, 20);
        assert_eq!(nano(&mini(), usage), 60 * 150 + 40 * 75 + 20 * 600);
    }

    /// Ledger law, case 16: each unit is rounded once.
    #[test]
    fn audio_embeddings_and_images() {
        let of = |meter, num, per, count| nano(&sheet(vec![PriceLine::new(meter, num, per)]), Usage::default().with(meter, count));
        assert_eq!(of(Meter::Seconds, 40_000_000_000, 3600, 37), 411_111, "37 s at $0.04 an hour");
        assert_eq!(of(Meter::InputUncached, 37_500_000_000, 1_000_000, 1), 38, "1 token at $0.0375 a million");
        assert_eq!(of(Meter::ImageOut, 40_000_000_000, 1, 3), 120_000_000, "3 images at $0.04");
        assert_eq!(of(Meter::Characters, 15_000_000_000_000, 1_000_000, 11), 165_000, "11 characters at $15 a million");
        assert_eq!(of(Meter::Searches, 10_000_000_000_000, 1000, 2), 20_000_000, "2 searches at $10 a thousand");
    }

    #[test]
    fn a_meter_without_its_own_line_is_billed_as_another() {
        assert_eq!(nano(&mini(), Usage::default().with(Meter::OutputReasoning, 10)), 6000);
        let mut writes = mini();
        writes.lines.push(PriceLine::new(Meter::CacheWrite, 187_500_000_000, 1_000_000));
        let hour = Usage::default().with(Meter::CacheWrite1h, 10);
        assert_eq!(nano(&writes, hour), 1875);
        writes.lines.push(PriceLine::new(Meter::CacheWrite1h, 300_000_000_000, 1_000_000));
        assert_eq!(nano(&writes, hour), 3000);
        assert_eq!(nano(&writes, Usage::default().with(Meter::CacheWrite, 10)), 1875);
    }

    #[test]
    fn a_threshold_holds_for_the_whole_call() {
        let input = |count| nano(&rich(), Usage::default().with(Meter::InputUncached, count));
        assert_eq!((input(1000), input(1001)), (150_000, 300_300));
    }

    #[test]
    fn a_tier_has_its_line_or_its_factor() {
        let usage = Usage::default().with(Meter::InputUncached, 100).with(Meter::OutputText, 10);
        assert_eq!(rated(&rich(), usage, ServiceTier::Flex, NOON), 100 * 75 + 10 * 600, "flex has no output line and no factor");
        assert_eq!(rated(&rich(), usage, ServiceTier::Batch, NOON), 100 * 75 + 10 * 300);
        assert_eq!(rated(&rich(), usage, ServiceTier::Priority, NOON), (100 * 150 + 10 * 600) * 2);
        assert_eq!(rated(&rich(), usage, ServiceTier::Auto, NOON), 100 * 150 + 10 * 600);
        let search = Usage::default().with(Meter::Searches, 1);
        assert_eq!(rated(&rich(), search, ServiceTier::Batch, NOON), 10_000_000, "a search is not cheaper in a batch");
    }

    #[test]
    fn a_window_has_its_own_price() {
        let usage = Usage::default().with(Meter::OutputText, 10);
        let at = |minute: i64| rated(&rich(), usage, ServiceTier::Standard, Timestamp(minute * 60_000));
        assert_eq!((at(989), at(990), at(1439), at(1440 + 29), at(1440 + 30)), (6000, 3000, 3000, 3000, 6000));
    }

    #[test]
    fn the_bound_takes_the_dearest_tier_and_time_that_may_come() {
        let bound = |tier| rich().bound(&tokens(100, 10), &Rating { tier, at: NOON }).unwrap().round(Rounding::Up).unwrap().as_nano();
        assert_eq!(bound(ServiceTier::Standard), 100 * 150 + 10 * 600);
        assert_eq!(bound(ServiceTier::Batch), 100 * 75 + 10 * 300);
        assert_eq!(bound(ServiceTier::Flex), 100 * 150 + 10 * 600, "a provider may serve it as standard");
        assert_eq!(bound(ServiceTier::Auto), (100 * 150 + 10 * 600) * 2);
        assert_eq!(bound(ServiceTier::Ultrafast), (100 * 150 + 10 * 600) * 2, "it may fall back to priority");
    }

    #[test]
    fn a_better_tier_without_a_price_is_not_sold() {
        assert!(mini().sells(ServiceTier::Flex) && !mini().sells(ServiceTier::Priority));
        assert!(rich().sells(ServiceTier::Priority) && !rich().sells(ServiceTier::Ultrafast));
        assert!(PriceSheet::free("self-hosted").sells(ServiceTier::Priority));
    }

    #[test]
    fn what_no_line_prices_is_told() {
        let unpriced = |meter, count| mini().unpriced(&tokens(5, 5).with(meter, count).with(Meter::Request, 1));
        assert_eq!((unpriced(Meter::CacheWrite1h, 3), unpriced(Meter::AudioOut, 3), unpriced(Meter::Searches, 0)), (None, None, None));
        assert_eq!(unpriced(Meter::Searches, 1), Some(Meter::Searches));
        assert_eq!(rich().unpriced(&tokens(1, 1).with(Meter::Searches, 1)), None);
        let sheet = PriceSheet::new(vec![PriceLine::new(Meter::InputUncached, 1, 1)], "embeddings".into(), 0);
        assert_eq!((sheet.unpriced(&tokens(1, 0)), sheet.unpriced(&tokens(1, 1))), (None, Some(Meter::OutputText)));
    }

    #[test]
    fn a_sheet_without_the_new_members_keeps_its_hash() {
        let json = r#"{"lines":[{"meter":"input_uncached","num":1,"per":2},{"meter":"output_text","num":3,"per":4,"above_input_tokens":5}],"source":"s","effective_at_ms":7}"#;
        let sheet: PriceSheet = serde_json::from_str(json).unwrap();
        assert_eq!(&*PinnedPrice::of(&sheet).json, json);
        let rich_json = serde_json::to_string(&rich()).unwrap();
        assert_eq!(serde_json::from_str::<PriceSheet>(&rich_json).unwrap(), rich());
    }

    proptest! {
        #[test]
        fn never_above_the_bound_and_never_panics(
            counts in proptest::array::uniform14(0..u64::MAX), cap in any::<bool>(), asked in 0..6_usize, served in 0..5_usize, at in any::<i64>(),
        ) {
            let limit = if cap { 10_000_000 } else { u64::MAX / 8 };
            let mut usage = Usage::default();
            for (meter, count) in Meter::ALL.iter().zip(counts) { usage.set(*meter, count % limit); }
            let asked = *ServiceTier::PRICED.get(asked).unwrap_or(&ServiceTier::Auto);
            let (served, at) = (ServiceTier::PRICED[served], Timestamp(at));
            prop_assume!(asked.may_become(served));
            let amount = rich().amount(&usage, &Rating { tier: served, at });
            let bound = rich().bound(&usage, &Rating { tier: asked, at: NOON });
            prop_assert!(!cap || (amount.is_ok() && bound.is_ok()));
            if let (Ok(amount), Ok(bound)) = (amount, bound) {
                prop_assert!(dearer(amount, bound).is_ok_and(|dearer| dearer == bound) || !cap);
                prop_assert!(amount.round(Rounding::HalfEven) <= bound.round(Rounding::Up) || bound.round(Rounding::Up).is_none());
            }
        }

        #[test]
        fn more_usage_never_costs_less(a in 0..1_000_000_u64, more in 0..1_000_000_u64) {
            let one = Usage::default().with(Meter::OutputText, a);
            let two = Usage::default().with(Meter::OutputText, a + more);
            let amount = |usage| mini().amount(usage, &Rating::standard(NOON)).unwrap();
            prop_assert!(amount(&one) <= amount(&two));
        }
    }

    #[test]
    fn free_is_zero_by_declaration() {
        let bound = PriceSheet::free("self-hosted").bound(&tokens(1000, 1000), &Rating::standard(NOON)).unwrap();
        assert_eq!(bound.round(Rounding::Up), Some(Money::ZERO));
    }
}
