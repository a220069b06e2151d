//! Owns: the simulated providers' prices, and what usage costs by them, computed here once more in 128-bit integers: a
//! second opinion on the product's arithmetic, and the providers' own invoices.
//! Refuses to know: how the product computes (settle, price).

use crate::base::Exact;
use crate::domain::catalog::{Meter, PriceLine, PriceSheet};
use crate::domain::provider::Family;

/// Tokens in disjoint parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
    pub(super) reasoning: u64,
}

/// One provider with the one model it serves. Prices in pico-dollars a million tokens, and a call.
#[derive(Debug)]
pub(super) struct Tariff {
    pub(super) provider: &'static str,
    pub(super) model: &'static str,
    pub(super) family: &'static str,
    input: i64,
    cached: i64,
    output: i64,
    request: i64,
    /// What it bills of that. Whose family says so in replies is taken at its word, the user pays the price all the same.
    billed_percent: i64,
    pub(super) priced: bool,
    /// Called on the caller's own key: what it bills is no cost of ours.
    pub(super) own_key: bool,
    /// The most output of one call, unless the caller asks for less.
    pub(super) max_output: u64,
}

/// The first says what it bills, which is less than its price; the second bills to the end when its reader has left, the others hang up,
/// and reports usage unasked; the third writes long replies; the fourth is called on the caller's own key; what the last one costs nobody
/// knows here, though it bills and says so. Fractions of a nano-dollar on purpose.
pub(super) const TARIFFS: [Tariff; 5] = [
    Tariff {
        provider: "alpha",
        model: "m",
        family: "openrouter",
        input: 150_000_000_000,
        cached: 75_000_000_000,
        output: 600_000_000_000,
        request: 0,
        billed_percent: 97,
        priced: true,
        own_key: false,
        max_output: 200,
    },
    Tariff {
        provider: "beta",
        model: "m",
        family: "mistral",
        input: 37_500_000_000,
        cached: 37_500_000_000,
        output: 79_990_000_000,
        request: 12_500,
        billed_percent: 100,
        priced: true,
        own_key: false,
        max_output: 200,
    },
    Tariff {
        provider: "gamma",
        model: "g",
        family: "openai",
        input: 3_333_333_333,
        cached: 333_333_333,
        output: 1_000_000_000_001,
        request: 0,
        billed_percent: 100,
        priced: true,
        own_key: false,
        max_output: 3_000,
    },
    Tariff {
        provider: "own",
        model: "o",
        family: "together",
        input: 90_000_000_000,
        cached: 90_000_000_000,
        output: 270_000_000_000,
        request: 0,
        billed_percent: 100,
        priced: true,
        own_key: true,
        max_output: 200,
    },
    Tariff {
        provider: "dark",
        model: "d",
        family: "openrouter",
        input: 1_000_000_000,
        cached: 1_000_000_000,
        output: 2_000_000_000,
        request: 0,
        billed_percent: 100,
        priced: false,
        own_key: false,
        max_output: 200,
    },
];

/// The platform's share: 5.5 %.
pub(super) const FEE: (i128, i128) = (55, 1000);
const MILLION: i128 = 1_000_000;
/// Pico-dollars a million tokens in a nano-dollar.
const SCALE: i128 = MILLION * 1000;

/// To the nearest whole number, ties to the even one.
fn half_even(num: i128, den: i128) -> i128 {
    let (whole, rest) = (num.div_euclid(den), num.rem_euclid(den));
    match (rest * 2).cmp(&den) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + whole % 2,
    }
}

impl Tariff {
    pub(super) fn sheet(&self) -> Option<PriceSheet> {
        let line = |meter, num, per| PriceLine::new(meter, num, per);
        let mut lines = vec![
            line(Meter::InputUncached, self.input, 1_000_000),
            line(Meter::CacheRead, self.cached, 1_000_000),
            line(Meter::OutputText, self.output, 1_000_000),
        ];
        if self.request > 0 {
            lines.push(line(Meter::Request, self.request, 1));
        }
        self.priced.then(|| PriceSheet::new(lines, "simulation".to_owned(), 0))
    }

    fn exact(&self, tokens: Tokens) -> i128 {
        let part = |count: u64, price: i64| i128::from(count) * i128::from(price);
        part(tokens.input, self.input)
            + part(tokens.cached, self.cached)
            + part(tokens.output + tokens.reasoning, self.output)
            + i128::from(self.request) * MILLION
    }

    /// What one exchange with these tokens is billed to us, in nano-dollars.
    pub(super) fn cost_nano(&self, tokens: Tokens) -> i128 {
        if self.own_key { 0 } else { half_even(self.exact(tokens) * i128::from(self.billed_percent), SCALE * 100) }
    }

    /// What it should be by the price.
    pub(super) fn list_nano(&self, tokens: Tokens) -> i128 {
        if self.own_key { 0 } else { half_even(self.exact(tokens), SCALE) }
    }

    /// The bill exactly, of who says it in replies.
    pub(super) fn billed(&self, tokens: Tokens) -> Option<Exact> {
        Family::by_name(self.family)?.cost?;
        Exact::new(self.exact(tokens) * i128::from(self.billed_percent), SCALE * 100)
    }

    /// The same as a reply says it, in USD.
    pub(super) fn told(&self, tokens: Tokens) -> Option<String> {
        self.billed(tokens).map(|_| format!("{}e-20", self.exact(tokens) * i128::from(self.billed_percent)))
    }

    /// Input alone, without the price of the call: what an attempt that came to nothing may cost.
    pub(super) fn input_nano(&self, tokens: u64) -> i128 {
        if self.priced && !self.own_key { half_even(i128::from(tokens) * i128::from(self.input), SCALE) } else { 0 }
    }

    /// What a user owes for these tokens: the cost with the platform's share, rounded once, never nothing for something; on a key
    /// of its own the share alone.
    pub(super) fn charge_nano(&self, tokens: Tokens, share: (i128, i128)) -> i128 {
        let of_cost = if self.own_key { share.0 } else { share.1 + share.0 };
        let (num, den) = (self.exact(tokens) * of_cost, SCALE * share.1);
        half_even(num, den).max(i128::from(num > 0))
    }

    pub(super) fn of(provider: &str) -> Option<&'static Self> {
        TARIFFS.iter().find(|tariff| tariff.provider == provider)
    }
}
