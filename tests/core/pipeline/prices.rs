//! What a call is rated by: the tier it asked for and the one that served, the price in force when it began, the markup that
//! holds for it.

use super::house::{House, ask, ask_stream, bytes, endpoint};
use super::scripted::{Act, Scripted, done, finished, said};
use bytes::Bytes;
use gotoai::base::{Clock, Ratio};
use gotoai::domain::catalog::{Endpoint, MarkupRule, Meter, PriceHistory, PriceLine, PriceSheet, Sell, ServiceTier};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A dollar a million tokens in, two out; priority is twice as dear, flex half the price.
fn tiered(provider: &Arc<Scripted>) -> Endpoint {
    let line = |meter, usd: i64| PriceLine::new(meter, usd * 1_000_000_000_000, 1_000_000);
    let mut sheet = PriceSheet::new(vec![line(Meter::InputUncached, 1), line(Meter::OutputText, 2)], "test".into(), 0);
    sheet.factors = BTreeMap::from([(ServiceTier::Priority, Ratio { num: 2, den: 1 }), (ServiceTier::Flex, Ratio { num: 1, den: 2 })]);
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
