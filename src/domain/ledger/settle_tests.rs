//! Amounts: the worked examples of the ledger law, and what holds for all of them.

use super::*;
use crate::base::Timestamp;
use crate::domain::catalog::{DayWindow, Meter, PinnedPrice, PriceLine, ServiceTier};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NOW: Rating = Rating::standard(Timestamp(0));

fn sheet(input: i64, output: i64) -> PriceSheet {
    let line = |meter, num| PriceLine::new(meter, num, 1_000_000);
    PriceSheet::new(vec![line(Meter::InputUncached, input), line(Meter::OutputText, output)], "test".into(), 0)
}

/// With everything a price may depend on.
fn rich(input: i64, output: i64, scale: i64) -> PriceSheet {
    let mut rich = sheet(input, output);
    let line = |meter, num: i64| PriceLine::new(meter, num / scale, 1_000_000);
    rich.lines.push(PriceLine { tier: Some(ServiceTier::Flex), ..line(Meter::InputUncached, input) });
    rich.lines.push(PriceLine { window: DayWindow::between("16:30", "00:30"), ..line(Meter::OutputText, output) });
    rich.lines.push(PriceLine { above_input_tokens: Some(200_000), ..PriceLine::new(Meter::InputUncached, input, 500_000) });
    rich.lines.push(line(Meter::CacheRead, input));
    rich.factors = BTreeMap::from([(ServiceTier::Batch, Ratio { num: 1, den: 2 }), (ServiceTier::Priority, Ratio { num: 7, den: 4 })]);
    rich
}

fn markup(percent: &str) -> Sell {
    Sell::Markup(Ratio::from_percent(percent).unwrap())
}

fn tokens(count: u64) -> Usage {
    Usage::default().with(Meter::InputUncached, count)
}

#[test]
fn the_worked_example_of_the_ledger_law() {
    // cost 6 730 nano, fee 5.5 %: exact charge 7 100.15 -> 7 100 = 6 730 + 370.
    let amounts = settle_amounts(&tokens(6730), &sheet(1_000_000_000, 0), &NOW, &markup("5.5"), Ratio::ZERO).unwrap();
    assert_eq!(
        (amounts.cost.as_nano(), amounts.charge.as_nano(), amounts.pass_through.as_nano(), amounts.fee.as_nano()),
        (6730, 7100, 6730, 370)
    );
    assert_eq!(amounts.builder, Money::ZERO);
}

#[test]
fn the_users_own_key_pays_the_fee_only() {
    // Case 7 of the law: a hold of 50 000, a fee of 3 700, and no cost of ours.
    let (upstream, sell) = (sheet(1_000_000_000, 0), markup("5"));
    assert_eq!(own_key_hold_for(&upstream, &tokens(1_000_000), &NOW, &sell, Ratio::ZERO).unwrap(), Money::nano(50_000));
    let (amounts, billed) = own_key_amounts(&tokens(74_000), &upstream, &NOW, &sell, Ratio::ZERO).unwrap();
    assert_eq!((amounts.cost, amounts.charge, amounts.fee), (Money::ZERO, Money::nano(3700), Money::nano(3700)));
    assert_eq!((amounts.pass_through, amounts.cost_exact, billed.to_string()), (Money::ZERO, Exact::ZERO, "74000".to_owned()));
}

#[test]
fn a_sell_price_is_apart_from_the_cost() {
    let sell = Sell::Sheet(PinnedPrice::of(&sheet(1_500_000_000, 0)));
    let amounts = settle_amounts(&tokens(1000), &sheet(1_000_000_000, 0), &NOW, &sell, Ratio::ZERO).unwrap();
    assert_eq!((amounts.cost.as_nano(), amounts.charge.as_nano(), amounts.fee.as_nano()), (1000, 1500, 500));
    let below = Sell::Sheet(PinnedPrice::of(&sheet(400_000_000, 0)));
    let amounts = settle_amounts(&tokens(1000), &sheet(1_000_000_000, 0), &NOW, &below, Ratio::ZERO).unwrap();
    assert_eq!(
        (amounts.cost.as_nano(), amounts.charge.as_nano(), amounts.pass_through.as_nano(), amounts.fee.as_nano()),
        (1000, 400, 400, 0)
    );
    let (own, _) = own_key_amounts(&tokens(1000), &sheet(1_000_000_000, 0), &NOW, &below, Ratio::ZERO).unwrap();
    assert_eq!(own.charge, Money::ZERO, "a price below what the user pays the provider is no debt of ours");
}

#[test]
fn the_builder_has_a_part_of_the_fee() {
    let tenth = Ratio { num: 10, den: 100 };
    let amounts = settle_amounts(&tokens(1000), &sheet(1_000_000_000, 0), &NOW, &markup("5"), tenth).unwrap();
    assert_eq!((amounts.charge.as_nano(), amounts.fee.as_nano(), amounts.builder.as_nano()), (1150, 150, 100));
    let (own, _) = own_key_amounts(&tokens(1000), &sheet(1_000_000_000, 0), &NOW, &markup("5"), tenth).unwrap();
    assert_eq!((own.charge.as_nano(), own.fee.as_nano(), own.builder.as_nano()), (150, 150, 100));
    let gift = Sell::Sheet(PinnedPrice::of(&sheet(0, 0)));
    let amounts = settle_amounts(&tokens(1000), &sheet(1_000_000_000, 0), &NOW, &gift, tenth).unwrap();
    assert_eq!((amounts.charge.as_nano(), amounts.fee, amounts.builder), (100, Money::ZERO, Money::ZERO), "never more than the fee");
}

