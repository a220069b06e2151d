//! Owns: random histories: few wallets, grants, orders, keys and operations, so that they collide: repetitions, conflicts, ends of
//! what never began, windows that end under a call.

use super::oracle::{Act, Budget, Call, End, Every, Step, Used};
use gotoai::domain::ledger::{HoldPolicy, WalletKind};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const WALLETS: [&str; 3] = ["a", "b", "c"];
const GRANTS: [&str; 3] = ["g", "h", "i"];
const PATHS: [&str; 3] = ["/", "/team", "/team/app"];
const MODELS: [&str; 3] = ["m", "m-large", "n"];
const LABELS: [&str; 2] = ["batch", "eval"];
const ADJUSTABLE: [&str; 7] =
    ["wallet:a:cash", "wallet:a:recv", "wallet:a:held", "wallet:b:recv", "wallet:c:cash", "exp:loss:crash", "rev:fee"];
const ENDS: [End; 7] = [End::Counted, End::Estimated, End::Suspended, End::Undelivered, End::Unpriced, End::OwnKey, End::Unused];
const EVERY: [Every; 5] = [Every::Hour, Every::Day, Every::Week, Every::Month, Every::Lifetime];
const ORDERS: u8 = 9;
const HOUR_MS: i64 = 3_600_000;

fn wallet() -> impl Strategy<Value = &'static str> {
    select(&WALLETS[..])
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 1..50_i64, 1..6000_i64]
}

fn some() -> impl Strategy<Value = i64> {
    prop_oneof![1..50_i64, 1..6000_i64]
}

fn kind() -> impl Strategy<Value = WalletKind> {
    prop_oneof![Just(WalletKind::Prepaid), Just(WalletKind::Postpaid)]
}

fn policy() -> impl Strategy<Value = HoldPolicy> {
    select(&[HoldPolicy::Strict, HoldPolicy::Clamp, HoldPolicy::Metered][..])
}

/// Days of expiry lie around the first hours of a history, which begins at `now`.
fn act(now: i64) -> impl Strategy<Value = Act> {
    let expiry = option::of((0..5_i64).prop_map(move |hours| now + hours * HOUR_MS));
    let money = prop_oneof![
        3 => (wallet(), 1..9000_i64, 0..50_i64).prop_map(|(wallet, amount, fee)| Act::TopUp { wallet, amount, fee }),
        3 => (wallet(), select(&GRANTS[..]), some(), 0..3_u8, expiry)
            .prop_map(|(wallet, grant, amount, priority, expires_at)| Act::Grant { wallet, grant, amount, priority, expires_at }),
        1 => (wallet(), some()).prop_map(|(wallet, amount)| Act::CashOut { wallet, amount }),
        1 => (wallet(), some(), any::<bool>()).prop_map(|(wallet, amount, paid)| Act::CashOutEnd { wallet, amount, paid }),
        1 => (wallet(), some()).prop_map(|(wallet, amount)| Act::Chargeback { wallet, amount }),
        1 => some().prop_map(|amount| Act::Payout { amount }),
        1 => (some(), some()).prop_map(|(accrued, paid)| Act::Invoice { accrued, paid }),
        1 => (select(&ADJUSTABLE[..]), select(&ADJUSTABLE[..]), some())
            .prop_map(|(debit, credit, amount)| Act::Adjust { debit, credit, amount }),
    ];
    let terms = prop_oneof![
        1 => (wallet(), kind(), option::of(amount())).prop_map(|(wallet, kind, limit)| Act::Open { wallet, kind, limit }),
        1 => (wallet(), option::of(amount()), option::of(policy()))
            .prop_map(|(wallet, limit, hold)| Act::SetTerms { wallet, limit, hold }),
        1 => wallet().prop_map(|wallet| Act::Freeze { wallet }),
        2 => wallet().prop_map(|wallet| Act::Thaw { wallet }),
    ];
    let corrections = prop_oneof![
        3 => (0..ORDERS, amount()).prop_map(|(order, amount)| Act::Refund { order, amount }),
        // Evidence of nothing is a matter of its own, with examples in `corrections`: it also fits what was charged nothing.
        2 => (0..ORDERS, 1..6000_i64, any::<bool>()).prop_map(|(order, tokens, with_builder)| Act::TrueUp { order, tokens, with_builder }),
    ];
    prop_oneof![6 => money, 2 => terms, 4 => corrections]
}

