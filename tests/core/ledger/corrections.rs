//! Owns: the worked examples of the ledger law, section 2, for what people and payment providers do, and for what is corrected
//! after the fact; by the law's numbers, with every posting.

use super::commands::{
    PROVIDER, open, operate, order, rated, release, reserve, reserving, settle, settle_undelivered, settling, top_up, without_charge,
};
use super::memory::Memory;
use gotoai::base::{Exact, Money, Timestamp};
use gotoai::domain::catalog::{Meter, Usage};
use gotoai::domain::ledger::{
    Action, Adjust, Agreed, Amounts, AssignPayment, CloseGap, Command, Follows, GrantMoney, HoldPolicy, Invoice, Loss, Move, OrderState,
    Payment, Payout, Rated, Refund, Refusal, Reply, SetTerms, Settle, Terms, TrueUp, UnassignedPayment, UsageSource, WalletKind,
    WalletName,
};
use std::sync::Arc;

fn prepaid(cash: i64) -> Memory {
    let mut memory = Memory::new();
    memory.run(&open(1, "w", WalletKind::Prepaid, None));
    memory.run(&top_up(2, "w", cash, 0));
    memory
}

fn moves(memory: &Memory, expected: &[(&str, &str, i64)]) {
    let moved = memory.moved();
    let moved: Vec<_> = moved.iter().map(|(debit, credit, amount)| (debit.as_str(), credit.as_str(), *amount)).collect();
    assert_eq!(moved, expected);
    let report = memory.verify();
    assert!(report.ok(), "{:?}", report.findings);
}

fn refused(reply: &Reply) -> &'static str {
    match reply {
        Reply::Refused(refusal) => refusal.code(),
        other => panic!("{other:?}"),
    }
}

fn payment(amount_nano: i64) -> Payment {
    Payment { wallet: "w".into(), amount_nano, payment_provider: "stripe".into() }
}

fn grant(n: u8, name: &str, amount_nano: i64, expires_at_ms: Option<i64>) -> Command {
    let given = GrantMoney { wallet: "w".into(), grant: name.into(), amount_nano, priority: 0, expires_at_ms };
    operate(n, Action::Grant(given))
}

#[test]
fn case_6_refunds_add_up_to_the_charge_and_never_beyond() {
    let mut memory = prepaid(25_000_000_000);
    memory.run(&reserve(1, "w", 900_000));
    memory.run(&settle(1, 6730));
    let refund = |n, amount_nano| operate(n, Action::Refund(Refund { order: order(1).to_string(), amount_nano }));
    memory.run(&refund(3, 100));
    moves(&memory, &[("rev:usage", "wallet:w:cash", 95), ("rev:fee", "wallet:w:cash", 5)]);
    assert_eq!(refused(&memory.run(&refund(4, 7001))), "exceeds");
    memory.run(&refund(5, 7000));
    moves(&memory, &[("rev:usage", "wallet:w:cash", 6635), ("rev:fee", "wallet:w:cash", 365)]);
    assert!(matches!(memory.run(&refund(5, 7000)), Reply::Done { duplicate: true, .. }));
    assert_eq!(memory.balances().get("wallet:w:cash"), Some(&25_000_000_000));
}

#[test]
fn case_6b_a_cash_out_is_paid_or_comes_back() {
    let mut memory = prepaid(1000);
    memory.run(&operate(3, Action::CashOut(payment(400))));
    moves(&memory, &[("wallet:w:cash", "wallet:w:cashout", 400)]);
    assert_eq!(refused(&memory.run(&operate(4, Action::CashOut(payment(601))))), "exceeds");
    memory.run(&operate(5, Action::CashOutPaid(payment(300))));
    moves(&memory, &[("wallet:w:cashout", "psp:stripe:clearing", 300)]);
    memory.run(&operate(6, Action::CashOutFailed(payment(100))));
    moves(&memory, &[("wallet:w:cashout", "wallet:w:cash", 100)]);
    assert_eq!(refused(&memory.run(&operate(7, Action::CashOutPaid(payment(1))))), "exceeds");
}

