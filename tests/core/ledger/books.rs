//! Owns: what the books give a reconciliation: orders of the days asked for, by day, model and key, in the accounts they stand in.

use super::commands::{
    FAR, PROVIDER, dispatch, open, operate, rated, release, reserve, reserving, settle, settle_undelivered, settle_unpriced, settling,
};
use super::store::Store;
use gotoai::adapters::stores::sqlite::Database;
use gotoai::base::{Date, Exact, KeyId, Money, Timestamp};
use gotoai::domain::ledger::{
    Action, Attempt, AttemptOutcome, CloseGap, Command, Ledger, Loss, Move, Rated, Refusal, Reply, Settle, UsageSource, WalletKind,
};
use gotoai::domain::reconcile::{Books, OurRow, Scope};
use gotoai::protocol::billing::Counter;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn store() -> Store {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    store
}

fn daily(store: &Store, provider: &str) -> Vec<OurRow> {
    Database::open(&store.path()).unwrap().daily(provider, Timestamp(0), FAR).unwrap()
}

fn losing(n: u8, tokens: u64, loss_nano: i64) -> Command {
    let attempt = |n, endpoint: &str, outcome| Attempt {
        n,
        endpoint: endpoint.into(),
        outcome,
        status: None,
        started_at_ms: 1,
        first_byte_at_ms: None,
        ended_at_ms: 1,
    };
    let mut settle = settling(n, tokens, UsageSource::Provider);
    settle.losses = vec![Loss { provider: "other".into(), cost_nano: loss_nano }];
    settle.attempts = vec![attempt(1, "other/m-large", AttemptOutcome::Timeout), attempt(2, "acme/m", AttemptOutcome::Served)];
    Command::Settle(Box::new(settle))
}

#[test]
fn orders_stand_under_their_day_model_and_key() {
    let store = store();
    let key = KeyId([7; 16]);
    store.run(reserve(1, "w", 1000));
    store.run(settle(1, 100));
    store.run(reserve(2, "w", 1000));
    store.run(settle(2, 11));
    store.run(Command::Reserve(Box::new(gotoai::domain::ledger::Reserve { key: Some(key), ..reserving(3, "w", Some(1000)) })));
    store.run(settle(3, 5));
    let first = Date::of(store.clock.now());
    store.clock.advance(DAY);
    store.run(reserve(4, "w", 1000));
    store.run(settle(4, 1));
    // Still open, and ended without use: neither is on a bill.
    store.run(reserve(5, "w", 1000));
    store.run(reserve(6, "w", 1000));
    store.run(release(6));
    let rows = daily(&store, PROVIDER);
    let shown: Vec<_> = rows.iter().map(|row| (row.day, row.model.as_str(), row.key.as_deref(), row.orders, row.cost_nano)).collect();
    let second = Date::of_day(first.day_number() + 1);
    let key = key.to_string();
    assert_eq!(shown, [(first, "m", None, 2, 111), (first, "m", Some(key.as_str()), 1, 5), (second, "m", None, 1, 1)]);
    assert_eq!(rows[0].usage, [(Counter::InputUncached, 111)].into());
    assert_eq!(rows[0].cost_exact.map(|exact| exact.to_string()), Some("111".into()));
    assert_eq!(rows[0].price_sheets.len(), 1);
    // Only the days that are asked for, and only this provider.
    let database = Database::open(&store.path()).unwrap();
    assert_eq!(database.daily(PROVIDER, second.start(), FAR).unwrap().len(), 1);
    assert_eq!(database.daily(PROVIDER, Timestamp(0), first.start()).unwrap(), []);
    assert_eq!(database.daily("other", Timestamp(0), FAR).unwrap(), []);
}

#[test]
fn uncertain_amounts_are_told_apart() {
    let store = store();
    for n in 1..=4 {
        store.run(reserve(n, "w", 1000));
    }
    store.run(Command::Settle(Box::new(settling(1, 10, UsageSource::Estimated))));
    store.run(settle_undelivered(2, 20));
    store.run(settle_unpriced(3, 30));
    store.run(dispatch(4));
    store.run(losing(4, 40, 7));
    let rows = daily(&store, PROVIDER);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.orders, row.cost_nano, row.provisional, row.provisional_nano), (4, 70, 2, 30));
    assert_eq!((row.undelivered_nano, row.unpriced, row.suspense_nano()), (20, 1, 0));
    let lost = daily(&store, "other");
    assert_eq!(lost.iter().map(|row| (row.model.as_str(), row.orders, row.failover_nano)).collect::<Vec<_>>(), [("m-large", 0, 7)]);
    let balances = store.balances();
    assert_eq!(balances["prov:acme:payable"], 70);
    assert_eq!(balances["prov:other:suspense"], 7);
}

