//! Owns: the worked examples of the ledger law, section 2, for the life of a call, by its numbers, with every posting; what people do
//! and correct stands in `corrections`.

use super::commands::{FEE, open, order, rated, release, reserve, reserving, settle, settle_undelivered, settling, sheet, top_up};
use super::memory::Memory;
use gotoai::base::{Exact, Money, Ratio, Timestamp};
use gotoai::domain::catalog::{Meter, PinnedPrice, PriceLine, PriceSheet, Rating, Sell, ServiceTier, Usage};
use gotoai::domain::ledger::{
    Amounts, ChargeFor, Check, Command, CostTo, FeeFor, Legs, Loss, OrderState, Outcome, Rated, Reply, Settle, UsageSource, WalletKind,
    settle_amounts,
};

/// One prepaid wallet `w` with `cash`.
fn prepaid(cash: i64, limit: Option<i64>) -> Memory {
    let mut memory = Memory::new();
    memory.run(&open(1, "w", WalletKind::Prepaid, limit));
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

fn charged(reply: Reply) -> (OrderState, Option<i64>) {
    match reply {
        Reply::Settled { state, charge, duplicate: false } => (state, charge.map(Money::as_nano)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn case_1_top_up_with_the_payment_providers_fee() {
    let mut memory = Memory::new();
    memory.run(&open(1, "w", WalletKind::Prepaid, None));
    memory.run(&top_up(2, "w", 25_000_000_000, 1_025_000_000));
    moves(&memory, &[("psp:stripe:clearing", "wallet:w:cash", 25_000_000_000), ("exp:psp_fee", "psp:stripe:clearing", 1_025_000_000)]);
}

#[test]
fn case_1_the_same_payment_counts_once_and_another_amount_is_a_conflict() {
    let mut memory = prepaid(25, None);
    let before = memory.balances();
    assert!(matches!(memory.run(&top_up(2, "w", 25, 0)), Reply::Done { duplicate: true, .. }));
    assert!(matches!(memory.run(&top_up(2, "w", 26, 0)), Reply::Refused(refusal) if refusal.code() == "conflict"));
    assert_eq!(memory.balances(), before);
}

#[test]
fn case_2_reserve() {
    let mut memory = prepaid(25_000_000_000, None);
    assert_eq!(memory.run(&reserve(1, "w", 900_000)), Reply::Held { hold: Money::nano(900_000) });
    moves(&memory, &[("wallet:w:cash", "wallet:w:held", 900_000)]);
}

#[test]
fn cases_3_and_4_finalize_and_release_are_one_event() {
    let mut memory = prepaid(25_000_000_000, None);
    memory.run(&reserve(1, "w", 900_000));
    assert_eq!(charged(memory.run(&settle(1, 6730))), (OrderState::Finalized, Some(7100)));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 6730),
            ("wallet:w:held", "rev:fee", 370),
            ("cogs:acme", "prov:acme:payable", 6730),
            ("wallet:w:held", "wallet:w:cash", 892_900),
        ],
    );
}

#[test]
fn case_5_nothing_billed() {
    let mut memory = prepaid(1000, None);
    let before = memory.balances();
    memory.run(&reserve(1, "w", 900));
    assert_eq!(charged(memory.run(&release(1))), (OrderState::Released, Some(0)));
    moves(&memory, &[("wallet:w:held", "wallet:w:cash", 900)]);
    assert_eq!(memory.balances(), before);
}

/// Served by the cache at a tenth of the price; the lookup itself has cost something at another provider.
#[test]
fn case_8b_a_cache_hit_at_a_discount_pays_what_the_lookup_cost() {
    let mut memory = prepaid(25_000_000_000, None);
    memory.run(&reserve(1, "w", 900_000));
    let nano = |amount| (Exact::new(i128::from(amount), 1).unwrap(), Money::nano(amount));
    let ((cost_exact, cost), (charge_exact, charge)) = (nano(20), nano(710));
    let amounts = Amounts { cost_exact, charge_exact, cost, charge, pass_through: cost, fee: Money::nano(690), builder: Money::ZERO };
    let hit = Settle {
        endpoint: None,
        provider: Some("embed".into()),
        amounts: Some(amounts),
        rated: None,
        ..settling(1, 6730, UsageSource::Cache)
    };
    assert_eq!(charged(memory.run(&Command::Settle(Box::new(hit)))), (OrderState::Finalized, Some(710)));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 20),
            ("wallet:w:held", "rev:fee", 690),
            ("cogs:embed", "prov:embed:payable", 20),
            ("wallet:w:held", "wallet:w:cash", 899_290),
        ],
    );
}