fn call() -> impl Strategy<Value = Call> {
    let spender =
        (option::of(0..2_u8), select(&PATHS[..]), select(&MODELS[..]), option::of(select(&LABELS[..])), option::of(Just("other/m")));
    let mark = option::weighted(0.3, (0..3_u8, prop_oneof![Just(1000_i64), Just(100 * HOUR_MS)]));
    let hold = (option::weighted(0.9, amount()), option::weighted(0.4, some()), 0..4_i64);
    (wallet(), hold, mark, spender).prop_map(|(wallet, (hold, least, lasts), mark, (key, path, model, label, fallback))| Call {
        wallet,
        hold,
        least,
        lasts_ms: lasts * 500,
        mark,
        key,
        path,
        model,
        fallback,
        label,
    })
}

fn used() -> impl Strategy<Value = Used> {
    let lost = prop_oneof![3 => Just(0), 1 => some()];
    let reported = option::weighted(0.3, amount());
    (amount(), select(&ENDS[..]), any::<bool>(), lost, reported, any::<bool>()).prop_map(
        |(tokens, end, with_builder, lost, reported, by_fallback)| Used { tokens, end, with_builder, lost, reported, by_fallback },
    )
}

fn step(now: i64) -> impl Strategy<Value = Step> {
    let wait = prop_oneof![4 => 0..1200_i64, 2 => Just(HOUR_MS), 1 => Just(24 * HOUR_MS), 1 => Just(24 * 31 * HOUR_MS)];
    prop_oneof![
        8 => (10..30_u8, act(now)).prop_map(|(op, act)| Step::Operate { op, act }),
        8 => (0..ORDERS, call()).prop_map(|(order, call)| Step::Reserve { order, call }),
        2 => (0..ORDERS, some()).prop_map(|(order, by)| Step::Extend { order, by }),
        1 => (0..ORDERS).prop_map(|order| Step::Dispatch { order }),
        7 => (0..ORDERS, used()).prop_map(|(order, used)| Step::Settle { order, used }),
        2 => (0..ORDERS).prop_map(|order| Step::Expire { order }),
        1 => (0..ORDERS).prop_map(|order| Step::Recover { order }),
        1 => (wallet(), select(&GRANTS[..])).prop_map(|(wallet, grant)| Step::ExpireGrant { wallet, grant }),
        2 => wait.prop_map(|ms| Step::Wait { ms }),
    ]
}

pub(crate) fn budget() -> impl Strategy<Value = Budget> {
    let scope = (
        option::weighted(0.3, 0..2_u8),
        option::weighted(0.3, select(&PATHS[..])),
        option::weighted(0.3, wallet()),
        option::weighted(0.2, select(&["m*", "m", "n", "acme/*", "other/*"][..])),
        option::weighted(0.2, select(&LABELS[..])),
    );
    let cap = prop_oneof![0..4_i64, 1..9000_i64];
    (scope, select(&EVERY[..]), cap, any::<bool>(), prop::bool::weighted(0.7)).prop_map(
        |((key, path, wallet, model, label), every, cap, of_requests, is_hard)| Budget {
            key,
            path,
            wallet,
            model,
            label,
            every,
            cap,
            of_requests,
            is_hard,
        },
    )
}

pub(crate) fn budgets() -> impl Strategy<Value = Vec<Budget>> {
    prop_oneof![1 => Just(Vec::new()), 1 => vec(budget(), 1..4)]
}

/// Most histories begin with something to spend; some are interrupted by a new start.
pub(crate) fn history(now: i64, most: usize) -> impl Strategy<Value = Vec<Step>> {
    let opened = (kind(), option::of(amount()), kind(), option::of(amount()), 0..9000_i64).prop_map(|(k1, l1, k2, l2, money)| {
        let operate = |op, act| Step::Operate { op, act };
        vec![
            operate(1, Act::Open { wallet: "a", kind: k1, limit: l1 }),
            operate(2, Act::Open { wallet: "b", kind: k2, limit: l2 }),
            operate(3, Act::TopUp { wallet: "a", amount: money + 1, fee: 0 }),
        ]
    });
    (opened, vec(step(now), 1..most), option::of(0..most)).prop_map(|(mut all, more, reopen_at)| {
        all.extend(more);
        if let Some(at) = reopen_at {
            all.insert(at.min(all.len()), Step::Reopen);
        }
        all
    })
}
