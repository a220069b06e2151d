//! Owns: the end of the native server under calls whose clients have left: within the drain they are served and settled, beyond
//! it they are settled on what is known. The same for calls that the gateway stops before it closes its ledger.

use super::house::{House, Left, ask, ask_stream, call, code, endpoint};
use super::scripted::{Act, Scripted, counted, done, finished, said};
use axum::Router;
use axum::body::{Body, Bytes};
use gotoai::app::settings::ServerSettings;
use gotoai::domain::ledger::{AttemptOutcome, OrderState};
use gotoai::domain::provider::{Family, FaultKind};
use gotoai::doors::native::NativeServer;
use gotoai::pipeline::ReplyBody;
use http_body_util::BodyExt;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};

/// A house and its provider, of a family that bills to the end.
async fn house_of(act: Act) -> (House, Arc<Scripted>) {
    let provider = Scripted::new([act]);
    let mut only = endpoint("acme/m", &provider);
    only.family = Family::by_name("groq").unwrap();
    (House::new(vec![only]).await, provider)
}

/// The same behind a server of two workers.
async fn serving(act: Act) -> (House, Arc<Scripted>, NativeServer) {
    let (house, provider) = house_of(act).await;
    let pipeline = Arc::clone(&house.pipeline);
    let router = Router::new().fallback(move |body: Bytes| {
        let pipeline = Arc::clone(&pipeline);
        async move {
            match pipeline.run(call(&serde_json::from_slice(&body).unwrap())).await.body {
                ReplyBody::Stream(relay) => Body::new(*relay),
                ReplyBody::Whole(bytes) => Body::from(bytes),
            }
        }
    });
    let settings = ServerSettings {
        host: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        base_path: String::new(),
        body_limit_bytes: 1 << 20,
        workers: 2,
        tls: None,
        drain_timeout: Duration::from_secs(30),
    };
    let server = NativeServer::start(router, &settings, &house.pipeline.in_flight).unwrap();
    (house, provider, server)
}

async fn post(addr: SocketAddr, body: &Value) -> TcpStream {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let body = body.to_string();
    let request = format!("POST / HTTP/1.1\r\nhost: gateway\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// A client that has seen so much of a stream and is gone.
async fn leave_after(addr: SocketAddr, text: &str) {
    let mut socket = post(addr, &ask_stream("m")).await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        assert!(socket.read_buf(&mut seen).await.unwrap() > 0, "the stream ended early");
    }
}

/// Waits until the server takes nothing more: the drain has begun.
async fn drains(addr: SocketAddr) {
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_is_read_on_while_the_server_drains() {
    let (pieces, fed) = mpsc::channel(8);
    let (house, _, mut server) = serving(Act::Fed(fed)).await;
    pieces.send(said("four")).await.unwrap();
    let addr = server.addr();
    leave_after(addr, "four").await;
    let ended = spawn_blocking(move || server.shutdown(Duration::from_secs(30)));
    drains(addr).await;
    for piece in [said("b"), finished(), counted(), done()] {
        pieces.send(piece).await.unwrap();
    }
    drop(pieces);
    ended.await.unwrap();
    let left = house.left().await;
    assert_eq!((left.state(), left.charge()), (OrderState::Finalized, 20_000));
    house.verify();
}

#[tokio::test]
async fn a_call_nobody_waits_for_is_served_while_the_server_drains() {
    let (go, wait) = oneshot::channel();
    let (house, provider, mut server) = serving(Act::Later(wait, Box::new(Act::served()))).await;
    let addr = server.addr();
    let socket = post(addr, &ask("m")).await;
    provider.called().await;
    drop(socket);
    let ended = spawn_blocking(move || server.shutdown(Duration::from_secs(30)));
    drains(addr).await;
    go.send(()).unwrap();
    ended.await.unwrap();
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.record.finish), (OrderState::Finalized, 20_000, "complete"));
    house.verify();
}

#[tokio::test]
async fn at_the_end_of_the_drain_a_stream_is_settled_on_what_was_delivered() {
    let (pieces, fed) = mpsc::channel(8);
    let (house, _, mut server) = serving(Act::Fed(fed)).await;
    pieces.send(said("four")).await.unwrap();
    leave_after(server.addr(), "four").await;
    spawn_blocking(move || server.shutdown(Duration::ZERO)).await.unwrap();
    let left = house.left().await;
    assert_eq!((left.state(), left.record.finish), (OrderState::Provisional, "client_left"));
    assert!(left.charge() > 0);
    assert_eq!(left.receipt.unwrap().settlement.unwrap().usage.output_tokens(), 1);
    house.verify();
}