#[test]
fn case_9_what_a_failed_attempt_may_cost_is_our_loss() {
    let mut memory = prepaid(25_000_000_000, None);
    memory.run(&reserve(1, "w", 900_000));
    let mut served = settling(1, 5_000, UsageSource::Provider);
    served.losses = vec![Loss { provider: "broken".into(), cost_nano: 1_200 }];
    assert_eq!(charged(memory.run(&Command::Settle(Box::new(served)))), (OrderState::Finalized, Some(5_275)));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 5_000),
            ("wallet:w:held", "rev:fee", 275),
            ("cogs:acme", "prov:acme:payable", 5_000),
            ("exp:loss:failover", "prov:broken:suspense", 1_200),
            ("wallet:w:held", "wallet:w:cash", 894_725),
        ],
    );
}

/// Nobody is left to read it, the provider bills it to its end: real usage.
#[test]
fn case_10a_a_stream_read_to_its_end_is_charged_as_counted() {
    let mut memory = prepaid(25_000_000_000, None);
    memory.run(&reserve(1, "w", 900_000));
    assert_eq!(charged(memory.run(&settle(1, 40_000))), (OrderState::Finalized, Some(42_200)));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 40_000),
            ("wallet:w:held", "rev:fee", 2_200),
            ("cogs:acme", "prov:acme:payable", 40_000),
            ("wallet:w:held", "wallet:w:cash", 857_800),
        ],
    );
}

#[test]
fn case_10b_settled_on_an_estimate_is_provisional() {
    let mut memory = prepaid(1000, None);
    memory.run(&reserve(1, "w", 900));
    let estimated = Command::Settle(Box::new(settling(1, 200, UsageSource::Estimated)));
    assert_eq!(charged(memory.run(&estimated)), (OrderState::Provisional, Some(211)));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 200),
            ("wallet:w:held", "rev:fee", 11),
            ("cogs:acme", "prov:acme:payable", 200),
            ("wallet:w:held", "wallet:w:cash", 689),
        ],
    );
}

/// Pinned at the reserve: 6 730 and a fee of 370. The provider has raised its price meanwhile and reports 6 900.
#[test]
fn case_12_a_price_that_changes_in_flight_is_the_margins_affair() {
    let mut memory = prepaid(25_000_000_000, None);
    memory.run(&reserve(1, "w", 900_000));
    let used = settling(1, 6_730, UsageSource::Provider);
    let reported = Rated { reported: Exact::new(6_900, 1), ..rated() };
    let (amounts, terms) = reported.rate(&used.usage).unwrap();
    let served = Settle { amounts: Some(amounts), rated: Some(terms), ..used };
    assert_eq!(charged(memory.run(&Command::Settle(Box::new(served)))), (OrderState::Finalized, Some(7_100)));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 6_730),
            ("wallet:w:held", "rev:fee", 370),
            ("cogs:acme", "prov:acme:payable", 6_900),
            ("wallet:w:held", "wallet:w:cash", 892_900),
        ],
    );
    let report = memory.verify();
    let drift = report.notices.iter().find(|notice| notice.check == Check::R14).unwrap();
    assert_eq!(drift.drift_nano, Some(170), "PRICE_DRIFT: {}", drift.detail);
    // The price is put right: what the old one missed stays in the books, and nothing is left to be put right.
    memory.run(&reserve(2, "w", 900_000));
    let right = PriceSheet::new(vec![PriceLine::new(Meter::InputUncached, 1025, 1)], "right".into(), 0);
    let used = settling(2, 6_730, UsageSource::Provider);
    let told = Rated { price: PinnedPrice::of(&right), reported: Exact::new(6_900, 1), ..rated() };
    let (amounts, terms) = told.rate(&used.usage).unwrap();
    memory.run(&Command::Settle(Box::new(Settle { amounts: Some(amounts), rated: Some(terms), ..used })));
    let notices = memory.verify().notices;
    assert!(notices.iter().all(|notice| notice.check != Check::R14), "{notices:?}");
}

