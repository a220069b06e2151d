//! Owns: attempts: failover until the first byte, retries and the pauses that providers ask for, keys, breakers.

use super::house::{House, ask, ask_stream, code, endpoint, header, text};
use super::scripted::{Act, Scripted, broken, counted, done, error_event, finished, said};
use crate::ledger::{of_model, reserving};
use gotoai::app::sweep;
use gotoai::base::{Clock, Money};
use gotoai::domain::catalog::Endpoint;
use gotoai::domain::health::{BreakerPolicy, BreakerState, EndpointHealth};
use gotoai::domain::ledger::{AttemptOutcome, Command, Ledger, OrderState};
use gotoai::domain::provider::FaultKind;
use gotoai::domain::risk::Unit;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Two providers of one model, in this order; nothing is repeated.
async fn two(first: impl IntoIterator<Item = Act>, second: impl IntoIterator<Item = Act>) -> (House, [Arc<Scripted>; 2]) {
    two_with(first, second, |_, endpoint| endpoint.retry.max_retries = 0).await
}

async fn two_with(
    first: impl IntoIterator<Item = Act>,
    second: impl IntoIterator<Item = Act>,
    change: impl Fn(usize, &mut Endpoint),
) -> (House, [Arc<Scripted>; 2]) {
    let providers = [Scripted::new(first), Scripted::new(second)];
    let mut endpoints = vec![endpoint("a/m", &providers[0]), endpoint("b/m", &providers[1])];
    endpoints.iter_mut().enumerate().for_each(|(at, endpoint)| change(at, endpoint));
    (House::new(endpoints).await, providers)
}

fn counts(providers: &[Arc<Scripted>; 2]) -> (usize, usize) {
    (providers[0].count(), providers[1].count())
}

#[tokio::test]
async fn the_next_endpoint_serves_when_one_fails_before_its_first_byte() {
    let opening_break = || Act::stream(vec![broken()]);
    let opening_error = || Act::stream(vec![error_event(), done()]);
    let empty = || Act::stream(vec![]);
    let failures: [fn() -> Act; 6] = [
        || Act::json(500, "{}"),
        || Act::json(401, "{}"),
        || Act::json(404, "{}"),
        || Act::json(429, "{}"),
        || Act::Fault(FaultKind::Connect),
        || Act::Fault(FaultKind::Timeout),
    ];
    let streams: [Box<dyn Fn() -> Act>; 3] = [Box::new(opening_break), Box::new(opening_error), Box::new(empty)];
    let all = failures.into_iter().map(|act| Box::new(act) as Box<dyn Fn() -> Act>).chain(streams);
    for (at, failure) in all.enumerate() {
        let (house, providers) = two([failure()], [Act::stream(vec![said("x"), finished(), counted(), done()])]).await;
        let reply = house.chat(&ask_stream("m")).await;
        assert_eq!((header(&reply, "x-gotoai-endpoint"), header(&reply, "x-gotoai-attempts")), ("b/m", "2"), "failure {at}");
        let streamed = text(reply).await;
        assert!(streamed.contains("\"x\"") && !streamed.contains("error"), "failure {at}: {streamed}");
        assert_eq!(counts(&providers), (1, 1));
        let left = house.left().await;
        assert_eq!((left.state(), left.charge(), left.record.attempts), (OrderState::Finalized, 20_000, 2));
        let settlement = left.receipt.unwrap().settlement.unwrap();
        assert_eq!((settlement.provider.as_deref(), settlement.attempts.len()), (Some("b"), 2));
        assert_eq!(settlement.attempts[1].outcome, AttemptOutcome::Served);
        // Whoever refused bills nothing; whoever had begun may.
        let may_bill = at >= 5;
        assert_eq!(settlement.losses.iter().any(|loss| &*loss.provider == "a" && loss.cost_nano > 0), may_bill, "failure {at}");
        house.verify();
    }
}

#[tokio::test]
async fn after_the_first_byte_nobody_else_is_asked() {
    let (house, providers) = two([Act::stream(vec![said("x"), broken()])], []).await;
    assert!(text(house.chat(&ask_stream("m")).await).await.contains("stream_interrupted"));
    assert_eq!(counts(&providers), (1, 0));
    house.left().await;
}

