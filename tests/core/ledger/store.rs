//! Owns: the ledger in its file: a new start after a crash, several processes on one file, what closing means, and that
//! every durability does the same.

use super::commands::{open, order, release, reserve, reserving, settle, settle_unpriced, settling, top_up};
use gotoai::adapters::stores::sqlite::{Database, SqliteLedger};
use gotoai::base::{Clock, ErrorKind, Money, OrderId, Timestamp};
use gotoai::domain::ledger::{Command, Durability, EntryQuery, EventKind, Ledger, OrderState, Reply, Reserve, UsageSource, WalletKind};
use gotoai::domain::risk::{Budget, BudgetStore, Limit, Period, Scope, Unit};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const FILES: [&str; 2] = ["l.db", "l.db-wal"];
const DURABILITIES: [Durability; 3] = [Durability::Strict, Durability::Hybrid, Durability::Relaxed];

/// A ledger in a folder of its own, with a clock set by hand.
pub(crate) struct Store {
    pub(crate) ledger: SqliteLedger,
    pub(crate) clock: Clock,
    folder: TempDir,
}

pub(crate) fn open_at(path: &Path, clock: &Clock, durability: Durability, serving: bool) -> (SqliteLedger, usize) {
    SqliteLedger::open(&Database::open(path).unwrap(), clock, durability, serving).unwrap()
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with(Durability::Relaxed)
    }

    pub(crate) fn with(durability: Durability) -> Self {
        // Near the present, because the proof compares deadlines with the wall clock.
        Self::open(durability, Clock::system().now())
    }

    pub(crate) fn at(now: Timestamp) -> Self {
        Self::open(Durability::Relaxed, now)
    }

    fn open(durability: Durability, now: Timestamp) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual(now);
        let (ledger, _) = open_at(&folder.path().join("l.db"), &clock, durability, true);
        Self { ledger, clock, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("l.db")
    }

    /// Ends this process's ledger and starts another; how many orders were recovered.
    pub(crate) fn reopen(self) -> (Self, usize) {
        let Self { ledger, clock, folder } = self;
        // Its node's lock goes with it.
        drop(ledger);
        let (ledger, recovered) = open_at(&folder.path().join("l.db"), &clock, Durability::Relaxed, true);
        (Self { ledger, clock, folder }, recovered)
    }

    /// The process dies, as a crash would leave its files: the log beside the database.
    fn die(self) -> (TempDir, Clock) {
        let files = copied(&self);
        let Self { ledger, clock, folder } = self;
        drop(ledger);
        for name in FILES {
            fs::copy(files.path().join(name), folder.path().join(name)).unwrap();
        }
        (folder, clock)
    }

    pub(crate) fn run(&self, command: Command) -> Reply {
        self.ledger.submit(command).wait_blocking().unwrap()
    }

    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// Credits minus debits of every account that is not at zero.
    pub(crate) fn balances(&self) -> BTreeMap<String, i64> {
        balances(&self.raw())
    }

    /// Every window of a budget that holds or has spent something: by budget and start, held and spent.
    pub(crate) fn windows(&self) -> BTreeMap<(i64, i64), (i64, i64)> {
        let c = self.raw();
        let mut rows = c.prepare("SELECT budget_id, start, held, spent FROM budget_windows WHERE held <> 0 OR spent <> 0").unwrap();
        let rows = rows.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

fn balances(c: &Connection) -> BTreeMap<String, i64> {
    let sql = "SELECT a.path, b.credits - b.debits FROM accounts a JOIN balances b ON b.account_id = a.id WHERE b.credits <> b.debits";
    let mut statement = c.prepare(sql).unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The files, copied while their owner is alive.
fn copied(store: &Store) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in FILES {
        fs::copy(store.path().with_file_name(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn lock_file(store: &Store, node: i64) -> PathBuf {
    store.path().with_file_name(format!("l.db.node-{node}"))
}

/// What another process sees at once, and what it sees when it looks again and again.
fn sweeps(ledger: &SqliteLedger, now: Timestamp) -> (Vec<OrderId>, Vec<OrderId>) {
    let first = ledger.orphans(now).unwrap();
    ledger.orphans(now).unwrap();
    (first, ledger.orphans(now).unwrap())
}

fn reserve_here(store: &Store, n: u8, wallet: &str, hold_nano: i64) -> Reply {
    let mut reserve = reserving(n, wallet, Some(hold_nano));
    (reserve.node, reserve.epoch) = store.ledger.node();
    store.run(Command::Reserve(Box::new(reserve)))
}

#[test]
fn what_a_dead_node_left_open_goes_back_once() {
    let store = Store::with(Durability::Strict);
    store.run(open(1, "w", WalletKind::Prepaid, None));
    store.run(top_up(2, "w", 10_000, 0));
    for n in 10..16 {
        assert!(matches!(reserve_here(&store, n, "w", 1000), Reply::Held { .. }));
    }
    store.run(settle(10, 200));
    let (folder, clock) = store.die();
    let path = folder.path().join("l.db");
    let (ledger, recovered) = open_at(&path, &clock, Durability::Strict, true);
    assert_eq!((recovered, ledger.node()), (5, (0, 2)));
    let wallet = ledger.wallet("w").unwrap().unwrap();
    assert_eq!((wallet.cash.as_nano(), wallet.held.as_nano(), wallet.open_orders), (10_000 - 211, 0, 0));
    for n in 11..16 {
        let receipt = ledger.order(order(n)).unwrap().unwrap();
        assert_eq!((receipt.order.state, receipt.settlement.unwrap().finish.as_str()), (OrderState::Released, "crash"));
        let entries = ledger.entries(&EntryQuery { order: Some(order(n)), limit: 9, ..EntryQuery::default() }).unwrap();
        let moved: Vec<_> = entries[1].postings.iter().map(|p| (p.debit.as_str(), p.credit.as_str(), p.amount.as_nano())).collect();
        assert_eq!(moved, [("wallet:w:held", "wallet:w:cash", 1000), ("exp:loss:crash", "prov:acme:suspense", 40)]);
    }
    let after = ledger.verify().unwrap();
    assert!(after.ok(), "{:?}", after.findings);
    drop(ledger);
    let (again, recovered) = open_at(&path, &clock, Durability::Strict, true);
    assert_eq!((recovered, again.node()), (0, (0, 3)));
    assert_eq!(again.verify().unwrap().events, after.events, "a second start finds nothing to do");
}

/// A copy, or a backup, has no lock file that its owner wrote: nobody is dead for certain, and the deadline decides.
#[test]
fn in_a_copy_holds_go_back_at_their_deadline() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    let expires_at = Timestamp(store.clock.now().0 + 1000);
    let (node, epoch) = store.ledger.node();
    store.run(Command::Reserve(Box::new(Reserve { node, epoch, expires_at, ..reserving(10, "w", Some(1000)) })));
    let copy = copied(&store);
    fs::copy(lock_file(&store, 0), copy.path().join("l.db.node-0")).unwrap();
    let (ledger, recovered) = open_at(&copy.path().join("l.db"), &store.clock, Durability::Relaxed, true);
    assert_eq!((recovered, ledger.node()), (0, (1, 1)));
    assert_eq!(ledger.orphans(store.clock.now()).unwrap(), []);
    store.clock.advance(Duration::from_secs(2));
    assert_eq!(sweeps(&ledger, store.clock.now()), (vec![], vec![order(10)]));
    // The one that was copied lives on and knows nothing of it.
    assert!(matches!(store.run(release(10)), Reply::Settled { state: OrderState::Released, duplicate: false, .. }));
    assert!(store.ledger.verify().unwrap().ok());
}

/// Whatever is done to the lock file of a process that lives, its calls keep their holds as long as it puts their deadlines off.
#[test]
fn a_lost_lock_file_is_no_proof_of_death() {
    for replaced in [false, true] {
        let store = Store::new();
        store.run(open(1, "w", WalletKind::Postpaid, None));
        reserve_here(&store, 10, "w", 1000);
        let now = store.clock.now();
        let (path, beside) = (lock_file(&store, 0), store.path().with_file_name("beside"));
        if replaced {
            fs::copy(&path, &beside).unwrap();
            fs::rename(&beside, &path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let (other, recovered) = open_at(&store.path(), &store.clock, Durability::Relaxed, true);
        assert_eq!((recovered, other.node()), (0, (1, 1)), "neither its calls nor its slot");
        assert_eq!(sweeps(&other, store.clock.now()), (vec![], vec![]));
        // Its own sweep puts the file back; then its death is known again.
        assert_eq!(store.ledger.orphans(now).unwrap(), []);
        let Store { ledger, folder: _folder, clock: _ } = store;
        assert_eq!(other.orphans(now).unwrap(), []);
        drop(ledger);
        assert_eq!(other.orphans(now).unwrap(), [order(10)]);
    }
}

/// Who cannot put its lock file back puts its deadlines off all the same, and what was taken from it is booked late.
#[test]
fn a_process_without_a_lock_file_loses_no_usage() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    let expires_at = Timestamp(store.clock.now().0 + 1000);
    let (node, epoch) = store.ledger.node();
    store.run(Command::Reserve(Box::new(Reserve { node, epoch, expires_at, ..reserving(10, "w", Some(1000)) })));
    fs::remove_file(lock_file(&store, 0)).unwrap();
    let (other, _) = open_at(&store.path(), &store.clock, Durability::Relaxed, true);
    store.clock.advance(Duration::from_secs(2));
    let now = store.clock.now();
    assert_eq!([other.orphans(now).unwrap(), other.orphans(now).unwrap()], [[], []]);
    store.run(Command::Renew { order: order(10), until: Timestamp(now.0 + 1000) });
    assert_eq!(other.orphans(now).unwrap(), []);
    store.clock.advance(Duration::from_secs(2));
    let now = store.clock.now();
    assert_eq!(sweeps(&other, now), (vec![], vec![order(10)]), "it is counted from the beginning");
    let recovered = other.submit(Command::Recover { order: order(10) }).wait_blocking().unwrap();
    assert!(matches!(recovered, Reply::Settled { state: OrderState::Released, .. }));
    assert_eq!(store.balances()["exp:loss:crash"], -40, "what its provider may bill is told, should it be dead");
    assert!(matches!(store.run(settle(10, 500)), Reply::Settled { state: OrderState::LateSettled, charge: Some(_), duplicate: false }));
    assert_eq!((store.balances()["prov:acme:payable"], store.balances().get("exp:loss:crash")), (500, None));
    assert!(store.ledger.verify().unwrap().ok());
}

/// Slots whose files were deleted are not used up for ever.
#[test]
fn a_slot_without_a_lock_file_is_taken_when_there_is_no_other() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    let c = store.raw();
    c.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 255) INSERT INTO nodes SELECT i, 1, 0 FROM n",
    )
    .unwrap();
    let mut theirs = reserving(10, "w", Some(1000));
    (theirs.node, theirs.epoch) = (1, 1);
    store.run(Command::Reserve(Box::new(theirs)));
    let (other, recovered) = open_at(&store.path(), &store.clock, Durability::Relaxed, true);
    assert_eq!((recovered, other.node()), (0, (2, 2)), "not the one that holds something");
}

#[test]
fn who_lives_on_finds_what_another_process_has_left_open() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    reserve_here(&store, 10, "w", 1000);
    let (other, _) = open_at(&store.path(), &store.clock, Durability::Relaxed, true);
    let mut theirs = reserving(11, "w", Some(1000));
    (theirs.node, theirs.epoch) = other.node();
    other.submit(Command::Reserve(Box::new(theirs))).wait_blocking().unwrap();
    let now = store.clock.now();
    assert_eq!(store.ledger.orphans(now).unwrap(), [], "both processes live");
    drop(other);
    assert_eq!(store.ledger.orphans(now).unwrap(), [order(11)]);
    store.run(Command::Recover { order: order(11) });
    assert_eq!(store.ledger.orphans(now).unwrap(), []);
    // A third one in the same slot leaves something open too.
    let (third, recovered) = open_at(&store.path(), &store.clock, Durability::Relaxed, true);
    assert_eq!((recovered, third.node()), (0, (1, 2)));
    let mut theirs = reserving(12, "w", Some(1000));
    (theirs.node, theirs.epoch) = third.node();
    third.submit(Command::Reserve(Box::new(theirs))).wait_blocking().unwrap();
    drop(third);
    assert_eq!(store.ledger.orphans(now).unwrap(), [order(12)]);
}

#[test]
fn a_deadline_is_put_off_and_only_ones_own_calls_are_overdue() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    let soon = Timestamp(store.clock.now().0 + 1000);
    for (n, node) in [(10, store.ledger.node()), (11, (7, 1))] {
        let mut reserve = reserving(n, "w", Some(1000));
        ((reserve.node, reserve.epoch), reserve.expires_at) = (node, soon);
        store.run(Command::Reserve(Box::new(reserve)));
    }
    store.clock.advance(Duration::from_secs(2));
    assert_eq!(store.ledger.overdue(store.clock.now()).unwrap(), [order(10)]);
    let later = Timestamp(store.clock.now().0 + 60_000);
    assert_eq!(store.run(Command::Renew { order: order(10), until: later }), Reply::Held { hold: Money::nano(1000) });
    assert_eq!(store.ledger.overdue(store.clock.now()).unwrap(), []);
    // Never brought forward, and too early for it to expire.
    store.run(Command::Renew { order: order(10), until: soon });
    assert!(matches!(store.run(Command::Expire { order: order(10) }), Reply::Settled { state: OrderState::Reserved, .. }));
    assert_eq!(store.ledger.order(order(10)).unwrap().unwrap().order.expires_at, later);
    store.run(settle(10, 100));
    assert!(matches!(
        store.run(Command::Renew { order: order(10), until: Timestamp(i64::MAX) }),
        Reply::Settled { state: OrderState::Finalized, duplicate: true, .. }
    ));
    assert!(store.ledger.verify().unwrap().ok());
}

