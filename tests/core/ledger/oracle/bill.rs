//! Owns: what a call costs and is charged: one nano-unit a token, 5.5 % for the platform, 1 % for a builder, rounded once.

/// `charge = usage + builder + fee`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bill {
    pub(super) cost: i64,
    pub(super) usage: i64,
    pub(super) builder: i64,
    pub(super) fee: i64,
}

/// Half-even, of `value / parts`.
pub(super) fn rounded(value: i128, parts: i128) -> i64 {
    let (whole, rest) = (value / parts, 2 * (value % parts));
    let up = rest > parts || (rest == parts && whole % 2 == 1);
    i64::try_from(whole + i128::from(up)).unwrap()
}

impl Bill {
    pub(super) fn of(tokens: i64, with_builder: bool) -> Self {
        Self { cost: tokens, ..Self::charging(tokens, 1055, with_builder) }
    }

    /// The provider bills the user's own key: only what goes beyond that is charged.
    pub(super) fn own_key(tokens: i64, with_builder: bool) -> Self {
        Self::charging(tokens, 55, with_builder)
    }

    /// So many thousandths of a nano-unit a token.
    fn charging(tokens: i64, thousandths: i128, with_builder: bool) -> Self {
        let builders = i128::from(tokens) * if with_builder { 10 } else { 0 };
        let charge = rounded(i128::from(tokens) * thousandths + builders, 1000).max(i64::from(tokens > 0));
        let usage = if thousandths < 1000 { 0 } else { tokens.min(charge) };
        let builder = rounded(builders, 1000).min(charge - usage);
        Self { cost: 0, usage, builder, fee: charge - usage - builder }
    }

    /// The cost stays with the platform.
    pub(super) fn uncharged(self) -> Self {
        Self { cost: self.cost, ..Self::default() }
    }

    pub(super) fn charge(self) -> i64 {
        self.usage + self.builder + self.fee
    }

    /// What of it is paid with so much: the provider's part first, the platform's last.
    pub(super) fn paid_with(self, amount: i64) -> Self {
        let usage = self.usage.min(amount);
        let builder = self.builder.min(amount - usage);
        Self { usage, builder, fee: self.fee.min(amount - usage - builder), ..self }
    }

    /// What of each part has gone when `back` of the whole has: in proportion, so that parts add up whatever their number.
    pub(super) fn share(self, back: i64) -> Self {
        let of = |part: i64| rounded(i128::from(back) * i128::from(part), i128::from(self.charge().max(1)));
        let builder = of(self.builder);
        let fee = of(self.fee).min(back - builder);
        Self { cost: 0, usage: back - builder - fee, builder, fee }
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self {
            cost: self.cost - other.cost,
            usage: self.usage - other.usage,
            builder: self.builder - other.builder,
            fee: self.fee - other.fee,
        }
    }
}
