//! Owns: callers who leave: before the reply, in the middle of a stream, or with everything but the end read. Each call settles
//! exactly once, and what the provider will bill decides whether its stream is read on.

use super::house::{House, ask, ask_stream, call, endpoint};
use super::scripted::{Act, Scripted, counted, done, finished, said};
use gotoai::domain::ledger::{AttemptOutcome, OrderState};
use gotoai::domain::provider::Family;
use gotoai::pipeline::{Relay, ReplyBody};
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

async fn house_of(family: &str, provider: &Arc<Scripted>) -> House {
    let mut only = endpoint("acme/m", provider);
    only.family = Family::by_name(family).unwrap();
    House::new(vec![only]).await
}

/// A caller that is gone when the provider has its request.
async fn leave_before_the_reply(house: &House, provider: &Scripted, body: &serde_json::Value) {
    let mut callers = JoinSet::new();
    let (pipeline, call) = (Arc::clone(&house.pipeline), call(body));
    callers.spawn(async move { pipeline.run(call).await.status });
    provider.called().await;
    assert_eq!(house.pipeline.in_flight.count(), 1);
    callers.shutdown().await;
}

#[tokio::test]
async fn a_whole_reply_nobody_waits_for_is_charged() {
    let (go, wait) = oneshot::channel();
    let provider = Scripted::new([Act::Later(wait, Box::new(Act::served()))]);
    let house = house_of("openai", &provider).await;
    leave_before_the_reply(&house, &provider, &ask("m")).await;
    go.send(()).unwrap();
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.record.finish), (OrderState::Finalized, 20_000, "complete"));
    house.verify();
}

#[tokio::test]
async fn a_stream_nobody_waits_for_is_settled_by_its_family() {
    for (family, finish, state) in
        [("openai", "client_left", OrderState::Provisional), ("groq", "client_left_drained", OrderState::Finalized)]
    {
        let (go, wait) = oneshot::channel();
        let stream = Act::stream(vec![said("a"), finished(), counted(), done()]);
        let provider = Scripted::new([Act::Later(wait, Box::new(stream))]);
        let house = house_of(family, &provider).await;
        leave_before_the_reply(&house, &provider, &ask_stream("m")).await;
        go.send(()).unwrap();
        let left = house.left().await;
        assert_eq!((left.record.finish, left.state()), (finish, state));
        house.verify();
    }
}

async fn started(house: &House) -> Box<Relay> {
    match house.chat(&ask_stream("m")).await.body {
        ReplyBody::Stream(relay) => relay,
        ReplyBody::Whole(bytes) => panic!("no stream: {bytes:?}"),
    }
}

#[tokio::test]
async fn leaving_mid_stream_hangs_up_where_that_stops_the_bill() {
    let (pieces, fed) = mpsc::channel(8);
    let provider = Scripted::new([Act::Fed(fed)]);
    let house = house_of("openai", &provider).await;
    pieces.send(said("four")).await.unwrap();
    pieces.send(said("more")).await.unwrap();
    let mut relay = started(&house).await;
    for _ in 0..2 {
        relay.frame().await.unwrap().unwrap();
    }
    drop(relay);
    pieces.closed().await;
    let left = house.left().await;
    assert_eq!((left.state(), left.record.finish), (OrderState::Provisional, "client_left"));
    assert!(left.charge() > 0);
    let settlement = left.receipt.unwrap().settlement.unwrap();
    assert_eq!((settlement.usage.output_tokens(), settlement.attempts[0].outcome), (2, AttemptOutcome::Abandoned));
    house.verify();
}

#[tokio::test]
async fn leaving_mid_stream_reads_on_where_the_bill_goes_on() {
    let (pieces, fed) = mpsc::channel(8);
    let provider = Scripted::new([Act::Fed(fed)]);
    let house = house_of("groq", &provider).await;
    pieces.send(said("four")).await.unwrap();
    let mut relay = started(&house).await;
    relay.frame().await.unwrap().unwrap();
    drop(relay);
    assert_eq!(house.pipeline.in_flight.count(), 1, "still open");
    for piece in [said("b"), finished(), counted(), done()] {
        pieces.send(piece).await.unwrap();
    }
    drop(pieces);
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.record.finish), (OrderState::Finalized, 20_000, "client_left_drained"));
    house.verify();
}

#[tokio::test]
async fn reading_on_ends_with_the_providers_cut() {
    let (pieces, fed) = mpsc::channel(8);
    let provider = Scripted::new([Act::Fed(fed)]);
    let house = house_of("groq", &provider).await;
    pieces.send(said("four")).await.unwrap();
    drop(started(&house).await);
    pieces.send(super::scripted::broken()).await.unwrap();
    let left = house.left().await;
    assert_eq!(left.state(), OrderState::Provisional);
    house.verify();
}

#[tokio::test(start_paused = true)]
async fn reading_on_has_a_limit() {
    let (pieces, fed) = mpsc::channel(8);
    let provider = Scripted::new([Act::Fed(fed)]);
    let house = house_of("groq", &provider).await;
    pieces.send(said("four")).await.unwrap();
    drop(started(&house).await);
    pieces.closed().await;
    assert_eq!(house.left().await.record.finish, "client_left");
}

#[tokio::test]
async fn leaving_after_the_end_mark_is_no_leaving() {
    let (pieces, fed) = mpsc::channel(8);
    let provider = Scripted::new([Act::Fed(fed)]);
    let house = house_of("openai", &provider).await;
    for piece in [said("a"), finished(), counted(), done()] {
        pieces.send(piece).await.unwrap();
    }
    let mut relay = started(&house).await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"[DONE]\n\n") {
        seen.extend_from_slice(&relay.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    drop(relay);
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.record.finish), (OrderState::Finalized, 20_000, "complete"));
}

#[test]
fn a_runtime_that_ends_mid_stream_settles_what_it_carried() {
    for family in ["openai", "groq"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (pieces, fed) = mpsc::channel(8);
        let provider = Scripted::new([Act::Fed(fed)]);
        let (house, relay) = runtime.block_on(async {
            let house = house_of(family, &provider).await;
            pieces.send(said("four")).await.unwrap();
            let relay = started(&house).await;
            (house, relay)
        });
        drop(runtime);
        drop(relay);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let left = runtime.block_on(house.left());
        assert_eq!((left.state(), left.record.finish), (OrderState::Provisional, "client_left"), "{family}");
        assert!(left.charge() > 0, "{family}: what was delivered is charged");
        let settlement = left.receipt.unwrap().settlement.unwrap();
        assert_eq!((settlement.usage.output_tokens(), settlement.attempts[0].outcome), (1, AttemptOutcome::Abandoned), "{family}");
        house.verify();
    }
}

#[test]
fn a_runtime_that_ends_while_a_stream_is_read_on_settles_what_was_sent() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (pieces, fed) = mpsc::channel(1);
    let provider = Scripted::new([Act::Fed(fed)]);
    let house = runtime.block_on(async {
        let house = house_of("groq", &provider).await;
        pieces.send(said("four")).await.unwrap();
        drop(started(&house).await);
        // Room for the third says that the second has been read.
        for piece in [said("b"), said("c")] {
            pieces.send(piece).await.unwrap();
        }
        pieces.reserve().await.unwrap();
        house
    });
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let left = runtime.block_on(house.left());
    assert_eq!((left.state(), left.record.finish), (OrderState::Provisional, "client_left"));
    assert_eq!(left.receipt.unwrap().settlement.unwrap().usage.output_tokens(), 3, "who leaves pays for what was used");
    house.verify();
}