/// Nobody knows a price, the provider says what it cost: that is booked, and nothing charged.
#[test]
fn case_12_a_reported_cost_needs_no_price() {
    let mut memory = Memory::new();
    memory.run(&open(1, "w", WalletKind::Postpaid, None));
    memory.run(&Command::Reserve(Box::new(reserving(1, "w", None))));
    let told = Settle { amounts: None, rated: None, unpriced_cost: Exact::new(13_801, 2), ..settling(1, 6_730, UsageSource::Provider) };
    assert_eq!(charged(memory.run(&Command::Settle(Box::new(told)))), (OrderState::Unpriced, None));
    moves(&memory, &[("cogs:acme", "prov:acme:payable", 6_900)]);
}

#[test]
fn case_11_what_was_not_delivered_is_our_loss() {
    let mut memory = prepaid(1000, None);
    memory.run(&reserve(1, "w", 900));
    assert_eq!(charged(memory.run(&settle_undelivered(1, 321))), (OrderState::Provisional, Some(0)));
    moves(&memory, &[("exp:loss:undelivered", "prov:acme:payable", 321), ("wallet:w:held", "wallet:w:cash", 900)]);
}

/// The provider cuts after a third has arrived: that is charged, the rest of what it bills is our loss.
#[test]
fn case_11_what_arrived_before_the_cut_is_charged() {
    let mut memory = prepaid(25_000_000_000, None);
    memory.run(&reserve(1, "w", 900_000));
    let amounts = |tokens| settling(1, tokens, UsageSource::Estimated).amounts.unwrap();
    let borne = Legs { charge: ChargeFor::Delivered, fee: FeeFor::Charged, cost: CostTo::Payable }.bear(amounts(3_000), amounts(1_000));
    let cut = Settle {
        amounts: Some(borne.amounts),
        loss: borne.loss,
        outcome: Some(Outcome::ProviderCut),
        ..settling(1, 3_000, UsageSource::Estimated)
    };
    assert_eq!(charged(memory.run(&Command::Settle(Box::new(cut)))), (OrderState::Provisional, Some(1_055)));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 1_000),
            ("wallet:w:held", "rev:fee", 55),
            ("cogs:acme", "prov:acme:payable", 1_000),
            ("exp:loss:undelivered", "prov:acme:payable", 2_000),
            ("wallet:w:held", "wallet:w:cash", 898_945),
        ],
    );
}

/// The law's own figures: charge 5 275, hold 1 000, limit 3 000.
fn overrun() -> Memory {
    let mut memory = prepaid(1000, Some(3000));
    memory.run(&reserve(1, "w", 1000));
    assert_eq!(charged(memory.run(&settle(1, 5000))), (OrderState::Finalized, Some(4000)));
    memory
}

#[test]
fn case_13_overrun_goes_to_the_hold_then_to_debt_and_the_rest_is_absorbed() {
    let memory = overrun();
    // 1 000 + 3 000 of the pass-through; 275 of fee and 1 000 of cost, together 1 275, are not charged. The cost is booked whole.
    moves(&memory, &[("wallet:w:held", "rev:usage", 1000), ("wallet:w:recv", "rev:usage", 3000), ("cogs:acme", "prov:acme:payable", 5000)]);
}

#[test]
fn case_13_overrun_takes_cash_before_debt() {
    let mut memory = prepaid(1500, Some(3000));
    memory.run(&reserve(1, "w", 1000));
    assert_eq!(charged(memory.run(&settle(1, 2000))), (OrderState::Finalized, Some(2110)));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 1000),
            ("wallet:w:cash", "rev:usage", 500),
            ("wallet:w:recv", "rev:usage", 500),
            ("wallet:w:recv", "rev:fee", 110),
            ("cogs:acme", "prov:acme:payable", 2000),
        ],
    );
}