#[test]
fn case_6c_a_chargeback_takes_cash_then_makes_a_debt_and_freezes() {
    let mut memory = prepaid(1000);
    memory.run(&operate(3, Action::Chargeback(payment(1500))));
    moves(&memory, &[("wallet:w:cash", "psp:stripe:clearing", 1000), ("wallet:w:recv", "psp:stripe:clearing", 500)]);
    assert_eq!(refused(&memory.run(&reserve(1, "w", 1))), "frozen");
    memory.run(&operate(4, Action::Thaw(WalletName { wallet: "w".into() })));
    assert_eq!(refused(&memory.run(&reserve(2, "w", 1))), "indebted");
    memory.run(&top_up(5, "w", 700, 0));
    moves(&memory, &[("psp:stripe:clearing", "wallet:w:cash", 700), ("wallet:w:cash", "wallet:w:recv", 500)]);
}

#[test]
fn case_6b_what_the_payment_provider_gave_back_already_takes_cash_then_makes_a_debt() {
    let mut memory = prepaid(1000);
    memory.run(&operate(3, Action::PaidBack(payment(400))));
    moves(&memory, &[("wallet:w:cash", "psp:stripe:clearing", 400)]);
    memory.run(&operate(4, Action::PaidBack(payment(900))));
    moves(&memory, &[("wallet:w:cash", "psp:stripe:clearing", 600), ("wallet:w:recv", "psp:stripe:clearing", 300)]);
    assert_eq!(refused(&memory.run(&reserve(1, "w", 1))), "indebted", "and not frozen");
    assert_eq!(refused(&memory.run(&operate(5, Action::PaidBack(payment(0))))), "too_large");
}

/// Case 1 without a wallet: the money is owed to somebody, whoever it is.
#[test]
fn case_1_a_payment_without_a_wallet_waits_for_one() {
    let mut memory = prepaid(1000);
    let unassigned = |n, amount_nano| {
        let unassigned = UnassignedPayment { payment: "pi_1".into(), amount_nano, payment_provider: "stripe".into() };
        operate(n, Action::Unassigned(unassigned))
    };
    let assign = |n, wallet: &str| {
        let assign = AssignPayment { payment: "pi_1".into(), wallet: wallet.into(), payment_provider: "stripe".into() };
        operate(n, Action::Assign(assign))
    };
    assert_eq!(refused(&memory.run(&assign(3, "w"))), "bad_account", "nothing has come");
    memory.run(&unassigned(4, 700));
    moves(&memory, &[("psp:stripe:clearing", "psp:stripe:unassigned:pi_1", 700)]);
    assert_eq!(refused(&memory.run(&assign(5, "nobody"))), "unknown_wallet");
    // Some goes back before it is assigned; what is left repays a debt first.
    let adjust = |n, amount_nano| {
        let (debit, credit) = ("psp:stripe:unassigned:pi_1".into(), "psp:stripe:clearing".into());
        operate(n, Action::Adjust(Adjust { debit, credit, amount_nano, finding: None }))
    };
    memory.run(&adjust(6, 100));
    assert_eq!(refused(&memory.run(&adjust(7, 601))), "too_large", "no more than came");
    memory.run(&operate(8, Action::PaidBack(payment(1200))));
    memory.run(&assign(9, "w"));
    moves(&memory, &[("psp:stripe:unassigned:pi_1", "wallet:w:cash", 600), ("wallet:w:cash", "wallet:w:recv", 200)]);
    assert!(matches!(memory.run(&assign(9, "w")), Reply::Done { duplicate: true, .. }));
    assert_eq!(refused(&memory.run(&assign(10, "w"))), "exceeds", "nothing is left");
}

/// On the user's own provider key only the fee is charged; the cost is nobody's here.
#[test]
fn case_7_own_key() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 50_000));
    let fee = Money::nano(3700);
    let amounts = Amounts { charge_exact: Exact::new(3700, 1).unwrap(), charge: fee, fee, ..Amounts::ZERO };
    let settled = Settle { amounts: Some(amounts), rated: None, ..settling(1, 0, UsageSource::Provider) };
    memory.run(&Command::Settle(Box::new(settled)));
    moves(&memory, &[("wallet:w:held", "rev:fee", 3700), ("wallet:w:held", "wallet:w:cash", 46_300)]);
}

