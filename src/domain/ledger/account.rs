//! Owns: the chart of accounts: which accounts exist, their class, and what their balances may not do.
//! Refuses to know: which postings use them (decide) and how they are stored.

use std::fmt;

/// Identity of an account within one database; given by the ledger's writer, never reused.
pub type AccountId = i64;

/// The side on which an account normally stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AccountClass {
    Asset = 1,
    Liability = 2,
    Equity = 3,
    Income = 4,
    Expense = 5,
}

/// An account by its meaning. `W` is a wallet's name, `P` a provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountPath<'a> {
    /// Prepaid money, spendable.
    Cash(&'a str),
    /// Reserved by open orders.
    Held(&'a str),
    /// What the user owes: postpaid use, overrun, chargeback.
    Receivable(&'a str),
    /// Money at the payment provider.
    PaymentClearing(&'a str),
    PaymentFee,
    /// Provider cost accrued, not yet invoiced.
    Payable(&'a str),
    /// Estimated provider cost whose evidence is missing.
    Suspense(&'a str),
    Cogs(&'a str),
    UsageRevenue,
    FeeRevenue,
    /// Provider cost that nobody is charged: another endpoint served.
    LossFailover,
    /// The provider billed what was never delivered.
    LossUndelivered,
    /// The gateway died with the call in flight.
    LossCrash,
}

impl AccountPath<'_> {
    pub const fn class(&self) -> AccountClass {
        match self {
            Self::Cash(_) | Self::Held(_) | Self::Payable(_) | Self::Suspense(_) => AccountClass::Liability,
            Self::Receivable(_) | Self::PaymentClearing(_) => AccountClass::Asset,
            Self::UsageRevenue | Self::FeeRevenue => AccountClass::Income,
            Self::PaymentFee | Self::Cogs(_) | Self::LossFailover | Self::LossUndelivered | Self::LossCrash => AccountClass::Expense,
        }
    }

    /// Database guard: bit 0 = debits may not exceed credits, bit 1 = credits may not exceed debits.
    pub const fn guard(&self) -> u8 {
        match self {
            Self::Cash(_) | Self::Held(_) => 1,
            Self::Receivable(_) => 2,
            Self::PaymentClearing(_)
            | Self::PaymentFee
            | Self::Payable(_)
            | Self::Suspense(_)
            | Self::Cogs(_)
            | Self::UsageRevenue
            | Self::FeeRevenue
            | Self::LossFailover
            | Self::LossUndelivered
            | Self::LossCrash => 0,
        }
    }
}

impl<'a> AccountPath<'a> {
    /// The account that is printed like this; `None` if none is.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let named = rest.rsplit_once(':');
        Some(match (kind, rest, named) {
            ("wallet", _, Some((w, "cash"))) => Self::Cash(w),
            ("wallet", _, Some((w, "held"))) => Self::Held(w),
            ("wallet", _, Some((w, "recv"))) => Self::Receivable(w),
            ("psp", _, Some((p, "clearing"))) => Self::PaymentClearing(p),
            ("prov", _, Some((p, "payable"))) => Self::Payable(p),
            ("prov", _, Some((p, "suspense"))) => Self::Suspense(p),
            ("cogs", p, _) => Self::Cogs(p),
            ("exp", "psp_fee", _) => Self::PaymentFee,
            ("rev", "usage", _) => Self::UsageRevenue,
            ("rev", "fee", _) => Self::FeeRevenue,
            ("exp", "loss:failover", _) => Self::LossFailover,
            ("exp", "loss:undelivered", _) => Self::LossUndelivered,
            ("exp", "loss:crash", _) => Self::LossCrash,
            _ => return None,
        })
    }
}

impl fmt::Display for AccountPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cash(w) => write!(f, "wallet:{w}:cash"),
            Self::Held(w) => write!(f, "wallet:{w}:held"),
            Self::Receivable(w) => write!(f, "wallet:{w}:recv"),
            Self::PaymentClearing(p) => write!(f, "psp:{p}:clearing"),
            Self::PaymentFee => f.write_str("exp:psp_fee"),
            Self::Payable(p) => write!(f, "prov:{p}:payable"),
            Self::Suspense(p) => write!(f, "prov:{p}:suspense"),
            Self::Cogs(p) => write!(f, "cogs:{p}"),
            Self::UsageRevenue => f.write_str("rev:usage"),
            Self::FeeRevenue => f.write_str("rev:fee"),
            Self::LossFailover => f.write_str("exp:loss:failover"),
            Self::LossUndelivered => f.write_str("exp:loss:undelivered"),
            Self::LossCrash => f.write_str("exp:loss:crash"),
        }
    }
}

/// One account as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub path: Box<str>,
    pub class: u8,
    pub guard: u8,
}

/// All that ever went in and out, in nano-units. Both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub debits: i64,
    pub credits: i64,
}

impl Balance {
    /// Credits minus debits: what a liability account holds.
    pub const fn credit_balance(&self) -> i64 {
        self.credits - self.debits
    }

    /// Debits minus credits: what an asset account holds.
    pub const fn debit_balance(&self) -> i64 {
        self.debits - self.credits
    }

    pub const fn respects(&self, guard: u8) -> bool {
        (guard & 1 == 0 || self.debits <= self.credits) && (guard & 2 == 0 || self.credits <= self.debits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_read_back() {
        for path in [
            AccountPath::Cash("w"),
            AccountPath::Held("team:held"),
            AccountPath::Receivable("w"),
            AccountPath::PaymentClearing("stripe"),
            AccountPath::PaymentFee,
            AccountPath::Payable("p"),
            AccountPath::Suspense("p"),
            AccountPath::Cogs("p"),
            AccountPath::UsageRevenue,
            AccountPath::FeeRevenue,
            AccountPath::LossFailover,
            AccountPath::LossUndelivered,
            AccountPath::LossCrash,
        ] {
            assert_eq!(AccountPath::parse(&path.to_string()), Some(path));
        }
        assert_eq!(AccountPath::parse("wallet:w"), None);
        assert_eq!(AccountPath::parse("exp:loss:other"), None);
    }
}
