//! Owns: costs that replies carry: they are what we pay, never what the user pays; whose word is taken, and for what.

use super::house::{House, ask, ask_stream, bytes, endpoint};
use super::scripted::{Act, Scripted, done, finished, said};
use bytes::Bytes;
use gotoai::base::{Exact, Money, Ratio};
use gotoai::domain::catalog::{Endpoint, PriceHistory};
use gotoai::domain::ledger::{
    Check, CostSource, CostTo, Journal, Ledger, Legs, OrderState, SettlementPolicy, Terms, UsageSource, WalletKind, WalletTerms,
};
use gotoai::domain::provider::Family;
use std::collections::HashMap;
use std::sync::Arc;

/// 10 tokens in and 5 out, which the sheet makes 20 000 nano-units of.
fn usage(members: &str) -> String {
    format!(r#"{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15{members}}}"#)
}

fn reply(usage: &str) -> Act {
    Act::json(200, &format!(r#"{{"id":"c","choices":[{{"message":{{"content":"hi"}}}}],"usage":{usage}}}"#))
}

fn of(family: &str, provider: &Arc<Scripted>) -> Endpoint {
    Endpoint { family: Family::by_name(family).unwrap(), ..endpoint("acme/m", provider) }
}

/// What moves in the last entry, less what goes back.
fn moves(entry: &Journal) -> Vec<(&str, &str, i64)> {
    let kept = entry.postings.iter().filter(|posting| posting.credit != "wallet:default:cash");
    kept.map(|posting| (&*posting.debit, &*posting.credit, posting.amount.as_nano())).collect()
}

/// Charge, cost and its source of one call.
async fn booked(family: &str, act: Act) -> (i64, i64, CostSource) {
    let provider = Scripted::new([act]);
    let house = House::new(vec![of(family, &provider)]).await;
    house.chat(&ask("m")).await;
    let left = house.left().await;
    house.verify();
    let settled = left.receipt.as_ref().unwrap().settlement.clone().unwrap();
    assert_eq!(left.record.cost.map(Money::as_nano), Some(left.cost()));
    assert_eq!(left.record.cost_reported, settled.cost_source == CostSource::Reported);
    (left.charge(), left.cost(), settled.cost_source)
}

/// Case 12 of the law, through a reply.
#[tokio::test]
async fn the_user_pays_the_pinned_price_and_we_pay_what_the_provider_says() {
    let provider =
        Scripted::new([reply(&usage(r#","cost":0.0000205,"is_byok":false,"cost_details":{"upstream_inference_cost":0.0000205}"#))]);
    let house = House::with(vec![of("openrouter", &provider)], |setup| setup.snapshot.fee = Ratio { num: 55, den: 1000 }).await;
    let reply = house.chat(&ask("m")).await;
    assert_eq!(reply.headers["x-gotoai-charge"], "0.0000211");
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.cost()), (OrderState::Finalized, 21_100, 20_500));
    assert_eq!(
        moves(left.entries.last().unwrap()),
        [
            ("wallet:default:held", "rev:usage", 20_000),
            ("wallet:default:held", "rev:fee", 1_100),
            ("cogs:acme", "prov:acme:payable", 20_500)
        ]
    );
    house.verify();
    let report = house.ledger.verify().unwrap();
    let drift = report.notices.iter().find(|notice| notice.check == Check::R14).unwrap();
    assert_eq!((drift.drift_nano, &*drift.subject.to_string()), (Some(500), "endpoint acme/m (price)"));
}

#[tokio::test]
async fn a_cost_is_read_as_its_family_writes_it() {
    let (cost, ticks) = (r#","cost":3.75e-08"#, r#","cost_in_usd_ticks":123456"#);
    assert_eq!(booked("openrouter", reply(&usage(cost))).await, (20_000, 38, CostSource::Reported));
    assert_eq!(booked("xai", reply(&usage(ticks))).await, (20_000, 12_346, CostSource::Reported));
    assert_eq!(booked("openrouter", reply(&usage(r#","cost":0"#))).await, (20_000, 0, CostSource::Reported), "zero is an answer");
    for unsaid in ["", r#","cost":null"#, ticks] {
        assert_eq!(booked("openrouter", reply(&usage(unsaid))).await, (20_000, 20_000, CostSource::Computed), "{unsaid}");
    }
    for wrong in [r#","cost":-1"#, r#","cost":1e9"#, r#","cost":"free""#, r#","cost":{}"#] {
        assert_eq!(booked("openrouter", reply(&usage(wrong))).await, (20_000, 20_000, CostSource::Computed), "{wrong}");
    }
    for family in ["custom", "openai", "xai"] {
        assert_eq!(booked(family, reply(&usage(cost))).await, (20_000, 20_000, CostSource::Computed), "{family} promises no such member");
    }
}

/// Whoever gives a figure far above the hold is paid it in the books, where it is found; the user is not touched.
#[tokio::test]
async fn a_cost_beyond_all_measure_is_ours_and_is_found() {
    let provider = Scripted::new([reply(&usage(r#","cost":9000"#))]);
    let house = House::new(vec![of("openrouter", &provider)]).await;
    house.chat(&ask("m")).await;
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.cost()), (OrderState::Finalized, 20_000, 9_000_000_000_000));
    house.verify();
    let notices = house.ledger.verify().unwrap().notices;
    let seen: Vec<_> = notices.iter().map(|notice| (notice.check, notice.drift_nano)).collect();
    assert!(seen.contains(&(Check::R14, Some(9_000_000_000_000 - 20_000))) && seen.iter().any(|one| one.0 == Check::R15), "{seen:?}");
}

#[tokio::test]
async fn a_stream_tells_its_cost_with_its_usage() {
    let told = |usage: &str| Ok(Bytes::from(format!("data: {{\"id\":\"c1\",\"choices\":[],\"usage\":{usage}}}\n\n")));
    let running = told(r#"{"prompt_tokens":10,"completion_tokens":1,"cost_in_usd_ticks":5}"#);
    let provider = Scripted::new([
        Act::stream(vec![said("a"), running, finished(), told(&usage(r#","cost_in_usd_ticks":180000"#)), done()]),
        Act::stream(vec![said("a"), finished(), told(r#"{"cost_in_usd_ticks":180000}"#), done()]),
    ]);
    let house = House::new(vec![of("xai", &provider)]).await;
    let reply = house.chat(&ask_stream("m")).await;
    let text = bytes(reply).await;
    assert!(!String::from_utf8_lossy(&text).contains("ticks"), "who did not ask for usage gets none");
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.cost()), (OrderState::Finalized, 20_000, 18_000), "the last word counts");
    // The cost is known, the usage is not: what is charged stays an estimate.
    let reply = house.chat(&ask_stream("m")).await;
    let text = bytes(reply).await;
    assert!(!String::from_utf8_lossy(&text).contains("ticks"));
    let left = house.left().await;
    let settled = left.receipt.as_ref().unwrap().settlement.clone().unwrap();
    assert_eq!((left.state(), left.cost(), settled.usage_source), (OrderState::Provisional, 18_000, UsageSource::Estimated));
    let spend = left.receipt.as_ref().unwrap().spend();
    assert_eq!((spend[0].1.cost_known_nano, spend[0].1.cost_estimated_nano), (18_000, 0));
    assert_eq!(left.receipt.as_ref().unwrap().cost_uncertain_max().as_nano(), 0);
    house.verify();
}

/// What was not delivered is the same share of what it really cost.
#[tokio::test]
async fn a_cut_stream_is_shared_out_at_its_real_cost() {
    let told = r#"{"prompt_tokens":10,"completion_tokens":20,"total_tokens":31,"cost":0.0001}"#;
    let provider = Scripted::new([Act::stream(vec![
        said("abcdefgh"),
        Ok(Bytes::from(format!("data: {{\"id\":\"c1\",\"choices\":[],\"usage\":{told}}}\n\n"))),
    ])]);
    let house = House::new(vec![of("openrouter", &provider)]).await;
    let reply = house.chat(&ask_stream("m")).await;
    bytes(reply).await;
    let left = house.left().await;
    // By the sheet 10 in and 21 out (one is known to the total only) are 52 000, and what was delivered, 2 out, is 14 000 of them.
    let lost = 100_000 - 100_000 * 14_000 / 52_000;
    assert_eq!((left.state(), left.charge(), left.cost()), (OrderState::Provisional, 14_000, 100_000));
    assert_eq!(
        moves(left.entries.last().unwrap()),
        [
            ("wallet:default:held", "rev:usage", 14_000),
            ("cogs:acme", "prov:acme:payable", 100_000 - lost),
            ("exp:loss:undelivered", "prov:acme:payable", lost)
        ]
    );
    house.verify();
}

/// What waits for the provider's figures waits no longer when they are here.
#[tokio::test]
async fn a_known_cost_is_not_suspended() {
    let settlement = SettlementPolicy {
        provider_cut: Legs { cost: CostTo::Suspense, ..SettlementPolicy::default().provider_cut },
        ..SettlementPolicy::default()
    };
    for (usage, owed) in [(r#"{"cost":0.00001}"#, "prov:acme:payable"), (r#"{"cost":null}"#, "prov:acme:suspense")] {
        let cut = Ok(Bytes::from(format!("data: {{\"id\":\"c1\",\"choices\":[],\"usage\":{usage}}}\n\n")));
        let provider = Scripted::new([Act::stream(vec![said("abcdefgh"), cut])]);
        let house = House::new(vec![of("openrouter", &provider)]).await;
        let terms = Arc::new(Terms { settlement, ..Terms::default() });
        house.pipeline.terms.store(Arc::new(HashMap::from([("default".into(), WalletTerms { kind: WalletKind::Prepaid, terms })])));
        let reply = house.chat(&ask_stream("m")).await;
        bytes(reply).await;
        let left = house.left().await;
        assert!(left.entries.last().unwrap().postings.iter().any(|posting| posting.credit == owed), "{usage}");
        house.verify();
    }
}

#[tokio::test]
async fn on_the_callers_own_key_it_is_upstream_cost_only() {
    let byok = r#","cost":0.000001,"is_byok":true,"cost_details":{"upstream_inference_cost":0.00003}"#;
    for (members, upstream, source) in [
        (r#","cost":0.00003"#, 30_000, CostSource::Reported),
        (byok, 31_000, CostSource::Reported),
        (r#","cost":0,"is_byok":true"#, 20_000, CostSource::Computed),
        ("", 20_000, CostSource::Computed),
    ] {
        let provider = Scripted::new([reply(&usage(members))]);
        let endpoint = Endpoint { own_key: true, ..of("openrouter", &provider) };
        let house = House::with(vec![endpoint], |setup| setup.snapshot.fee = Ratio { num: 55, den: 1000 }).await;
        house.chat(&ask("m")).await;
        let left = house.left().await;
        let settled = left.receipt.as_ref().unwrap().settlement.clone().unwrap();
        assert_eq!(moves(left.entries.last().unwrap()), [("wallet:default:held", "rev:fee", 1_100)], "{members}");
        assert_eq!(settled.rated.unwrap().upstream_cost_exact, Exact::new(upstream, 1), "{members}");
        assert_eq!((left.cost(), settled.cost_source), (0, source), "{members}");
        house.verify();
    }
}

/// On our own key at a provider behind it, its bill is not this provider's.
#[tokio::test]
async fn what_a_provider_passes_on_is_not_owed_to_it() {
    let byok = r#","cost":0.000001,"is_byok":true,"cost_details":{"upstream_inference_cost":0.00002}"#;
    assert_eq!(booked("openrouter", reply(&usage(byok))).await, (20_000, 1_000, CostSource::Reported));
}

/// Without a price nothing can be charged; what it costs is known all the same, and booked.
#[tokio::test]
async fn a_call_without_a_price_has_a_cost_that_its_reply_names() {
    let provider = Scripted::new([reply(&usage(r#","cost":0.00002"#)), reply(&usage(""))]);
    let unpriced = Endpoint { prices: PriceHistory::default(), ..of("openrouter", &provider) };
    let house = House::with(vec![unpriced], |setup| setup.kind = WalletKind::Postpaid).await;
    house.chat(&ask("m")).await;
    let left = house.left().await;
    let receipt = left.receipt.as_ref().unwrap();
    assert_eq!((left.state(), receipt.order.charge, left.cost()), (OrderState::Unpriced, None, 20_000));
    assert_eq!(moves(left.entries.last().unwrap()), [("cogs:acme", "prov:acme:payable", 20_000)]);
    let spend = receipt.spend()[0].1;
    assert_eq!((spend.unpriced_orders, spend.cost_known_nano), (1, 20_000));
    house.verify();
    house.chat(&ask("m")).await;
    let left = house.left().await;
    assert_eq!((left.state(), left.receipt.as_ref().unwrap().order.cost), (OrderState::Unpriced, None));
    house.verify();
}

#[tokio::test]
async fn one_wrong_sheet_is_one_notice_and_a_rounded_figure_is_none() {
    let costs = ["0.00003", "0.000025", "0.00002001", "0.0000201", "0.00002"];
    let provider = Scripted::new(costs.map(|cost| reply(&usage(&format!(r#","cost":{cost}"#)))));
    let house = House::new(vec![of("openrouter", &provider)]).await;
    for _ in costs {
        house.chat(&ask("m")).await;
        house.left().await;
    }
    let notices = house.ledger.verify().unwrap().notices;
    let drifts: Vec<_> = notices.iter().filter(|notice| notice.check == Check::R14).collect();
    assert_eq!((drifts.len(), drifts[0].drift_nano), (1, Some(15_000)), "{drifts:?}");
    assert!(drifts[0].detail.starts_with("2 orders at acme/m cost +15000 nano"), "{}", drifts[0].detail);
    assert!(drifts[0].detail.contains("by +10000 nano"), "{}", drifts[0].detail);
}
