//! Owns: the proof as it is used day by day: kept between runs, its findings recorded, projections made again from the journal.

use super::commands::{dispatch, open, operate, order, release, reserve, reserving, settle, settle_unpriced, settling, top_up};
use super::store::{Store, open_at};
use gotoai::adapters::stores::sqlite::{Database, Inspector, Run};
use gotoai::base::{Clock, Money, OrderId, Timestamp};
use gotoai::domain::ledger::{
    Action, Adjust, AnchorEvidence, Check, Command, Durability, Finding, GrantMoney, Ledger, Payment, Refund, Report, Reserve, Settle,
    Subject, Ticket, UsageSource, WalletKind,
};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::time::Duration;

fn late(n: u8, store: &Store) {
    let mut short = reserving(n, "p", Some(4000));
    short.expires_at = Timestamp(store.clock.now().0 - 1);
    store.run(Command::Reserve(Box::new(short)));
    store.run(Command::Expire { order: order(n) });
    store.run(settle(n, 700));
}

fn grant(n: u8, amount_nano: i64, expires_at_ms: Option<i64>) -> Command {
    operate(n, Action::Grant(GrantMoney { wallet: "w".into(), grant: "welcome".into(), amount_nano, priority: 1, expires_at_ms }))
}

fn refund(n: u8, of: u8, amount_nano: i64) -> Command {
    operate(n, Action::Refund(Refund { order: order(of).to_string(), amount_nano }))
}

/// Orders of every kind, and money moved in every way.
fn busy(store: &Store) {
    store.run(open(1, "w", WalletKind::Prepaid, Some(3000)));
    store.run(open(2, "p", WalletKind::Postpaid, Some(50_000)));
    store.run(top_up(3, "w", 1_000_000, 1000));
    store.run(grant(4, 50_000, None));
    for n in 10..16 {
        store.run(reserve(n, "w", 90_000));
    }
    store.run(settle(10, 6730));
    store.run(release(11));
    store.run(Command::Settle(Box::new(settling(12, 500, UsageSource::Estimated))));
    store.run(dispatch(13));
    store.run(Command::Extend { order: order(14), by: Money::nano(5000) });
    store.run(settle(14, 80_000));
    late(20, store);
    store.run(refund(5, 10, 1000));
    store.run(refund(6, 10, 500));
}