#[test]
fn case_8a_a_free_cache_hit_moves_nothing_but_is_an_order() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 0));
    let usage = Usage::default().with(Meter::InputUncached, 100);
    let hit = Settle { usage, amounts: Some(Amounts::ZERO), rated: None, ..settling(1, 0, UsageSource::Cache) };
    assert!(matches!(memory.run(&Command::Settle(Box::new(hit))), Reply::Settled { charge: Some(Money::ZERO), .. }));
    moves(&memory, &[]);
}

fn evidence(tokens: u64) -> TrueUp {
    let priced = settling(1, tokens, UsageSource::Provider);
    TrueUp {
        order: order(1),
        provider: PROVIDER.into(),
        endpoint: None,
        rated: Some(rated()),
        usage: priced.usage,
        usage_source: UsageSource::Provider,
        amounts: priced.amounts.unwrap(),
        losses: Vec::new(),
        follows: None,
    }
}

/// 8 000 tokens were estimated (charge 8 440), 7 500 were used (7 912): the difference goes back.
#[test]
fn case_10c_a_true_up_is_in_the_users_favour() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 900_000));
    memory.run(&Command::Settle(Box::new(settling(1, 8000, UsageSource::Estimated))));
    memory.run(&operate(3, Action::TrueUp(Box::new(evidence(7500)))));
    moves(&memory, &[("rev:usage", "wallet:w:cash", 500), ("rev:fee", "wallet:w:cash", 28), ("prov:acme:payable", "cogs:acme", 500)]);
}

#[test]
fn case_10c_more_than_was_estimated_is_our_loss() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 900_000));
    memory.run(&Command::Settle(Box::new(settling(1, 8000, UsageSource::Estimated))));
    memory.run(&operate(3, Action::TrueUp(Box::new(evidence(9000)))));
    moves(&memory, &[("exp:loss:estimate", "prov:acme:payable", 1000)]);
}

/// The evidence, against the settlement that it corrects.
fn following(memory: &Memory, tokens: u64) -> TrueUp {
    let receipt = memory.order(order(1));
    let follows =
        Follows { seq: receipt.order.final_seq.unwrap(), settled: receipt.settlement.unwrap(), as_of_seq: i64::MAX, closed: None };
    TrueUp { follows: Some(Box::new(follows)), ..evidence(tokens) }
}

/// What the provider bills for a call that was charged nothing.
fn billed(memory: &Memory, cost: i64) -> TrueUp {
    let cost_exact = Exact::new(i128::from(cost), 1).unwrap();
    TrueUp {
        usage: Usage::default(),
        usage_source: UsageSource::None,
        rated: None,
        amounts: Amounts { cost_exact, cost: Money::nano(cost), ..Amounts::ZERO },
        ..following(memory, 0)
    }
}

fn true_up(n: u8, true_up: TrueUp) -> Command {
    operate(n, Action::TrueUp(Box::new(true_up)))
}

#[test]
fn case_10c_evidence_is_booked_once_and_only_against_what_it_was_made_for() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 900_000));
    memory.run(&Command::Settle(Box::new(settling(1, 8000, UsageSource::Estimated))));
    let (first, late) = (following(&memory, 7500), following(&memory, 7000));
    memory.run(&true_up(3, first));
    assert_eq!(memory.order(order(1)).order.state, OrderState::Finalized);
    let again = following(&memory, 7500);
    assert!(matches!(memory.run(&true_up(3, again)), Reply::Done { duplicate: true, .. }), "the same fact");
    assert_eq!(refused(&memory.run(&true_up(4, late))), "conflict", "made for a settlement that is no longer the last");
    let estimated = TrueUp { usage_source: UsageSource::Estimated, ..following(&memory, 7400) };
    memory.run(&true_up(5, estimated));
    assert_eq!(memory.order(order(1)).order.state, OrderState::Provisional, "an estimate stays one");
    moves(&memory, &[("rev:usage", "wallet:w:cash", 100), ("rev:fee", "wallet:w:cash", 5), ("prov:acme:payable", "cogs:acme", 100)]);
}