#[test]
fn something_is_never_charged_as_nothing() {
    assert_eq!(settle_amounts(&tokens(1), &sheet(1_000_000, 0), &NOW, &markup("0"), Ratio::ZERO).unwrap().charge, Money::nano(1));
    let (own, _) = own_key_amounts(&tokens(1), &sheet(1_000_000, 0), &NOW, &markup("1"), Ratio::ZERO).unwrap();
    assert_eq!((own.charge, own.fee), (Money::nano(1), Money::nano(1)));
    assert_eq!(settle_amounts(&tokens(1), &sheet(0, 0), &NOW, &markup("9"), Ratio::ZERO).unwrap().charge, Money::ZERO, "free is free");
}

const TIERS: [ServiceTier; 6] =
    [ServiceTier::Auto, ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Batch, ServiceTier::Ultrafast];

/// A tier that a call asks for, and one that it may be served in.
fn asked_and_served() -> impl Strategy<Value = (ServiceTier, ServiceTier)> {
    let pairs = TIERS.into_iter().flat_map(|asked| ServiceTier::PRICED.map(|served| (asked, served)));
    proptest::sample::select(pairs.filter(|(asked, served)| asked.may_become(*served)).collect::<Vec<_>>())
}

/// Any line: of any meter, for any size of call, tier and time of day.
fn any_line() -> impl Strategy<Value = PriceLine> {
    let per = prop_oneof![Just(1000_u32), Just(3600), Just(1_000_000), 1000..10_000_u32];
    let window = prop_oneof![Just(None), (0..1440_u16, 0..1440_u16).prop_map(|(from, to)| DayWindow::new(from, to))];
    let tier = proptest::option::of(0..ServiceTier::PRICED.len());
    let above = proptest::option::of(prop_oneof![Just(0), Just(1000), 0..3_000_000_u64]);
    (0..Meter::COUNT, 0..1_000_000_000_000_i64, per, window, tier, above).prop_map(|(meter, num, per, window, tier, above)| PriceLine {
        window,
        tier: tier.map(|tier| ServiceTier::PRICED[tier]),
        above_input_tokens: above,
        ..PriceLine::new(Meter::ALL[meter], num, per)
    })
}

/// Any sheet, sensible or not.
fn any_sheet() -> impl Strategy<Value = PriceSheet> {
    let factors = proptest::collection::btree_map(0..ServiceTier::PRICED.len(), (0..500_u32, 1..100_u32), 0..4);
    (proptest::collection::vec(any_line(), 0..20), factors).prop_map(|(lines, factors)| {
        let mut sheet = PriceSheet::new(lines, "any".into(), 0);
        sheet.factors = factors.into_iter().map(|(tier, (num, den))| (ServiceTier::PRICED[tier], Ratio { num, den })).collect();
        sheet
    })
}

/// A bound, as reserve makes one, and any usage within it: input and output divided among their meters as it may happen.
fn bound_and_usage() -> impl Strategy<Value = (Usage, Usage)> {
    let bound = (0..3_000_000_u64, 0..3_000_000_u64, proptest::array::uniform14(0..1000_u64));
    (bound, proptest::array::uniform14(0..=100_u64), 0..=100_u64).prop_map(|((input, output, units), shares, fill)| {
        let (mut most, mut used) = (Usage::default(), Usage::default());
        for (meter, count) in Meter::ALL.into_iter().zip(units).filter(|(meter, _)| !meter.is_input() && !meter.is_output()) {
            most.set(meter, count);
            used.set(meter, count * fill / 100);
        }
        let mut divide = |whole: u64, wanted: fn(Meter) -> bool| {
            let mut left = whole * fill / 100;
            for (meter, share) in Meter::ALL.into_iter().zip(shares).filter(|(meter, _)| wanted(*meter)) {
                used.set(meter, left * share / 100);
                left -= left * share / 100;
            }
        };
        divide(input, Meter::is_input);
        divide(output, Meter::is_output);
        (most.with(Meter::InputUncached, input).with(Meter::OutputText, output), used)
    })
}

/// Pico-units for so many units: from nothing to beyond any amount.
fn any_price() -> impl Strategy<Value = (i64, u32)> {
    let num = prop_oneof![0..1_000_000_000_000_i64, Just(i64::MAX), 0..=i64::MAX];
    (num, prop_oneof![Just(1_u32), Just(1000), Just(3600), Just(1_000_000)])
}

fn steep(input: (i64, u32), output: (i64, u32)) -> PriceSheet {
    let line = |meter, (num, per)| PriceLine::new(meter, num, per);
    PriceSheet::new(vec![line(Meter::InputUncached, input), line(Meter::OutputText, output)], "steep".into(), 0)
}

