//! Owns: from usage, prices and markup to whole amounts. The only place where money is rounded (ledger law 1.2).
//! Refuses to know: accounts, orders, stores, and which price or markup holds (catalog).

use crate::base::{Error, ErrorKind, Exact, Money, Ratio, Result, Rounding};
use crate::domain::catalog::{AmountTooLarge, PriceSheet, Rating, Sell, Usage};

/// What an order costs and what is charged for it. `charge = pass_through + fee`; `fee` is a difference, never rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    pub cost_exact: Exact,
    pub charge_exact: Exact,
    pub cost: Money,
    pub charge: Money,
    pub pass_through: Money,
    pub fee: Money,
    /// The part of the fee that belongs to the builder whose key was used.
    pub builder: Money,
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

    /// The same charge, at the cost that the provider reports.
    pub fn at_cost(self, cost_exact: Exact) -> Result<Self> {
        let cost = cost_exact.round(Rounding::HalfEven).ok_or_else(|| too_large(AmountTooLarge))?;
        Ok(Self { cost_exact, cost, ..self })
    }

    /// The part of a call, with its share of what the whole really cost: as large as its own cost is of `priced`, the whole's cost by
    /// the same price.
    pub fn at_share_of(self, whole: &Self, priced: Money) -> Result<Self> {
        let share = whole.cost_exact.checked_mul(self.cost.as_nano().into(), priced.as_nano().into());
        self.at_cost(share.unwrap_or(whole.cost_exact))
    }

    /// The charge as `part` is to `whole`, leg by leg; the cost stays.
    #[must_use]
    pub fn in_proportion(self, part: Money, whole: Money) -> Self {
        let scaled = |leg: Money| {
            let exact = Exact::new(i128::from(leg.as_nano()) * i128::from(part.as_nano()), i128::from(whole.as_nano()));
            exact.and_then(|exact| exact.round(Rounding::HalfEven)).unwrap_or(leg)
        };
        self.charged(scaled(self.pass_through), scaled(self.fee), scaled(self.builder))
    }

    /// With these legs of the charge. A sum beyond any amount is cut off at the fee's end, so that the legs always make the charge.
    #[must_use]
    pub fn charged(self, pass_through: Money, fee: Money, builder: Money) -> Self {
        let charge = pass_through.checked_add(fee).unwrap_or(Money::MAX);
        let fee = Money::nano(charge.as_nano().saturating_sub(pass_through.as_nano()));
        Self { charge, pass_through, fee, builder: builder.min(fee), ..self }
    }

    /// Rounds, once. A charge that is more than nothing is at least one nano-unit.
    fn of(cost_exact: Exact, charge_exact: Exact, builder_exact: Exact) -> Result<Self> {
        let round = |exact: Exact| exact.round(Rounding::HalfEven).ok_or_else(|| too_large(AmountTooLarge));
        let (cost, mut charge) = (round(cost_exact)?, round(charge_exact)?);
        if charge.is_zero() && !charge_exact.is_zero() {
            charge = Money::nano(1);
        }
        let pass_through = cost.min(charge);
        let fee = charge.checked_sub(pass_through).ok_or_else(|| too_large(AmountTooLarge))?;
        Ok(Self { cost_exact, charge_exact, cost, charge, pass_through, fee, builder: round(builder_exact)?.min(fee) })
    }
}

fn too_large<E>(_: E) -> Error {
    Error::new(ErrorKind::InvalidRequest, "the amount of this call is beyond what the ledger can hold; lower max_tokens")
}

fn fits(exact: Option<Exact>) -> Result<Exact> {
    exact.ok_or_else(|| too_large(AmountTooLarge))
}

/// Cost at the provider and charge to the user for real usage. `builder`: the share of the cost that the key's builder
/// gets on top.
pub fn settle_amounts(usage: &Usage, cost: &PriceSheet, rating: &Rating, sell: &Sell, builder: Ratio) -> Result<Amounts> {
    let cost_exact = cost.amount(usage, rating).map_err(too_large)?;
    let price_exact = match sell {
        Sell::Markup(share) => fits(cost_exact.with_share(*share))?,
        Sell::Sheet(pinned) => pinned.sheet.amount(usage, rating).map_err(too_large)?,
    };
    let builder_exact = fits(cost_exact.share(builder))?;
    Amounts::of(cost_exact, fits(price_exact.checked_add(builder_exact))?, builder_exact)
}

/// The same for a call on the user's own key at the provider: what the provider bills to that key is no cost of ours, and
/// only what goes beyond it is charged. Beside the amounts what the provider bills, for the record.
pub fn own_key_amounts(usage: &Usage, upstream: &PriceSheet, rating: &Rating, sell: &Sell, builder: Ratio) -> Result<(Amounts, Exact)> {
    let upstream_exact = upstream.amount(usage, rating).map_err(too_large)?;
    let fee_exact = match sell {
        Sell::Markup(share) => fits(upstream_exact.share(*share))?,
        Sell::Sheet(pinned) => {
            let price = pinned.sheet.amount(usage, rating).map_err(too_large)?;
            Some(fits(price.checked_sub(upstream_exact))?).filter(|margin| !margin.is_negative()).unwrap_or(Exact::ZERO)
        }
    };
    let builder_exact = fits(upstream_exact.share(builder))?;
    let amounts = Amounts::of(Exact::ZERO, fits(fee_exact.checked_add(builder_exact))?, builder_exact)?;
    Ok((amounts, upstream_exact))
}

/// The most a call that uses at most `most` may be charged: rounded up.
pub fn hold_for(cost: &PriceSheet, most: &Usage, rating: &Rating, sell: &Sell, builder: Ratio) -> Result<Money> {
    let bound = cost.bound(most, rating).map_err(too_large)?;
    let price = match sell {
        Sell::Markup(share) => fits(bound.with_share(*share))?,
        Sell::Sheet(pinned) => pinned.sheet.bound(most, rating).map_err(too_large)?,
    };
    held(price, bound, builder)
}

/// The same for a call on the user's own key: the most that the fee may come to.
pub fn own_key_hold_for(upstream: &PriceSheet, most: &Usage, rating: &Rating, sell: &Sell, builder: Ratio) -> Result<Money> {
    let bound = upstream.bound(most, rating).map_err(too_large)?;
    let fee = match sell {
        Sell::Markup(share) => fits(bound.share(*share))?,
        // A cheap call may have the larger margin: the whole price is the bound that always holds.
        Sell::Sheet(pinned) => pinned.sheet.bound(most, rating).map_err(too_large)?,
    };
    held(fee, bound, builder)
}

/// What the provider may bill has to be an amount, too, even where it is sold for less: who settles has no way to refuse.
fn held(price: Exact, cost: Exact, builder: Ratio) -> Result<Money> {
    cost.round(Rounding::Up).ok_or_else(|| too_large(AmountTooLarge))?;
    let whole = cost.share(builder).and_then(|share| price.checked_add(share));
    fits(whole)?.round(Rounding::Up).ok_or_else(|| too_large(AmountTooLarge))
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