#[test]
fn case_13_without_a_limit_nothing_becomes_debt() {
    let mut memory = prepaid(1000, None);
    memory.run(&reserve(1, "w", 1000));
    assert_eq!(charged(memory.run(&settle(1, 5000))), (OrderState::Finalized, Some(1000)));
    moves(&memory, &[("wallet:w:held", "rev:usage", 1000), ("cogs:acme", "prov:acme:payable", 5000)]);
    assert!(!memory.balances().contains_key("wallet:w:recv"));
}

#[test]
fn case_13c_the_next_top_up_pays_the_debt_in_the_same_event() {
    let mut memory = overrun();
    assert!(matches!(memory.run(&reserve(2, "w", 0)), Reply::Refused(refusal) if refusal.code() == "indebted"));
    memory.run(&top_up(3, "w", 10_000, 0));
    moves(&memory, &[("psp:stripe:clearing", "wallet:w:cash", 10_000), ("wallet:w:cash", "wallet:w:recv", 3000)]);
    assert_eq!(memory.run(&reserve(2, "w", 7000)), Reply::Held { hold: Money::nano(7000) });
}

#[test]
fn case_14a_an_expired_hold_goes_back() {
    let memory = expired();
    moves(&memory, &[("wallet:w:held", "wallet:w:cash", 900)]);
}

fn expired() -> Memory {
    let mut memory = prepaid(1000, Some(5000));
    let mut reserve = reserving(1, "w", Some(900));
    reserve.expires_at = Timestamp(memory.now().0 + 500);
    memory.run(&Command::Reserve(Box::new(reserve)));
    let expire = Command::Expire { order: order(1) };
    assert!(matches!(memory.run(&expire), Reply::Settled { state: OrderState::Reserved, duplicate: true, .. }), "not yet");
    memory.set(Timestamp(memory.now().0 + 500));
    assert!(matches!(memory.run(&expire), Reply::Settled { state: OrderState::Expired, charge: None, duplicate: false }));
    memory
}

#[test]
fn case_14b_what_is_settled_after_expiry_is_charged_directly() {
    let mut memory = expired();
    assert_eq!(charged(memory.run(&settle(1, 2000))), (OrderState::LateSettled, Some(2110)));
    moves(
        &memory,
        &[
            ("wallet:w:cash", "rev:usage", 1000),
            ("wallet:w:recv", "rev:usage", 1000),
            ("wallet:w:recv", "rev:fee", 110),
            ("cogs:acme", "prov:acme:payable", 2000),
        ],
    );
    assert!(matches!(memory.run(&settle(1, 2000)), Reply::Settled { duplicate: true, .. }));
}

#[test]
fn case_14b_nothing_used_leaves_an_expired_order_as_it_is() {
    let mut memory = expired();
    assert!(matches!(memory.run(&release(1)), Reply::Settled { state: OrderState::Expired, duplicate: true, .. }));
}

/// One hold at the batch price, kept for its 24 hours and two days more; whoever polls settles it, once.
#[test]
fn case_15_a_batch_is_one_hold_and_one_settlement() {
    let mut memory = prepaid(25_000_000_000, None);
    let mut batch = reserving(1, "w", Some(5_000_000_000));
    batch.expires_at = Timestamp(memory.now().0 + 72 * 3_600_000);
    assert_eq!(memory.run(&Command::Reserve(Box::new(batch))), Reply::Held { hold: Money::nano(5_000_000_000) });
    moves(&memory, &[("wallet:w:cash", "wallet:w:held", 5_000_000_000)]);
    let mut half = sheet();
    half.factors.insert(ServiceTier::Batch, Ratio { num: 1, den: 2 });
    let rating = Rating { tier: ServiceTier::Batch, at: Timestamp(0) };
    let terms = Rated { price: PinnedPrice::of(&half), rating, ..rated() };
    let used = settling(1, 4_000_000_000, UsageSource::Provider);
    let (amounts, rated) = terms.rate(&used.usage).unwrap();
    let settle = Command::Settle(Box::new(Settle { amounts: Some(amounts), rated: Some(rated), ..used }));
    memory.set(Timestamp(memory.now().0 + 24 * 3_600_000));
    assert_eq!(charged(memory.run(&settle)), (OrderState::Finalized, Some(2_110_000_000)));
    moves(
        &memory,
        &[
            ("wallet:w:held", "rev:usage", 2_000_000_000),
            ("wallet:w:held", "rev:fee", 110_000_000),
            ("cogs:acme", "prov:acme:payable", 2_000_000_000),
            ("wallet:w:held", "wallet:w:cash", 2_890_000_000),
        ],
    );
    // A second poll, a webhook: they find it done.
    let after = memory.balances();
    assert!(matches!(memory.run(&settle), Reply::Settled { state: OrderState::Finalized, duplicate: true, .. }));
    assert_eq!(memory.balances(), after);
}

