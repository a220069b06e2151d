//! Owns: commands with their usual members, so that a test writes down only what it is about.

use gotoai::base::{Money, OpId, OrderId, Ratio, Timestamp};
use gotoai::domain::catalog::{Meter, PinnedPrice, PriceLine, PriceSheet, Rating, Sell, Usage};
use gotoai::domain::identity::UserPath;
use gotoai::domain::ledger::{
    Action, Amounts, Attempt, AttemptOutcome, Command, OpenWallet, Operation, Outcome, Rated, Reserve, Settle, TopUp, UsageSource,
    WalletKind, settle_amounts,
};

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

pub(crate) fn rated() -> Rated {
    let rating = Rating::standard(Timestamp(0));
    Rated { price: PinnedPrice::of(&sheet()), rating, sell: Sell::Markup(FEE), builder: Ratio::ZERO, upstream: None, reported: None }
}

pub(crate) fn order(n: u8) -> OrderId {
    OrderId([n; 16])
}

/// Never the id of an order.
fn op(n: u8) -> OpId {
    let mut id = [n; 16];
    id[0] = 0xff;
    OpId(id)
}

pub(crate) fn operate(n: u8, action: Action) -> Command {
    Command::Operate(Box::new(Operation { op: op(n), actor: "test".into(), reference: "pi_1".into(), action }))
}

pub(crate) fn open(n: u8, wallet: &str, kind: WalletKind, limit_nano: Option<i64>) -> Command {
    operate(n, Action::OpenWallet(OpenWallet { wallet: wallet.into(), kind, credit_limit_nano: limit_nano }))
}

pub(crate) fn top_up(n: u8, wallet: &str, amount_nano: i64, fee_nano: i64) -> Command {
    operate(n, Action::TopUp(TopUp { wallet: wallet.into(), amount_nano, fee_nano, payment_provider: "stripe".into() }))
}

pub(crate) fn reserving(n: u8, wallet: &str, hold_nano: Option<i64>) -> Reserve {
    Reserve {
        order: order(n),
        wallet: wallet.into(),
        key: None,
        user_path: UserPath::root(),
        labels: Vec::new(),
        operation: "chat",
        model: "m".into(),
        endpoint: "acme/m".into(),
        fallbacks: Vec::new(),
        provider: PROVIDER.into(),
        hold: hold_nano.map(Money::nano),
        least: None,
        input_cost: Money::nano(40),
        stream: false,
        expires_at: FAR,
        node: 0,
        epoch: 1,
        once: None,
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
        rated: Some(rated()),
        usage,
        usage_source,
        amounts: Some(settle_amounts(&usage, &sheet(), &Rating::standard(Timestamp(0)), &Sell::Markup(FEE), Ratio::ZERO).unwrap()),
        unpriced_cost: None,
        outcome: None,
        loss: Money::ZERO,
        suspense: false,
        builder: None,
        losses: Vec::new(),
        attempts: Vec::new(),
        provider_request_id: None,
        finish: "complete",
        answer: None,
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
        rated: None,
        usage: Usage::default(),
        amounts: Some(Amounts::ZERO),
        finish: "rejected",
        ..settling(n, 0, UsageSource::None)
    };
    Command::Settle(Box::new(unused))
}

/// The provider's cost stays, the user is charged nothing.
pub(crate) fn without_charge(amounts: Amounts) -> Amounts {
    Amounts { cost_exact: amounts.cost_exact, cost: amounts.cost, ..Amounts::ZERO }
}

/// The provider may bill, the user got nothing.
pub(crate) fn settle_undelivered(n: u8, tokens: u64) -> Command {
    let mut settle = settling(n, tokens, UsageSource::Estimated);
    settle.outcome = Some(Outcome::Undelivered);
    settle.loss = settle.amounts.map_or(Money::ZERO, |amounts| amounts.cost);
    settle.amounts = settle.amounts.map(without_charge);
    Command::Settle(Box::new(settle))
}

/// Used, and nobody knows at what price.
pub(crate) fn settle_unpriced(n: u8, tokens: u64) -> Command {
    Command::Settle(Box::new(Settle { amounts: None, rated: None, ..settling(n, tokens, UsageSource::Provider) }))
}