proptest! {
    /// Whatever the prices, however the usage falls on the meters, in whatever tier and at whatever time the provider rates it.
    #[test]
    fn charge_is_the_sum_of_its_legs_and_within_the_hold(
        (most, usage) in bound_and_usage(), cost in any_sheet(), list in any_sheet(), shares in (0..3000_u32, 0..500_u32),
        tiers in asked_and_served(), at in any::<i64>(),
    ) {
        let builder = Ratio { num: shares.1, den: 1000 };
        let (asked, served) = (Rating { tier: tiers.0, at: Timestamp(0) }, Rating { tier: tiers.1, at: Timestamp(at) });
        for sell in [Sell::Markup(Ratio { num: shares.0, den: 1000 }), Sell::Sheet(PinnedPrice::of(&list))] {
            // What is beyond any amount is refused: that holds too.
            let hold = hold_for(&cost, &most, &asked, &sell, builder).ok();
            let own_hold = own_key_hold_for(&cost, &most, &asked, &sell, builder).ok();
            let paid = settle_amounts(&usage, &cost, &served, &sell, builder).ok();
            let own = own_key_amounts(&usage, &cost, &served, &sell, builder).ok().map(|(own, _)| own);
            prop_assert!(own.is_none_or(|own| own.cost == Money::ZERO));
            for (amounts, hold) in [paid.zip(hold), own.zip(own_hold)].into_iter().flatten() {
                prop_assert_eq!(amounts.charge.as_nano(), amounts.pass_through.as_nano() + amounts.fee.as_nano());
                prop_assert!(!amounts.fee.is_negative() && !amounts.builder.is_negative() && amounts.builder <= amounts.fee);
                prop_assert!(amounts.charge <= hold, "{:?} > {:?}", amounts.charge, hold);
            }
        }
    }

    /// At whatever price: what cannot be an amount is refused before the call, and then nothing about its end overflows.
    #[test]
    fn what_was_held_can_be_settled(
        (most, usage) in bound_and_usage(), extreme in (any::<u64>(), any::<u64>()), prices in proptest::array::uniform4(any_price()),
        shares in (any::<u32>(), 1..=u32::MAX, 0..=u32::MAX), part in (0..=i64::MAX, 0..=i64::MAX),
    ) {
        let builder = Ratio { num: shares.2, den: shares.1 };
        let most = if extreme.0 % 2 == 0 { most } else { most.with(Meter::InputUncached, extreme.0).with(Meter::OutputText, extreme.1) };
        let (cost, list) = (steep(prices[0], prices[1]), PinnedPrice::of(&steep(prices[2], prices[3])));
        for sell in [Sell::Markup(Ratio { num: shares.0, den: shares.1 }), Sell::Sheet(list)] {
            let paid = settle_amounts(&usage, &cost, &NOW, &sell, builder);
            let own = own_key_amounts(&usage, &cost, &NOW, &sell, builder);
            if hold_for(&cost, &most, &NOW, &sell, builder).is_ok() {
                prop_assert!(paid.is_ok(), "held, and not to be settled: {:?}", paid);
            }
            if own_key_hold_for(&cost, &most, &NOW, &sell, builder).is_ok() {
                prop_assert!(own.is_ok(), "held, and not to be settled: {:?}", own);
            }
            for amounts in [paid.ok(), own.ok().map(|(own, _)| own)].into_iter().flatten() {
                let scaled = amounts.in_proportion(Money::nano(part.0), Money::nano(part.1));
                for amounts in [amounts, scaled, amounts.charged(Money::MAX, Money::MAX, Money::MAX)] {
                    prop_assert_eq!(amounts.pass_through.checked_add(amounts.fee), Some(amounts.charge));
                    for legs in [crate::domain::ledger::SettlementPolicy::default().client_left, crate::domain::ledger::SettlementPolicy::default().undelivered] {
                        let borne = legs.bear(amounts, scaled);
                        prop_assert_eq!(borne.amounts.pass_through.checked_add(borne.amounts.fee), Some(borne.amounts.charge));
                    }
                }
            }
        }
    }

    #[test]
    fn no_usage_makes_it_panic(counts in proptest::array::uniform14(any::<u64>()), price in any::<i64>(), ratio in (any::<u32>(), 1..=u32::MAX)) {
        let mut usage = Usage::default();
        for (meter, count) in Meter::ALL.iter().zip(counts) { usage.set(*meter, count); }
        let (price, ratio) = (price.saturating_abs(), Ratio { num: ratio.0, den: ratio.1 });
        for sell in [Sell::Markup(ratio), Sell::Sheet(PinnedPrice::of(&rich(price, price, 3)))] {
            let _ = settle_amounts(&usage, &rich(price, price, 2), &NOW, &sell, ratio);
            let _ = own_key_amounts(&usage, &rich(price, price, 2), &NOW, &sell, ratio);
            let _ = hold_for(&rich(price, price, 2), &usage, &NOW, &sell, ratio);
        }
    }
}
