//! Owns: a step of a history as the ledger's command, and a budget as the stores keep it.
//! Refuses to know: what a step should do (oracle), which steps are worth playing (history).

use super::commands::{PROVIDER, dispatch, open, operate, order, rated, reserving, settling, sheet, top_up, without_charge};
use super::oracle::{Act, Budget, Call, End, Every, INPUT_COST, Step, Used};
use gotoai::base::{Exact, KeyId, Money, Ratio, Timestamp};
use gotoai::domain::catalog::{Meter, Usage};
use gotoai::domain::identity::{ModelPattern, UserPath};
use gotoai::domain::ledger::{
    Action, Adjust, Amounts, Command, GrantMoney, Invoice, Loss, Once, Outcome, Payment, Payout, Rated, Refund, Reserve, SetTerms, Settle,
    Terms, TrueUp, UsageSource, WalletName, own_key_amounts, settle_amounts,
};
use gotoai::domain::risk::{self, Limit, Period, Scope, Unit};
use std::sync::Arc;

/// The step as a command of `(node, epoch)`; `None` for what is no command.
pub(crate) fn command(step: &Step, now: Timestamp, node: (i64, i64)) -> Option<Command> {
    Some(match step {
        Step::Operate { op, act } => operation(*op, act),
        Step::Reserve { order, call } => Command::Reserve(Box::new(reserve(*order, call, now, node))),
        Step::Extend { order: n, by } => Command::Extend { order: order(*n), by: Money::nano(*by) },
        Step::Dispatch { order } => dispatch(*order),
        Step::Settle { order, used } => Command::Settle(Box::new(settle(*order, used))),
        Step::Expire { order: n } => Command::Expire { order: order(*n) },
        Step::Recover { order: n } => Command::Recover { order: order(*n) },
        Step::ExpireGrant { wallet, grant } => Command::ExpireGrant { wallet: Arc::from(*wallet), grant: Arc::from(*grant) },
        Step::Wait { .. } | Step::Reopen => return None,
    })
}

fn operation(op: u8, act: &Act) -> Command {
    let payment = |wallet: &str, amount_nano| Payment { wallet: wallet.into(), amount_nano, payment_provider: "stripe".into() };
    let named = |wallet: &str| WalletName { wallet: wallet.into() };
    let action = match *act {
        Act::Open { wallet, kind, limit } => return open(op, wallet, kind, limit),
        Act::TopUp { wallet, amount, fee } => return top_up(op, wallet, amount, fee),
        Act::SetTerms { wallet, limit, hold } => {
            let terms = Arc::new(Terms { hold, ..Terms::default() });
            Action::SetTerms(SetTerms { wallet: wallet.into(), credit_limit_nano: limit, terms, replaces: None })
        }
        Act::Freeze { wallet } => Action::Freeze(named(wallet)),
        Act::Thaw { wallet } => Action::Thaw(named(wallet)),
        Act::Grant { wallet, grant, amount, priority, expires_at } => Action::Grant(GrantMoney {
            wallet: wallet.into(),
            grant: grant.into(),
            amount_nano: amount,
            priority,
            expires_at_ms: expires_at,
        }),
        Act::Refund { order: n, amount } => Action::Refund(Refund { order: order(n).to_string(), amount_nano: amount }),
        Act::TrueUp { order, tokens, with_builder } => Action::TrueUp(Box::new(evidence(order, tokens, with_builder))),
        Act::CashOut { wallet, amount } => Action::CashOut(payment(wallet, amount)),
        Act::CashOutEnd { wallet, amount, paid: true } => Action::CashOutPaid(payment(wallet, amount)),
        Act::CashOutEnd { wallet, amount, paid: false } => Action::CashOutFailed(payment(wallet, amount)),
        Act::Chargeback { wallet, amount } => Action::Chargeback(payment(wallet, amount)),
        Act::Payout { amount } => Action::Payout(Payout { payment_provider: "stripe".into(), amount_nano: amount }),
        Act::Invoice { accrued, paid } => Action::Invoice(Invoice { provider: PROVIDER.into(), accrued_nano: accrued, paid_nano: paid }),
        Act::Adjust { debit, credit, amount } => {
            Action::Adjust(Adjust { debit: debit.into(), credit: credit.into(), amount_nano: amount, finding: None })
        }
    };
    operate(op, action)
}

fn reserve(n: u8, call: &Call, now: Timestamp, node: (i64, i64)) -> Reserve {
    let once = |(mark, lasts_ms): (u8, i64)| Once { scope: [mark; 32], fingerprint: [0; 32], expires_at: Timestamp(now.0 + lasts_ms) };
    Reserve {
        least: call.least.map(Money::nano),
        key: call.key.map(key),
        user_path: UserPath::parse(call.path).unwrap(),
        labels: call.label.into_iter().map(Arc::from).collect(),
        model: call.model.into(),
        fallbacks: call.fallback.into_iter().map(Arc::from).collect(),
        input_cost: Money::nano(INPUT_COST),
        expires_at: Timestamp(now.0 + call.lasts_ms),
        node: node.0,
        epoch: node.1,
        once: call.mark.map(once),
        ..reserving(n, call.wallet, call.hold)
    }
}