/// `sql` from another process, with no trigger in its way.
pub(crate) fn tamper(c: &Connection, sql: &str) {
    let triggers: Vec<String> = c
        .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for trigger in triggers {
        c.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    let before = c.total_changes();
    c.execute_batch(sql).unwrap();
    assert!(c.total_changes() > before, "changed nothing: {sql}");
}

fn run_once(inspector: &mut Inspector, whole: bool, now: Timestamp) -> Report {
    let evidence = AnchorEvidence::default();
    inspector.run(Some(&evidence).filter(|_| whole), now, &|| false).unwrap().unwrap()
}

fn checks(report: &Report) -> BTreeSet<Check> {
    report.all().map(|finding| finding.check).collect()
}

pub(crate) fn rows(c: &Connection) -> Vec<String> {
    let mut all = Vec::new();
    for sql in [
        "SELECT json_array(id, path, class, guard) FROM accounts ORDER BY id",
        "SELECT json_array(account_id, debits, credits, guard) FROM balances ORDER BY account_id",
        "SELECT json_array(id, name, kind, credit_limit, frozen, cash, held, receivable, terms, moved) FROM wallets ORDER BY id",
        "SELECT json_array(wallet_id, name, account, priority, expires_at) FROM grants ORDER BY 1",
        "SELECT json_array(hex(id), wallet_id, state, hold, hold_source, charge, pass_through, fee, cost, overrun, provider, input_cost, node, \
         epoch, reserve_seq, final_seq, created_at, expires_at, finished_at, parts, counted, builder, builder_fee, refunded) FROM orders ORDER BY id",
        "SELECT json_array(budget_id, start, held, spent) FROM budget_windows ORDER BY 1",
    ] {
        let mut statement = c.prepare(sql).unwrap();
        all.extend(statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
    }
    all
}

fn budget(c: &Connection) {
    let sql = "INSERT INTO budgets(name, period, unit, cap, created_at) VALUES ('b', '{\"every\":\"lifetime\"}', 'money', 10000000, 0)";
    c.execute_batch(sql).unwrap();
}

#[test]
fn later_runs_read_what_is_new_and_agree_with_a_full_one() {
    let store = Store::new();
    budget(&store.raw());
    let database = Database::open(&store.path()).unwrap();
    let mut kept = Inspector::new(&database).unwrap();
    store.run(open(1, "w", WalletKind::Prepaid, Some(3000)));
    store.run(open(2, "p", WalletKind::Postpaid, None));
    store.run(top_up(3, "w", 1_000_000, 0));
    let steps: Vec<Command> = vec![
        reserve(10, "w", 90_000),
        settle(10, 6730),
        refund(5, 10, 1000),
        refund(6, 10, 100),
        reserve(11, "w", 900),
        Command::Extend { order: order(11), by: Money::nano(50) },
        settle(11, 2000),
        reserve(12, "p", 5000),
        settle_unpriced(12, 10),
        grant(7, 777, None),
        reserve(13, "w", 5000),
        release(13),
        operate(8, Action::Chargeback(Payment { wallet: "w".into(), amount_nano: 10, payment_provider: "stripe".into() })),
    ];
    for command in steps {
        store.run(command);
        let report = run_once(&mut kept, false, store.clock.now());
        assert!(report.ok(), "{:?}", report.findings);
    }
    let once = run_once(&mut kept, false, store.clock.now());
    let full = store.ledger.verify().unwrap();
    assert_eq!((once.events, once.postings, once.orders, once.head), (full.events, full.postings, full.orders, full.head));
    late(20, &store);
    assert!(run_once(&mut kept, false, store.clock.now()).ok());
}

#[test]
fn a_kept_proof_sees_what_is_changed_behind_it() {
    for (check, sql) in [
        (Check::R02, "UPDATE balances SET credits = credits + 7 WHERE account_id = 2"),
        (Check::R02, "UPDATE balances SET credits = credits + 7 WHERE account_id = (SELECT id FROM accounts WHERE path = 'rev:usage')"),
        (Check::R03, "UPDATE accounts SET guard = 0 WHERE path = 'wallet:w:cash'"),
        (Check::R07, "UPDATE orders SET hold = hold + 1 WHERE state = 0"),
        (Check::R07, "UPDATE wallets SET credit_limit = credit_limit + 1 WHERE name = 'p'"),
    ] {
        let store = Store::new();
        busy(&store);
        let mut kept = Inspector::new(&Database::open(&store.path()).unwrap()).unwrap();
        assert!(run_once(&mut kept, false, store.clock.now()).ok());
        tamper(&store.raw(), sql);
        assert!(checks(&run_once(&mut kept, false, store.clock.now())).contains(&check), "{sql}");
        // What goes on afterwards is checked against the same memory.
        store.run(reserve(30, "p", 10));
        assert!(checks(&run_once(&mut kept, false, store.clock.now())).contains(&check), "{sql}");
    }
}

#[test]
fn projections_are_made_again_as_they_were() {
    for sql in [
        "UPDATE balances SET credits = credits + 7 WHERE guard = 0",
        "DELETE FROM balances WHERE account_id = 3",
        "UPDATE accounts SET path = 'x' WHERE path = 'wallet:w:cash'; UPDATE accounts SET path = 'wallet:w:cash' WHERE path = 'wallet:p:cash'; \
         UPDATE accounts SET path = 'wallet:p:cash' WHERE path = 'x'",
        "UPDATE orders SET state = 2, final_seq = 3 WHERE state = 1",
        "UPDATE orders SET hold = hold + 1, parts = NULL, hold_source = 0",
        "UPDATE orders SET charge = charge + 1, fee = fee + 1, overrun = 9, refunded = 0, builder = 'x' WHERE state <> 0",
        "DELETE FROM orders",
        "UPDATE wallets SET name = 'x', kind = 'postpaid', credit_limit = 1, cash = held WHERE name = 'w'",
        "DELETE FROM grants",
        "UPDATE wallets SET moved = moved + 1",
        "UPDATE budget_windows SET held = held + 1, spent = spent + 3",
    ] {
        let store = Store::new();
        budget(&store.raw());
        busy(&store);
        let (c, now) = (store.raw(), store.clock.now());
        let before = rows(&c);
        tamper(&c, sql);
        assert!(!store.ledger.verify().unwrap().ok(), "{sql}");
        let database = Database::open(&store.path()).unwrap();
        let shown = database.rebuild(None, now).unwrap();
        assert!(!shown.changes.is_empty() && rows(&c) != before, "{sql}: only looked");
        let made = database.rebuild(Some(("me", "tested")), now).unwrap();
        assert_eq!(made.changes.len(), shown.changes.len());
        assert!(made.left.is_empty(), "{sql}: {:?}", made.left);
        assert_eq!(rows(&c), before, "{sql}");
        assert!(store.ledger.verify().unwrap().ok());
        assert!(database.rebuild(Some(("me", "tested")), now).unwrap().changes.is_empty());
    }
}

#[test]
fn nothing_is_made_again_from_a_journal_that_was_changed() {
    let store = Store::new();
    busy(&store);
    tamper(&store.raw(), "UPDATE journal SET ts = ts + 1 WHERE seq = 9");
    let refused = Database::open(&store.path()).unwrap().rebuild(Some(("me", "tested")), store.clock.now()).unwrap_err();
    assert!(refused.message.contains("restore a backup"), "{refused}");
}

fn run(now: Timestamp, whole: bool) -> Run<'static> {
    Run { owner: "me", whole, started_at: now, finished_at: now, lease: Duration::from_secs(60), last_seq: 0, freeze: true }
}

fn found(findings: impl IntoIterator<Item = Finding>) -> Report {
    let mut report = Report::default();
    findings.into_iter().for_each(|finding| report.add(finding));
    report
}

/// As many findings about entries as one run lists of a check, and one.
fn many(check: Check) -> impl Iterator<Item = Finding> {
    (0..=1000).map(move |seq| Finding::new(check, Subject::Entry(seq), format!("entry {seq}: wrong")))
}

/// A price sheet is lost, so that every order has a finding that does not freeze; then a balance is edited.
#[test]
fn a_break_is_found_among_any_number_of_lesser_findings() {
    let store = Store::new();
    busy(&store);
    let database = Database::open(&store.path()).unwrap();
    let at = |second: i64| Timestamp(store.clock.now().0 + second * 1000);
    tamper(&store.raw(), "UPDATE balances SET credits = credits + 7 WHERE account_id = (SELECT id FROM accounts WHERE path = 'rev:usage')");
    let broken = || store.ledger.verify().unwrap().findings;
    let first = database.record_run(&run(at(0), true), &found(many(Check::R08).chain(broken()))).unwrap();
    assert!(first.froze);
    let open = |check: &str| database.finding_counts().unwrap().iter().find(|(known, ..)| known == check).map_or(0, |(.., count)| *count);
    assert_eq!((open("R08"), open("R02"), open("R01")), (1001, 1, 1));
    // The next run sees other thousands of the same check: those that it does not list are not gone. What it does not see of others is.
    let others = many(Check::R08).map(|finding| Finding { subject: Subject::Rest, ..finding });
    assert_eq!(database.record_run(&run(at(1), true), &found(others)).unwrap().gone, 2);
    assert_eq!((open("R08"), open("R02"), open("R01")), (1001, 0, 0));
    assert_eq!(database.record_run(&run(at(2), true), &found([])).unwrap().gone, 1001);
}

/// Each is confined to a wallet, but not every wallet is named: then all calls stop.
#[test]
fn more_breaks_than_are_listed_stop_all_calls() {
    let store = Store::new();
    let database = Database::open(&store.path()).unwrap();
    let confined = many(Check::R02).map(|finding| finding.within(Some("w".into())));
    let report = found(confined);
    assert_eq!(report.findings.len(), 1001);
    assert!(database.record_run(&run(store.clock.now(), true), &report).unwrap().froze);
}

#[test]
fn a_run_that_ends_at_an_unreadable_row_says_nothing_of_what_it_did_not_see() {
    let store = Store::new();
    busy(&store);
    let database = Database::open(&store.path()).unwrap();
    let now = store.clock.now();
    database.record_run(&run(now, true), &found(many(Check::R09).take(3))).unwrap();
    tamper(&store.raw(), "PRAGMA ignore_check_constraints = ON; UPDATE wallets SET terms = '1' WHERE name = 'w'");
    let later = now.plus(Duration::from_secs(1));
    let report = run_once(&mut Inspector::new(&database).unwrap(), true, later);
    assert!(report.findings[0].detail.contains("cannot be read"), "{:?}", report.findings);
    assert_eq!(database.record_run(&run(later, true), &report).unwrap().gone, 0);
}

#[test]
fn a_finding_opens_once_goes_and_comes_back() {
    let store = Store::new();
    busy(&store);
    let database = Database::open(&store.path()).unwrap();
    tamper(&store.raw(), "UPDATE balances SET credits = credits + 7 WHERE account_id = (SELECT id FROM accounts WHERE path = 'rev:usage')");
    let broken = store.ledger.verify().unwrap();
    let at = |second: i64| Timestamp(store.clock.now().0 + second * 1000);
    let first = database.record_run(&run(at(0), false), &broken).unwrap();
    assert!(first.froze && first.opened.len() == 2, "{first:?}");
    let again = database.record_run(&run(at(1), true), &broken).unwrap();
    assert!(again.opened.is_empty() && !again.froze && again.gone == 0);
    let kept = database.findings(None, 10).unwrap();
    assert!(kept.iter().all(|finding| finding.seen == 2 && finding.status == "open"));
    // An incremental run that does not look says nothing; a full one does.
    database.record_run(&run(at(2), false), &found([])).unwrap();
    assert_eq!(database.record_run(&run(at(3), true), &found([])).unwrap().gone, 2);
    assert_eq!(database.finding_counts().unwrap(), []);
    assert!(database.unfreeze("me", "tested", at(4)).unwrap() && database.frozen().unwrap().is_none());
    assert_eq!(database.record_run(&run(at(5), true), &broken).unwrap().opened.len(), 2);
    let waiting: i64 = store.raw().query_row("SELECT count(*) FROM outbox WHERE delivered_at IS NULL", [], |row| row.get(0)).unwrap();
    // Two findings, twice; frozen twice; lifted once.
    assert_eq!(waiting, 7);
}

#[test]
fn a_break_within_a_wallet_stops_that_wallet_only() {
    let store = Store::new();
    busy(&store);
    let database = Database::open(&store.path()).unwrap();
    tamper(
        &store.raw(),
        "UPDATE balances SET credits = credits + 7 WHERE account_id = (SELECT id FROM accounts WHERE path = 'wallet:w:cash')",
    );
    let at = |second: i64| Timestamp(store.clock.now().0 + second * 1000);
    let record = |second: i64, report: &Report| {
        let recorded = database.record_run(&run(at(second), true), report).unwrap();
        assert!(!recorded.froze, "the sum of all balances is off because this one is");
        recorded.broken_wallets
    };
    let report = store.ledger.verify().unwrap();
    let broken = record(0, &report);
    assert_eq!(broken.iter().map(|broken| &*broken.wallet).collect::<Vec<_>>(), ["w"]);
    // The wallet could not be frozen: it comes again, also when somebody has looked at it.
    database.acknowledge(&broken[0].finding, "me", "seen", at(1)).unwrap();
    assert_eq!(record(2, &report), broken);
    // Once it is frozen, whoever thaws it knows why, and is not overruled.
    database.wallet_stopped(&broken[0], at(3)).unwrap();
    assert_eq!(record(4, &report), []);
    // Gone and come again, it is another break.
    record(5, &found([]));
    assert_eq!(record(6, &report).len(), 1);
}

#[test]
fn a_break_that_was_not_to_stop_calls_stops_them_once_it_is() {
    let store = Store::new();
    busy(&store);
    let database = Database::open(&store.path()).unwrap();
    tamper(&store.raw(), "UPDATE balances SET credits = credits + 7 WHERE account_id = (SELECT id FROM accounts WHERE path = 'rev:usage')");
    let at = |second: i64| Timestamp(store.clock.now().0 + second * 1000);
    let report = store.ledger.verify().unwrap();
    let off = Run { freeze: false, ..run(at(0), true) };
    assert!(!database.record_run(&off, &report).unwrap().froze && database.frozen().unwrap().is_none());
    // A run that sees nothing of it is enough: it is open.
    assert!(database.record_run(&run(at(1), false), &found([])).unwrap().froze);
    assert!(database.frozen().unwrap().unwrap().reason.contains("rev:usage"));
    // Forced by somebody who knows of it.
    database.unfreeze("me", "tested", at(2)).unwrap();
    assert!(!database.record_run(&run(at(3), true), &report).unwrap().froze && database.frozen().unwrap().is_none());
}

#[test]
fn one_process_reconciles_for_all() {
    let store = Store::new();
    let database = Database::open(&store.path()).unwrap();
    let now = store.clock.now();
    database.record_run(&run(now, false), &found([])).unwrap();
    assert!(!database.is_leased("me", now).unwrap());
    assert!(database.is_leased("other", now).unwrap());
    assert!(!database.is_leased("other", now.plus(Duration::from_secs(61))).unwrap());
    database.release_lease("me").unwrap();
    assert!(!database.is_leased("other", now).unwrap());
}

#[test]
fn silence_is_a_finding_until_somebody_reconciles() {
    let store = Store::new();
    let database = Database::open(&store.path()).unwrap();
    let now = store.clock.now();
    let silent = Finding::new(Check::R25, Subject::Ledger, "nobody has reconciled".to_owned());
    assert!(database.record_silence(Some(&silent), now).unwrap());
    assert!(!database.record_silence(Some(&silent), now).unwrap());
    assert_eq!(database.finding_counts().unwrap(), [("R25".to_owned(), "critical".to_owned(), 1)]);
    // A full run that sees sound books says nothing about silence.
    database.record_run(&run(now.plus(Duration::from_secs(1)), true), &found([])).unwrap();
    assert_eq!(database.finding_counts().unwrap().len(), 1);
    assert!(!database.record_silence(None, now).unwrap());
    assert_eq!(database.finding_counts().unwrap(), []);
}

#[test]
fn how_the_books_are_run_is_noticed() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Prepaid, None));
    store.run(open(2, "p", WalletKind::Postpaid, None));
    store.run(top_up(3, "w", 10_000_000, 0));
    let now = store.clock.now();
    let notices = |now: Timestamp| {
        let database = Database::open(&store.path()).unwrap();
        run_once(&mut Inspector::new(&database).unwrap(), true, now).notices.iter().map(|finding| finding.check).collect::<BTreeSet<_>>()
    };
    assert_eq!(notices(now), BTreeSet::new());
    store.run(reserve(10, "p", 10));
    store.run(settle_unpriced(10, 5));
    assert_eq!(notices(now), BTreeSet::from([Check::R14]));
    store.run(reserve(11, "w", 1000));
    let mut cheap = settling(11, 100, UsageSource::Provider);
    cheap.amounts = cheap.amounts.map(|amounts| gotoai::domain::ledger::Amounts {
        charge: Money::ZERO,
        pass_through: Money::ZERO,
        fee: Money::ZERO,
        ..amounts
    });
    store.run(Command::Settle(Box::new(cheap)));
    assert_eq!(notices(now), BTreeSet::from([Check::R14, Check::R15]));
    store.run(reserve(12, "w", 1000));
    let mut unknown = settling(12, 100, UsageSource::Estimated);
    if let Command::Dispatch { attempt, .. } = dispatch(12) {
        unknown.attempts = vec![attempt];
    }
    store.run(Command::Settle(Box::new(unknown)));
    assert_eq!(notices(now), BTreeSet::from([Check::R13, Check::R14, Check::R15]));
    let tomorrow = now.plus(Duration::from_secs(90_000));
    assert!(notices(tomorrow).contains(&Check::R10));
    for n in 100..220 {
        store.run(reserve(n, "w", 1000));
        store.run(Command::Settle(Box::new(settling(n, 1, UsageSource::Estimated))));
    }
    assert!(notices(now).contains(&Check::R10));
}