/// What the provider reports is the cost; the charge stays that of usage and pinned price.
#[test]
fn case_10c_a_reported_cost_settles_an_estimate() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 900_000));
    memory.run(&Command::Settle(Box::new(settling(1, 8000, UsageSource::Estimated))));
    let base = following(&memory, 8000);
    let (amounts, rated) = Rated { reported: Exact::new(23_901, 3), ..rated() }.rate(&base.usage).unwrap();
    memory.run(&true_up(3, TrueUp { amounts, rated: Some(rated), usage_source: UsageSource::Estimated, ..base }));
    moves(&memory, &[("prov:acme:payable", "cogs:acme", 33)]);
    assert_eq!(memory.order(order(1)).order.state, OrderState::Finalized);
}

/// A reply without usage may name its cost. The charge stays an estimate until there is more than that.
#[test]
fn case_10c_a_cost_known_from_the_reply_is_no_evidence_for_the_charge() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 900_000));
    let told = |cost| Rated { reported: Exact::new(cost, 1), ..rated() };
    let used = settling(1, 8000, UsageSource::Estimated);
    let (amounts, rated) = told(7_900).rate(&used.usage).unwrap();
    memory.run(&Command::Settle(Box::new(Settle { amounts: Some(amounts), rated: Some(rated), ..used })));
    assert_eq!(memory.order(order(1)).order.state, OrderState::Provisional);
    for (op, cost, state) in [(3, 7_900, OrderState::Provisional), (4, 7_850, OrderState::Finalized), (5, 7_850, OrderState::Finalized)] {
        let base = following(&memory, 8000);
        let (amounts, rated) = told(cost).rate(&base.usage).unwrap();
        memory.run(&true_up(op, TrueUp { amounts, rated: Some(rated), usage_source: UsageSource::Estimated, ..base }));
        assert_eq!(
            (memory.order(order(1)).order.state, memory.order(order(1)).order.cost),
            (state, Some(Money::nano(cost.try_into().unwrap())))
        );
    }
}

/// What had no price is charged when it has one; its cost was known before.
#[test]
fn case_10c_a_price_that_comes_later_charges_and_leaves_a_reported_cost() {
    let mut memory = Memory::new();
    memory.run(&open(1, "w", WalletKind::Postpaid, None));
    memory.run(&Command::Reserve(Box::new(reserving(1, "w", None))));
    let told = Settle { amounts: None, rated: None, unpriced_cost: Exact::new(6_900, 1), ..settling(1, 6_730, UsageSource::Provider) };
    memory.run(&Command::Settle(Box::new(told)));
    let base = following(&memory, 6_730);
    let reported = memory.order(order(1)).settlement.unwrap().reported_cost();
    let (amounts, rated) = Rated { reported, ..rated() }.rate(&base.usage).unwrap();
    memory.run(&true_up(3, TrueUp { amounts, rated: Some(rated), ..base }));
    moves(&memory, &[("wallet:w:recv", "rev:usage", 6_730), ("wallet:w:recv", "rev:fee", 370)]);
    assert_eq!(memory.order(order(1)).order.cost, Some(Money::nano(6_900)));
}

/// What was suspended becomes owed as far as it is billed; what was nobody's leaves the loss it was booked to.
#[test]
fn case_11_evidence_clears_suspense_and_loss() {
    let mut memory = prepaid(1000);
    memory.run(&reserve(1, "w", 900));
    let Command::Settle(undelivered) = settle_undelivered(1, 321) else { unreachable!() };
    memory.run(&Command::Settle(Box::new(Settle { suspense: true, ..*undelivered })));
    moves(&memory, &[("exp:loss:undelivered", "prov:acme:suspense", 321), ("wallet:w:held", "wallet:w:cash", 900)]);
    // Another estimate waits as the first one did.
    let estimate = TrueUp {
        amounts: without_charge(following(&memory, 330).amounts),
        usage_source: UsageSource::Estimated,
        ..following(&memory, 330)
    };
    memory.run(&true_up(6, estimate));
    moves(&memory, &[("exp:loss:estimate", "prov:acme:suspense", 9)]);
    let nothing = TrueUp { amounts: without_charge(following(&memory, 300).amounts), ..following(&memory, 300) };
    memory.run(&true_up(3, nothing));
    moves(&memory, &[("prov:acme:suspense", "prov:acme:payable", 300), ("prov:acme:suspense", "exp:loss:undelivered", 30)]);
    let less = TrueUp { amounts: without_charge(following(&memory, 290).amounts), ..following(&memory, 290) };
    memory.run(&true_up(4, less));
    moves(&memory, &[("prov:acme:payable", "exp:loss:undelivered", 10)]);
    assert_eq!(memory.balances().get("exp:loss:undelivered"), Some(&-281));
}

