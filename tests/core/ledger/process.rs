//! Owns: what the ledger in memory adds to `decide`: a process that dies between two of its three steps, one that is dead and
//! does not know it, a disk that is full.

use super::commands::{FAR, open, order, release, reserve, reserving, settle, top_up};
use super::memory::Memory;
use gotoai::adapters::stores::memory::{Disk, MemoryLedger};
use gotoai::base::{Clock, Error, ErrorKind, Money, Timestamp};
use gotoai::domain::ledger::{Command, Ledger, Once, OrderState, Refusal, Reply, Reserve, WalletKind};

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

/// Of what was committed after the last sync nothing is left, and what is left agrees with itself.
#[test]
fn a_power_cut_takes_what_was_not_synced() {
    let (disk, clock, ledger) = started();
    disk.sync();
    for command in [settle(3, 500), reserve(4, "w", 1)] {
        drop(ledger.submit(command));
    }
    ledger.commit(ledger.take()).deliver();
    assert_eq!(disk.lose_unsynced(), [order(3), order(4)]);
    let next = MemoryLedger::open(&disk, &clock);
    assert_eq!((state(&next), next.orders().unwrap().len()), (OrderState::Reserved, 1));
    assert!(next.verify().unwrap().ok());
    // The next process is another one all the same.
    assert!(next.node().1 > ledger.node().1);
}

/// What its caller has marked runs again when nothing has come of it, in the same process too; and only then.
#[test]
fn a_mark_is_free_again_once_its_order_was_released() {
    let mut ledger = Memory::new();
    ledger.run(&open(1, "w", WalletKind::Prepaid, None));
    ledger.run(&top_up(2, "w", 1_000, 0));
    let once = Once { scope: [7; 32], fingerprint: [8; 32], expires_at: FAR };
    let marked = |n: u8| Command::Reserve(Box::new(Reserve { once: Some(once), ..reserving(n, "w", Some(100)) }));
    let held = Reply::Held { hold: Money::nano(100) };
    assert_eq!(ledger.run(&marked(1)), held);
    assert_eq!(ledger.run(&marked(2)), Reply::Refused(Refusal::Repeated));
    ledger.run(&release(1));
    assert_eq!(ledger.run(&marked(3)), held);
    ledger.run(&settle(3, 50));
    assert_eq!(ledger.run(&marked(4)), Reply::Refused(Refusal::Repeated));
    assert!(ledger.verify().ok());
}
