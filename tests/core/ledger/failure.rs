//! Owns: commits that fail. A trigger put into the file by another connection refuses what the ledger writes, as a full disk
//! would, and goes away again.

use super::commands::{open, order, reserve, settle, top_up};
use super::store::Store;
use gotoai::base::ErrorKind;
use gotoai::domain::ledger::{Command, Ledger, OrderState, Reply, WalletKind, hex};

/// From now on every commit fails.
fn refuse_all(store: &Store) {
    let sql = "CREATE TRIGGER refuse BEFORE INSERT ON blocks BEGIN SELECT RAISE(ABORT, 'refused for the test'); END";
    store.raw().execute_batch(sql).unwrap();
}

/// Only one order cannot be written.
fn refuse_order(store: &Store, n: u8) {
    let id: String = hex(&order(n).0);
    let sql = format!(
        "CREATE TRIGGER refuse BEFORE UPDATE ON orders WHEN NEW.id = x'{id}' BEGIN SELECT RAISE(ABORT, 'refused for the test'); END"
    );
    store.raw().execute_batch(&sql).unwrap();
}

fn allow(store: &Store) {
    store.raw().execute_batch("DROP TRIGGER refuse").unwrap();
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
    allow(&store);
    assert!(matches!(store.run(Command::Recover { order: order(10) }), Reply::Settled { state: OrderState::Released, .. }));
    assert!(store.ledger.verify().unwrap().ok());
}
