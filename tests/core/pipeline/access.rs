//! Owns: who may call what, under which name, and which endpoint is asked first: keys, switch, aliases, modes.

use super::house::{House, Setup, ask, call, catalog, code, endpoint, header, sheet};
use super::scripted::Scripted;
use gotoai::base::{ErrorKind, KeyId, Secret, Timestamp};
use gotoai::domain::catalog::{Catalog, DataPolicy, Endpoint, Mode, PriceHistory, ProviderEntry};
use gotoai::domain::identity::{KeyRing, ModelPattern, Scope, UserPath, VirtualKey};
use gotoai::pipeline::{Call, Credential};
use std::collections::HashMap;
use std::sync::Arc;

const SECRET: &str = "sk-goto-test";

fn key() -> VirtualKey {
    VirtualKey {
        id: KeyId::new(),
        name: "app".into(),
        digest: VirtualKey::digest_of(SECRET),
        hint: VirtualKey::hint_of(SECRET),
        scopes: [Scope::Chat].into_iter().collect(),
        models: Vec::new(),
        user_path: UserPath::parse("/team/app").unwrap(),
        wallet: "default".into(),
        mode: None,
        builder: None,
        created_at: Timestamp(1),
        expires_at: None,
        revoked_at: None,
    }
}

fn closed(setup: &mut Setup) {
    setup.snapshot.open = false;
}

fn with_key(model: &str) -> Call {
    Call { credential: Credential::Key(Secret::new(SECRET)), ..call(&ask(model)) }
}

/// A gateway that asks for keys, with this one, and three models.
async fn keyed(key: VirtualKey) -> House {
    let provider = Scripted::new([]);
    let house = House::with(["a/m", "a/n", "b/m"].map(|id| endpoint(id, &provider)).into(), |setup| {
        closed(setup);
        setup.snapshot.catalog = catalog(["a/m", "a/n", "b/m"].map(|id| endpoint(id, &provider)).into(), &[("fast", "a/n")]);
    })
    .await;
    house.pipeline.keys.store(Arc::new(KeyRing::new(&[key], None)));
    house
}

#[tokio::test]
async fn a_key_is_needed_known_valid_and_in_scope() {
    let no_key = Call { credential: Credential::None, ..with_key("m") };
    let other = Call { credential: Credential::Key(Secret::new("sk-goto-other")), ..with_key("m") };
    for (key, call, kind) in [
        (key(), no_key, ErrorKind::MissingKey),
        (key(), other, ErrorKind::InvalidKey),
        (VirtualKey { revoked_at: Some(Timestamp(2)), ..key() }, with_key("m"), ErrorKind::KeyRevoked),
        (VirtualKey { expires_at: Some(Timestamp(2)), ..key() }, with_key("m"), ErrorKind::KeyExpired),
        (VirtualKey { scopes: [Scope::OrgAdmin].into_iter().collect(), ..key() }, with_key("m"), ErrorKind::ScopeMissing),
        (VirtualKey { wallet: "nobodys".into(), ..key() }, with_key("m"), ErrorKind::NotFound),
    ] {
        let house = keyed(key).await;
        assert_eq!(house.pipeline.run(call).await.status, kind.status(), "{kind:?}");
        assert_eq!(house.left().await.record.error, Some(kind));
    }
}

#[tokio::test]
async fn the_order_belongs_to_the_key_its_path_and_its_wallet() {
    let key = key();
    let id = key.id;
    let house = keyed(key).await;
    assert_eq!(house.pipeline.run(with_key("m")).await.status, 200);
    let left = house.left().await;
    assert_eq!((left.record.key_id, left.record.user_path.as_deref()), (Some(id), Some("/team/app")));
    let receipt = left.receipt.unwrap();
    assert_eq!((receipt.reserve.key, &*receipt.reserve.user_path, &*receipt.wallet), (Some(id.to_string()), "/team/app", "default"));
}

#[tokio::test]
async fn a_key_reaches_its_models_only_by_failover_too() {
    for (pattern, model, served) in [
        ("n", "n", Some("a/n")),
        ("n", "m", None),
        ("b/*", "m", Some("b/m")),
        ("b/*", "a/m", None),
        ("fast", "fast", Some("a/n")),
        ("fast", "n", None),
        ("n", "fast", Some("a/n")),
        ("m*", "m:cheap", Some("a/m")),
    ] {
        let house = keyed(VirtualKey { models: vec![ModelPattern::new(pattern)], ..key() }).await;
        let reply = house.pipeline.run(with_key(model)).await;
        let left = house.left().await;
        match served {
            Some(endpoint) => assert_eq!(header(&reply, "x-gotoai-endpoint"), endpoint, "{pattern} {model}"),
            None => assert_eq!((reply.status, left.record.error), (403, Some(ErrorKind::ModelDenied)), "{pattern} {model}"),
        }
    }
}

#[tokio::test]
async fn the_switch_stops_everything() {
    let provider = Scripted::new([]);
    let house = House::with(vec![endpoint("a/m", &provider)], |setup| setup.snapshot.kill_switch = true).await;
    assert_eq!(code(house.chat(&ask("m")).await).await, "kill_switch");
    assert_eq!((house.left().await.record.error, provider.count()), (Some(ErrorKind::KillSwitch), 0));
}

