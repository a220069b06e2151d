//! Owns: histories that the machine has found, shrunken: each was a bug.

use super::machine::{in_memory, in_sqlite};
use super::oracle::{Act, Call, End, Step, Used};
use gotoai::domain::ledger::WalletKind::{self, Postpaid, Prepaid};

fn operate(op: u8, act: Act) -> Step {
    Step::Operate { op, act }
}

fn open(kind: WalletKind, limit: Option<i64>) -> Step {
    operate(1, Act::Open { wallet: "a", kind, limit })
}

fn top_up(op: u8, amount: i64) -> Step {
    operate(op, Act::TopUp { wallet: "a", amount, fee: 0 })
}

fn reserve(order: u8, hold: i64) -> Step {
    Step::Reserve { order, call: Call::new("a", hold) }
}

fn settle(order: u8, tokens: i64, end: End) -> Step {
    Step::Settle { order, used: Used::new(tokens, end) }
}

/// A top-up during a call paid back the hold as if it were debt, and the order could never end.
#[test]
fn a_top_up_does_not_pay_back_what_an_open_hold_has_lent() {
    in_memory(&[], &[open(Postpaid, None), reserve(1, 1000), top_up(10, 1000), settle(1, 0, End::Unused)]);
}

/// The late end of an unpriced order broke a rule of the table, and with it every later commit.
#[test]
fn an_unpriced_order_may_end_late() {
    let call = Call { hold: None, lasts_ms: 0, ..Call::new("a", 0) };
    let steps = [
        open(Postpaid, None),
        Step::Reserve { order: 1, call },
        Step::Expire { order: 1 },
        settle(1, 5, End::Unpriced),
        settle(1, 5, End::Counted),
    ];
    in_memory(&[], &steps);
    in_sqlite(&[], &steps, &[1]);
}

/// An id that was settled and forgotten by the writer is still known.
#[test]
fn a_repeated_reserve_of_a_settled_order_answers_as_before() {
    let steps = [open(Postpaid, None), reserve(1, 100), settle(1, 5, End::Counted), reserve(1, 100), reserve(2, 100)];
    in_sqlite(&[], &steps, &[1]);
    in_sqlite(&[], &steps, &[3, 2]);
}

/// Debt is paid from all the cash there is: an earlier release may have brought some back.
#[test]
fn a_top_up_pays_debt_with_returned_cash_too() {
    in_memory(
        &[],
        &[
            open(Prepaid, Some(5000)),
            top_up(9, 2000),
            reserve(1, 1000),
            reserve(2, 1000),
            settle(1, 1500, End::Counted),
            settle(2, 0, End::Unused),
            top_up(10, 1),
            reserve(3, 1),
        ],
    );
}

/// A correction repaid what an open hold had lent, and the order could never end.
#[test]
fn a_correction_does_not_pay_back_what_an_open_hold_has_lent() {
    let adjust = Act::Adjust { debit: "exp:loss:crash", credit: "wallet:a:recv", amount: 1000 };
    in_memory(&[], &[open(Postpaid, None), reserve(1, 1000), operate(10, adjust), settle(1, 0, End::Unused)]);
}

/// A hold that grew into a grant spent its cash first.
#[test]
fn a_grant_is_spent_before_cash_even_if_the_hold_grew_into_it() {
    let grant = Act::Grant { wallet: "a", grant: "g", amount: 300, priority: 0, expires_at: None };
    let steps = [
        open(Prepaid, None),
        top_up(2, 1000),
        reserve(1, 600),
        operate(3, grant),
        Step::Extend { order: 1, by: 300 },
        settle(1, 400, End::Counted),
        operate(4, Act::Refund { order: 1, amount: 200 }),
    ];
    in_memory(&[], &steps);
    in_sqlite(&[], &steps, &[1]);
}

/// Cash that came while the call ran is spent before credit.
#[test]
fn cash_is_spent_before_credit_even_if_the_hold_grew_into_it() {
    let steps =
        [open(Postpaid, Some(600)), reserve(1, 600), top_up(2, 300), Step::Extend { order: 1, by: 300 }, settle(1, 400, End::Counted)];
    in_memory(&[], &steps);
    in_sqlite(&[], &steps, &[1]);
}

/// A mark was still taken when its call had ended unused in the same commit.
#[test]
fn a_key_is_free_once_its_call_has_ended_unused_however_commands_are_batched() {
    let marked = |order| Step::Reserve { order, call: Call { mark: Some((1, 1_000_000)), ..Call::new("a", 10) } };
    let steps = [open(Prepaid, None), top_up(2, 1000), marked(1), marked(2), settle(1, 0, End::Unused), marked(3), marked(4)];
    in_sqlite(&[], &steps, &[1]);
    in_sqlite(&[], &steps, &[7]);
}

/// Where the fee had been absorbed, evidence gave back more than the difference.
#[test]
fn a_true_up_gives_back_the_difference_and_no_more() {
    let evidence = Act::TrueUp { order: 1, tokens: 900, with_builder: false };
    in_memory(&[], &[open(Prepaid, None), top_up(2, 1000), reserve(1, 1000), settle(1, 1000, End::Estimated), operate(3, evidence)]);
}

/// The builder of a call without a price was forgotten.
#[test]
fn a_builder_gets_its_share_when_the_price_comes() {
    let used = Used { with_builder: true, ..Used::new(1000, End::Unpriced) };
    let steps = [
        open(Postpaid, None),
        Step::Reserve { order: 1, call: Call { hold: None, ..Call::new("a", 0) } },
        Step::Settle { order: 1, used },
        operate(3, Act::TrueUp { order: 1, tokens: 1000, with_builder: true }),
    ];
    in_memory(&[], &steps);
    in_sqlite(&[], &steps, &[1]);
}

/// Evidence for a cost that waited in suspense left it there; and what had been a loss came off the cost of sales.
#[test]
fn evidence_clears_the_accounts_that_the_estimate_was_booked_in() {
    for end in [End::Suspended, End::Undelivered] {
        let evidence = Act::TrueUp { order: 1, tokens: 70, with_builder: false };
        let steps = [open(Prepaid, None), top_up(2, 1000), reserve(1, 500), settle(1, 100, end), operate(3, evidence)];
        in_memory(&[], &steps);
        in_sqlite(&[], &steps, &[1]);
    }
}