#[tokio::test]
async fn a_call_that_is_stopped_is_settled_as_undelivered() {
    let (_go, wait) = oneshot::channel();
    let (house, provider) = house_of(Act::Later(wait, Box::new(Act::served()))).await;
    let pipeline = Arc::clone(&house.pipeline);
    let mut asked = JoinSet::from_iter([async move { pipeline.run(call(&ask("m"))).await }]);
    provider.called().await;
    house.pipeline.in_flight.stop();
    assert_eq!(code(asked.join_next().await.unwrap().unwrap()).await, "shutting_down");
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.cost() > 0), (OrderState::Provisional, 0, true));
    assert_eq!(outcomes(&left), [AttemptOutcome::Abandoned]);
    house.verify();
}

fn outcomes(left: &Left) -> Vec<AttemptOutcome> {
    left.receipt.as_ref().unwrap().settlement.as_ref().unwrap().attempts.iter().map(|attempt| attempt.outcome).collect()
}

#[tokio::test]
async fn a_call_that_is_stopped_before_a_further_attempt_is_noted_has_made_none() {
    let (go, wait) = oneshot::channel();
    let (first, second) = (Scripted::new([Act::Later(wait, Box::new(Act::Fault(FaultKind::Timeout)))]), Scripted::new([Act::served()]));
    let house = House::new(vec![endpoint("a/m", &first), endpoint("b/m", &second)]).await;
    let pipeline = Arc::clone(&house.pipeline);
    let mut asked = JoinSet::from_iter([async move { pipeline.run(call(&ask("m"))).await }]);
    first.called().await;
    let lock = house.locked();
    go.send(()).unwrap();
    for _ in 0..10 {
        tokio::task::yield_now().await; // until it waits for the note, which comes no more
    }
    house.pipeline.in_flight.stop();
    assert_eq!(code(asked.join_next().await.unwrap().unwrap()).await, "shutting_down");
    drop(lock);
    let left = house.left().await;
    assert_eq!((outcomes(&left), second.count()), (vec![AttemptOutcome::Timeout], 0));
    let settlement = left.receipt.as_ref().unwrap().settlement.clone().unwrap();
    assert!(left.cost() > 0 && settlement.losses.is_empty(), "what the first may bill is booked once: {settlement:?}");
    house.verify();
}

#[tokio::test]
async fn a_stream_that_is_read_on_is_stopped_and_settled_on_what_was_sent() {
    let (pieces, fed) = mpsc::channel(8);
    let (house, _) = house_of(Act::Fed(fed)).await;
    for text in ["four", "more"] {
        pieces.send(said(text)).await.unwrap();
    }
    let ReplyBody::Stream(mut relay) = house.chat(&ask_stream("m")).await.body else { panic!("no stream") };
    for _ in 0..2 {
        relay.frame().await.unwrap().unwrap();
    }
    drop(relay);
    house.pipeline.in_flight.stop();
    let left = house.left().await;
    assert_eq!((left.state(), left.record.finish), (OrderState::Provisional, "client_left"));
    assert_eq!(left.receipt.unwrap().settlement.unwrap().usage.output_tokens(), 2);
    house.verify();
}

/// Its hold may have been taken or not: the answer is on its way.
#[tokio::test]
async fn a_call_that_is_stopped_while_it_reserves_leaves_no_hold() {
    let (house, provider) = house_of(Act::served()).await;
    let pipeline = Arc::clone(&house.pipeline);
    let mut asked = JoinSet::from_iter([async move { pipeline.run(call(&ask("m"))).await }]);
    while house.pipeline.in_flight.count() == 0 {
        tokio::task::yield_now().await;
    }
    // The call's own task has its turn, once: it asks the ledger.
    tokio::task::yield_now().await;
    house.pipeline.in_flight.stop();
    assert_eq!(code(asked.join_next().await.unwrap().unwrap()).await, "shutting_down");
    let left = house.left().await;
    assert_eq!((left.state(), provider.count()), (OrderState::Released, 0));
    house.verify();
}