#[test]
fn a_crash_leaves_its_input_in_suspense() {
    let store = store();
    store.run(reserve(1, "w", 1000));
    let (store, recovered) = store.reopen();
    assert_eq!(recovered, 1);
    let rows = daily(&store, PROVIDER);
    assert_eq!(rows.iter().map(|row| (row.orders, row.crash_nano, row.cost_nano)).collect::<Vec<_>>(), [(0, 40, 0)]);
    assert_eq!(store.balances()["prov:acme:suspense"], 40);
}

/// A bill is by the day of the request or by the day of the reply: the books say both.
#[test]
fn a_call_across_midnight_stands_under_both_its_days() {
    let store = store();
    let first = Date::of(store.clock.now());
    let second = Date::of_day(first.day_number() + 1);
    store.run(reserve(1, "w", 1000));
    store.clock.advance(DAY);
    store.run(settle(1, 100));
    store.run(reserve(2, "w", 1000));
    store.run(settle(2, 11));
    let rows = daily(&store, PROVIDER);
    assert_eq!(rows.iter().map(|row| (row.day, row.ended, row.orders)).collect::<Vec<_>>(), [(first, second, 1), (second, second, 1)]);
    let database = Database::open(&store.path()).unwrap();
    assert_eq!(database.daily(PROVIDER, second.start(), FAR).unwrap().len(), 2, "it ended on that day");
    assert_eq!(database.daily(PROVIDER, first.start(), second.start()).unwrap().len(), 1, "and began on this one");
}

#[test]
fn calls_on_the_users_own_keys_are_on_the_users_bills() {
    let store = store();
    store.run(reserve(1, "w", 1000));
    let used = settling(1, 100, UsageSource::Provider);
    let (amounts, rated) = Rated { upstream: Some(Exact::ZERO), ..rated() }.rate(&used.usage).unwrap();
    store.run(Command::Settle(Box::new(Settle { amounts: Some(amounts), rated: Some(rated), ..used })));
    assert_eq!(daily(&store, PROVIDER), []);
}

/// Nothing was charged for it, so all of its cost is the platform's loss, and cogs has never borne it.
#[test]
fn the_loss_of_an_estimate_in_suspense_is_told_apart() {
    let store = store();
    store.run(reserve(1, "w", 1000));
    let loss = Money::nano(4);
    store.run(Command::Settle(Box::new(Settle { suspense: true, loss, ..settling(1, 10, UsageSource::Estimated) })));
    let row = &daily(&store, PROVIDER)[0];
    assert_eq!((row.cost_nano, row.undelivered_nano), (0, 0));
    assert_eq!((row.estimate_nano, row.estimate_undelivered_nano), (10, 4));
    assert_eq!(store.balances()["exp:loss:undelivered"], -4);
}

#[test]
fn an_estimate_in_suspense_is_told_apart() {
    let store = store();
    store.run(reserve(1, "w", 1000));
    let left = Settle { suspense: true, ..settling(1, 10, UsageSource::Estimated) };
    store.run(Command::Settle(Box::new(left)));
    let rows = daily(&store, PROVIDER);
    assert_eq!(rows.iter().map(|row| (row.orders, row.cost_nano, row.estimate_nano)).collect::<Vec<_>>(), [(1, 0, 10)]);
    assert_eq!(store.balances()["prov:acme:suspense"], 10);
}

fn closing(moves: Vec<Move>) -> CloseGap {
    CloseGap {
        gap: "gap_1".into(),
        provider: PROVIDER.into(),
        day: "2026-09-01".into(),
        model: Some("m".into()),
        line: None,
        key: None,
        by_end: false,
        as_of_seq: i64::MAX,
        explains: [("output_text".into(), -7)].into(),
        moves,
    }
}

#[test]
fn a_closed_gap_says_what_it_explains() {
    let store = store();
    let posting = |debit: &str, credit: &str, amount_nano| Move { debit: debit.into(), credit: credit.into(), amount_nano };
    let moves = vec![
        posting("prov:acme:suspense", "prov:acme:payable", 5),
        posting("prov:acme:suspense", "exp:loss:crash", 2),
        posting("exp:provider_variance", "prov:acme:payable", 3),
    ];
    store.run(operate(3, Action::CloseGap(closing(moves))));
    let database = Database::open(&store.path()).unwrap();
    let closed = database.closed(PROVIDER).unwrap();
    assert_eq!(
        closed.iter().map(|gap| (gap.cost_nano, gap.suspense_nano, &gap.scope)).collect::<Vec<_>>(),
        [(8, 7, &Scope::Model("m".into()))]
    );
    assert_eq!(closed[0].explained, [(Counter::OutputText, -7)].into());
    assert_eq!(database.closed("other").unwrap(), []);
    for wrong in [posting("wallet:w:cash", "prov:acme:payable", 1), posting("prov:acme:payable", "rev:fee", 1)] {
        let refused = store.run(operate(4, Action::CloseGap(closing(vec![wrong]))));
        assert_eq!(refused, Reply::Refused(Refusal::BadAccount), "a wallet's money and revenue are none of a bill's affair");
    }
    assert!(store.ledger.verify().unwrap().ok());
}
