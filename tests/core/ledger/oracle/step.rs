//! Owns: what may happen to a ledger in these tests, each as small as the law allows, and what is answered.
//! Refuses to know: what follows from it.

use gotoai::domain::ledger::{HoldPolicy, Reply, WalletKind};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// What people and payment providers do; the same `op` is the same business fact.
    Operate {
        op: u8,
        act: Act,
    },
    Reserve {
        order: u8,
        call: Call,
    },
    Extend {
        order: u8,
        by: i64,
    },
    Dispatch {
        order: u8,
    },
    Settle {
        order: u8,
        used: Used,
    },
    Expire {
        order: u8,
    },
    Recover {
        order: u8,
    },
    ExpireGrant {
        wallet: &'static str,
        grant: &'static str,
    },
    Wait {
        ms: i64,
    },
    /// The process ends and another one starts.
    Reopen,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Open { wallet: &'static str, kind: WalletKind, limit: Option<i64> },
    SetTerms { wallet: &'static str, limit: Option<i64>, hold: Option<HoldPolicy> },
    Freeze { wallet: &'static str },
    Thaw { wallet: &'static str },
    TopUp { wallet: &'static str, amount: i64, fee: i64 },
    Grant { wallet: &'static str, grant: &'static str, amount: i64, priority: u8, expires_at: Option<i64> },
    Refund { order: u8, amount: i64 },
    TrueUp { order: u8, tokens: i64, with_builder: bool },
    CashOut { wallet: &'static str, amount: i64 },
    CashOutEnd { wallet: &'static str, amount: i64, paid: bool },
    Chargeback { wallet: &'static str, amount: i64 },
    Payout { amount: i64 },
    Invoice { accrued: i64, paid: i64 },
    Adjust { debit: &'static str, credit: &'static str, amount: i64 },
}

/// A call that asks for its hold.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) wallet: &'static str,
    pub(crate) hold: Option<i64>,
    pub(crate) least: Option<i64>,
    pub(crate) lasts_ms: i64,
    /// Its idempotency key, and for how long it is remembered.
    pub(crate) mark: Option<(u8, i64)>,
    pub(crate) key: Option<u8>,
    pub(crate) path: &'static str,
    pub(crate) model: &'static str,
    /// The endpoint that serves where the first one fails.
    pub(crate) fallback: Option<&'static str>,
    pub(crate) label: Option<&'static str>,
}

impl Call {
    pub(crate) fn new(wallet: &'static str, hold: i64) -> Self {
        Self {
            wallet,
            hold: Some(hold),
            least: None,
            lasts_ms: 1000,
            mark: None,
            key: None,
            path: "/",
            model: "m",
            fallback: None,
            label: None,
        }
    }
}

/// What a call has used when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) tokens: i64,
    pub(crate) end: End,
    /// The key belongs to a builder, who gets 1 % on top.
    pub(crate) with_builder: bool,
    /// What an attempt at another provider may have cost before this one.
    pub(crate) lost: i64,
    /// What the provider says that it cost, whatever its price makes of the tokens.
    pub(crate) reported: Option<i64>,
    /// Served by the endpoint that was to serve where the first one failed.
    pub(crate) by_fallback: bool,
}

impl Used {
    pub(crate) const fn new(tokens: i64, end: End) -> Self {
        Self { tokens, end, with_builder: false, lost: 0, reported: None, by_fallback: false }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Counted,
    Estimated,
    /// Estimated, and the provider's own figures are waited for.
    Suspended,
    Undelivered,
    Unpriced,
    /// On the user's own key at the provider: only the fee is charged.
    OwnKey,
    Unused,
}

/// A reply without its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done { duplicate: bool },
    Held(i64),
    Settled { state: &'static str, charge: Option<i64>, duplicate: bool },
    Refused(&'static str),
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Done { duplicate, .. } => Self::Done { duplicate },
            Reply::Held { hold } => Self::Held(hold.as_nano()),
            Reply::Settled { state, charge, duplicate } => {
                Self::Settled { state: state.name(), charge: charge.map(gotoai::base::Money::as_nano), duplicate }
            }
            Reply::Refused(refusal) => Self::Refused(refusal.code()),
        }
    }
}