/// One call below its cost is a notice; whether the hour as a whole has lost money is another.
#[test]
fn a_margin_is_looked_at_by_call_and_by_hour() {
    let store = Store::at(Timestamp(1_800_000_000_000));
    store.run(open(1, "w", WalletKind::Prepaid, None));
    store.run(top_up(3, "w", 10_000_000, 0));
    let margins = || {
        let database = Database::open(&store.path()).unwrap();
        let report = run_once(&mut Inspector::new(&database).unwrap(), true, store.clock.now());
        let found = report.notices.into_iter().filter(|finding| finding.check == Check::R15);
        found.map(|finding| (finding.subject.to_string(), finding.drift_nano)).collect::<Vec<_>>()
    };
    store.run(reserve(11, "w", 1000));
    let mut cheap = settling(11, 100, UsageSource::Provider);
    cheap.amounts = cheap.amounts.map(|amounts| amounts.charged(Money::nano(40), Money::ZERO, Money::ZERO));
    store.run(Command::Settle(Box::new(cheap)));
    let (call, hour) = (Subject::Endpoint("acme/m".into()).to_string(), Subject::Endpoint("acme/m (hour)".into()).to_string());
    assert_eq!(margins(), [(call.clone(), Some(-60)), (hour.clone(), Some(-60))]);
    // Others of the same hour make good for it.
    store.run(reserve(12, "w", 9000));
    store.run(settle(12, 2000));
    let after = margins();
    assert!(after.contains(&(call, Some(-60))) && !after.contains(&(hour, Some(-60))), "{after:?}");
}

