//! Owns: from usage and price to whole amounts. The only place where money is rounded (ledger law 1.2).
//! Refuses to know: accounts, orders, stores.

use crate::base::{Error, ErrorKind, Exact, Money, Ratio, Result, Rounding};
use crate::domain::catalog::{AmountTooLarge, PinnedPrice, PriceSheet, Usage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What an order costs and what is charged for it. `charge = pass_through + fee`; `fee` is a difference, never rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    pub cost_exact: Exact,
    pub charge_exact: Exact,
    pub cost: Money,
    pub charge: Money,
    pub pass_through: Money,
    pub fee: Money,
    /// The part of the fee that belongs to the key's builder.
    pub builder: Money,
}

/// How an order was rated: what it refers to for ever.
#[derive(Clone, Debug)]
pub struct Rated {
    pub price: Arc<PinnedPrice>,
    pub fee: Ratio,
    /// The caller's own provider key was used: the cost is theirs, only the fee is charged.
    pub own_key: bool,
}

/// The same as the journal keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatedTerms {
    /// Share on top of the cost, `num/den`.
    pub markup: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_key: bool,
}

impl Rated {
    pub(super) fn sheets(&self) -> impl Iterator<Item = &Arc<PinnedPrice>> {
        std::iter::once(&self.price)
    }

    pub(super) fn terms(&self) -> RatedTerms {
        RatedTerms { markup: format!("{}/{}", self.fee.num, self.fee.den), own_key: self.own_key }
    }
}

impl Amounts {
    pub const ZERO: Self = Self {
        cost_exact: Exact::ZERO,
        charge_exact: Exact::ZERO,
        cost: Money::ZERO,
        charge: Money::ZERO,
        pass_through: Money::ZERO,
        fee: Money::ZERO,
        builder: Money::ZERO,
    };

    /// The provider's cost stays, the user is charged nothing.
    #[must_use]
    pub fn without_charge(self) -> Self {
        Self { cost_exact: self.cost_exact, cost: self.cost, ..Self::ZERO }
    }
}

fn too_large<E>(_: E) -> Error {
    Error::new(ErrorKind::InvalidRequest, "the amount of this call is beyond what the ledger can hold; lower max_tokens")
}

/// Cost at the provider and charge to the user for real usage. Half-even, once; a charge that is more than nothing is at
/// least one nano-unit.
pub fn settle_amounts(usage: &Usage, sheet: &PriceSheet, fee: Ratio) -> Result<Amounts> {
    let cost_exact = sheet.amount(usage).map_err(too_large)?;
    let charge_exact = cost_exact.with_share(fee).ok_or_else(|| too_large(AmountTooLarge))?;
    let round = |exact: Exact| exact.round(Rounding::HalfEven).ok_or_else(|| too_large(AmountTooLarge));
    let cost = round(cost_exact)?;
    let mut charge = round(charge_exact)?;
    if charge.is_zero() && !charge_exact.is_zero() {
        charge = Money::nano(1);
    }
    let pass_through = cost.min(charge);
    let fee = Money::nano(charge.as_nano() - pass_through.as_nano());
    Ok(Amounts { cost_exact, charge_exact, cost, charge, pass_through, fee, builder: Money::ZERO })
}

/// The most a call may be charged on this sheet: rounded up.
pub fn hold_for(sheet: &PriceSheet, input_tokens: u64, output_tokens: u64, fee: Ratio) -> Result<Money> {
    let bound = sheet.upper_bound(input_tokens, output_tokens).map_err(too_large)?;
    bound.with_share(fee).and_then(|exact| exact.round(Rounding::Up)).ok_or_else(|| too_large(AmountTooLarge))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::{Meter, PriceLine};
    use proptest::prelude::*;

    fn sheet(input: i64, output: i64) -> PriceSheet {
        let line = |meter, num| PriceLine { meter, num, per: 1_000_000, above_input_tokens: None };
        PriceSheet {
            lines: vec![line(Meter::InputUncached, input), line(Meter::OutputText, output)],
            source: "test".into(),
            effective_at_ms: 0,
        }
    }

    #[test]
    fn the_worked_example_of_the_ledger_law() {
        // cost 6 730 nano, fee 5.5 %: exact charge 7 100.15 -> 7 100 = 6 730 + 370.
        let usage = Usage::default().with(Meter::InputUncached, 6730);
        let amounts = settle_amounts(&usage, &sheet(1_000_000_000, 0), Ratio::from_percent("5.5").unwrap()).unwrap();
        assert_eq!(
            (amounts.cost.as_nano(), amounts.charge.as_nano(), amounts.pass_through.as_nano(), amounts.fee.as_nano()),
            (6730, 7100, 6730, 370)
        );
    }

    #[test]
    fn something_is_never_charged_as_nothing() {
        let usage = Usage::default().with(Meter::InputUncached, 1);
        assert_eq!(settle_amounts(&usage, &sheet(1_000_000, 0), Ratio::ZERO).unwrap().charge, Money::nano(1));
    }

    proptest! {
        #[test]
        fn charge_is_the_sum_of_its_legs_and_within_the_hold(
            input in 0..2_000_000_u64, output in 0..2_000_000_u64, in_price in 0..100_000_000_000_000_i64,
            out_price in 0..100_000_000_000_000_i64, fee in 0..3000_u32,
        ) {
            let (sheet, fee) = (sheet(in_price, out_price), Ratio { num: fee, den: 1000 });
            let usage = Usage::default().with(Meter::InputUncached, input).with(Meter::OutputText, output);
            let amounts = settle_amounts(&usage, &sheet, fee).unwrap();
            prop_assert_eq!(amounts.charge.as_nano(), amounts.pass_through.as_nano() + amounts.fee.as_nano());
            prop_assert!(!amounts.fee.is_negative());
            prop_assert!(amounts.charge <= hold_for(&sheet, input, output, fee).unwrap());
        }

        #[test]
        fn no_usage_makes_it_panic(counts in proptest::array::uniform8(any::<u64>()), price in any::<i64>()) {
            let mut usage = Usage::default();
            for (meter, count) in Meter::ALL.iter().zip(counts) { usage.set(*meter, count); }
            let _ = settle_amounts(&usage, &sheet(price.saturating_abs(), price.saturating_abs()), Ratio { num: 55, den: 1000 });
        }
    }
}
