//! What a call is rated by: the tier it asked for and the one that served, the price in force when it began, the markup that
//! holds for it.

use super::house::{House, ask, ask_stream, bytes, endpoint};
use super::scripted::{Act, Scripted, counted, done, finished, said};
use bytes::Bytes;
use gotoai::base::{Clock, Ratio};
use gotoai::domain::catalog::{Endpoint, MarkupRule, Meter, PriceHistory, PriceLine, PriceSheet, Sell, ServiceTier};
use gotoai::domain::ledger::{ChargeFor, CostTo, FeeFor, Legs, OrderState, SettlementPolicy, Terms, WalletKind, WalletTerms};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A dollar a million tokens in, two out; priority is twice as dear, flex half the price.
fn tiered(provider: &Arc<Scripted>) -> Endpoint {
    let line = |meter, usd: i64| PriceLine::new(meter, usd * 1_000_000_000_000, 1_000_000);
    let mut sheet = PriceSheet::new(vec![line(Meter::InputUncached, 1), line(Meter::OutputText, 2)], "test".into(), 0);
    sheet.factors = BTreeMap::from([
        (ServiceTier::Priority, Ratio { num: 2, den: 1 }),
        (ServiceTier::Flex, Ratio { num: 1, den: 2 }),
        (ServiceTier::Batch, Ratio { num: 1, den: 2 }),
    ]);
    Endpoint { prices: PriceHistory::of([&sheet]), ..endpoint("acme/m", provider) }
}

fn asking(mut body: Value, tier: Option<&str>) -> Value {
    if let Some(tier) = tier {
        body["service_tier"] = tier.into();
    }
    body
}

/// Hold and charge of one call that is answered with `reply`, in nano-units.
async fn hold_and_charge(tier: Option<&str>, reply: &'static str) -> (i64, i64) {
    let provider = Scripted::new([Act::json(200, reply)]);
    let house = House::new(vec![tiered(&provider)]).await;
    let reply = house.chat(&asking(ask("m"), tier)).await;
    assert_eq!(reply.status, 200);
    let left = house.left().await;
    (left.receipt.as_ref().unwrap().order.hold.as_nano(), left.charge())
}

#[tokio::test]
async fn the_hold_follows_the_request_and_the_charge_the_reply() {
    const MUTE: &str = r#"{"id":"c","usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
    const DEFAULT: &str = r#"{"id":"c","usage":{"prompt_tokens":10,"completion_tokens":5},"service_tier":"default"}"#;
    const PRIORITY: &str = r#"{"id":"c","service_tier":"priority","usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
    let (standard, ordinary) = hold_and_charge(Some("default"), MUTE).await;
    assert_eq!(ordinary, 10_000 + 10_000);
    assert_eq!(hold_and_charge(Some("flex"), MUTE).await.1, ordinary / 2, "a reply that says nothing was served as asked");
    assert_eq!(hold_and_charge(Some("flex"), DEFAULT).await.1, ordinary);
    assert_eq!(hold_and_charge(Some("priority"), DEFAULT).await.1, ordinary, "downgraded by the provider");
    assert_eq!(hold_and_charge(None, PRIORITY).await.1, ordinary * 2, "the provider's own setting");
    // Tokens of the request are bounded by its bytes, which the tier's name adds to; the tier itself doubles the bound.
    let (any, _) = hold_and_charge(None, MUTE).await;
    let (priority, _) = hold_and_charge(Some("priority"), MUTE).await;
    assert_eq!((any, priority), (standard * 2, standard * 2));
    assert_eq!(hold_and_charge(Some("galaxy"), MUTE).await, (standard * 2, ordinary));
    assert_eq!(hold_and_charge(Some("fast"), MUTE).await.1, ordinary * 2, "OpenAI's new name for priority");
    assert_eq!(hold_and_charge(Some("batch"), MUTE).await, (standard * 2, ordinary), "no call is a batch because it says so");
}