#[test]
fn a_settlement_that_comes_after_the_recovery_is_booked_late() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    reserve_here(&store, 10, "w", 1000);
    reserve_here(&store, 11, "w", 1000);
    let (store, recovered) = store.reopen();
    assert_eq!(recovered, 2);
    let before = store.balances();
    assert!(matches!(store.run(release(10)), Reply::Settled { state: OrderState::Released, duplicate: true, .. }), "nothing was used");
    assert_eq!(store.balances(), before);
    let late = |duplicate| Reply::Settled { state: OrderState::LateSettled, charge: Some(Money::nano(528)), duplicate };
    assert_eq!([store.run(settle(10, 500)), store.run(settle(10, 500))], [late(false), late(true)]);
    assert!(matches!(store.run(settle_unpriced(11, 500)), Reply::Settled { state: OrderState::Unpriced, duplicate: false, .. }));
    let after = store.balances();
    assert_eq!(
        (after["prov:acme:payable"], after["rev:usage"], after.get("prov:acme:suspense"), after.get("exp:loss:crash")),
        (500, 500, None, None)
    );
    let report = store.ledger.verify().unwrap();
    assert!(report.ok(), "{:?}", report.findings);
}

#[test]
fn a_living_node_keeps_its_orders_when_another_starts_or_ends() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    reserve_here(&store, 10, "w", 1000);
    for _ in 0..2 {
        let (other, recovered) = open_at(&store.path(), &store.clock, Durability::Relaxed, true);
        assert_eq!((recovered, other.node().0), (0, 1));
    }
    let (reader, recovered) = open_at(&store.path(), &store.clock, Durability::Relaxed, false);
    assert_eq!((recovered, reader.node()), (0, (-1, 0)));
    assert!(reader.order(order(10)).unwrap().unwrap().order.state.is_open());
}

