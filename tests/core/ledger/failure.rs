//! Owns: commits that fail. A trigger put into the file by another connection refuses what the ledger writes, as a full disk
//! would, and goes away again.

use super::commands::{open, order, release, reserve, settle, settling, top_up};
use super::store::Store;
use gotoai::base::{ErrorKind, Money};
use gotoai::domain::ledger::{Command, Ledger, OrderState, Reply, UsageSource, WalletKind, hex};
use serde_json::Value;

/// From now on every commit fails.
fn refuse_all(store: &Store) {
    let sql = "CREATE TRIGGER refuse BEFORE INSERT ON blocks BEGIN SELECT RAISE(ABORT, 'refused for the test'); END";
    store.raw().execute_batch(sql).unwrap();
}

/// Only one order cannot be written.
fn refuse_order(store: &Store, n: u8) {
    let id = hex(&order(n).0);
    let sql = format!(
        "CREATE TRIGGER refuse_order BEFORE UPDATE ON orders WHEN NEW.id = x'{id}' BEGIN SELECT RAISE(ABORT, 'refused for the test'); END"
    );
    store.raw().execute_batch(&sql).unwrap();
}

fn allow(store: &Store) {
    store.raw().execute_batch("DROP TRIGGER refuse").unwrap();
}

fn allow_order(store: &Store) {
    store.raw().execute_batch("DROP TRIGGER refuse_order").unwrap();
}

fn funded() -> Store {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Prepaid, None));
    store.run(top_up(2, "w", 10_000, 0));
    store
}

fn state(store: &Store, n: u8) -> OrderState {
    store.ledger.order(order(n)).unwrap().unwrap().order.state
}

/// Settlements that people are told of: order, reason, charge.
fn told(store: &Store) -> Vec<(String, String, Money)> {
    let raw = store.raw();
    let mut rows = raw.prepare("SELECT payload FROM outbox WHERE topic = 'settlement.given_up' ORDER BY id").unwrap();
    let payloads: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let read = |payload: &String| {
        let value: Value = serde_json::from_str(payload).unwrap();
        let text = |member: &str| value[member].as_str().unwrap().to_owned();
        (text("order"), text("reason"), text("charge").parse().unwrap())
    };
    payloads.iter().map(read).collect()
}

fn charge_of(tokens: u64) -> Money {
    settling(0, tokens, UsageSource::Provider).amounts.unwrap().charge
}

#[test]
fn a_failed_commit_books_nothing_and_says_so() {
    let store = funded();
    let before = store.balances();
    refuse_all(&store);
    let error = store.ledger.submit(reserve(10, "w", 1000)).wait_blocking().unwrap_err();
    assert_eq!(error.kind, ErrorKind::LedgerUnavailable);
    assert!(store.ledger.health().is_err());
    assert_eq!(store.balances(), before);
    allow(&store);
    assert!(matches!(store.run(reserve(10, "w", 1000)), Reply::Held { .. }), "the state in memory was thrown away with the commit");
    assert_eq!(store.ledger.health(), Ok(()));
    assert!(store.ledger.verify().unwrap().ok());
}

#[test]
fn a_settlement_whose_commit_failed_is_booked_with_the_next() {
    let store = funded();
    store.run(reserve(10, "w", 1000));
    refuse_all(&store);
    assert!(store.ledger.submit(settle(10, 200)).wait_blocking().is_err());
    assert_eq!(state(&store, 10), OrderState::Reserved);
    allow(&store);
    store.run(reserve(11, "w", 1000));
    // Behind the next commit, whose answer may come first.
    store.run(reserve(12, "w", 1000));
    assert_eq!(state(&store, 10), OrderState::Finalized);
    assert!(matches!(store.run(settle(10, 200)), Reply::Settled { duplicate: true, .. }));
    assert!(store.ledger.verify().unwrap().ok());
}

#[test]
fn a_settlement_whose_commit_failed_is_booked_at_the_close() {
    let store = funded();
    store.run(reserve(10, "w", 1000));
    refuse_all(&store);
    assert!(store.ledger.submit(settle(10, 200)).wait_blocking().is_err());
    allow(&store);
    store.ledger.close();
    assert_eq!(state(&store, 10), OrderState::Finalized);
}

#[test]
fn a_command_that_cannot_be_written_harms_no_other() {
    let store = funded();
    store.run(reserve(10, "w", 1000));
    store.run(reserve(11, "w", 1000));
    refuse_order(&store, 10);
    let tickets = [settle(10, 200), settle(11, 300), reserve(12, "w", 500)].map(|command| store.ledger.submit(command));
    let [refused, settled, held] = tickets.map(gotoai::domain::ledger::Ticket::wait_blocking);
    assert!(refused.is_err());
    assert!(matches!(settled, Ok(Reply::Settled { state: OrderState::Finalized, .. })), "{settled:?}");
    assert!(matches!(held, Ok(Reply::Held { .. })), "{held:?}");
    // It does not stand in the way of what follows either.
    for n in 13..16 {
        assert!(matches!(store.run(reserve(n, "w", 10)), Reply::Held { .. }));
    }
    assert_eq!((state(&store, 10), state(&store, 11)), (OrderState::Reserved, OrderState::Finalized));
    assert_eq!(told(&store), [(order(10).to_string(), "the tables refuse it".to_owned(), charge_of(200))], "given up once, and told");
    allow_order(&store);
    // Not tried again, whatever is committed: the hold is there for who puts it right.
    store.run(reserve(16, "w", 10));
    store.run(reserve(17, "w", 10));
    assert_eq!(state(&store, 10), OrderState::Reserved);
    assert!(matches!(store.run(Command::Recover { order: order(10) }), Reply::Settled { state: OrderState::Released, .. }));
    assert!(store.ledger.verify().unwrap().ok());
}

#[test]
fn a_settlement_that_is_refused_is_told() {
    let store = funded();
    assert!(matches!(store.run(settle(10, 200)), Reply::Refused(_)));
    assert_eq!(told(&store), [(order(10).to_string(), "unknown_order".to_owned(), charge_of(200))]);
    assert!(matches!(store.run(release(11)), Reply::Refused(_)));
    assert_eq!(told(&store).len(), 1, "nothing was used");
}

#[test]
fn while_the_store_fails_no_settlement_is_given_up() {
    let store = funded();
    store.run(reserve(10, "w", 1000));
    store.run(reserve(11, "w", 1000));
    refuse_all(&store);
    for n in [10, 11] {
        assert!(store.ledger.submit(settle(n, 200)).wait_blocking().is_err());
    }
    assert_eq!(told(&store).len(), 0);
    refuse_order(&store, 10);
    allow(&store);
    // The next that is committed shows that the store works; the one order that it refuses is tried alone.
    store.run(reserve(12, "w", 1000));
    store.run(reserve(13, "w", 1000));
    assert_eq!((state(&store, 10), state(&store, 11)), (OrderState::Reserved, OrderState::Finalized));
    assert_eq!(told(&store).len(), 1);
}