#[tokio::test]
async fn names_lead_to_endpoints() {
    for (name, sent) in [("m", "m"), ("a/m", "m"), ("b/m", "m"), ("fast", "n"), ("fast:latency", "n"), ("n:quality", "n")] {
        let provider = Scripted::new([]);
        let endpoints = ["a/m", "a/n", "b/m"].map(|id| endpoint(id, &provider));
        let house = House::with(Vec::new(), |setup| setup.snapshot.catalog = catalog(endpoints.into(), &[("fast", "a/n")])).await;
        assert_eq!(house.chat(&ask(name)).await.status, 200, "{name}");
        let body: serde_json::Value = serde_json::from_slice(&provider.bodies()[0]).unwrap();
        assert_eq!(body["model"], sent);
        let record = house.left().await.record;
        assert_eq!(record.model.as_deref(), Some(name), "recorded as requested");
    }
}

#[tokio::test]
async fn while_the_only_providers_list_is_unknown_any_model_is_taken_at_its_word() {
    let provider = Scripted::new([]);
    let sample = endpoint("a/m", &provider);
    let unlisted: gotoai::domain::catalog::MakeEndpoint = {
        let provider = Arc::clone(&provider);
        Arc::new(move |model: &str| Arc::new(endpoint(&format!("a/{model}"), &provider)))
    };
    let entry = |unlisted| ProviderEntry { name: "a".into(), family: sample.family, provider: Arc::clone(&sample.provider), unlisted };
    let unknown = Catalog::new(vec![entry(Some(unlisted))], Vec::new(), HashMap::new());
    let known = Catalog::new(vec![entry(None)], Vec::new(), HashMap::new());
    for (catalog, name, status) in [(&unknown, "a/new", 200), (&unknown, "new", 200), (&unknown, "a/", 404), (&known, "a/new", 404)] {
        let house = House::with(Vec::new(), |setup| setup.snapshot.catalog = catalog.clone()).await;
        assert_eq!(house.chat(&ask(name)).await.status, status, "{name}");
        house.left().await;
    }
}

/// Three endpoints of one model: the dearest is best at everything, the middle one keeps data private, the last is cheap.
fn choice(provider: &Arc<Scripted>) -> Vec<Endpoint> {
    let of = |id, usd, quality, code_quality| {
        let prices = PriceHistory::of([&*sheet(usd, usd)]);
        Endpoint { prices, quality, code_quality, ..endpoint(id, provider) }
    };
    let private = Endpoint { data_policy: DataPolicy::NoRetention, ..of("b/m", 5, Some(60), Some(95)) };
    vec![of("a/m", 9, Some(90), Some(70)), private, of("c/m", 1, Some(40), None)]
}

async fn first_asked(header_mode: Option<&str>, model: &str, default: Option<Mode>) -> String {
    let provider = Scripted::new([]);
    let house = House::with(choice(&provider), closed).await;
    house.pipeline.keys.store(Arc::new(KeyRing::new(&[VirtualKey { mode: default, ..key() }], None)));
    let call = Call { mode: header_mode.map(str::to_owned), ..with_key(model) };
    let reply = house.pipeline.run(call).await;
    house.left().await;
    header(&reply, "x-gotoai-endpoint").to_owned()
}

#[tokio::test]
async fn each_mode_asks_its_own_endpoint_first() {
    for (mode, expected) in [("cheap", "c/m"), ("quality", "a/m"), ("code", "b/m"), ("privacy", "b/m"), ("latency", "a/m")] {
        assert_eq!(first_asked(Some(mode), "m", None).await, expected, "{mode}");
    }
    assert_eq!(first_asked(None, "m", None).await, "a/m", "without a mode in order of declaration");
}

#[tokio::test]
async fn header_before_suffix_before_the_keys_default() {
    assert_eq!(first_asked(Some("code"), "m:cheap", Some(Mode::Quality)).await, "b/m");
    assert_eq!(first_asked(None, "m:cheap", Some(Mode::Quality)).await, "c/m");
    assert_eq!(first_asked(None, "m", Some(Mode::Code)).await, "b/m");
}

#[tokio::test]
async fn a_mode_that_nobody_satisfies_or_knows_is_an_error() {
    let provider = Scripted::new([]);
    let house = House::new(vec![endpoint("a/m", &provider)]).await;
    for (mode, expected) in [("privacy", "no_endpoint"), ("cheapest", "invalid_request")] {
        let reply = house.pipeline.run(Call { mode: Some(mode.into()), ..call(&ask("m")) }).await;
        assert_eq!(code(reply).await, expected);
        house.left().await;
    }
    assert_eq!(provider.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn latency_is_learned_from_traffic() {
    use super::scripted::Act;
    let slow = |ms| {
        let (go, wait) = tokio::sync::oneshot::channel();
        (Act::Later(wait, Box::new(Act::served())), go, ms)
    };
    let (first, go_first, first_ms) = slow(500);
    let (second, go_second, second_ms) = slow(20);
    let providers = [Scripted::new([first]), Scripted::new([second])];
    let house = House::new(vec![endpoint("a/m", &providers[0]), endpoint("b/m", &providers[1])]).await;
    let ask = || Call { mode: Some("latency".into()), ..call(&ask("m")) };
    for (provider, go, ms) in [(&providers[0], go_first, first_ms), (&providers[1], go_second, second_ms)] {
        let reply = async { house.pipeline.run(ask()).await.status };
        let release = async {
            provider.called().await;
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            go.send(()).unwrap();
        };
        assert_eq!(tokio::join!(reply, release).0, 200);
        house.left().await;
    }
    assert_eq!(header(&house.pipeline.run(ask()).await, "x-gotoai-endpoint"), "b/m");
}