#[test]
fn several_handles_on_one_file_write_one_gapless_chain() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Prepaid, None));
    store.run(top_up(2, "w", 1_000_000, 0));
    let others: Vec<SqliteLedger> = (0..2).map(|_| open_at(&store.path(), &store.clock, Durability::Relaxed, true).0).collect();
    let nodes: Vec<_> = others.iter().map(Ledger::node).collect();
    assert_eq!(nodes, [(1, 1), (2, 1)]);
    let all = [&store.ledger, &others[0], &others[1]];
    thread::scope(|scope| {
        for (lane, ledger) in (0_u8..).zip(all) {
            scope.spawn(move || {
                for i in 0..40 {
                    let n = 10 + lane * 80 + i;
                    let mut reserving = reserving(n, "w", Some(500));
                    (reserving.node, reserving.epoch) = ledger.node();
                    let held = ledger.submit(Command::Reserve(Box::new(reserving))).wait_blocking().unwrap();
                    assert!(matches!(held, Reply::Held { .. }), "{held:?}");
                    // Settled by another handle than the one that reserved.
                    let other = all[usize::from((lane + 1) % 3)];
                    let reply = other.submit(settle(n, 100)).wait_blocking().unwrap();
                    assert!(matches!(reply, Reply::Settled { state: OrderState::Finalized, duplicate: false, .. }), "{reply:?}");
                }
            });
        }
    });
    let report = store.ledger.verify().unwrap();
    assert!(report.ok(), "{:?}", report.findings);
    assert_eq!(report.orders, 120);
    // 100 x 1.055 = 105.5, half-even 106.
    assert_eq!(store.balances()["wallet:w:cash"], 1_000_000 - 120 * 106);
}

