//! Owns: what an event says about money, in the business's words.
//! Refuses to know: JSON, and what is made of it.

use crate::base::Money;
use std::fmt;

/// An event, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    /// `payment_intent.succeeded`, ...
    pub kind: String,
    pub created_s: i64,
    /// `false`: of Stripe's test mode, where no money is. `None`: it does not say.
    pub live: Option<bool>,
    /// In the order in which they are to be booked.
    pub facts: Vec<Fact>,
    /// A movement of our balance, not an event that tells of one.
    pub moves_balance: bool,
    /// Why there is none.
    pub note: &'static str,
}

/// Something that has happened to money at Stripe. Ids are Stripe's. `payment` is the payment intent, of old charges without
/// one the charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Money came in, for a wallet if one is named.
    Received { payment: String, wallet: Option<String>, amount: Amount },
    /// Stripe keeps this; less than zero: it gives it back. `payment` where it is the fee of one.
    Fee { transaction: String, payment: Option<String>, amount: Amount },
    /// Money of a payment goes back to its payer, because we said so. `failed`: it did not get there and is ours again.
    Refunded { refund: String, cash_out: Option<String>, payment: String, amount: Amount, failed: bool },
    /// The payer has taken the money back through the bank.
    Disputed { dispute: String, payment: String, amount: Amount },
    /// The dispute was won: the money is back.
    Reinstated { dispute: String, payment: String, amount: Amount },
    /// From Stripe to our bank. `failed`: it came back.
    PaidOut { payout: String, amount: Amount, failed: bool },
}

impl Fact {
    /// Everything at Stripe that it names, as bookings may be named after it.
    pub fn names(&self) -> Vec<&str> {
        let payment = match self {
            Self::Received { .. } | Self::PaidOut { .. } => None,
            Self::Fee { payment, .. } => payment.as_deref(),
            Self::Refunded { payment, .. } | Self::Disputed { payment, .. } | Self::Reinstated { payment, .. } => Some(payment.as_str()),
        };
        let cash_out = if let Self::Refunded { cash_out, .. } = self { cash_out.as_deref() } else { None };
        std::iter::once(self.reference()).chain(payment).chain(cash_out).collect()
    }

    /// The id of what it is about, by which people find it at Stripe.
    pub fn reference(&self) -> &str {
        match self {
            Self::Received { payment, .. } => payment,
            Self::Fee { transaction, .. } => transaction,
            Self::Refunded { refund, .. } => refund,
            Self::Disputed { dispute, .. } | Self::Reinstated { dispute, .. } => dispute,
            Self::PaidOut { payout, .. } => payout,
        }
    }

    pub const fn amount(&self) -> &Amount {
        match self {
            Self::Received { amount, .. }
            | Self::Fee { amount, .. }
            | Self::Refunded { amount, .. }
            | Self::Disputed { amount, .. }
            | Self::Reinstated { amount, .. }
            | Self::PaidOut { amount, .. } => amount,
        }
    }
}

/// A whole number of the currency's smallest unit, as Stripe writes amounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    pub minor: i64,
    /// As Stripe writes it: three letters, lower case.
    pub currency: String,
}

/// Their smallest unit is the currency itself.
const NO_DECIMALS: [&str; 16] =
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"];
const THREE_DECIMALS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];
const CENT_NANO: i64 = 10_000_000;

impl Amount {
    /// In the ledger's currency; `None` if it is in another, or beyond what the ledger can hold.
    pub fn usd(&self) -> Option<Money> {
        let nano = self.minor.checked_mul(CENT_NANO).filter(|_| self.currency == "usd");
        nano.map(Money::nano)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_in = |list: &[&str]| list.contains(&self.currency.as_str());
        let decimals = if is_in(&NO_DECIMALS) {
            0
        } else if is_in(&THREE_DECIMALS) {
            3
        } else {
            2
        };
        let (sign, size) = (if self.minor < 0 { "-" } else { "" }, self.minor.unsigned_abs());
        let unit = 10_u64.pow(decimals);
        write!(f, "{sign}{}", size / unit)?;
        if decimals > 0 {
            write!(f, ".{:0width$}", size % unit, width = decimals as usize)?;
        }
        write!(f, " {}", self.currency.to_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(minor: i64, currency: &str) -> Amount {
        Amount { minor, currency: currency.to_owned() }
    }

    #[test]
    fn amounts_are_in_the_smallest_unit_of_their_currency() {
        let shown = [(2500, "usd"), (-5, "eur"), (500, "jpy"), (5120, "kwd"), (0, "usd")].map(|(n, c)| amount(n, c).to_string());
        assert_eq!(shown, ["25.00 USD", "-0.05 EUR", "500 JPY", "5.120 KWD", "0.00 USD"]);
    }

    #[test]
    fn only_the_ledgers_currency_becomes_money() {
        assert_eq!(amount(2500, "usd").usd(), Some(Money::nano(25_000_000_000)));
        assert_eq!(amount(2500, "eur").usd(), None);
        assert_eq!(amount(i64::MAX, "usd").usd(), None);
    }
}
