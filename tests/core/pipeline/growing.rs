//! Owns: streams without a bound of their own, for wallets whose holds grow while a stream runs: who gets such a hold, and who is
//! told a bound instead.

use super::house::{House, bytes, endpoint};
use super::scripted::{Act, Scripted, counted, done, finished, said};
use gotoai::domain::ledger::{HoldPolicy, Terms, WalletKind, WalletTerms};
use gotoai::domain::provider::Family;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// The body that the first of these families is sent for a wallet that affords about 1 400 of 5 000 tokens.
async fn sent(families: &[&str]) -> String {
    let provider = Scripted::new([Act::stream(vec![said("a"), finished(), counted(), done()])]);
    let candidates = families.iter().zip(["a/m", "b/m"]).map(|(family, id)| {
        let mut one = endpoint(id, &provider);
        (one.family, one.max_output) = (Family::by_name(family).unwrap(), Some(5000));
        one
    });
    let house = House::with(candidates.collect(), |setup| setup.cash_nano = 3_000_000).await;
    let terms = Arc::new(Terms { hold: Some(HoldPolicy::Metered), ..Terms::default() });
    house.pipeline.terms.store(Arc::new(HashMap::from([("default".into(), WalletTerms { kind: WalletKind::Prepaid, terms })])));
    let unbounded = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": true});
    let reply = house.chat(&unbounded).await;
    assert_eq!(reply.status, 200);
    bytes(reply).await;
    house.rest().await;
    house.verify();
    String::from_utf8(provider.bodies()[0].to_vec()).unwrap()
}

#[tokio::test]
async fn a_hold_grows_only_where_hanging_up_ends_the_bill() {
    assert!(!sent(&["openai"]).await.contains("max_"), "its stream is ended by the gateway");
    assert!(sent(&["groq"]).await.contains("max_"), "it would be billed to the end whatever we do");
    assert!(sent(&["openai", "groq"]).await.contains("max_"), "any of the plan may serve");
}
