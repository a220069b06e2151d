//! Owns: attempts to change the past. First the triggers refuse; then, with the triggers gone, the proof finds what was done.

use super::commands::{dispatch, open, release, reserve, reserving, settle, settling, top_up};
use super::store::{Store, open_at};
use gotoai::adapters::stores::sqlite::Database;
use gotoai::base::{Clock, Timestamp};
use gotoai::domain::ledger::{AnchorKey, Check, Command, Durability, Ledger, UsageSource, WalletKind};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A file with an order in every state, ended by a commit that only moved money.
fn history() -> (TempDir, PathBuf) {
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Prepaid, Some(3000)));
    store.run(open(2, "p", WalletKind::Postpaid, Some(50_000)));
    store.run(top_up(3, "w", 1_000_000, 1000));
    for n in 10..15 {
        store.run(reserve(n, "w", 90_000));
    }
    store.run(settle(10, 6730));
    store.run(release(11));
    store.run(Command::Settle(Box::new(settling(12, 500, UsageSource::Estimated))));
    store.run(dispatch(13));
    let mut short = reserving(20, "p", Some(4000));
    short.expires_at = Timestamp(store.clock.now().0 - 1);
    store.run(Command::Reserve(Box::new(short)));
    store.run(Command::Expire { order: super::commands::order(20) });
    store.run(settle(20, 700));
    store.run(top_up(4, "p", 100, 0));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("l.db");
    let from = store.path();
    drop(store.ledger);
    fs::copy(from, &path).unwrap();
    (folder, path)
}

/// The checks that find something, after `sql` was run with no trigger in its way.
fn findings(sql: &str) -> BTreeSet<Check> {
    let (_folder, path) = history();
    let c = Connection::open(&path).unwrap();
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
    assert!(sql.is_empty() || c.total_changes() > before, "changed nothing: {sql}");
    drop(c);
    let (ledger, _) = open_at(&path, &Clock::system(), Durability::Relaxed, false);
    let report = ledger.verify().unwrap();
    assert_eq!(report.ok(), report.findings.is_empty());
    report.findings.iter().map(|finding| finding.check).collect()
}

#[track_caller]
fn found(check: Check, sql: &str) {
    let findings = findings(sql);
    assert!(findings.contains(&check), "{check:?} is not among {findings:?} after: {sql}");
}

#[test]
fn a_clean_file_has_no_finding() {
    assert_eq!(findings(""), BTreeSet::new());
}

#[test]
fn an_edited_payload() {
    let edit = |from: &str, to: &str| {
        format!("UPDATE journal SET payload = CAST(replace(CAST(payload AS TEXT), '{from}', '{to}') AS BLOB) WHERE payload LIKE '%{from}%'")
    };
    found(Check::R21, &edit("\"model\":\"m\"", "\"model\":\"n\""));
    found(Check::R07, &edit("\"charge_nano\":7100", "\"charge_nano\":7101"));
    found(Check::R08, &edit("\"input_uncached\":6730", "\"input_uncached\":6731"));
}

#[test]
fn an_edited_entry() {
    found(Check::R21, "UPDATE journal SET ts = ts + 1 WHERE seq = 9");
    found(Check::R24, "UPDATE journal SET ts = ts - 1000 WHERE seq = 9");
    found(Check::R21, "UPDATE journal SET op_id = zeroblob(16) WHERE kind = 2");
    found(Check::R21, "UPDATE journal SET kind = 30 WHERE kind = 20");
    found(Check::R21, "UPDATE journal SET leaf = zeroblob(32) WHERE seq = 9");
}

#[test]
fn an_edited_posting() {
    let last = "(SELECT max(id) FROM postings)";
    found(Check::R21, &format!("UPDATE postings SET amount = amount + 1 WHERE id = {last}"));
    found(Check::R02, &format!("UPDATE postings SET amount = amount + 1 WHERE id = {last}"));
    found(Check::R21, &format!("UPDATE postings SET debit = credit, credit = debit WHERE id = {last}"));
    found(Check::R21, &format!("DELETE FROM postings WHERE id = {last}"));
    found(Check::R07, &format!("INSERT INTO postings SELECT id + 1600, debit, credit, amount, code FROM postings WHERE id = {last}"));
    found(Check::R03, &format!("UPDATE postings SET debit = 999 WHERE id = {last}"));
    found(Check::R05, "UPDATE postings SET amount = amount - 1 WHERE code = 23");
    found(Check::R04, "UPDATE postings SET amount = amount - 1 WHERE code = 10");
}

#[test]
fn amounts_beyond_all_bounds_are_findings_and_no_panic() {
    found(Check::R21, "UPDATE postings SET amount = 9223372036854775807");
    found(Check::R02, "UPDATE balances SET credits = 9223372036854775807 WHERE guard = 0");
}

#[test]
fn an_edited_balance() {
    found(Check::R02, "UPDATE balances SET debits = debits + 1, credits = credits + 1 WHERE account_id = 2");
    found(Check::R01, "UPDATE balances SET credits = credits + 1 WHERE account_id = 2");
    found(Check::R02, "DELETE FROM balances WHERE account_id = (SELECT id FROM accounts WHERE path = 'wallet:w:cash')");
}

