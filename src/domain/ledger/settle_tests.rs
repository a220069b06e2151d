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
    assert_eq!(own_key_hold_for(&upstream, 1_000_000, 0, &NOW, &sell, Ratio::ZERO).unwrap(), Money::nano(50_000));
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

/// Both forms of a price to the user.
fn sells(share: u32, input: i64, output: i64) -> [Sell; 2] {
    [Sell::Markup(Ratio { num: share, den: 1000 }), Sell::Sheet(PinnedPrice::of(&rich(input, output, 3)))]
}

proptest! {
    #[test]
    fn charge_is_the_sum_of_its_legs_and_within_the_hold(
        bound in (0..2_000_000_u64, 0..2_000_000_u64), used in (0..=100_u64, 0..=100_u64, 0..=100_u64),
        price in (0..100_000_000_000_000_i64, 0..100_000_000_000_000_i64), list in (0..100_000_000_000_000_i64, 0..100_000_000_000_000_i64),
        shares in (0..3000_u32, 0..500_u32), tiers in (0..5_usize, 0..4_usize), at in any::<i64>(),
    ) {
        let (cost, builder) = (rich(price.0, price.1, 2), Ratio { num: shares.1, den: 1000 });
        let asked = [ServiceTier::Auto, ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Batch][tiers.0];
        let served = ServiceTier::PRICED[tiers.1];
        prop_assume!(asked.may_become(served));
        let input = bound.0 * used.0 / 100;
        let cached = input * used.2 / 100;
        let usage = tokens(input - cached).with(Meter::CacheRead, cached).with(Meter::OutputText, bound.1 * used.1 / 100).with(Meter::Request, 1);
        let (asked, served) = (Rating { tier: asked, at: Timestamp(0) }, Rating { tier: served, at: Timestamp(at) });
        for sell in sells(shares.0, list.0, list.1) {
            let (own, _) = own_key_amounts(&usage, &cost, &served, &sell, builder).unwrap();
            let own_hold = own_key_hold_for(&cost, bound.0, bound.1, &asked, &sell, builder).unwrap();
            let paid = settle_amounts(&usage, &cost, &served, &sell, builder).unwrap();
            let hold = hold_for(&cost, bound.0, bound.1, &asked, &sell, builder).unwrap();
            prop_assert_eq!(own.cost, Money::ZERO);
            for (amounts, hold) in [(paid, hold), (own, own_hold)] {
                prop_assert_eq!(amounts.charge.as_nano(), amounts.pass_through.as_nano() + amounts.fee.as_nano());
                prop_assert!(!amounts.fee.is_negative() && !amounts.builder.is_negative() && amounts.builder <= amounts.fee);
                prop_assert!(amounts.charge <= hold);
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
            let _ = hold_for(&rich(price, price, 2), usage.input_tokens(), usage.output_tokens(), &NOW, &sell, ratio);
        }
    }
}