/// The same, a cent a search, asked with the given members besides.
async fn searched(members: Value, reply: &'static str) -> (i64, i64) {
    let provider = Scripted::new([Act::json(200, reply)]);
    let plain = endpoint("acme/m", &provider);
    let mut sheet = plain.prices.at(Clock::system().now()).unwrap().sheet.clone();
    sheet.lines.push(PriceLine::new(Meter::Searches, 10_000_000_000, 1));
    let house = House::new(vec![Endpoint { prices: PriceHistory::of([&sheet]), ..plain }]).await;
    let mut body = ask("m");
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    assert_eq!(house.chat(&body).await.status, 200);
    let left = house.left().await;
    house.verify();
    (left.receipt.as_ref().unwrap().order.hold.as_nano(), left.charge())
}

#[tokio::test]
async fn searches_are_in_the_hold_and_in_the_charge() {
    const NONE: &str = r#"{"id":"c","usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
    const THREE: &str = r#"{"id":"c","usage":{"prompt_tokens":10,"completion_tokens":5,"server_tool_use":{"web_search_requests":3}}}"#;
    let (plain, tokens) = searched(json!({}), NONE).await;
    let tools = json!([{"type": "openrouter:web_search", "max_uses": 3}]);
    let (hold, charge) = searched(json!({ "tools": tools }), THREE).await;
    assert_eq!((charge, charge <= hold), (tokens + 3 * 10_000_000, true));
    // Beside the searches themselves: what they find, the tool in the prompt, and its own words.
    let input = 3 * 8192 + 1024 + i64::try_from(tools.to_string().len()).unwrap();
    assert_eq!(hold - plain, 3 * 10_000_000 + input * 1000);
    let (once, _) = searched(json!({ "plugins": [{"id": "web"}] }), NONE).await;
    assert_eq!(once - plain, 10_000_000 + 8192 * 1000);
}

/// State and charge of a call whose reply counts this; a dollar a million tokens in, two out.
async fn settled(reply: &str) -> (OrderState, i64) {
    let provider = Scripted::new([Act::json(200, reply)]);
    let house = House::new(vec![tiered(&provider)]).await;
    house.chat(&ask("m")).await;
    let left = house.left().await;
    house.verify();
    (left.state(), left.charge())
}

