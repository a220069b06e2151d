//! Owns: the reader against events in Stripe's documented shape, `tests/golden/stripe`.

use super::*;
use serde_json::{Value, json};

const PAYMENT: &str = "pi_3PqZ1hKc81JmP0aa0YtQ9wXe";
const REFUND: &str = "re_3PqZ1hKc81JmP0aa0Xc5NyGd";
const DISPUTE: &str = "dp_1PqZDpKc81JmP0aaGold0001";

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/golden/stripe/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn facts(name: &str) -> Vec<Fact> {
    let event = read(&golden(name)).unwrap();
    assert!(event.note.is_empty(), "{name}: {}", event.note);
    event.facts
}

fn note(name: &str) -> &'static str {
    let event = read(&golden(name)).unwrap();
    assert_eq!(event.facts, [], "{name}");
    event.note
}

/// A golden event with members of its object replaced.
fn changed(name: &str, members: &[(&str, Value)]) -> Vec<u8> {
    let mut event: Value = serde_json::from_slice(&golden(name)).unwrap();
    for (member, value) in members {
        event["data"]["object"][*member] = value.clone();
    }
    event.to_string().into_bytes()
}

fn usd(minor: i64) -> Amount {
    Amount { minor, currency: "usd".into() }
}

fn received(wallet: Option<&str>) -> Fact {
    Fact::Received { payment: PAYMENT.into(), wallet: wallet.map(Into::into), amount: usd(2500) }
}

fn refunded(failed: bool) -> Fact {
    Fact::Refunded { refund: REFUND.into(), cash_out: None, payment: PAYMENT.into(), amount: usd(1000), failed }
}

fn disputed() -> Fact {
    Fact::Disputed { dispute: DISPUTE.into(), payment: PAYMENT.into(), amount: usd(2500) }
}

fn dispute_fee(n: u8, minor: i64) -> Fact {
    Fact::Fee { transaction: format!("txn_1PqZDp{n}Kc81JmP0aaGold"), payment: None, amount: usd(minor) }
}

#[test]
fn whoever_tells_of_a_payment_tells_the_same() {
    for name in ["payment_intent_succeeded", "checkout_session_completed", "checkout_session_async_payment_succeeded", "invoice_paid"] {
        assert_eq!(facts(name), [received(Some("acme"))], "{name}");
    }
}

#[test]
fn the_wallet_is_in_the_metadata_or_else_the_client_reference() {
    let read = |members: &[(&str, Value)]| read(&changed("checkout_session_completed", members)).unwrap().facts;
    assert_eq!(read(&[("metadata", json!({ "wallet": "other" }))]), [received(Some("other"))]);
    assert_eq!(read(&[("metadata", Value::Null)]), [received(Some("acme"))]);
    assert_eq!(read(&[("client_reference_id", Value::Null)]), [received(None)]);
    assert_eq!(read(&[("client_reference_id", "".into()), ("metadata", json!({ "wallet": " " }))]), [received(None)]);
    assert_eq!(read(&[("payment_link", "plink_1".into())]), [received(None)], "written by the payer");
    assert_eq!(read(&[("payment_intent", json!({ "id": PAYMENT, "object": "payment_intent" }))]), [received(Some("acme"))]);
}

#[test]
fn what_moves_no_money_has_a_reason() {
    for (name, part) in [
        ("checkout_session_unpaid", "nothing has been paid"),
        ("customer_created", "no money"),
        ("charge_updated", "balance transaction"),
        ("charge_refunded", "refund.created"),
        ("invoice_paid_2025", "payment_intent.succeeded"),
        ("dispute_inquiry", "inquiry"),
    ] {
        assert!(note(name).contains(part), "{name}: {}", note(name));
    }
    let prevented = changed("dispute_created", &[("balance_transactions", json!([])), ("status", "prevented".into())]);
    assert_eq!(read(&prevented).unwrap().facts, []);
    let free = read(&changed("payment_intent_succeeded", &[("amount_received", 0.into())])).unwrap();
    assert_eq!((free.facts.len(), free.note), (0, "nothing was to be paid"));
    let subscription = read(&changed("checkout_session_completed", &[("payment_intent", Value::Null)])).unwrap();
    assert!(subscription.note.contains("invoice.paid"));
    let mut of_another: Value = serde_json::from_slice(&golden("payment_intent_succeeded")).unwrap();
    of_another["account"] = "acct_1".into();
    assert!(read(of_another.to_string().as_bytes()).unwrap().note.contains("another account"));
}

#[test]
fn refunds_are_named_by_themselves() {
    assert_eq!(facts("refund_created"), [refunded(false)]);
    assert_eq!(facts("refund_updated"), [refunded(false)]);
    assert_eq!(facts("refund_failed"), [refunded(true)]);
    assert_eq!(facts("charge_refunded_2020"), [refunded(false)]);
    let canceled = read(&changed("refund_updated", &[("status", "canceled".into())])).unwrap();
    assert_eq!(canceled.facts, [refunded(true)]);
    let ours = read(&changed("refund_created", &[("metadata", json!({ "cash_out": "acme-7" }))])).unwrap().facts;
    assert!(matches!(&ours[..], [Fact::Refunded { cash_out: Some(name), .. }] if name == "acme-7"));
    let old = read(&changed("refund_created", &[("payment_intent", Value::Null)])).unwrap().facts;
    assert!(matches!(&old[..], [Fact::Refunded { payment, .. }] if payment.starts_with("ch_")));
}