/// A transaction that reads before it writes was refused ("locked by another process") when a call was booked in between.
#[test]
fn budgets_are_set_while_calls_are_booked() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    let database = Database::open(&store.path()).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in (10..=u8::MAX).cycle() {
                store.run(reserve(n, "w", 1));
                store.run(release(n));
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let set: Vec<_> = (0..100)
            .map(|n| {
                let budget = Budget {
                    id: 0,
                    name: format!("b{n}").into(),
                    scope: Scope { label: Some("none".to_owned()), ..Scope::default() },
                    period: Period::Lifetime,
                    unit: Unit::Requests,
                    cap: 1,
                    limit: Limit::Soft,
                    alert_percent: None,
                };
                database.insert_budget(budget, store.clock.now())
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        for set in set {
            set.unwrap();
        }
    });
}

#[test]
fn every_durability_does_the_same() {
    let histories = DURABILITIES.map(|durability| {
        let store = Store::with(durability);
        store.run(open(1, "w", WalletKind::Prepaid, Some(3000)));
        store.run(top_up(2, "w", 1000, 10));
        store.run(reserve(10, "w", 1000));
        store.run(settle(10, 5000));
        assert!(matches!(store.run(reserve(11, "w", 1)), Reply::Refused(_)));
        store.run(top_up(3, "w", 9000, 0));
        store.run(reserve(11, "w", 2000));
        store.run(Command::Settle(Box::new(settling(11, 7, UsageSource::Estimated))));
        let report = store.ledger.verify().unwrap();
        assert!(report.ok(), "{:?}", report.findings);
        store.balances()
    });
    assert_eq!(histories[0], histories[1]);
    assert_eq!(histories[0], histories[2]);
}