/// A bill of the day was accepted as it is.
fn close_gap(as_of_seq: i64, debit: &str, credit: &str, amount_nano: i64) -> Action {
    Action::CloseGap(CloseGap {
        gap: "gap_1".into(),
        provider: PROVIDER.into(),
        day: "2026-11-01".into(),
        model: Some("m".into()),
        line: None,
        key: None,
        by_end: false,
        explains: [].into(),
        moves: vec![Move { debit: debit.into(), credit: credit.into(), amount_nano }],
        as_of_seq,
    })
}

/// The evidence, looked at after a bill of its day was closed into `account`.
fn after_closing(memory: &Memory, tokens: u64, account: &str) -> TrueUp {
    let mut evidence = following(memory, tokens);
    evidence.follows.as_mut().unwrap().closed = Some(account.into());
    evidence
}

#[test]
fn case_18_what_a_closed_bill_has_is_no_cost_again() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 900_000));
    memory.run(&Command::Settle(Box::new(settling(1, 8000, UsageSource::Estimated))));
    memory.run(&operate(6, close_gap(i64::MAX, "exp:provider_variance", "prov:acme:payable", 500)));
    let less = after_closing(&memory, 7500, "exp:provider_variance");
    memory.run(&true_up(3, less));
    let back = [("rev:usage", "wallet:w:cash", 500), ("rev:fee", "wallet:w:cash", 28)];
    moves(&memory, &[back[0], back[1], ("exp:provider_variance", "cogs:acme", 500)]);
    let more = after_closing(&memory, 8600, "exp:provider_variance");
    memory.run(&true_up(4, more));
    moves(&memory, &[("exp:loss:estimate", "exp:provider_variance", 1100)]);
    // Where the bill's difference was booked as what the evidence says it is, nothing is left to say.
    let same = after_closing(&memory, 8700, "exp:loss:estimate");
    memory.run(&true_up(5, same));
    moves(&memory, &[]);
    let balances = memory.balances();
    let costs = ["cogs:acme", "exp:loss:estimate", "exp:provider_variance"].map(|path| balances.get(path).copied().unwrap_or(0));
    assert_eq!((balances["prov:acme:payable"], costs.iter().sum::<i64>()), (8500, -8500), "the bill's, once");
    let billed = memory.order(order(1)).settlement.unwrap().billed.unwrap();
    assert_eq!((billed.cost_nano, billed.suspense_nano), (8000, 0), "as the bill was compared with it");
}

#[test]
fn case_18_what_a_closed_bill_has_taken_out_of_suspense_stays_out() {
    let mut memory = prepaid(1000);
    memory.run(&reserve(1, "w", 900));
    let Command::Settle(undelivered) = settle_undelivered(1, 321) else { unreachable!() };
    memory.run(&Command::Settle(Box::new(Settle { suspense: true, ..*undelivered })));
    memory.run(&operate(6, close_gap(i64::MAX, "prov:acme:suspense", "prov:acme:payable", 321)));
    let base = after_closing(&memory, 300, "exp:provider_variance");
    memory.run(&true_up(3, TrueUp { amounts: without_charge(base.amounts), ..base }));
    moves(&memory, &[("exp:provider_variance", "exp:loss:undelivered", 21)]);
    let balances = memory.balances();
    assert_eq!((balances.get("prov:acme:suspense"), balances["prov:acme:payable"]), (None, 321));
    let settled = memory.order(order(1)).settlement.unwrap();
    assert_eq!((settled.suspense_nano, settled.billed.unwrap().suspense_nano), (0, 321));
}