#[tokio::test]
async fn what_has_no_price_of_its_own_is_billed_as_something_or_not_the_last_word() {
    const COUNTED: &str = r#"{"id":"c","usage":{"prompt_tokens":10,"completion_tokens":5"#;
    let settled = async |rest: &str| settled(&format!("{COUNTED}{rest}")).await;
    let written = settled(r#","prompt_tokens_details":{"image_tokens":4,"cache_write_tokens":3}}}"#).await;
    assert_eq!(written, (OrderState::Finalized, 20_000), "images and cache writes are input");
    for (rest, why) in [
        (r#","server_tool_use":{"web_search_requests":1}}}"#, "nobody knows what the search costs"),
        (r#","num_sources_used":7}}"#, "sources are billed by their number"),
        (r#"},"service_tier":"ultrafast"}"#, "a better tier than any that has a price"),
    ] {
        assert_eq!(settled(rest).await, (OrderState::Provisional, 20_000), "{why}");
    }
}

#[tokio::test]
async fn a_streams_tier_is_read_in_passing() {
    let counted =
        "data: {\"id\":\"c\",\"choices\":[],\"service_tier\":\"flex\",\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}\n\n";
    let provider = Scripted::new([Act::stream(vec![said("hi"), finished(), Ok(Bytes::from_static(counted.as_bytes())), done()])]);
    let house = House::new(vec![tiered(&provider)]).await;
    bytes(house.chat(&ask_stream("m")).await).await;
    assert_eq!(house.left().await.charge(), 10_000);
}

#[tokio::test]
async fn a_planned_price_takes_effect_at_its_time() {
    let now = Clock::system().now().0;
    let sheet = |from_ms, usd: i64| {
        PriceSheet::new(vec![PriceLine::new(Meter::InputUncached, usd * 1_000_000_000_000, 1_000_000)], "test".into(), from_ms)
    };
    for (change_at, charge) in [(now - 1, 70_000), (now + 3_600_000, 10_000)] {
        let provider = Scripted::new([Act::served()]);
        let prices = PriceHistory::of([&sheet(0, 1), &sheet(change_at, 7)]);
        let house = House::new(vec![Endpoint { prices, ..endpoint("acme/m", &provider) }]).await;
        house.chat(&ask("m")).await;
        assert_eq!(house.left().await.charge(), charge);
        house.verify();
    }
}

#[tokio::test]
async fn the_closest_markup_holds() {
    let rule = |model: Option<&str>, percent| MarkupRule {
        provider: None,
        model: model.map(Into::into),
        sell: Sell::Markup(Ratio::from_percent(percent).unwrap()),
    };
    let provider = Scripted::new([Act::served()]);
    let house = House::with(vec![endpoint("acme/m", &provider)], |setup| {
        setup.snapshot.fee = Ratio::from_percent("5").unwrap();
        setup.snapshot.markup = vec![rule(None, "10"), rule(Some("m*"), "50")];
    })
    .await;
    house.chat(&ask("m")).await;
    let left = house.left().await;
    assert_eq!((left.cost(), left.charge()), (20_000, 30_000));
    house.verify();
}

/// What an administrator changes while calls are under way: twice the price, and nothing for who leaves.
fn change_terms(house: &House) {
    let legs = Legs { charge: ChargeFor::Nothing, fee: FeeFor::Nothing, cost: CostTo::Payable };
    let terms = Terms {
        markup: vec![MarkupRule { provider: None, model: None, sell: Sell::Markup(Ratio::from_percent("100").unwrap()) }],
        settlement: SettlementPolicy { client_left: legs, ..SettlementPolicy::default() },
        ..Terms::default()
    };
    let wallet = WalletTerms { kind: WalletKind::Prepaid, terms: Arc::new(terms) };
    house.pipeline.terms.store(Arc::new(HashMap::from([("default".into(), wallet)])));
}

#[tokio::test]
async fn terms_that_change_under_a_call_are_for_later_calls() {
    let (pieces, fed) = mpsc::channel(8);
    let provider = Scripted::new([Act::Fed(fed), Act::served()]);
    let house = House::new(vec![endpoint("acme/m", &provider)]).await;
    pieces.send(said("four")).await.unwrap();
    let reply = house.chat(&ask_stream("m")).await;
    change_terms(&house);
    for piece in [finished(), counted(), done()] {
        pieces.send(piece).await.unwrap();
    }
    drop(pieces);
    bytes(reply).await;
    let left = house.left().await;
    let order = &left.receipt.as_ref().unwrap().order;
    assert_eq!((left.cost(), left.charge()), (20_000, 20_000));
    assert!(order.charge.unwrap() <= order.hold && order.overrun.is_zero(), "the hold covers what it was made for: {order:?}");
    house.chat(&ask("m")).await;
    assert_eq!(house.left().await.charge(), 40_000, "the next call begins on the new terms");
    house.verify();
}

#[tokio::test]
async fn who_bears_what_stands_from_the_beginning_of_a_call() {
    let (pieces, fed) = mpsc::channel(8);
    let provider = Scripted::new([Act::Fed(fed)]);
    let house = House::new(vec![endpoint("acme/m", &provider)]).await;
    pieces.send(said("four")).await.unwrap();
    let reply = house.chat(&ask_stream("m")).await;
    change_terms(&house);
    drop(reply);
    let left = house.left().await;
    assert_eq!((left.state(), left.charge()), (OrderState::Provisional, left.cost()));
    house.verify();
}
