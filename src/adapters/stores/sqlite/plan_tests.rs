//! How SQLite answers what is asked while the books grow: through an index or a row's number, never by reading a whole table.

use super::connection::Database;
use super::{findings, ledger, reader, receipts};

fn plan(database: &Database, sql: &str) -> String {
    let steps = database.with(|c| {
        let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        // The parameters' values do not matter.
        statement.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<rusqlite::Result<Vec<String>>>()
    });
    steps.unwrap().join("\n")
}

/// Tables that grow with the calls, or with what people do.
const GROWING: [&str; 7] = ["orders", "journal", "j", "postings", "ops", "findings", "accounts"];

#[test]
fn what_is_read_often_reads_no_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("ledger.db")).unwrap();
    let journal_from = "SEARCH j USING INTEGER PRIMARY KEY (rowid>?)";
    for (what, sql, uses) in [
        ("uncertain spend of a wallet", ledger::UNCERTAIN_OF_WALLET.to_owned(), "SEARCH orders USING INDEX orders_uncertain (wallet_id=?"),
        ("a receipt", receipts::sql("id = ?1"), "SEARCH orders USING PRIMARY KEY (id=?)"),
        ("an order's entries", receipts::entries_of_order(), "SEARCH journal USING INDEX journal_unusual (order_id=?)"),
        ("a wallet's entries", ledger::entries_of_all(), journal_from),
        ("spend", receipts::ended(), "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("unassigned payments", reader::UNASSIGNED.to_owned(), "INDEX sqlite_autoindex_accounts_1 (path>? AND path<?)"),
        ("open findings", findings::listed(None), "INDEX findings_status (status=?)"),
        ("findings of a status", findings::listed(Some("gone")), "INDEX findings_status (status=?)"),
        ("a budget's window", "SELECT held FROM budget_windows WHERE budget_id = ?1 AND start = ?2".to_owned(), "PRIMARY KEY"),
        (
            "the last true-up",
            "SELECT seq FROM journal WHERE kind = 41 ORDER BY seq DESC LIMIT 1".to_owned(),
            "journal_corrections (kind=?)",
        ),
        ("closed bills", super::books::CLOSED.to_owned(), "journal_corrections (kind=?)"),
    ] {
        let plan = plan(&database, &sql);
        assert!(plan.contains(uses), "{what}:\n{plan}");
        for table in GROWING {
            let whole = plan.lines().find(|step| step.trim() == format!("SCAN {table}"));
            assert_eq!(whole, None, "{what}:\n{plan}");
        }
    }
    // Those of all wallets at once read an index that holds only such orders; all findings are read from the latest on.
    for (sql, index) in [
        (ledger::OPEN_BY_WALLET.to_owned(), "SCAN orders USING INDEX orders_open"),
        (ledger::UNCERTAIN_BY_WALLET.to_owned(), "SCAN orders USING INDEX orders_uncertain"),
        (receipts::open(), "SCAN orders USING INDEX orders_open"),
        (findings::listed(Some("all")), "SCAN findings USING INDEX findings_seen"),
    ] {
        let plan = plan(&database, &sql);
        assert!(plan.contains(index), "{plan}");
    }
}
