//! Owns: each class of gap by an example, and what holds for all bills: the proposals bring what we owe to what is billed.

use super::cell::cells;
use super::classify::{billed_nano, classify};
use super::propose::propose;
use super::*;
use crate::base::{Date, Exact, Money};
use crate::protocol::billing::{Bill, BillRow, Counter, Counts, Format, read};
use proptest::prelude::*;
use std::collections::BTreeMap;

const DAY: Date = Date { year: 2026, month: 9, day: 1 };

fn terms() -> Terms {
    let to = Date { day: 9, ..DAY };
    Terms { provider: "acme".into(), from: DAY, to, tolerance: Tolerance::default(), key_map: BTreeMap::new(), model_map: BTreeMap::new() }
}

/// Rows can only be read: a usage row and a cost row in OpenAI's form. `requests` 0 leaves out the usage, no `cost` the cost.
fn bill(day: i64, model: &str, requests: u64, input: u64, cached: u64, output: u64, cost_usd: Option<&str>) -> Vec<BillRow> {
    let start = (DAY.day_number() + day) * 86_400;
    let usage = format!(
        r#"{{"object":"organization.usage.completions.result","input_tokens":{},"input_cached_tokens":{cached},"output_tokens":{output},"num_model_requests":{requests},"model":"{model}","api_key_id":"key_theirs"}}"#,
        input + cached
    );
    let cost = cost_usd.map(|usd| {
        format!(r#"{{"object":"organization.costs.result","amount":{{"value":{usd},"currency":"usd"}},"line_item":"{model}, input","project_id":"proj"}}"#)
    });
    let results: Vec<String> = (requests > 0).then_some(usage).into_iter().chain(cost).collect();
    let end = start + 86_400;
    let page = format!(r#"{{"data":[{{"start_time":{start},"end_time":{end},"results":[{}]}}]}}"#, results.join(","));
    let mut bill = Bill::default();
    read(Format::OpenAi, page.as_bytes(), &mut bill).unwrap();
    assert!(bill.unread.is_empty(), "{:?}", bill.unread);
    bill.rows
}

fn ours(day: i64, model: &str, orders: u64, input: u64, cached: u64, output: u64, cost_nano: i128) -> OurRow {
    let mut row = OurRow::new(Date::of_day(DAY.day_number() + day), model.into(), Some("key_ours".into()));
    (row.orders, row.cost_nano) = (orders, cost_nano);
    row.cost_exact = Exact::new(cost_nano, 1);
    row.usage = Counts::from([(Counter::InputUncached, input), (Counter::CacheRead, cached), (Counter::OutputText, output)]);
    row
}

fn reconcile(bill: &[BillRow], ours: &[OurRow]) -> Reconciliation {
    match_bill(bill, ours, &[], &terms()).unwrap()
}

/// The only gap: class, beyond the tolerance, postings as `debit -> credit amount`.
fn only_gap(bill: &[BillRow], ours: &[OurRow]) -> (GapClass, bool, Vec<String>) {
    let done = reconcile(bill, ours);
    assert_eq!(done.gaps.len(), 1, "{:?}", done.gaps);
    let gap = &done.gaps[0];
    assert!(gap.proposals.iter().all(|proposal| proposal.finding == gap.id));
    let postings = gap.proposals.iter().map(|p| format!("{} -> {} {}", p.debit, p.credit, p.amount_nano)).collect();
    (gap.class, gap.beyond_tolerance, postings)
}

#[test]
fn agreement_is_no_gap() {
    let done = reconcile(&bill(0, "gpt-4o-2024-08-06", 2, 100, 20, 30, Some("0.5")), &[ours(0, "gpt-4o", 2, 100, 20, 30, 500_000_000)]);
    assert_eq!((done.gaps.len(), done.cells, done.matched), (0, 1, 1));
    assert_eq!(done.totals.billed_nano, done.totals.ours.cost_nano);
}

#[test]
fn missing_here() {
    let theirs = bill(0, "gpt-4o", 2, 100, 0, 30, Some("0.5"));
    assert_eq!(only_gap(&theirs, &[]), (GapClass::MissingHere, true, vec!["exp:provider_variance -> prov:acme:payable 500000000".into()]));
    // More of a model that also has orders.
    let some = [ours(0, "gpt-4o", 1, 60, 0, 20, 300_000_000)];
    assert_eq!(
        only_gap(&theirs, &some),
        (GapClass::MissingHere, true, vec!["exp:provider_variance -> prov:acme:payable 200000000".into()])
    );
}

#[test]
fn missing_there() {
    let other = bill(0, "gpt-4o-mini", 1, 1, 0, 1, Some("0.1"));
    let both = [ours(0, "gpt-4o", 2, 100, 0, 30, 500_000_000), ours(0, "gpt-4o-mini", 1, 1, 0, 1, 100_000_000)];
    assert_eq!(only_gap(&other, &both), (GapClass::MissingThere, true, vec!["prov:acme:payable -> cogs:acme 500000000".into()]));
    let less = bill(0, "gpt-4o", 1, 60, 0, 20, Some("0.3"));
    assert_eq!(only_gap(&less, &both[..1]), (GapClass::MissingThere, true, vec!["prov:acme:payable -> cogs:acme 200000000".into()]));
    // What was never delivered leaves the account it was booked to.
    let mut undelivered = both[0].clone();
    undelivered.undelivered_nano = 50_000_000;
    let (_, _, postings) = only_gap(&less, &[undelivered]);
    assert_eq!(postings, ["prov:acme:payable -> exp:loss:undelivered 50000000", "prov:acme:payable -> cogs:acme 150000000"]);
}

#[test]
fn a_suspended_estimate_that_is_not_billed_leaves_the_accounts_that_bear_it() {
    let other = bill(0, "gpt-4o-mini", 1, 1, 0, 1, Some("0.1"));
    let mut left = ours(0, "gpt-4o", 1, 60, 0, 20, 0);
    (left.estimate_nano, left.estimate_undelivered_nano) = (300_000_000, 200_000_000);
    let both = [left.clone(), ours(0, "gpt-4o-mini", 1, 1, 0, 1, 100_000_000)];
    let (_, _, postings) = only_gap(&other, &both);
    assert_eq!(postings, ["prov:acme:suspense -> exp:loss:undelivered 200000000", "prov:acme:suspense -> cogs:acme 100000000"]);
    // Half of it is billed: what is given up was lost first.
    let half = bill(0, "gpt-4o", 1, 30, 0, 10, Some("0.15"));
    let (_, _, postings) = only_gap(&half, &[left]);
    assert_eq!(postings, ["prov:acme:suspense -> prov:acme:payable 150000000", "prov:acme:suspense -> exp:loss:undelivered 150000000"]);
}

#[test]
fn token_class() {
    let theirs = bill(0, "gpt-4o", 2, 20, 100, 30, Some("0.4"));
    let gap = only_gap(&theirs, &[ours(0, "gpt-4o", 2, 100, 20, 30, 500_000_000)]);
    assert_eq!(gap, (GapClass::TokenClass, true, vec!["prov:acme:payable -> exp:provider_variance 100000000".into()]));
}

#[test]
fn price_version_with_its_implied_prices() {
    let (theirs, booked) =
        (bill(0, "gpt-4o", 2, 900_000, 0, 100_000, Some("2.5")), [ours(0, "gpt-4o", 2, 900_000, 0, 100_000, 2_000_000_000)]);
    assert_eq!(
        only_gap(&theirs, &booked),
        (GapClass::PriceVersion, true, vec!["exp:provider_variance -> prov:acme:payable 500000000".into()])
    );
    let prices = reconcile(&theirs, &booked).gaps[0].unit_prices.clone();
    let shown: Vec<_> = prices.iter().map(|p| (p.counter, p.theirs.to_string(), p.ours.map(|ours| ours.to_string()))).collect();
    assert_eq!(shown, [(None, "2.50".into(), Some("2.00".into())), (Some(Counter::InputUncached), "2.777777778".into(), None)]);
    // Calls that had no price: now they have one, and it is cost of sales.
    let mut unpriced = booked[0].clone();
    (unpriced.unpriced, unpriced.cost_nano) = (2, 0);
    assert_eq!(only_gap(&theirs, &[unpriced]), (GapClass::PriceVersion, true, vec!["cogs:acme -> prov:acme:payable 2500000000".into()]));
}

#[test]
fn retry_unseen() {
    let mut booked = ours(0, "gpt-4o", 2, 100, 0, 30, 500_000_000);
    booked.failover_nano = 150_000_000;
    let (class, beyond, postings) = only_gap(&bill(0, "gpt-4o", 3, 140, 0, 30, Some("0.6")), &[booked.clone()]);
    assert_eq!((class, beyond), (GapClass::RetryUnseen, true));
    assert_eq!(postings, ["prov:acme:suspense -> prov:acme:payable 100000000", "prov:acme:suspense -> exp:loss:failover 50000000"]);
    let (_, _, postings) = only_gap(&bill(0, "gpt-4o", 3, 240, 0, 30, Some("0.9")), &[booked]);
    assert_eq!(postings, ["prov:acme:suspense -> prov:acme:payable 150000000", "exp:loss:failover -> prov:acme:payable 250000000"]);
}

#[test]
fn uncertain_resolved() {
    // The failed attempt was not billed.
    let mut booked = ours(0, "gpt-4o", 2, 100, 0, 30, 500_000_000);
    (booked.failover_nano, booked.crash_nano) = (150_000_000, 10_000_000);
    let given_up = vec!["prov:acme:suspense -> exp:loss:failover 150000000".into(), "prov:acme:suspense -> exp:loss:crash 10000000".into()];
    let theirs = bill(0, "gpt-4o", 2, 100, 0, 30, Some("0.5"));
    assert_eq!(only_gap(&theirs, &[booked.clone()]), (GapClass::UncertainResolved, false, given_up.clone()));
    // A bill without costs is evidence enough: the tokens agree.
    assert_eq!(only_gap(&bill(0, "gpt-4o", 2, 100, 0, 30, None), &[booked]), (GapClass::UncertainResolved, false, given_up));
    // An estimate was too high, too low, and of nothing.
    let mut estimated = ours(0, "gpt-4o", 2, 100, 0, 30, 500_000_000);
    (estimated.provisional, estimated.provisional_nano) = (1, 400_000_000);
    let lower = only_gap(&bill(0, "gpt-4o", 2, 80, 0, 30, Some("0.45")), &[estimated.clone()]);
    assert_eq!(lower, (GapClass::UncertainResolved, true, vec!["prov:acme:payable -> cogs:acme 50000000".into()]));
    let higher = only_gap(&bill(0, "gpt-4o", 2, 180, 0, 30, Some("0.7")), &[estimated.clone()]);
    assert_eq!(higher, (GapClass::UncertainResolved, true, vec!["exp:loss:estimate -> prov:acme:payable 200000000".into()]));
    let mut alone = estimated;
    (alone.orders, alone.provisional_nano) = (1, 500_000_000);
    let nothing = reconcile(&bill(0, "gpt-4o-mini", 1, 1, 0, 1, Some("0.1")), &[alone]);
    let classes: Vec<_> = nothing.gaps.iter().map(|gap| gap.class).collect();
    assert_eq!(classes, [GapClass::UncertainResolved, GapClass::MissingHere]);
}

#[test]
fn rounding_is_within_the_tolerance() {
    let theirs = bill(0, "gpt-4o", 2, 100, 0, 30, Some("0.5000000004"));
    let near = |cost| only_gap(&theirs, &[ours(0, "gpt-4o", 2, 100, 0, 30, cost)]);
    assert_eq!(near(499_999_999), (GapClass::Rounding, false, vec!["exp:provider_variance -> prov:acme:payable 1".into()]));
    assert_eq!(near(510_000_000), (GapClass::Rounding, false, vec!["prov:acme:payable -> exp:provider_variance 10000000".into()]));
    assert_eq!(near(510_000_001).0, GapClass::PriceVersion);
    // Of large amounts half a percent.
    let large = bill(0, "gpt-4o", 2, 100, 0, 30, Some("1000"));
    assert_eq!(only_gap(&large, &[ours(0, "gpt-4o", 2, 100, 0, 30, 995_000_000_000)]).0, GapClass::Rounding);
    assert_eq!(only_gap(&large, &[ours(0, "gpt-4o", 2, 100, 0, 30, 994_999_999_999)]).0, GapClass::PriceVersion);
}

#[test]
fn unknown() {
    let theirs = bill(0, "gpt-4o", 2, 100, 0, 40, Some("0.5"));
    assert_eq!(only_gap(&theirs, &[ours(0, "gpt-4o", 2, 120, 0, 30, 500_000_000)]).0, GapClass::Unknown);
}

#[test]
fn keys_are_told_apart_where_the_map_speaks_of_the_whole_bill() {
    let (mut rows, mut booked) = (bill(0, "gpt-4o", 2, 100, 0, 30, None), [ours(0, "gpt-4o", 2, 100, 0, 30, 0)]);
    let mut terms = terms();
    terms.key_map.insert("key_theirs".into(), "key_ours".into());
    let keyed = match_bill(&rows, &booked, &[], &terms).unwrap();
    assert_eq!((keyed.keyed, keyed.gaps.len()), (true, 0));
    booked[0].key = Some("key_other".into());
    let apart = match_bill(&rows, &booked, &[], &terms).unwrap();
    let classes: Vec<_> = apart.gaps.iter().map(|gap| (gap.class, gap.key.as_deref())).collect();
    assert_eq!(classes, [(GapClass::MissingThere, Some("key_other")), (GapClass::MissingHere, Some("key_ours"))]);
    // Costs are grouped by project, of which the map does not speak.
    rows.extend(bill(0, "gpt-4o", 0, 0, 0, 0, Some("0")));
    let coarse = match_bill(&rows, &booked, &[], &terms).unwrap();
    assert_eq!((coarse.keyed, coarse.gaps.len()), (false, 0));
}

#[test]
fn a_map_of_models_helps_where_rules_do_not() {
    let (rows, booked) =
        (bill(0, "Nova2.0Lite", 2, 100, 0, 30, Some("0.5")), [ours(0, "amazon.nova-2-lite-v1:0", 2, 100, 0, 30, 500_000_000)]);
    assert_eq!(reconcile(&rows, &booked).gaps.len(), 2);
    let mut terms = terms();
    terms.model_map.insert("Nova2.0Lite".into(), "amazon.nova-2-lite-v1:0".into());
    assert_eq!(match_bill(&rows, &booked, &[], &terms).unwrap().gaps.len(), 0);
}

#[test]
fn costs_that_are_not_split_by_model_are_compared_by_day() {
    let mut rows = bill(0, "gpt-4o", 2, 100, 0, 30, None);
    rows.extend(bill(0, "gpt-4o-mini", 1, 10, 0, 3, None));
    let mut whole = bill(0, "x", 0, 0, 0, 0, Some("0.7"));
    (whole[0].model, whole[0].charged) = (None, None);
    rows.extend(whole);
    let booked = [ours(0, "gpt-4o", 2, 100, 0, 30, 500_000_000), ours(0, "gpt-4o-mini", 1, 10, 0, 3, 100_000_000)];
    let gap = only_gap(&rows, &booked);
    assert_eq!(gap, (GapClass::PriceVersion, true, vec!["exp:provider_variance -> prov:acme:payable 100000000".into()]));
    let done = reconcile(&rows, &booked);
    assert_eq!((done.totals.billed_nano, done.totals.theirs.requests), (700_000_000, Some(3)));
}

#[test]
fn silence_is_zero_only_on_days_the_bill_is_about() {
    // The costs stop a day before the counts: that day's cost is not known, so nothing is proposed.
    let mut rows = bill(0, "gpt-4o", 2, 100, 0, 30, Some("0.5"));
    rows.extend(bill(1, "gpt-4o", 1, 50, 0, 5, None));
    let booked = [ours(0, "gpt-4o", 2, 100, 0, 30, 500_000_000), ours(1, "gpt-4o", 1, 50, 0, 5, 200_000_000)];
    assert_eq!(reconcile(&rows, &booked).gaps.len(), 0);
    let (class, _, postings) = only_gap(&rows[..2], &booked);
    assert_eq!((class, postings.len()), (GapClass::MissingThere, 0));
}

#[test]
fn a_gap_keeps_its_id_as_long_as_its_figures() {
    let id = |cost| reconcile(&bill(0, "gpt-4o", 2, 100, 0, 30, Some("0.9")), &[ours(0, "gpt-4o", 2, 100, 0, 30, cost)]).gaps[0].id.clone();
    assert_eq!(id(1), id(1));
    assert_ne!(id(1), id(2));
}

/// What the books say of a gap that was closed by its own proposals.
fn closing(gap: &Gap) -> ClosedGap {
    let moved = |account: &str| -> i128 {
        let signed = |one: &Proposal| i128::from(one.amount_nano) * (i128::from(one.credit == account) - i128::from(one.debit == account));
        gap.proposals.iter().map(signed).sum()
    };
    ClosedGap {
        day: gap.day,
        scope: gap.scope.clone(),
        key: gap.key.clone(),
        by_end: false,
        account: String::new(),
        explained: gap.explains.clone(),
        cost_nano: moved("prov:acme:payable"),
        suspense_nano: -moved("prov:acme:suspense"),
    }
}

#[test]
fn a_closed_gap_opens_again_when_the_bill_grows() {
    let closed = [closing(&reconcile(&bill(0, "gpt-4o", 2, 100, 0, 30, Some("0.5")), &[]).gaps[0])];
    let run = |rows: &[BillRow]| match_bill(rows, &[], &closed, &terms()).unwrap();
    let same = run(&bill(0, "gpt-4o", 2, 100, 0, 30, Some("0.5")));
    assert_eq!((same.gaps.len(), same.totals.ours.closed_nano), (0, 500_000_000));
    let more = run(&bill(0, "gpt-4o", 3, 110, 0, 30, Some("0.6")));
    let postings: Vec<_> = more.gaps[0].proposals.iter().map(|one| one.amount_nano).collect();
    assert_eq!(postings, [100_000_000], "only what is new");
}

#[test]
fn calls_across_midnight_are_billed_by_their_start_or_by_their_end() {
    let mut crossing = ours(0, "gpt-4o", 1, 10, 0, 3, 50_000_000);
    crossing.ended = Date { day: 2, ..DAY };
    let booked = [ours(0, "gpt-4o", 2, 100, 0, 30, 500_000_000), crossing, ours(1, "gpt-4o", 1, 50, 0, 5, 200_000_000)];
    let both = |first: (u64, u64, u64, &str), second: (u64, u64, u64, &str)| {
        let mut rows = bill(0, "gpt-4o", first.0, first.1, 0, first.2, Some(first.3));
        rows.extend(bill(1, "gpt-4o", second.0, second.1, 0, second.2, Some(second.3)));
        let done = reconcile(&rows, &booked);
        (done.days_by, done.gaps.len())
    };
    assert_eq!(both((3, 110, 33, "0.55"), (1, 50, 5, "0.2")), (DaysBy::Start, 0));
    assert_eq!(both((2, 100, 30, "0.5"), (2, 60, 8, "0.25")), (DaysBy::End, 0));
    assert_eq!(both((2, 100, 30, "0.5"), (1, 50, 5, "0.2")).1, 1, "billed on neither day");
}

const MODELS: [&str; 3] = ["gpt-4o", "gpt-4o-mini-2024-07-18", "o3-mini"];

prop_compose! {
    fn any_bill()(day in 0..3_i64, model in 0..3_usize, requests in 0..4_u64, counts in (0..50_u64, 0..50_u64, 0..50_u64), cost in proptest::option::of(-2_000_000..400_000_000_i64), by_day in proptest::bool::weighted(0.1)) -> Vec<BillRow> {
        let cost = cost.map(|nano| Money::nano(nano).to_string() + "4");
        let mut rows = bill(day, MODELS[model], requests, counts.0, counts.1, counts.2, cost.as_deref());
        if by_day {
            for row in rows.iter_mut().filter(|row| row.cost.is_some()) {
                (row.model, row.charged) = (None, None);
            }
        }
        rows
    }
}

prop_compose! {
    fn any_row()(day in 0..3_i64, model in 0..3_usize, orders in 0..4_u64, counts in (0..50_u64, 0..50_u64, 0..50_u64), cost in 0..400_000_000_i128, provisional in 0..4_u64, part in 0..=100_i128, suspense in (0..3_i128, 0..3_i128), unpriced in proptest::bool::weighted(0.1)) -> OurRow {
        let cost = if orders == 0 || unpriced { 0 } else { cost };
        let counts = if orders == 0 { (0, 0, 0) } else { counts };
        let mut row = ours(day, MODELS[model], orders, counts.0, counts.1, counts.2, cost);
        row.provisional = provisional.min(orders);
        row.provisional_nano = if row.provisional == 0 { 0 } else if row.provisional == orders { cost } else { cost * part / 100 };
        row.undelivered_nano = row.provisional_nano * part / 100;
        row.unpriced = if unpriced { orders } else { 0 };
        (row.failover_nano, row.crash_nano, row.estimate_nano) = (suspense.0 * 30_000_000, suspense.1 * 7, suspense.0 * 11);
        row.estimate_undelivered_nano = row.estimate_nano * part / 100;
        row
    }
}

proptest! {
    /// What we owe becomes what is billed, nothing that was decided stays in suspense, and no posting is empty or circular.
    #[test]
    fn proposals_bring_what_we_owe_to_the_bill(bills in proptest::collection::vec(any_bill(), 0..8), booked in proptest::collection::vec(any_row(), 0..8)) {
        let (terms, bills) = (terms(), bills.concat());
        let rows: Vec<&BillRow> = bills.iter().collect();
        let (cells, _) = cells(&rows, &booked.iter().collect::<Vec<_>>(), &[], &terms).unwrap();
        for cell in &cells {
            let mut moved: BTreeMap<String, i128> = BTreeMap::new();
            let class = classify(cell, &terms.tolerance);
            let proposals = class.map_or(Vec::new(), |(class, _)| propose("acme", "gap_1", cell, class).unwrap());
            for posting in &proposals {
                prop_assert!(posting.amount_nano > 0 && posting.debit != posting.credit);
                *moved.entry(posting.credit.clone()).or_default() += i128::from(posting.amount_nano);
                *moved.entry(posting.debit.clone()).or_default() -= i128::from(posting.amount_nano);
            }
            let after = |account: &str| moved.get(account).copied().unwrap_or(0);
            prop_assert_eq!(moved.values().sum::<i128>(), 0);
            match billed_nano(cell) {
                Some(billed) => {
                    prop_assert_eq!(cell.ours.cost_nano + after("prov:acme:payable"), billed);
                    prop_assert_eq!(cell.ours.suspense_nano() + after("prov:acme:suspense"), 0);
                }
                None => prop_assert_eq!(after("prov:acme:payable"), 0),
            }
        }
        let done = match_bill(&bills, &booked, &[], &terms).unwrap();
        prop_assert_eq!(done.cells, done.gaps.len() + done.matched);
    }

    /// Every gap whose cost is known is closed by what it proposes, and stays closed.
    #[test]
    fn a_closed_gap_does_not_come_again(bills in proptest::collection::vec(any_bill(), 0..6), booked in proptest::collection::vec(any_row(), 0..6)) {
        let bills: Vec<BillRow> = bills.into_iter().flatten().collect();
        let terms = terms();
        let done = match_bill(&bills, &booked, &[], &terms).unwrap();
        let closed: Vec<ClosedGap> = done.gaps.iter().filter(|gap| gap.costed).map(closing).collect();
        let again = match_bill(&bills, &booked, &closed, &terms).unwrap();
        let left: Vec<_> = again.gaps.iter().filter(|gap| gap.costed).collect();
        prop_assert!(left.is_empty(), "{left:?}");
        prop_assert_eq!(again.gaps.len(), done.gaps.len() - closed.len());
    }

    /// Our own rows as a bill leave no gap.
    #[test]
    fn a_true_bill_has_no_gap(booked in proptest::collection::vec(any_row(), 1..6)) {
        let certain: Vec<OurRow> = booked.into_iter().filter(|row| row.orders > 0).map(|mut row| {
            (row.provisional, row.provisional_nano, row.failover_nano, row.crash_nano, row.estimate_nano, row.unpriced) = (0, 0, 0, 0, 0, 0);
            row.estimate_undelivered_nano = 0;
            row
        }).collect();
        let get = |row: &OurRow, counter| row.usage[&counter];
        let bills: Vec<BillRow> = certain.iter().flat_map(|row| {
            let day = row.day.day_number() - DAY.day_number();
            let cost = Money::nano(i64::try_from(row.cost_nano).unwrap()).to_string();
            bill(day, &row.model, row.orders, get(row, Counter::InputUncached), get(row, Counter::CacheRead), get(row, Counter::OutputText), Some(&cost))
        }).collect();
        let done = reconcile(&bills, &certain);
        prop_assert!(done.gaps.is_empty(), "{:?}", done.gaps);
    }
}
