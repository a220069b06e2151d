//! Owns: what the ledger in memory adds to `decide`: a process that dies between two of its three steps, one that is dead and
//! does not know it, a disk that is full.

use super::commands::{open, reserve, settle, top_up};
use gotoai::adapters::stores::memory::{Disk, MemoryLedger};
use gotoai::base::{Clock, Error, ErrorKind, Timestamp};
use gotoai::domain::ledger::{Ledger, OrderState, Reply, WalletKind};

fn started() -> (Disk, Clock, MemoryLedger) {
    let (disk, clock) = (Disk::default(), Clock::manual(Timestamp(1_000_000)));
    let ledger = MemoryLedger::open(&disk, &clock);
    for command in [open(1, "w", WalletKind::Prepaid, None), top_up(2, "w", 1_000_000, 0), reserve(3, "w", 90_000)] {
        drop(ledger.submit(command));
    }
    ledger.commit(ledger.take()).deliver();
    (disk, clock, ledger)
}

fn state(ledger: &MemoryLedger) -> OrderState {
    ledger.orders().unwrap()[0].order.state
}

#[test]
fn what_is_not_committed_dies_with_the_process_and_what_is_stays() {
    let (disk, clock, ledger) = started();
    let lost = ledger.submit(settle(3, 500));
    drop(ledger.take());
    assert!(lost.wait_blocking().is_err());
    assert_eq!(state(&MemoryLedger::open(&disk, &clock)), OrderState::Reserved);
    let (disk, clock, ledger) = started();
    let untold = ledger.submit(settle(3, 500));
    drop(ledger.commit(ledger.take()));
    assert!(untold.wait_blocking().is_err());
    let next = MemoryLedger::open(&disk, &clock);
    assert_eq!((state(&next), next.recover().len()), (OrderState::Finalized, 0));
    assert!(next.verify().unwrap().ok());
}

#[test]
fn a_dead_process_that_does_not_know_it_commits_nothing() {
    let (disk, clock, ledger) = started();
    let next = MemoryLedger::open(&disk, &clock);
    let late = ledger.submit(settle(3, 500));
    ledger.commit(ledger.take()).deliver();
    assert_eq!(late.wait_blocking().unwrap_err().kind, ErrorKind::LedgerUnavailable);
    let recovered = next.recover();
    next.commit(next.take()).deliver();
    for ticket in recovered {
        assert!(matches!(ticket.wait_blocking(), Ok(Reply::Settled { state: OrderState::Released, .. })));
    }
    assert!(next.verify().unwrap().ok());
}

#[test]
fn a_settlement_that_a_full_disk_refused_is_booked_by_the_next_commit() {
    let (_, _, ledger) = started();
    let (settled, reserved) = (ledger.submit(settle(3, 500)), ledger.submit(reserve(4, "w", 1)));
    ledger.fail(ledger.take(), &Error::new(ErrorKind::LedgerUnavailable, "full")).deliver();
    assert!(settled.wait_blocking().is_err() && reserved.wait_blocking().is_err());
    assert_eq!(state(&ledger), OrderState::Reserved);
    ledger.close();
    assert_eq!((state(&ledger), ledger.orders().unwrap().len()), (OrderState::Finalized, 1));
    assert!(ledger.submit(settle(3, 500)).wait_blocking().is_err(), "closed");
}