/// What was looked at before the other was booked is out of date, in memory and after a restart.
#[test]
fn case_18_a_bill_and_evidence_do_not_pass_each_other() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 900_000));
    memory.run(&Command::Settle(Box::new(settling(1, 8000, UsageSource::Estimated))));
    let early = |memory: &Memory| {
        let mut evidence = following(memory, 7500);
        evidence.follows.as_mut().unwrap().as_of_seq = 1;
        evidence
    };
    let looked_at = early(&memory);
    memory.run(&operate(6, close_gap(1, "exp:provider_variance", "prov:acme:payable", 500)));
    assert_eq!(refused(&memory.run(&true_up(3, looked_at.clone()))), "conflict");
    memory.reopen();
    assert_eq!(refused(&memory.run(&true_up(3, looked_at))), "conflict");
    let now = after_closing(&memory, 7500, "exp:provider_variance");
    memory.run(&true_up(3, now));
    let stale = close_gap(1, "exp:provider_variance", "prov:acme:payable", 501);
    assert_eq!(refused(&memory.run(&operate(4, stale.clone()))), "conflict");
    memory.reopen();
    assert_eq!(refused(&memory.run(&operate(4, stale))), "conflict");
    let again = close_gap(1, "exp:provider_variance", "prov:acme:payable", 500);
    assert!(matches!(memory.run(&operate(6, again)), Reply::Done { duplicate: true, .. }), "the same fact");
}

#[test]
fn case_9_evidence_about_a_failed_attempt() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 900_000));
    let mut served = settling(1, 5_000, UsageSource::Provider);
    served.losses = vec![Loss { provider: "broken".into(), cost_nano: 1_200 }];
    memory.run(&Command::Settle(Box::new(served)));
    let evidence =
        |memory: &Memory, cost_nano| TrueUp { losses: vec![Loss { provider: "broken".into(), cost_nano }], ..following(memory, 5_000) };
    let of = evidence(&memory, 1_000);
    memory.run(&true_up(3, of));
    moves(&memory, &[("prov:broken:suspense", "prov:broken:payable", 1_000), ("prov:broken:suspense", "exp:loss:failover", 200)]);
    let of = evidence(&memory, 1_050);
    memory.run(&true_up(4, of));
    moves(&memory, &[("exp:loss:failover", "prov:broken:payable", 50)]);
    assert_eq!(memory.balances().get("exp:loss:failover"), Some(&-1_050));
}

/// A call that failed and was charged nothing is billed by its provider all the same.
#[test]
fn case_5_what_is_billed_for_nothing_is_our_loss() {
    let mut memory = prepaid(1000);
    memory.run(&reserve(1, "w", 900));
    memory.run(&release(1));
    let charging = following(&memory, 100);
    assert_eq!(refused(&memory.run(&true_up(3, charging))), "not_charged", "who got nothing is charged nothing");
    let cost = billed(&memory, 70);
    memory.run(&true_up(4, cost));
    moves(&memory, &[("exp:loss:undelivered", "prov:acme:payable", 70)]);
    let less = billed(&memory, 50);
    memory.run(&true_up(5, less));
    moves(&memory, &[("prov:acme:payable", "exp:loss:undelivered", 20)]);
    assert_eq!(memory.order(order(1)).order.state, OrderState::Released);
}

/// A crash leaves the input's cost in suspense; the provider's bill confirms it, or it does not.
#[test]
fn case_14_evidence_about_a_crash() {
    for (cost, expected) in [
        (40, vec![("prov:acme:suspense", "prov:acme:payable", 40)]),
        (0, vec![("prov:acme:suspense", "exp:loss:crash", 40)]),
        (55, vec![("prov:acme:suspense", "prov:acme:payable", 40), ("exp:loss:crash", "prov:acme:payable", 15)]),
    ] {
        let mut memory = prepaid(1000);
        memory.run(&reserve(1, "w", 900));
        memory.reopen();
        let evidence = billed(&memory, cost);
        memory.run(&true_up(3, evidence));
        moves(&memory, &expected);
    }
}

