//! Owns: commands with their usual members, so that a test writes down only what it is about.

use gotoai::base::{Money, OpId, OrderId, Ratio, Timestamp};
use gotoai::domain::catalog::{Meter, PinnedPrice, PriceLine, PriceSheet, Rating, Sell, Usage};
use gotoai::domain::ledger::{Amounts, Attempt, AttemptOutcome, Command, Reserve, Settle, TopUp, UsageSource, WalletKind, settle_amounts};

/// The platform's share in all of these tests: 5.5 %.
pub(crate) const FEE: Ratio = Ratio { num: 55, den: 1000 };
pub(crate) const PROVIDER: &str = "acme";
/// A deadline that no test reaches.
pub(crate) const FAR: Timestamp = Timestamp(i64::MAX / 2);

/// One nano-unit a token: a cost is its number of tokens.
pub(crate) fn sheet() -> PriceSheet {
    let line = PriceLine::new(Meter::InputUncached, 1000, 1);
    PriceSheet::new(vec![line], "test".into(), 0)
}

pub(crate) fn order(n: u8) -> OrderId {
    OrderId([n; 16])
}

/// Never the id of an order: refused reserves are recorded beside operations.
fn op(n: u8) -> OpId {
    let mut id = [n; 16];
    id[0] = 0xff;
    OpId(id)
}

pub(crate) fn open(n: u8, wallet: &str, kind: WalletKind, limit_nano: Option<i64>) -> Command {
    Command::OpenWallet { op: op(n), wallet: wallet.into(), kind, credit_limit: limit_nano.map(Money::nano), actor: "test".into() }
}

pub(crate) fn top_up(n: u8, wallet: &str, amount_nano: i64, fee_nano: i64) -> Command {
    Command::TopUp(TopUp {
        op: op(n),
        wallet: wallet.into(),
        amount: Money::nano(amount_nano),
        fee: Money::nano(fee_nano),
        payment_provider: "stripe".into(),
        reference: "pi_1".into(),
        actor: "test".into(),
    })
}

pub(crate) fn reserving(n: u8, wallet: &str, hold_nano: Option<i64>) -> Reserve {
    Reserve {
        order: order(n),
        wallet: wallet.into(),
        key: None,
        user_path: "/".into(),
        operation: "chat",
        model: "m".into(),
        endpoint: "acme/m".into(),
        provider: PROVIDER.into(),
        hold: hold_nano.map(Money::nano),
        input_cost: Money::nano(40),
        stream: false,
        expires_at: FAR,
        node: 0,
        epoch: 1,
    }
}

pub(crate) fn reserve(n: u8, wallet: &str, hold_nano: i64) -> Command {
    Command::Reserve(Box::new(reserving(n, wallet, Some(hold_nano))))
}

pub(crate) fn dispatch(n: u8) -> Command {
    let attempt = Attempt {
        n: 2,
        endpoint: "acme/m".into(),
        outcome: AttemptOutcome::Dispatched,
        status: None,
        started_at_ms: 1,
        first_byte_at_ms: None,
        ended_at_ms: 1,
    };
    Command::Dispatch { order: order(n), attempt }
}

pub(crate) fn settling(n: u8, tokens: u64, usage_source: UsageSource) -> Settle {
    let usage = Usage::default().with(Meter::InputUncached, tokens);
    Settle {
        order: order(n),
        endpoint: Some("acme/m".into()),
        provider: Some(PROVIDER.into()),
        price: Some(PinnedPrice::of(&sheet())),
        usage,
        usage_source,
        amounts: Some(settle_amounts(&usage, &sheet(), &Rating::standard(Timestamp(0)), &Sell::Markup(FEE), Ratio::ZERO).unwrap()),
        undelivered: false,
        losses: Vec::new(),
        attempts: Vec::new(),
        provider_request_id: None,
        finish: "complete",
    }
}

pub(crate) fn settle(n: u8, tokens: u64) -> Command {
    Command::Settle(Box::new(settling(n, tokens, UsageSource::Provider)))
}

/// Nothing was used: the hold goes back.
pub(crate) fn release(n: u8) -> Command {
    let unused = Settle {
        endpoint: None,
        provider: None,
        price: None,
        usage: Usage::default(),
        amounts: Some(Amounts::ZERO),
        finish: "rejected",
        ..settling(n, 0, UsageSource::None)
    };
    Command::Settle(Box::new(unused))
}

/// The provider may bill, the user got nothing.
pub(crate) fn settle_undelivered(n: u8, tokens: u64) -> Command {
    let mut settle = settling(n, tokens, UsageSource::Estimated);
    settle.undelivered = true;
    settle.amounts = settle.amounts.map(Amounts::without_charge);
    Command::Settle(Box::new(settle))
}

/// Used, and nobody knows at what price.
pub(crate) fn settle_unpriced(n: u8, tokens: u64) -> Command {
    Command::Settle(Box::new(Settle { amounts: None, price: None, ..settling(n, tokens, UsageSource::Provider) }))
}