#[test]
fn an_idempotency_key_without_its_order_is_found() {
    let store = Store::new();
    busy(&store);
    let inspect = || checks(&run_once(&mut Inspector::new(&Database::open(&store.path()).unwrap()).unwrap(), true, store.clock.now()));
    let mark = |scope: &str, order: &str| {
        let sql = format!("INSERT INTO idempotency SELECT {scope}, zeroblob(32), {order}, 9000000000000000, NULL FROM orders LIMIT 1");
        store.raw().execute_batch(&sql).unwrap();
    };
    mark("zeroblob(32)", "id");
    assert_eq!(inspect(), BTreeSet::new());
    mark("randomblob(32)", "zeroblob(16)");
    assert_eq!(inspect(), BTreeSet::from([Check::R22]));
}

#[test]
fn an_expired_grant_that_is_not_empty_is_found() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Prepaid, None));
    store.run(grant(4, 50_000, Some(store.clock.now().0 + 1000)));
    let full = |hours: u64| {
        let mut inspector = Inspector::new(&Database::open(&store.path()).unwrap()).unwrap();
        checks(&run_once(&mut inspector, true, store.clock.now().plus(Duration::from_secs(3600 * hours))))
    };
    assert_eq!((full(1), full(30)), (BTreeSet::new(), BTreeSet::from([Check::R20])));
    store.run(operate(
        9,
        Action::Adjust(Adjust {
            debit: "wallet:w:grant:welcome".into(),
            credit: "contra:promo".into(),
            amount_nano: 50_000,
            finding: None,
        }),
    ));
    assert_eq!(full(30), BTreeSet::new());
}