/// Postpaid: served without a price, charged when it comes, by a builder's key too.
#[test]
fn what_was_never_priced_is_charged_when_its_price_comes() {
    let mut memory = Memory::new();
    memory.run(&open(1, "w", WalletKind::Postpaid, Some(10_000)));
    memory.run(&Command::Reserve(Box::new(reserving(1, "w", None))));
    let ended = Settle { amounts: None, rated: None, builder: Some("shop".into()), ..settling(1, 8000, UsageSource::Provider) };
    memory.run(&Command::Settle(Box::new(ended)));
    moves(&memory, &[]);
    let mut priced = following(&memory, 8000);
    let terms = Rated { builder: gotoai::base::Ratio { num: 1, den: 10 }, ..rated() };
    let (amounts, rated) = terms.rate(&priced.usage).unwrap();
    (priced.amounts, priced.rated) = (amounts, Some(rated));
    memory.run(&true_up(3, priced));
    moves(
        &memory,
        &[
            ("wallet:w:recv", "rev:usage", 8000),
            ("wallet:w:recv", "builder:shop:payable", 800),
            ("wallet:w:recv", "rev:fee", 440),
            ("cogs:acme", "prov:acme:payable", 8000),
        ],
    );
    let row = memory.order(order(1)).order;
    assert_eq!((row.state, row.charge), (OrderState::Finalized, Some(Money::nano(9240))));
}

#[test]
fn case_17_a_grant_is_spent_before_cash_and_its_rest_expires() {
    let mut memory = prepaid(1_000_000);
    memory.run(&grant(3, "welcome", 500_000, Some(2_000_000)));
    moves(&memory, &[("contra:promo", "wallet:w:grant:welcome", 500_000)]);
    memory.run(&reserve(1, "w", 900_000));
    moves(&memory, &[("wallet:w:grant:welcome", "wallet:w:held", 500_000), ("wallet:w:cash", "wallet:w:held", 400_000)]);
    memory.run(&settle(1, 6730));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 6730),
            ("wallet:w:held", "rev:fee", 370),
            ("cogs:acme", "prov:acme:payable", 6730),
            ("wallet:w:held", "wallet:w:cash", 400_000),
            ("wallet:w:held", "wallet:w:grant:welcome", 492_900),
        ],
    );
    let expire = Command::ExpireGrant { wallet: "w".into(), grant: "welcome".into() };
    assert!(matches!(memory.run(&expire), Reply::Done { duplicate: true, .. }), "not before its day");
    memory.set(Timestamp(2_000_000));
    memory.run(&expire);
    moves(&memory, &[("wallet:w:grant:welcome", "contra:promo", 492_900)]);
}

#[test]
fn case_18_an_invoice_settles_what_was_accrued_and_the_rest_is_variance() {
    let mut memory = prepaid(1_000_000);
    memory.run(&reserve(1, "w", 900_000));
    memory.run(&settle(1, 6730));
    memory.run(&operate(3, Action::Payout(Payout { payment_provider: "stripe".into(), amount_nano: 10_000 })));
    moves(&memory, &[("bank:main", "psp:stripe:clearing", 10_000)]);
    memory.run(&operate(4, Action::Invoice(Invoice { provider: PROVIDER.into(), accrued_nano: 6730, paid_nano: 6700 })));
    moves(&memory, &[("prov:acme:payable", "exp:provider_variance", 30), ("prov:acme:payable", "bank:main", 6700)]);
    assert_eq!(memory.balances().get("prov:acme:payable"), None, "nothing is owed any more");
}