#[test]
fn an_edited_order() {
    found(Check::R07, "UPDATE orders SET charge = charge + 1, fee = fee + 1 WHERE state = 1");
    found(Check::R07, "UPDATE orders SET charge = charge + 1, pass_through = pass_through + 1 WHERE state = 1");
    found(Check::R07, "UPDATE orders SET state = 5 WHERE state = 1");
    found(Check::R07, "UPDATE orders SET hold = hold - 1 WHERE state = 0");
    found(Check::R07, "UPDATE orders SET cost = cost - 1 WHERE state = 1");
    found(Check::R07, "UPDATE orders SET wallet_id = 3 - wallet_id WHERE state = 1");
    found(Check::R07, "DELETE FROM orders WHERE state = 2");
    found(
        Check::R07,
        "INSERT INTO orders SELECT zeroblob(16), wallet_id, 2, 0, 0, 0, 0, 0, 0, 0, provider, 0, NULL, 0, 1, 3, 4, 1, 1, 1, NULL, NULL, NULL, 0, 0, 0, 0 FROM orders LIMIT 1",
    );
    found(Check::R06, "UPDATE orders SET expires_at = 1 WHERE state = 0");
}

#[test]
fn an_edited_wallet() {
    found(Check::R07, "UPDATE wallets SET credit_limit = credit_limit + 1 WHERE name = 'p'");
    found(Check::R07, "UPDATE wallets SET kind = 'postpaid' WHERE name = 'w'");
    found(Check::R07, "UPDATE wallets SET name = 'x' WHERE name = 'w'");
    found(Check::R07, "UPDATE wallets SET cash = held WHERE name = 'w'");
}

#[test]
fn a_dropped_entry() {
    found(Check::R07, "DELETE FROM journal WHERE seq = 9");
    found(Check::R21, "DELETE FROM journal WHERE seq = 9");
    found(Check::R07, "DELETE FROM journal WHERE seq = 9; UPDATE journal SET seq = seq - 1 WHERE seq > 9");
}

#[test]
fn swapped_accounts() {
    let swap = "UPDATE accounts SET path = 'x' WHERE path = 'wallet:w:cash';
        UPDATE accounts SET path = 'wallet:w:cash' WHERE path = 'wallet:p:cash';
        UPDATE accounts SET path = 'wallet:p:cash' WHERE path = 'x'";
    found(Check::R03, swap);
    found(Check::R03, "UPDATE accounts SET guard = 0 WHERE path = 'wallet:w:cash'");
}

#[test]
fn a_cut_tail() {
    let cut = |keep: i64| {
        format!(
            "DELETE FROM postings WHERE id / 16 > (SELECT last_seq FROM blocks WHERE n = (SELECT max(n) - {keep} FROM blocks));
             DELETE FROM journal WHERE seq > (SELECT last_seq FROM blocks WHERE n = (SELECT max(n) - {keep} FROM blocks));
             DELETE FROM blocks WHERE n > (SELECT max(n) - {keep} FROM blocks)"
        )
    };
    found(Check::R02, &cut(1));
    found(Check::R07, &cut(4));
    found(Check::R21, "DELETE FROM blocks WHERE n = (SELECT max(n) FROM blocks)");
}

#[test]
fn an_edited_block_or_price() {
    found(Check::R21, "UPDATE blocks SET ts = ts + 1 WHERE n = 2");
    found(Check::R21, "UPDATE blocks SET root = zeroblob(32) WHERE n = 2");
    found(Check::R21, "UPDATE blocks SET prev = zeroblob(32) WHERE n = 2");
    found(Check::R21, "UPDATE blocks SET last_seq = last_seq + 1 WHERE n = 2");
    found(Check::R21, "DELETE FROM blocks WHERE n = 2");
    found(Check::R21, "UPDATE price_sheets SET sheet = replace(sheet, '1000', '1001')");
    found(Check::R08, "UPDATE price_sheets SET sheet = replace(sheet, '1000', '1001')");
    found(Check::R08, "DELETE FROM price_sheets");
}

#[test]
fn an_order_moved_by_hand() {
    found(Check::R07, "UPDATE orders SET state = 2 WHERE state = 1");
    found(Check::R07, "UPDATE orders SET state = 0 WHERE state = 4");
    found(Check::R07, "UPDATE orders SET hold = hold + 1 WHERE state = 0");
}

#[test]
fn the_triggers_refuse() {
    let (_folder, path) = history();
    Database::open(&path).unwrap().make_anchor(&AnchorKey::generate().unwrap().0, Timestamp(1)).unwrap().unwrap();
    let c = Connection::open(&path).unwrap();
    // As the store's own connections have it; without it a replacement is not refused, only found.
    c.pragma_update(None, "recursive_triggers", "ON").unwrap();
    for table in ["journal", "postings", "blocks", "price_sheets", "anchors"] {
        let key = c.query_row(&format!("SELECT name FROM pragma_table_info('{table}') WHERE pk = 1"), [], |row| row.get::<_, String>(0));
        let key = key.unwrap();
        for sql in [
            format!("UPDATE {table} SET {key} = {key}"),
            format!("DELETE FROM {table}"),
            format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}"),
        ] {
            let refused = c.execute_batch(&sql).unwrap_err().to_string();
            assert!(refused.contains("append-only"), "{sql}: {refused}");
        }
    }
    for sql in [
        "DELETE FROM orders",
        "UPDATE orders SET charge = 9, pass_through = 8, fee = 2 WHERE state = 0",
        "UPDATE balances SET debits = credits + 1 WHERE guard = 1",
    ] {
        assert!(c.execute_batch(sql).is_err(), "{sql}");
    }
    drop(c);
    assert!(open_at(&path, &Clock::system(), Durability::Relaxed, false).0.verify().unwrap().ok());
}