#[test]
fn a_settlement_that_was_changed_is_named_by_each_check() {
    let edit = |from: &str, to: &str| {
        format!("UPDATE journal SET payload = CAST(replace(CAST(payload AS TEXT), '{from}', '{to}') AS BLOB) WHERE payload LIKE '%{from}%'")
    };
    for (check, sql) in [
        (Check::R05, "UPDATE postings SET amount = amount - 1 WHERE code = 20".to_owned()),
        (Check::R07, "UPDATE journal SET kind = 21 WHERE kind = 20".to_owned()),
        (Check::R09, edit("\"cost_nano\":6730", "\"cost_nano\":6731")),
        (Check::R09, edit("\"charge_nano\":7100", "\"charge_nano\":7101")),
        (Check::R12, "UPDATE budget_windows SET spent = spent + 1".to_owned()),
        (Check::R20, edit("\"amount_nano\":1000", "\"amount_nano\":9000")),
    ] {
        let store = Store::new();
        budget(&store.raw());
        busy(&store);
        tamper(&store.raw(), &sql);
        let (ledger, _) = open_at(&store.path(), &Clock::system(), Durability::Relaxed, false);
        let report = ledger.verify().unwrap();
        assert!(checks(&report).contains(&check), "{check:?} is not in {:?} after {sql}", checks(&report));
    }
}