#[tokio::test]
async fn the_callers_own_fault_is_not_repeated() {
    for status in [400, 413, 422] {
        let (house, providers) = two([Act::json(status, r#"{"error":{}}"#)], []).await;
        assert_eq!(house.chat(&ask("m")).await.status, status);
        assert_eq!(counts(&providers), (1, 0));
        house.left().await;
    }
}

#[tokio::test]
async fn a_call_whose_hold_has_expired_is_sent_to_nobody_else() {
    let (go, wait) = oneshot::channel();
    let (first, second) = (Scripted::new([Act::Later(wait, Box::new(Act::Fault(FaultKind::Timeout)))]), Scripted::new([]));
    let endpoints = vec![endpoint("a/m", &first), endpoint("b/m", &second)];
    let house = House::with(endpoints, |setup| setup.snapshot.hold_timeout = Duration::ZERO).await;
    let body = ask("m");
    let expire = async {
        first.called().await;
        for order in house.ledger.overdue(Clock::system().now()).unwrap() {
            house.ledger.submit(Command::Expire { order }).wait().await.unwrap();
        }
        go.send(()).unwrap();
    };
    let (reply, ()) = tokio::join!(house.chat(&body), expire);
    assert_eq!((reply.status, header(&reply, "x-gotoai-endpoint"), second.count()), (504, "a/m", 0));
    // The first one may bill: settled late, at our cost.
    let late = house.last_order().await;
    assert_eq!((late.state, late.charge, late.cost > Some(Money::ZERO)), (OrderState::LateSettled, Some(Money::ZERO), true));
    house.verify();
}

/// A long call, or a clock that jumps: who works on a call keeps its hold.
#[tokio::test]
async fn the_sweeper_keeps_the_hold_of_a_call_under_way() {
    let (go, wait) = oneshot::channel();
    let provider = Scripted::new([Act::Later(wait, Box::new(Act::served()))]);
    let house = House::with(vec![endpoint("a/m", &provider)], |setup| setup.snapshot.hold_timeout = Duration::ZERO).await;
    let body = ask("m");
    let sweeping = async {
        provider.called().await;
        let now = Clock::system().now();
        let [order] = house.ledger.overdue(now).unwrap()[..] else { panic!("one call is overdue") };
        sweep(&*house.ledger, &house.pipeline.in_flight, Duration::from_secs(900), now).await;
        assert_eq!(house.ledger.overdue(now).unwrap(), []);
        assert!(house.ledger.order(order).unwrap().unwrap().order.state.is_open());
        go.send(()).unwrap();
        order
    };
    let (reply, order) = tokio::join!(house.chat(&body), sweeping);
    assert_eq!(reply.status, 200);
    assert_eq!(house.ledger.order(order).unwrap().unwrap().order.state, OrderState::Finalized);
    // What is open and nobody works on goes back at its deadline.
    let mut lost = reserving(77, "default", Some(1000));
    ((lost.node, lost.epoch), lost.expires_at) = (house.ledger.node(), Clock::system().now());
    let lost = Command::Reserve(Box::new(lost));
    house.ledger.submit(lost).wait().await.unwrap();
    sweep(&*house.ledger, &house.pipeline.in_flight, Duration::from_secs(900), Clock::system().now()).await;
    house.verify();
}

#[tokio::test]
async fn the_last_refusal_is_what_the_caller_hears() {
    let (house, _) = two([Act::json(500, "{}")], [Act::json(503, r#"{"error":{"message":"busy"}}"#)]).await;
    let reply = house.chat(&ask("m")).await;
    assert_eq!((reply.status, header(&reply, "x-gotoai-endpoint")), (503, "b/m"));
    assert_eq!(house.left().await.state(), OrderState::Released);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_as_long_as_the_provider_asks() {
    for (status, name, value) in [(503, "retry-after-ms", "80"), (429, "retry-after-ms", "80"), (429, "retry-after", "0.08")] {
        let provider = Scripted::new([Act::json(status, "{}").with(name, value), Act::served()]);
        let house = House::new(vec![endpoint("a/m", &provider)]).await;
        assert_eq!(house.chat(&ask("m")).await.status, 200, "{status} {name}");
        let times = provider.times();
        let pause = times[1] - times[0];
        assert!(pause >= Duration::from_millis(80) && pause < Duration::from_millis(120), "{status} {name}: {pause:?}");
        assert_eq!(house.left().await.record.attempts, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_is_told_instead_of_waited_for() {
    for (name, value, told) in [("retry-after", "60", "60"), ("retry-after-ms", "18446744073709551615", "86400")] {
        let provider = Scripted::new([Act::json(429, r#"{"error":{"message":"slow down"}}"#).with(name, value)]);
        let house = House::new(vec![endpoint("a/m", &provider)]).await;
        let reply = house.chat(&ask("m")).await;
        assert_eq!((reply.status, header(&reply, "retry-after"), provider.count()), (429, told, 1));
        house.left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_of_one_endpoint_does_not_stop_retries_at_another() {
    for refusal in [Act::json(503, "{}").with("retry-after", "60"), Act::json(404, "{}")] {
        let (house, providers) = two_with([refusal], [Act::json(500, "{}"), Act::served()], |_, _| {}).await;
        assert_eq!(house.chat(&ask("m")).await.status, 200);
        assert_eq!(counts(&providers), (1, 2), "who asked for a pause gets it, and who has no such model is not asked again");
        house.left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_endpoint_is_repeated_as_often_as_its_own_settings_say() {
    let failing = || (0..9).map(|_| Act::json(500, "{}"));
    let (house, providers) = two_with(failing(), failing(), |at, endpoint| endpoint.retry.max_retries = [0, 2][at]).await;
    assert_eq!(house.chat(&ask("m")).await.status, 500);
    assert_eq!(counts(&providers), (1, 3));
    house.left().await;
}

#[tokio::test(start_paused = true)]
async fn one_call_is_sent_ten_times_at_most() {
    let failing = || (0..20).map(|_| Act::Fault(FaultKind::Connect));
    let (house, providers) = two_with(failing(), failing(), |_, endpoint| {
        endpoint.retry.max_retries = 50;
        endpoint.health = EndpointHealth::new(BreakerPolicy { failure_threshold: 100, ..BreakerPolicy::default() });
    })
    .await;
    assert_eq!(house.chat(&ask("m")).await.status, 502);
    assert_eq!(counts(&providers), (5, 5));
    assert_eq!(house.left().await.record.attempts, 10);
}

#[tokio::test]
async fn a_refused_key_is_replaced_at_once_by_another() {
    for status in [401, 403, 429] {
        let (house, providers) = two([Act::json(status, "{}"), Act::served()], []).await;
        providers[0].offer_other_key();
        assert_eq!(house.chat(&ask("m")).await.status, 200);
        assert_eq!(counts(&providers), (2, 0));
        house.left().await;
    }
}

#[tokio::test]
async fn the_gateways_own_key_problem_is_not_shown_as_the_callers() {
    let (house, _) = two([Act::json(401, "{}")], [Act::json(401, r#"{"error":"bad key sk-live-1"}"#)]).await;
    let reply = house.chat(&ask("m")).await;
    assert_eq!(reply.status, 502);
    let body = text(reply).await;
    assert!(body.contains("provider_rejected") && !body.contains("sk-live"), "{body}");
    house.left().await;
}

fn fragile() -> Arc<EndpointHealth> {
    EndpointHealth::new(BreakerPolicy { failure_threshold: 2, success_threshold: 2, open_for: Duration::from_secs(30) })
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_probes_and_closes() {
    let provider = Scripted::new((0..2).map(|_| Act::json(500, "{}")));
    let mut only = endpoint("a/m", &provider);
    (only.retry.max_retries, only.health) = (0, fragile());
    let health = Arc::clone(&only.health);
    let house = House::new(vec![only]).await;
    for _ in 0..2 {
        assert_eq!(house.chat(&ask("m")).await.status, 500);
        house.left().await;
    }
    let reply = house.chat(&ask("m")).await;
    assert_eq!((reply.status, header(&reply, "retry-after")), (503, "30"));
    assert_eq!(code(reply).await, "circuit_open");
    assert!(house.left().await.receipt.is_none(), "no order for what cannot be sent");
    assert_eq!(provider.count(), 2);
    tokio::time::advance(Duration::from_secs(30)).await;
    for _ in 0..2 {
        assert_eq!(house.chat(&ask("m")).await.status, 200);
        house.left().await;
    }
    assert_eq!(health.breaker(), BreakerState::Closed { failures: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_failing_probe_opens_again_and_an_unrelated_refusal_frees_the_probe() {
    let provider = Scripted::new((0..3).map(|_| Act::json(500, "{}")).chain([Act::json(400, r#"{"error":{}}"#)]));
    let mut only = endpoint("a/m", &provider);
    (only.retry.max_retries, only.health) = (0, fragile());
    let house = House::new(vec![only]).await;
    for status in [500, 500, 503] {
        assert_eq!(house.chat(&ask("m")).await.status, status);
        house.left().await;
    }
    for status in [500, 400, 200] {
        if status != 200 {
            tokio::time::advance(Duration::from_secs(30)).await;
        }
        assert_eq!(house.chat(&ask("m")).await.status, status);
        house.left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_passed_over() {
    let (house, providers) = two_with([], [], |at, endpoint| {
        if at == 0 {
            endpoint.health = EndpointHealth::new(BreakerPolicy { failure_threshold: 1, ..BreakerPolicy::default() });
        }
    })
    .await;
    providers[0].add(Act::json(500, "{}"));
    for expected in [(1, 1), (1, 2), (1, 3)] {
        assert_eq!(house.chat(&ask("m")).await.status, 200);
        assert_eq!(counts(&providers), expected);
        house.left().await;
    }
}

#[tokio::test]
async fn a_budget_of_a_model_counts_what_it_serves_in_anothers_place() {
    let (house, providers) = two([Act::json(500, "{}")], [Act::served()]).await;
    // One call holds up to 100 tokens of output at 2 000 nano-units.
    house.limit(of_model("b/*", Unit::Money, 300_000));
    house.chat(&ask("m")).await;
    house.left().await;
    let spent = house.limits()[0];
    assert_eq!((spent.held, spent.spent), (0, 20_000));
    house.limit(of_model("b/m", Unit::Money, 10));
    assert_eq!(code(house.chat(&ask("m")).await).await, "budget_exceeded");
    assert_eq!(counts(&providers), (1, 1), "nobody was asked");
}