#[test]
fn a_hold_grows_by_what_there_is() {
    let mut memory = prepaid(1000);
    memory.run(&reserve(1, "w", 600));
    let extend = |by| Command::Extend { order: order(1), by: Money::nano(by) };
    assert_eq!(memory.run(&extend(300)), Reply::Held { hold: Money::nano(900) });
    assert_eq!(memory.run(&extend(300)), Reply::Held { hold: Money::nano(1000) }, "as much as is left");
    assert_eq!(refused(&memory.run(&extend(300))), "insufficient_funds");
    memory.run(&settle(1, 100));
    let fee = 106 - 100;
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 100),
            ("wallet:w:held", "rev:fee", fee),
            ("cogs:acme", "prov:acme:payable", 100),
            ("wallet:w:held", "wallet:w:cash", 894),
        ],
    );
}

#[test]
fn a_prepaid_wallet_clamps_to_what_it_has() {
    let mut memory = prepaid(1000);
    let asked = gotoai::domain::ledger::Reserve { least: Some(Money::nano(200)), ..reserving(1, "w", Some(5000)) };
    assert_eq!(memory.run(&Command::Reserve(Box::new(asked))), Reply::Held { hold: Money::nano(1000) });
    let asked = gotoai::domain::ledger::Reserve { least: Some(Money::nano(200)), ..reserving(2, "w", Some(5000)) };
    assert_eq!(refused(&memory.run(&Command::Reserve(Box::new(asked)))), "insufficient_funds");
}

#[test]
fn a_correction_never_touches_a_hold() {
    let mut memory = prepaid(1000);
    let adjust = |n, debit: &str, credit: &str| {
        operate(n, Action::Adjust(Adjust { debit: debit.into(), credit: credit.into(), amount_nano: 5, finding: None }))
    };
    assert_eq!(refused(&memory.run(&adjust(3, "wallet:w:held", "rev:fee"))), "bad_account");
    assert_eq!(refused(&memory.run(&adjust(4, "rev:fee", "rev:fee"))), "bad_account");
    memory.run(&adjust(5, "exp:loss:crash", "wallet:w:cash"));
    moves(&memory, &[("exp:loss:crash", "wallet:w:cash", 5)]);
}

/// An entry has sixteen lines: a call that drew on everything and failed everywhere still ends.
#[test]
fn the_longest_settlement_fits_one_entry() {
    let mut memory = Memory::new();
    memory.run(&open(1, "w", WalletKind::Postpaid, None));
    memory.run(&top_up(2, "w", 100, 0));
    for n in 0..8 {
        memory.run(&grant(10 + n, &format!("g{n}"), 100, None));
    }
    memory.run(&reserve(1, "w", 2000));
    memory.run(&Command::Extend { order: order(1), by: Money::nano(2000) });
    let losses = (0..8).map(|n| Loss { provider: format!("p{n}").into(), cost_nano: 5 }).collect();
    let ended = Settle { losses, builder: Some("bob".into()), ..settling(1, 10, UsageSource::Provider) };
    assert!(matches!(memory.run(&Command::Settle(Box::new(ended))), Reply::Settled { state: OrderState::Finalized, .. }));
    assert!(memory.moved().len() <= 16, "{:?}", memory.moved());
    assert!(memory.verify().ok());
}

/// Two administrators have read the same terms, and each changes a member: who comes second must not take back what the first has done.
#[test]
fn terms_made_from_terms_that_are_out_of_date_are_a_conflict() {
    let mut memory = prepaid(1000);
    let read = Agreed { credit_limit_nano: None, terms: Arc::default() };
    let set = |n: u8, credit_limit_nano, hold, replaces| {
        let terms = Arc::new(Terms { hold, ..Terms::default() });
        operate(n, Action::SetTerms(SetTerms { wallet: "w".into(), credit_limit_nano, terms, replaces }))
    };
    let limited = memory.run(&set(3, Some(500), None, Some(read.clone())));
    assert!(matches!(limited, Reply::Done { duplicate: false, .. }), "{limited:?}");
    assert_eq!(memory.run(&set(4, None, Some(HoldPolicy::Strict), Some(read))), Reply::Refused(Refusal::Conflict));
    let now = Agreed { credit_limit_nano: Some(500), terms: Arc::default() };
    let both = memory.run(&set(5, Some(500), Some(HoldPolicy::Strict), Some(now)));
    assert!(matches!(both, Reply::Done { duplicate: false, .. }), "{both:?}");
}