/// More entries than are read at once: an order that agrees is let go on the way, and taken up again by what comes later.
#[test]
fn a_long_journal_is_proved_in_pieces() {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Prepaid, None));
    store.run(top_up(3, "w", 1_000_000_000, 0));
    let id = |n: u32| OrderId(std::array::from_fn(|at| if at < 12 { 9 } else { n.to_be_bytes()[at - 12] }));
    let pair = |n: u32| {
        let reserve = Reserve { order: id(n), ..reserving(0, "w", Some(100)) };
        let settle = Settle { order: id(n), ..settling(0, 5, UsageSource::Provider) };
        [Command::Reserve(Box::new(reserve)), Command::Settle(Box::new(settle))]
    };
    let tickets: Vec<Ticket> = (0..10_200).flat_map(pair).map(|command| store.ledger.submit(command)).collect();
    for ticket in tickets {
        ticket.wait_blocking().unwrap();
    }
    store.run(operate(5, Action::Refund(Refund { order: id(3).to_string(), amount_nano: 2 })));
    assert_eq!(store.ledger.verify().unwrap().findings, []);
    let one = |n: u32| format!("WHERE id = (SELECT id FROM orders ORDER BY reserve_seq LIMIT 1 OFFSET {n})");
    let stranger = "INSERT INTO orders SELECT zeroblob(16), wallet_id, 2, 0, 0, 0, 0, 0, 0, 0, provider, 0, NULL, 0, 1, 3, 4, 1, 1, 1, \
                    NULL, NULL, NULL, 0, 0 FROM orders LIMIT 1";
    tamper(
        &store.raw(),
        &format!(
            "UPDATE orders SET cost = cost + 1 {}; UPDATE orders SET refunded = 0 {}; DELETE FROM orders {}; {stranger}",
            one(1),
            one(3),
            one(5)
        ),
    );
    let found: BTreeSet<String> = store.ledger.verify().unwrap().findings.into_iter().map(|finding| finding.subject.to_string()).collect();
    let expected = [id(1), id(3), id(5), OrderId([0; 16])].map(|id| Subject::Order(id).to_string());
    assert_eq!(found, BTreeSet::from(expected));
}