#[test]
fn closing_answers_what_is_queued_and_refuses_what_comes_after() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Postpaid, None));
    let tickets: Vec<_> = (10..60).map(|n| store.ledger.submit(reserve(n, "w", 1))).collect();
    store.ledger.close();
    for ticket in tickets {
        assert!(matches!(ticket.wait_blocking(), Ok(Reply::Held { .. })));
    }
    let refused = store.ledger.submit(settle(10, 1)).wait_blocking().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::LedgerUnavailable);
    store.ledger.close();
    assert!(store.ledger.verify().unwrap().ok(), "what is stored stays readable");
}

#[test]
fn the_journal_is_read_by_wallet_by_order_and_in_pages() {
    let store = Store::new();
    for (n, wallet) in [(1, "a"), (2, "b")] {
        store.run(open(n, wallet, WalletKind::Prepaid, None));
        store.run(top_up(n + 2, wallet, 5000, 0));
        store.run(reserve(n + 9, wallet, 100));
        store.run(settle(n + 9, 10));
    }
    let kinds = |query: &EntryQuery| -> Vec<EventKind> { store.ledger.entries(query).unwrap().iter().map(|entry| entry.kind).collect() };
    let of_a = EntryQuery { wallet: Some("a".into()), limit: 100, ..EntryQuery::default() };
    assert_eq!(kinds(&of_a), [EventKind::WalletOpened, EventKind::TopUp, EventKind::Reserve, EventKind::Finalize]);
    let second = store.ledger.entries(&EntryQuery { limit: 1, ..of_a.clone() }).unwrap()[0].seq;
    assert_eq!(kinds(&EntryQuery { after_seq: second, limit: 1, ..of_a }), [EventKind::TopUp]);
    let of_order = EntryQuery { order: Some(order(11)), limit: 100, ..EntryQuery::default() };
    assert_eq!(kinds(&of_order), [EventKind::Reserve, EventKind::Finalize]);
}

/// As the usual umask leaves files to be read by everybody.
#[cfg(unix)]
#[test]
fn nobody_else_reads_the_files_of_a_new_database() {
    use std::os::unix::fs::PermissionsExt;
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Prepaid, None));
    let files: Vec<_> = fs::read_dir(store.path().parent().unwrap()).unwrap().map(Result::unwrap).collect();
    let modes: BTreeMap<_, _> =
        files.iter().map(|file| (file.file_name(), file.metadata().unwrap().permissions().mode() & 0o777)).collect();
    assert_eq!(modes.len(), 4, "file, log, index and lock: {modes:?}");
    assert!(modes.values().all(|mode| *mode == 0o600), "{modes:?}");
}

#[test]
fn a_refused_reserve_leaves_nothing_on_the_disk() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Prepaid, None));
    let rows = || -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM ops), (SELECT count(*) FROM journal)";
        store.raw().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let (before, log) = (rows(), || fs::metadata(store.path().with_file_name("l.db-wal")).unwrap().len());
    let written = log();
    for n in 10..20 {
        assert!(matches!(reserve_here(&store, n, "w", 1000), Reply::Refused(_)));
    }
    assert_eq!((rows(), log()), (before, written));
}