/// Between 2022 and 2024 nothing that Stripe sends names a refund of a card.
#[test]
fn what_is_no_object_is_no_event() {
    for body in ["[]", " [1]", "\"event\"", ""] {
        assert_eq!(read(body.as_bytes()).unwrap_err(), "it is no event of Stripe: not a JSON object", "{body}");
    }
}

#[test]
fn a_version_that_cannot_name_refunds_is_refused() {
    let mut event: Value = serde_json::from_slice(&golden("charge_refunded")).unwrap();
    for (version, is_read) in
        [("2022-11-15", false), ("2024-09-30.acacia", false), ("2024-10-28.acacia", true), ("2025-10-29.clover", true)]
    {
        event["api_version"] = version.into();
        assert_eq!(read(event.to_string().as_bytes()).is_ok(), is_read, "{version}");
    }
}

#[test]
fn disputes_bring_their_fees() {
    for name in ["dispute_created", "dispute_funds_withdrawn", "dispute_closed_lost"] {
        assert_eq!(facts(name), [disputed(), dispute_fee(1, 1500)], "{name}");
    }
    let back = Fact::Reinstated { dispute: DISPUTE.into(), payment: PAYMENT.into(), amount: usd(2500) };
    assert_eq!(facts("dispute_funds_reinstated"), [disputed(), back.clone(), dispute_fee(1, 1500), dispute_fee(9, -1500)]);
    assert_eq!(facts("dispute_closed_won"), [disputed(), back, dispute_fee(1, 1500)]);
}

#[test]
fn payouts() {
    let payout = |failed| Fact::PaidOut { payout: "po_1PqZPoKc81JmP0aaGold0001".into(), amount: usd(2397), failed };
    assert_eq!(facts("payout_paid"), [payout(false)]);
    assert_eq!(facts("payout_failed"), [payout(true)]);
}

#[test]
fn a_file_is_read_oldest_first_whatever_its_form() {
    let fee = |transaction: &str, payment: Option<&str>, minor| Fact::Fee {
        transaction: transaction.into(),
        payment: payment.map(Into::into),
        amount: usd(minor),
    };
    let all = |bytes: &[u8]| -> Vec<Fact> { read_file(bytes).unwrap().into_iter().flat_map(|event| event.unwrap().facts).collect() };
    let payout = Fact::PaidOut { payout: "po_1PqZPoKc81JmP0aaGold0001".into(), amount: usd(2397), failed: false };
    let moved = [
        received(Some("acme")),
        fee("txn_3PqZ1hKc81JmP0aa0Jw2Vd7s", Some(PAYMENT), 103),
        refunded(false),
        disputed(),
        dispute_fee(1, 1500),
        dispute_fee(1, 1500),
        payout,
        fee("txn_1PqZFeKc81JmP0aaGold0009", None, 200),
    ];
    assert_eq!(all(&golden("balance_transactions")), moved);
    let (paid, refund) = (golden("payment_intent_succeeded"), golden("refund_created"));
    let both = [received(Some("acme")), refunded(false)];
    assert_eq!(all(&[&refund[..], b"\n", &paid[..]].concat()), both);
    assert_eq!(all(&[b"[", &refund[..], b",", &paid[..], b"]"].concat()), both);
    assert_eq!(all(&[b"{\"object\":\"list\",\"data\":[", &refund[..], b",", &paid[..], b"]}"].concat()), both);
    for source in ["null", "\"ch_1\""] {
        let bare = format!(r#"{{"id":"txn_1","object":"balance_transaction","type":"charge","fee":5,"currency":"usd","source":{source}}}"#);
        assert!(read_file(bare.as_bytes()).unwrap().pop().unwrap().unwrap_err().contains("expand[]=data.source"));
    }
    let other = br#"{"id":"txn_1","object":"balance_transaction","type":"transfer","fee":0,"currency":"usd","source":"tr_1"}"#;
    assert!(read_file(other).unwrap().pop().unwrap().unwrap().note.contains("ledger adjust"));
    assert!(read_file(b"{\"id\":").is_err());
}

#[test]
fn what_cannot_be_understood_says_so() {
    for (bytes, part) in [
        (b"".to_vec(), "no event"),
        (b"[]".to_vec(), "no event"),
        (br#"{"id":"evt_1","object":"v2.core.event","type":"x"}"#.to_vec(), "neither an event"),
        (br#"{"id":"evt_1","object":"event","type":"payout.paid"}"#.to_vec(), "no data"),
        (changed("payment_intent_succeeded", &[("amount_received", json!(25.5))]), "expected i64"),
        (changed("payment_intent_succeeded", &[("amount_received", (-1).into())]), "no amount to book"),
        (changed("payment_intent_succeeded", &[("id", "pi:1".into())]), "no id"),
        (changed("refund_created", &[("payment_intent", Value::Null), ("charge", Value::Null)]), "no payment"),
        (changed("refund_created", &[("status", "sideways".into())]), "sideways"),
        (changed("payout_paid", &[("amount", 0.into())]), "no amount to book"),
        (changed("checkout_session_completed", &[("amount_total", Value::Null)]), "has no amount"),
    ] {
        let why = read(&bytes).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}