fn key(n: u8) -> KeyId {
    KeyId([n; 16])
}

/// Usage, how it is rated, and the amounts that follow.
fn priced(tokens: i64, own_key: bool, with_builder: bool) -> (Usage, Rated, Amounts) {
    let usage = Usage::default().with(Meter::InputUncached, u64::try_from(tokens).unwrap());
    let builder = if with_builder { Ratio { num: 1, den: 100 } } else { Ratio::ZERO };
    let rated = Rated { builder, ..rated() };
    if !own_key {
        let amounts = settle_amounts(&usage, &sheet(), &rated.rating, &rated.sell, builder).unwrap();
        return (usage, rated, amounts);
    }
    let (amounts, upstream) = own_key_amounts(&usage, &sheet(), &rated.rating, &rated.sell, builder).unwrap();
    (usage, Rated { upstream: Some(upstream), ..rated }, amounts)
}

fn settle(n: u8, used: &Used) -> Settle {
    let (usage, mut rated, mut amounts) = priced(used.tokens, used.end == End::OwnKey, used.with_builder);
    rated.reported = used.reported.map(|cost| Exact::new(cost.into(), 1).unwrap());
    match (used.end, rated.reported) {
        (End::OwnKey, told) => rated.upstream = told.or(rated.upstream),
        (_, Some(cost)) => amounts = amounts.at_cost(cost).unwrap(),
        (_, None) => {}
    }
    let source = match used.end {
        End::Counted | End::OwnKey | End::Unpriced => UsageSource::Provider,
        End::Estimated | End::Suspended | End::Undelivered => UsageSource::Estimated,
        End::Unused => UsageSource::None,
    };
    let losses = [used.lost].into_iter().filter(|lost| *lost > 0);
    let ended = Settle {
        endpoint: Some(if used.by_fallback { "other/m" } else { "acme/m" }.into()),
        usage,
        builder: used.with_builder.then(|| "bob".into()),
        losses: losses.map(|cost_nano| Loss { provider: "other".into(), cost_nano }).collect(),
        rated: Some(rated),
        amounts: Some(amounts),
        ..settling(n, 0, source)
    };
    match used.end {
        End::Counted | End::Estimated | End::OwnKey => ended,
        End::Suspended => Settle { suspense: true, ..ended },
        End::Undelivered => {
            Settle { outcome: Some(Outcome::Undelivered), loss: amounts.cost, amounts: Some(without_charge(amounts)), ..ended }
        }
        End::Unpriced => Settle { unpriced_cost: ended.rated.and_then(|rated| rated.reported), amounts: None, rated: None, ..ended },
        End::Unused => Settle {
            endpoint: None,
            provider: None,
            rated: None,
            usage: Usage::default(),
            amounts: Some(Amounts::ZERO),
            finish: "rejected",
            ..ended
        },
    }
}

fn evidence(n: u8, tokens: i64, with_builder: bool) -> TrueUp {
    let (usage, rated, amounts) = priced(tokens, false, with_builder);
    TrueUp {
        order: order(n),
        provider: PROVIDER.into(),
        endpoint: None,
        rated: Some(rated),
        usage,
        usage_source: UsageSource::Provider,
        amounts,
        losses: Vec::new(),
        follows: None,
    }
}

/// The budget as stores keep it; `n` makes its name.
pub(crate) fn stored(n: usize, budget: &Budget) -> risk::Budget {
    risk::Budget {
        id: 0,
        name: format!("b{n}").into(),
        scope: Scope {
            key: budget.key.map(|n| key(n).to_string()),
            user_path: budget.path.map(|path| UserPath::parse(path).unwrap()),
            wallet: budget.wallet.map(str::to_owned),
            model: budget.model.map(ModelPattern::new),
            label: budget.label.map(str::to_owned),
        },
        period: match budget.every {
            Every::Hour => Period::Hour,
            Every::Day => Period::Day { offset_minutes: 0, hour: 0 },
            Every::Week => Period::Week { offset_minutes: 0, hour: 0, weekday: 1 },
            Every::Month => Period::Month { offset_minutes: 0, hour: 0, day: 1 },
            Every::Lifetime => Period::Lifetime,
        },
        unit: if budget.of_requests { Unit::Requests } else { Unit::Money },
        cap: budget.cap,
        limit: if budget.is_hard { Limit::Hard { status: 402 } } else { Limit::Soft },
        alert_percent: Some(80),
    }
}
