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
    /// Given, not paid: spent before cash, with a day of expiry. The second name is the grant's.
    Grant(&'a str, &'a str),
    /// On its way back to the user, not yet confirmed by the payment provider. Not `Held`: that is the sum of the open orders.
    CashOut(&'a str),
    /// Money at the payment provider.
    PaymentClearing(&'a str),
    /// Money of one payment of which nobody knows yet whose it is: payment provider, payment.
    Unassigned(&'a str, &'a str),
    PaymentFee,
    Bank,
    /// Provider cost accrued, not yet invoiced.
    Payable(&'a str),
    /// Estimated provider cost whose evidence is missing.
    Suspense(&'a str),
    Cogs(&'a str),
    UsageRevenue,
    FeeRevenue,
    /// What grants have cost: revenue that nobody paid.
    Promo,
    /// What the maker of an application earns on the calls of its keys.
    Builder(&'a str),
    /// Invoices that differ from what was accrued.
    ProviderVariance,
    /// Provider cost that nobody is charged: another endpoint served.
    LossFailover,
    /// The provider billed what was never delivered.
    LossUndelivered,
    /// The gateway died with the call in flight.
    LossCrash,
    /// The provider's count came later and was higher than what was charged.
    LossEstimate,
}

impl AccountPath<'_> {
    pub const fn class(&self) -> AccountClass {
        match self {
            Self::Cash(_)
            | Self::Held(_)
            | Self::Grant(..)
            | Self::CashOut(_)
            | Self::Unassigned(..)
            | Self::Payable(_)
            | Self::Suspense(_)
            | Self::Builder(_) => AccountClass::Liability,
            Self::Receivable(_) | Self::PaymentClearing(_) | Self::Bank => AccountClass::Asset,
            Self::UsageRevenue | Self::FeeRevenue | Self::Promo => AccountClass::Income,
            Self::PaymentFee
            | Self::Cogs(_)
            | Self::ProviderVariance
            | Self::LossFailover
            | Self::LossUndelivered
            | Self::LossCrash
            | Self::LossEstimate => AccountClass::Expense,
        }
    }

    /// Database guard: bit 0 = debits may not exceed credits, bit 1 = credits may not exceed debits.
    pub const fn guard(&self) -> u8 {
        match self {
            Self::Cash(_) | Self::Held(_) | Self::Grant(..) | Self::CashOut(_) | Self::Unassigned(..) => 1,
            Self::Receivable(_) => 2,
            Self::PaymentClearing(_)
            | Self::PaymentFee
            | Self::Bank
            | Self::Payable(_)
            | Self::Suspense(_)
            | Self::Cogs(_)
            | Self::UsageRevenue
            | Self::FeeRevenue
            | Self::Promo
            | Self::Builder(_)
            | Self::ProviderVariance
            | Self::LossFailover
            | Self::LossUndelivered
            | Self::LossCrash
            | Self::LossEstimate => 0,
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
            ("wallet", _, Some((w, "cashout"))) => Self::CashOut(w),
            // Names of wallets and grants hold no colon, so the last three parts are `name:grant:name`.
            ("wallet", _, Some((front, grant))) => Self::Grant(front.strip_suffix(":grant")?, grant),
            ("psp", _, Some((p, "clearing"))) => Self::PaymentClearing(p),
            ("psp", _, Some((front, payment))) => Self::Unassigned(front.strip_suffix(":unassigned")?, payment),
            ("prov", _, Some((p, "payable"))) => Self::Payable(p),
            ("prov", _, Some((p, "suspense"))) => Self::Suspense(p),
            ("cogs", p, _) => Self::Cogs(p),
            ("exp", "psp_fee", _) => Self::PaymentFee,
            ("bank", "main", _) => Self::Bank,
            ("contra", "promo", _) => Self::Promo,
            ("builder", _, Some((b, "payable"))) => Self::Builder(b),
            ("exp", "provider_variance", _) => Self::ProviderVariance,
            ("exp", "loss:estimate", _) => Self::LossEstimate,
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
            Self::Grant(w, g) => write!(f, "wallet:{w}:grant:{g}"),
            Self::CashOut(w) => write!(f, "wallet:{w}:cashout"),
            Self::Bank => f.write_str("bank:main"),
            Self::Promo => f.write_str("contra:promo"),
            Self::Builder(b) => write!(f, "builder:{b}:payable"),
            Self::ProviderVariance => f.write_str("exp:provider_variance"),
            Self::LossEstimate => f.write_str("exp:loss:estimate"),
            Self::PaymentClearing(p) => write!(f, "psp:{p}:clearing"),
            Self::Unassigned(p, payment) => write!(f, "psp:{p}:unassigned:{payment}"),
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
            AccountPath::Unassigned("stripe", "pi_1"),
            AccountPath::PaymentFee,
            AccountPath::Payable("p"),
            AccountPath::Suspense("p"),
            AccountPath::Cogs("p"),
            AccountPath::UsageRevenue,
            AccountPath::FeeRevenue,
            AccountPath::LossFailover,
            AccountPath::LossUndelivered,
            AccountPath::LossCrash,
            AccountPath::Grant("w", "welcome"),
            AccountPath::CashOut("w"),
            AccountPath::Bank,
            AccountPath::Promo,
            AccountPath::Builder("b"),
            AccountPath::ProviderVariance,
            AccountPath::LossEstimate,
        ] {
            assert_eq!(AccountPath::parse(&path.to_string()), Some(path));
        }
        assert_eq!(AccountPath::parse("wallet:w"), None);
        assert_eq!(AccountPath::parse("wallet:w:other"), None);
        assert_eq!(AccountPath::parse("exp:loss:other"), None);
        assert_eq!(AccountPath::parse("psp:stripe:pi_1"), None);
    }
}
