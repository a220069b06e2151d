//! Owns: what goes over a real wire, with the twin at the other end: the caller's bytes, usage asked for and hidden, keys,
//! broken connections and timeouts.

use super::house::{House, ask, ask_stream, bytes, endpoint, header, over_http, text};
use gotoai::app::Gateway;
use gotoai::app::settings::Settings;
use gotoai::base::{Money, OrderId};
use gotoai::domain::ledger::{OrderState, UsageSource};
use gotoai::pipeline::{Credential, ReplyBody};
use gotoai::twin::Twin;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

fn twin() -> Twin {
    Twin::start("127.0.0.1:0".parse().unwrap()).unwrap()
}

async fn house_of(twin: &Twin, keys: &[&str]) -> House {
    let provider = over_http(twin, keys);
    let mut only = endpoint("twin/twin-small", &provider);
    only.retry.idle_timeout = Duration::from_millis(200);
    only.retry.head_timeout = Duration::from_millis(200);
    only.retry.max_retries = 1;
    House::new(vec![only]).await
}

fn received(twin: &Twin) -> Vec<Value> {
    let log: Value = serde_json::from_slice(&twin.requests_json()).unwrap();
    log["requests"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_the_gateway_does_not_know_reaches_the_provider_unchanged() {
    let twin = twin();
    let house = house_of(&twin, &["sk-1"]).await;
    let mut body = ask("twin/twin-small");
    body["x_vendor"] = json!({"deep": [1.5, null, {"é": "\u{1F600}"}], "model": "not this one"});
    body["metadata"] = json!({"a": "b"});
    assert_eq!(house.chat(&body).await.status, 200);
    let mut sent = received(&twin).remove(0);
    body["model"] = json!("twin-small");
    assert_eq!(sent["body"].take(), body);
    assert_eq!(sent["headers"]["x-client-request-id"], "req-1");
    let left = house.left().await;
    assert_eq!(left.state(), OrderState::Finalized);
    assert_eq!(left.receipt.unwrap().settlement.unwrap().usage_source, UsageSource::Provider);
}

#[tokio::test]
async fn a_whole_reply_comes_back_as_the_providers_bytes() {
    let twin = twin();
    let recorded = "{ \"id\" : \"x\",\n \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}, \"n\": 1.0e3 }";
    twin.script(json!([{"reply_text": recorded, "content_type": "application/json"}]).to_string().as_bytes()).unwrap();
    let house = house_of(&twin, &["sk-1"]).await;
    assert_eq!(bytes(house.chat(&ask("twin-small")).await).await, recorded);
    assert_eq!(house.left().await.charge(), 3 * 1000 + 4 * 2000);
}

#[tokio::test]
async fn usage_is_asked_for_and_hidden_from_who_did_not_ask() {
    let twin = twin();
    let house = house_of(&twin, &["sk-1"]).await;
    let hidden = text(house.chat(&ask_stream("twin-small")).await).await;
    let first = house.left().await;
    let mut asking = ask_stream("twin-small");
    asking["stream_options"] = json!({"include_usage": true});
    let shown = text(house.chat(&asking).await).await;
    let second = house.left().await;
    assert!(!hidden.contains("\"prompt_tokens\"") && shown.contains("\"prompt_tokens\""), "{hidden}");
    assert!(hidden.ends_with("data: [DONE]\n\n") && shown.ends_with("data: [DONE]\n\n"));
    for request in received(&twin) {
        assert_eq!(request["body"]["stream_options"], json!({"include_usage": true}));
    }
    for left in [first, second] {
        assert_eq!(left.state(), OrderState::Finalized);
        assert_eq!(left.receipt.unwrap().settlement.unwrap().usage_source, UsageSource::Provider);
    }
    house.verify();
}

#[tokio::test]
async fn another_key_is_used_when_one_is_throttled() {
    let twin = twin();
    twin.script(br#"[{"status": 429, "headers": {"retry-after": "60"}}]"#).unwrap();
    let house = house_of(&twin, &["sk-aaaa", "sk-bbbb"]).await;
    for expected in [2, 1] {
        assert_eq!(house.chat(&ask("twin-small")).await.status, 200);
        assert_eq!(house.left().await.record.attempts, expected);
    }
    let keys: Vec<String> =
        received(&twin).iter().map(|request| request["headers"]["authorization"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys[1], keys[2], "the throttled one rests");
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn broken_exchanges_are_repeated_and_then_told() {
    for (step, status, served) in [
        (r#"{"close": true}"#, 502, true),
        (r#"{"garbage": true}"#, 502, true),
        (r#"{"truncate": 20}"#, 502, true),
        (r#"{"stall": true}"#, 504, true),
        (r#"{"close": true, "times": 0}"#, 502, false),
        (r#"{"stall": true, "times": 0}"#, 504, false),
    ] {
        let twin = twin();
        twin.script(format!("[{step}]").as_bytes()).unwrap();
        let house = house_of(&twin, &["sk-1"]).await;
        let reply = house.chat(&ask("twin-small")).await;
        assert_eq!(reply.status, if served { 200 } else { status }, "{step}");
        let left = house.left().await;
        assert_eq!((left.record.attempts, left.charge() > 0), (2, served), "{step}");
        house.verify();
    }
}

#[tokio::test]
async fn streams_that_break_are_told_in_the_stream() {
    for (step, told) in [
        (r#"{"cut_after_events": 3}"#, "stream_interrupted"),
        (r#"{"end_after_events": 3}"#, "stream_interrupted"),
        (r#"{"stall_after_events": 3}"#, "stream_interrupted"),
        (r#"{"stream_error_after_events": 3}"#, "error"),
    ] {
        let twin = twin();
        twin.script(format!("[{step}]").as_bytes()).unwrap();
        let house = house_of(&twin, &["sk-1"]).await;
        let streamed = text(house.chat(&ask_stream("twin-small")).await).await;
        assert!(streamed.contains(told) && streamed.ends_with("\n\n"), "{step}: {streamed}");
        let left = house.left().await;
        assert_eq!(left.state(), OrderState::Provisional, "{step}");
        assert!(left.charge() > 0);
        house.verify();
    }
}

#[tokio::test]
async fn a_caller_who_leaves_frees_the_providers_connection() {
    let twin = twin();
    twin.script(br#"[{"stall_after_events": 3}]"#).unwrap();
    let provider = over_http(&twin, &["sk-1"]);
    let house = House::new(vec![endpoint("twin/twin-small", &provider)]).await;
    let ReplyBody::Stream(mut relay) = house.chat(&ask_stream("twin-small")).await.body else { panic!("no stream") };
    relay.frame().await.unwrap().unwrap();
    drop(relay);
    assert_eq!(house.left().await.record.finish, "client_left");
    // The other side of a process border tells nobody: asked again until it has noticed.
    let noticed = async {
        while received(&twin)[0]["client_gone"] != json!(true) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), noticed).await.unwrap();
}

/// Settings of a house whose one provider is the twin, of a family that bills to the end, and the environment.
fn configured(folder: &Path, twin: &Twin) -> (PathBuf, HashMap<String, String>) {
    let config = folder.join("gotoai.yaml");
    let yaml = format!(
        "auth: {{insecure_no_auth: true}}\nlog: {{level: error}}\nserver: {{drain_seconds: 0}}\n\
         ledger: {{durability: relaxed, fee_percent: 5.5}}\n\
         providers:\n  house:\n    type: custom\n    base_url: {}\n    api_key: sk-1\n    models_mode: allowlist\n    models:\n      - id: twin-small\n        \
         price: {{input_per_mtok: '1', output_per_mtok: '2'}}\naliases: {{fast: house/twin-small}}\n",
        twin.url()
    );
    std::fs::write(&config, yaml).unwrap();
    (config, HashMap::from([("GOTOAI_DATA_DIR".to_owned(), folder.to_string_lossy().into_owned())]))
}

async fn opened((config, env): &(PathBuf, HashMap<String, String>)) -> Arc<Gateway> {
    let (config, env, runtime) = (config.clone(), env.clone(), tokio::runtime::Handle::current());
    spawn_blocking(move || Gateway::open(Settings::load(&env, Some(&config)).unwrap(), false, &runtime).unwrap()).await.unwrap()
}

async fn admin(gateway: &Arc<Gateway>, operation: &'static str) -> Value {
    let gateway = Arc::clone(gateway);
    let answer = spawn_blocking(move || gateway.admin(operation, b"{}")).await.unwrap().unwrap();
    serde_json::from_slice(&answer).unwrap()
}

#[tokio::test]
async fn the_house_that_settings_build_serves_and_proves_itself() {
    let twin = twin();
    let folder = tempfile::TempDir::new().unwrap();
    let settings = configured(folder.path(), &twin);
    let gateway = opened(&settings).await;
    let reply = gateway.pipeline().run(super::house::call(&ask("fast"))).await;
    assert_eq!(reply.status, 200);
    gateway.close().await;
    assert_eq!(gateway.pipeline().run(super::house::call(&ask("fast"))).await.status, 503);
    drop(gateway);
    let gateway = opened(&settings).await;
    let report = admin(&gateway, "ledger.verify").await;
    assert_eq!(report["ok"], json!(true), "{report}");
    gateway.close().await;
}

#[tokio::test]
async fn close_settles_at_the_deadline_what_is_still_running() {
    let twin = twin();
    let folder = tempfile::TempDir::new().unwrap();
    let settings = configured(folder.path(), &twin);
    let gateway = opened(&settings).await;
    twin.script(br#"[{"stall_after_events": 3}]"#).unwrap();
    let reply = gateway.pipeline().run(super::house::call(&ask_stream("fast"))).await;
    let order: OrderId = header(&reply, "x-gotoai-order").parse().unwrap();
    // Its reader leaves, and it is read on: the provider says nothing more.
    drop(reply);
    gateway.close().await;
    drop(gateway);
    let gateway = opened(&settings).await;
    let receipt = gateway.order(&gateway.principal(&Credential::Trusted).unwrap(), order).unwrap();
    let settlement = receipt.settlement.unwrap();
    assert_eq!((receipt.order.state, &*settlement.finish), (OrderState::Provisional, "client_left"));
    assert!(receipt.order.charge.unwrap() > Money::ZERO, "what was sent is charged");
    gateway.close().await;
}
