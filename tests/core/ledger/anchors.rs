//! Owns: anchors over a real file: when one is made, and that a history that was cut or written anew does not have their heads,
//! although everything else in it agrees.

use super::commands::{open, reserve, settle, top_up};
use super::store::{Store, open_at};
use gotoai::adapters::stores::sqlite::Database;
use gotoai::base::{Clock, Secret, Timestamp};
use gotoai::domain::ledger::{Anchor, AnchorEvidence, AnchorKey, Check, Durability, WalletKind};
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn key() -> AnchorKey {
    AnchorKey::parse(&Secret::new("07".repeat(32))).unwrap()
}

/// A ledger with two anchors, the second one of its head; and the file as it was at the first.
fn history() -> (TempDir, Vec<Anchor>) {
    let store = Store::with(Durability::Strict);
    let folder = TempDir::new().unwrap();
    let database = Database::open(&store.path()).unwrap();
    store.run(open(1, "w", WalletKind::Prepaid, None));
    store.run(top_up(2, "w", 1_000_000, 0));
    let now = store.clock.now();
    let first = database.make_anchor(&key(), now).unwrap().unwrap();
    assert_eq!(database.make_anchor(&key(), now).unwrap(), None, "the head did not move");
    Connection::open(store.path()).unwrap().execute("VACUUM INTO ?1", [folder.path().join("early.db").display().to_string()]).unwrap();
    store.run(reserve(10, "w", 90_000));
    assert!(database.head_moved().unwrap());
    store.run(settle(10, 6730));
    let second = database.make_anchor(&key(), now).unwrap().unwrap();
    assert_eq!((second.n, second.prev, database.last_anchor().unwrap()), (2, first.hash(), Some(second.clone())));
    assert_eq!(database.anchors_after(1).unwrap().as_slice(), std::slice::from_ref(&second));
    Connection::open(store.path()).unwrap().execute("VACUUM INTO ?1", [folder.path().join("late.db").display().to_string()]).unwrap();
    (folder, vec![first, second])
}

/// What R21 says of a file, given what is outside.
fn findings(path: &Path, outside: Option<&[Anchor]>) -> Vec<String> {
    let evidence = AnchorEvidence { trusted: key().trusted(), outside: outside.map(|anchors| anchors.iter().cloned().map(Ok).collect()) };
    let report = open_at(path, &Clock::system(), Durability::Relaxed, false).0.verify_with(&evidence).unwrap();
    assert!(report.findings.iter().all(|finding| finding.check == Check::R21), "{:?}", report.findings);
    report.findings.into_iter().map(|finding| finding.detail).collect()
}

#[test]
fn an_honest_ledger_has_its_anchored_heads() {
    let (folder, anchors) = history();
    assert_eq!(findings(&folder.path().join("late.db"), Some(&anchors)), Vec::<String>::new());
}

#[test]
fn an_older_copy_put_back_is_named_by_the_file_outside() {
    let (folder, anchors) = history();
    let early = folder.path().join("early.db");
    assert_eq!(findings(&early, None), Vec::<String>::new(), "nothing inside can tell");
    let found = findings(&early, Some(&anchors));
    assert!(found.len() == 1 && found[0].starts_with("anchor 2 of ") && found[0].contains("cut off"), "{found:?}");
}

#[test]
fn a_tail_that_is_cut_off_in_all_tables_is_named_by_the_stored_anchors() {
    let (folder, anchors) = history();
    let early = folder.path().join("early.db");
    let c = Connection::open(&early).unwrap();
    let Anchor { n, ts, block, last_seq, head, prev, public_key, signature } = anchors[1].clone();
    c.execute("INSERT INTO anchors VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", (n, ts.0, block, last_seq, head, prev, public_key, signature))
        .unwrap();
    drop(c);
    let found = findings(&early, None);
    assert!(found.len() == 1 && found[0].contains("cut off"), "{found:?}");
    // Nor is such a chain signed once more.
    let refused = Database::open(&early).unwrap().make_anchor(&key(), Timestamp(9)).unwrap_err();
    assert!(refused.message.contains(&format!("block {block}")), "{}", refused.message);
}

#[test]
fn a_history_written_anew_is_named() {
    let (folder, anchors) = history();
    let store = Store::new();
    store.run(open(1, "w", WalletKind::Prepaid, None));
    for n in 2..8 {
        store.run(top_up(n, "w", 2_000_000, 0));
    }
    let other = AnchorKey::generate().unwrap().0;
    Database::open(&store.path()).unwrap().make_anchor(&other, store.clock.now()).unwrap().unwrap();
    let forged = folder.path().join("forged.db");
    Connection::open(store.path()).unwrap().execute("VACUUM INTO ?1", [forged.display().to_string()]).unwrap();
    let found = findings(&forged, Some(&anchors));
    assert!(found[0].contains("not ours"), "{found:?}");
    assert!(found.iter().filter(|detail| detail.contains("in the anchor file") && detail.contains("rewritten")).count() == 2, "{found:?}");
    assert!(fs::metadata(forged).is_ok());
}
