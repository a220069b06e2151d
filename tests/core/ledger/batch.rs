//! Owns: a batch job in the ledger (the law's case 15): one hold at the batch price, one settlement keyed by the job, whoever
//! asks for it and however often. No route makes batch jobs yet; this is what it will stand on.

use super::commands::{FEE, PROVIDER, open, order, reserving, settling, top_up};
use super::memory::Memory;
use gotoai::base::{Money, Ratio, Timestamp};
use gotoai::domain::catalog::{Meter, PinnedPrice, PriceLine, PriceSheet, Rating, Sell, ServiceTier, Usage};
use gotoai::domain::ledger::{Command, OrderState, Rated, Reply, Settle, UsageSource, WalletKind, hold_for, settle_amounts};
use std::collections::BTreeMap;

const HOUR_MS: i64 = 3_600_000;
const FUNDS: i64 = 1_000_000;
/// What the job may use and has used: tokens of all its lines.
const BOUND: u64 = 10_000;
const USED: u64 = 6_000;

/// Ten nano-units a token, half of it in a batch.
fn priced() -> (PriceSheet, Rating) {
    let mut sheet = PriceSheet::new(vec![PriceLine::new(Meter::InputUncached, 10_000, 1)], "test".into(), 0);
    sheet.factors = BTreeMap::from([(ServiceTier::Batch, Ratio { num: 1, den: 2 })]);
    (sheet, Rating { tier: ServiceTier::Batch, at: Timestamp(0) })
}

/// One hold for the whole job, open for a day and two days of grace.
fn submitted() -> Memory {
    let mut memory = Memory::new();
    memory.run(&open(1, "w", WalletKind::Prepaid, None));
    memory.run(&top_up(2, "w", FUNDS, 0));
    let (sheet, rating) = priced();
    let hold = hold_for(&sheet, &Usage::default().with(Meter::InputUncached, BOUND), &rating, &Sell::Markup(FEE), Ratio::ZERO).unwrap();
    let mut reserve = reserving(1, "w", Some(hold.as_nano()));
    reserve.expires_at = Timestamp(memory.now().0 + 72 * HOUR_MS);
    assert_eq!(memory.run(&Command::Reserve(Box::new(reserve))), Reply::Held { hold: Money::nano(52_750) });
    memory
}

/// The job is done: what all of its lines have used.
fn done() -> Command {
    let (sheet, rating) = priced();
    let usage = Usage::default().with(Meter::InputUncached, USED);
    let amounts = settle_amounts(&usage, &sheet, &rating, &Sell::Markup(FEE), Ratio::ZERO).unwrap();
    let rated =
        Rated { price: PinnedPrice::of(&sheet), rating, sell: Sell::Markup(FEE), builder: Ratio::ZERO, upstream: None, reported: None };
    Command::Settle(Box::new(Settle { amounts: Some(amounts), rated: Some(rated), usage, ..settling(1, 0, UsageSource::Provider) }))
}

fn spendable(memory: &Memory) -> i64 {
    memory.balances().get("wallet:w:cash").copied().unwrap_or(0)
}

/// 6 000 tokens at half of ten, and 5.5 %.
const CHARGE: i64 = 31_650;

#[test]
fn every_poll_but_the_one_that_settles_changes_nothing() {
    let mut memory = submitted();
    let settled = memory.run(&done());
    assert_eq!(settled, Reply::Settled { state: OrderState::Finalized, charge: Some(Money::nano(CHARGE)), duplicate: false });
    let after = memory.balances();
    for _ in 0..20 {
        let again = memory.run(&done());
        assert_eq!(again, Reply::Settled { state: OrderState::Finalized, charge: Some(Money::nano(CHARGE)), duplicate: true });
        assert_eq!(memory.balances(), after);
    }
    assert_eq!(spendable(&memory), FUNDS - CHARGE);
    assert_eq!(memory.balances()[&format!("prov:{PROVIDER}:payable")], 30_000, "cost is booked at the batch price, and once");
    assert!(memory.verify().ok());
}

#[test]
fn a_poll_that_another_process_repeats_after_a_crash_counts_once() {
    let mut memory = submitted();
    memory.run(&done());
    memory.reopen();
    assert!(matches!(memory.run(&done()), Reply::Settled { duplicate: true, .. }));
    assert_eq!(spendable(&memory), FUNDS - CHARGE);
    assert!(memory.verify().ok());
}

#[test]
fn a_job_that_ends_after_its_hold_is_charged_and_not_free() {
    let mut memory = submitted();
    memory.set(Timestamp(memory.now().0 + 73 * HOUR_MS));
    assert!(matches!(memory.run(&Command::Expire { order: order(1) }), Reply::Settled { state: OrderState::Expired, .. }));
    assert_eq!(spendable(&memory), FUNDS);
    assert!(matches!(memory.run(&done()), Reply::Settled { state: OrderState::LateSettled, duplicate: false, .. }));
    assert!(matches!(memory.run(&done()), Reply::Settled { state: OrderState::LateSettled, duplicate: true, .. }));
    assert_eq!(spendable(&memory), FUNDS - CHARGE);
    assert!(memory.verify().ok());
}