/// $0.04 an hour of audio, $0.0375 a million tokens, $0.04 an image; the fee is what is left of the charge, rounded once.
#[test]
fn case_16_audio_embeddings_and_images() {
    let cases = [
        (Meter::Seconds, 40_000_000_000, 3600, 37, 411_111, 22_611),
        (Meter::InputUncached, 37_500_000_000, 1_000_000, 1, 38, 2),
        (Meter::ImageOut, 40_000_000_000, 1, 1, 40_000_000, 2_200_000),
    ];
    let mut memory = prepaid(25_000_000_000, None);
    for (n, (meter, num, per, count, cost, fee)) in (1..).zip(cases) {
        let price = PriceSheet::new(vec![PriceLine::new(meter, num, per)], "test".into(), 0);
        let usage = Usage::default().with(meter, count);
        let amounts = settle_amounts(&usage, &price, &Rating::standard(Timestamp(0)), &Sell::Markup(FEE), Ratio::ZERO).unwrap();
        let hold = cost + fee + 1;
        memory.run(&reserve(n, "w", hold));
        let rated = Some(Rated { price: PinnedPrice::of(&price), ..rated() });
        let used = Settle { usage, amounts: Some(amounts), rated, ..settling(n, 0, UsageSource::Provider) };
        assert_eq!(charged(memory.run(&Command::Settle(Box::new(used)))), (OrderState::Finalized, Some(cost + fee)));
        moves(
            &memory,
            &[
                ("wallet:w:held", "rev:usage", cost),
                ("wallet:w:held", "rev:fee", fee),
                ("cogs:acme", "prov:acme:payable", cost),
                ("wallet:w:held", "wallet:w:cash", 1),
            ],
        );
    }
}

#[test]
fn case_16_one_rounding() {
    // The least charge: 5.5 % of one nano-unit is nothing, and the unit itself is not.
    let mut memory = prepaid(1000, None);
    memory.run(&reserve(1, "w", 900));
    assert_eq!(charged(memory.run(&settle(1, 1))), (OrderState::Finalized, Some(1)));
    // 100 x 1.055 = 105.5 -> 106, 300 x 1.055 = 316.5 -> 316: half to even.
    for (n, tokens, charge) in [(2, 100, 106), (3, 300, 316)] {
        memory.run(&reserve(n, "w", 400));
        assert_eq!(charged(memory.run(&settle(n, tokens))).1, Some(charge));
    }
}

#[test]
fn an_unpriced_call_needs_some_credit_to_be_left() {
    let mut memory = Memory::new();
    memory.run(&open(1, "w", WalletKind::Postpaid, Some(1000)));
    let unpriced = |n| Command::Reserve(Box::new(reserving(n, "w", None)));
    assert_eq!(memory.run(&unpriced(9)), Reply::Held { hold: Money::ZERO });
    memory.run(&reserve(10, "w", 1000));
    let refused = |reply| matches!(reply, Reply::Refused(refusal) if refusal.code() == "over_credit_limit");
    assert!(refused(memory.run(&unpriced(11))));
    // A price of nothing is a price: what is free goes on.
    assert_eq!(memory.run(&reserve(12, "w", 0)), Reply::Held { hold: Money::ZERO });
    memory.run(&release(10));
    assert_eq!(memory.run(&unpriced(13)), Reply::Held { hold: Money::ZERO });
}
