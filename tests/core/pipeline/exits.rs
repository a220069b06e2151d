//! Owns: every way out of the path: one record, one settlement or none, nothing left in flight, and who pays.

use super::house::{House, ask, ask_stream, code, endpoint, header, text};
use super::scripted::{Act, Scripted, broken, counted, done, error_event, finished, said};
use bytes::Bytes;
use gotoai::base::{Error, ErrorKind};
use gotoai::domain::catalog::{Endpoint, PriceHistory};
use gotoai::domain::identity::Principal;
use gotoai::domain::ledger::{EventKind, Ledger, OrderState, UsageSource, WalletKind};
use gotoai::domain::provider::{Family, FaultKind};
use gotoai::pipeline::{Call, Guardrail, Reply, ReplyBody, ResponseCache};
use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::json;
use std::sync::Arc;
use tokio::task::JoinSet;

/// A house with one endpoint that does these acts in turn, without retries.
async fn one(acts: impl IntoIterator<Item = Act>) -> (House, Arc<Scripted>) {
    let provider = Scripted::new(acts);
    let mut only = endpoint("acme/m", &provider);
    only.retry.max_retries = 0;
    (House::new(vec![only]).await, provider)
}

#[tokio::test]
async fn a_whole_reply_is_charged_by_its_usage() {
    let (house, _) = one([Act::served()]).await;
    let reply = house.chat(&ask("m")).await;
    assert_eq!((reply.status, header(&reply, "x-gotoai-charge"), header(&reply, "x-gotoai-attempts")), (200, "0.00002", "1"));
    assert_eq!(header(&reply, "x-gotoai-endpoint"), "acme/m");
    let left = house.left().await;
    // 10 x $1 + 5 x $2, a million each.
    assert_eq!((left.state(), left.charge(), left.cost()), (OrderState::Finalized, 20_000, 20_000));
    assert_eq!(header(&reply, "x-gotoai-order"), left.record.order.unwrap().to_string());
    assert_eq!((left.record.status, left.record.finish, left.record.attempts), (200, "complete", 1));
    assert_eq!(left.receipt.unwrap().settlement.unwrap().provider_request_id.as_deref(), Some("chatcmpl-1"));
    house.verify();
}

#[tokio::test]
async fn a_whole_reply_without_usage_is_estimated_and_never_beyond_what_was_allowed() {
    let silent =
        r#"{"id":"chatcmpl-1","object":"chat.completion","choices":[{"message":{"content":"a long answer, far longer than one token"}}]}"#;
    let (house, _) = one([Act::json(200, silent)]).await;
    let mut body = ask("m");
    body["max_tokens"] = json!(1);
    house.chat(&body).await;
    let left = house.left().await;
    assert_eq!(left.state(), OrderState::Provisional);
    let receipt = left.receipt.unwrap();
    assert_eq!(receipt.settlement.as_ref().unwrap().usage_source, UsageSource::Estimated);
    assert_eq!(receipt.settlement.unwrap().usage.output_tokens(), 1);
    assert!(receipt.order.charge.unwrap() <= receipt.order.hold, "an estimate is no reason to overrun");
}

#[tokio::test]
async fn a_stream_is_charged_by_its_usage() {
    let (house, _) = one([Act::stream(vec![said("a"), said("b"), finished(), counted(), done()])]).await;
    let streamed = text(house.chat(&ask_stream("m")).await).await;
    assert!(streamed.ends_with("data: [DONE]\n\n") && !streamed.contains("usage"), "{streamed}");
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.record.finish, left.record.stream), (OrderState::Finalized, 20_000, "complete", true));
    assert!(left.record.first_byte.is_some());
    house.verify();
}

#[tokio::test]
async fn a_stream_without_usage_is_charged_by_what_came() {
    let (house, _) = one([Act::stream(vec![said("four"), said("four"), finished(), done()])]).await;
    text(house.chat(&ask_stream("m")).await).await;
    let left = house.left().await;
    assert_eq!(left.state(), OrderState::Provisional);
    assert_eq!(left.receipt.unwrap().settlement.unwrap().usage.output_tokens(), 2);
}

#[tokio::test]
async fn a_stream_cut_after_something_was_delivered_charges_that() {
    let (house, _) = one([Act::stream(vec![said("four"), broken()])]).await;
    let streamed = text(house.chat(&ask_stream("m")).await).await;
    assert!(streamed.contains("\"code\":\"stream_interrupted\""), "{streamed}");
    let left = house.left().await;
    assert_eq!(
        (left.state(), left.record.finish, left.record.error),
        (OrderState::Provisional, "provider_cut", Some(ErrorKind::StreamCut))
    );
    assert!(left.charge() > 0 && left.charge() == left.cost());
    house.verify();
}

#[tokio::test]
async fn a_stream_cut_before_anything_was_delivered_costs_the_user_nothing() {
    let opening = Ok(Bytes::from_static(b"data: {\"id\":\"c1\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"));
    for end in [broken(), error_event()] {
        let (house, _) = one([Act::stream(vec![opening.clone(), end])]).await;
        text(house.chat(&ask_stream("m")).await).await;
        let left = house.left().await;
        assert_eq!((left.charge(), left.cost() > 0), (0, true));
        assert!(left.debits("exp:loss:undelivered"));
        house.verify();
    }
}

#[tokio::test]
async fn a_stream_that_ends_politely_in_the_middle_is_cut_all_the_same() {
    let (house, _) = one([Act::stream(vec![said("a")])]).await;
    assert!(text(house.chat(&ask_stream("m")).await).await.contains("stream_interrupted"));
    assert_eq!(house.left().await.record.finish, "provider_cut");
}

#[tokio::test]
async fn the_providers_refusal_goes_through_and_costs_nothing() {
    let (house, provider) = one([Act::json(400, r#"{"error":{"message":"no","param":"top_p"}}"#)]).await;
    let reply = house.chat(&ask("m")).await;
    assert_eq!((reply.status, text(reply).await.as_str()), (400, r#"{"error":{"message":"no","param":"top_p"}}"#));
    let left = house.left().await;
    assert_eq!((left.state(), left.charge(), left.cost(), left.record.finish), (OrderState::Released, 0, 0, "rejected"));
    assert_eq!((left.entries[1].kind, provider.count()), (EventKind::Release, 1));
    house.verify();
}

#[tokio::test]
async fn faults_release_the_hold_and_what_may_have_been_billed_is_our_loss() {
    for (fault, billable, expected) in [
        (FaultKind::Connect, false, "provider_unreachable"),
        (FaultKind::NoCredential, false, "provider_rate_limited"),
        (FaultKind::Broken, true, "provider_unreachable"),
        (FaultKind::Timeout, true, "provider_timeout"),
        (FaultKind::Garbage, true, "provider_invalid_reply"),
    ] {
        let (house, _) = one([Act::Fault(fault)]).await;
        assert_eq!(code(house.chat(&ask("m")).await).await, expected);
        let left = house.left().await;
        assert_eq!((left.charge(), left.cost() > 0, left.record.finish), (0, billable, "failed"), "{fault:?}");
        assert_eq!(left.debits("exp:loss:undelivered"), billable);
        house.verify();
    }
}

#[tokio::test]
async fn a_reply_that_is_no_reply_is_a_fault() {
    let (house, _) = one([Act::json(200, "<html>")]).await;
    assert_eq!(code(house.chat(&ask("m")).await).await, "provider_invalid_reply");
    assert_eq!(house.left().await.charge(), 0);
}

#[tokio::test]
async fn a_panic_on_the_way_settles() {
    let (house, _) = one([Act::Panic]).await;
    let reply = house.chat(&ask("m")).await;
    assert_eq!((reply.status, code(reply).await.as_str()), (500, "internal"));
    let left = house.left().await;
    assert_eq!((left.charge(), left.record.finish, left.record.error), (0, "dropped", Some(ErrorKind::Internal)));
    house.verify();
}

#[tokio::test]
async fn a_panic_in_the_middle_of_a_stream_settles_what_has_passed() {
    for family in ["openai", "groq"] {
        let provider = Scripted::new([Act::PanicAfter(vec![said("four"), said("more")])]);
        let mut only = endpoint("acme/m", &provider);
        only.family = Family::by_name(family).unwrap();
        let house = House::new(vec![only]).await;
        let ReplyBody::Stream(relay) = house.chat(&ask_stream("m")).await.body else { panic!("no stream") };
        let mut readers = JoinSet::from_iter([relay.collect()]);
        readers.join_next().await.unwrap().unwrap_err();
        let left = house.left().await;
        assert_eq!((left.state(), left.record.finish, left.record.error), (OrderState::Provisional, "dropped", Some(ErrorKind::Internal)));
        assert!(left.charge() > 0, "{family}: what was delivered is charged");
        assert_eq!(left.receipt.unwrap().settlement.unwrap().usage.output_tokens(), 2);
        house.verify();
    }
}

#[tokio::test]
async fn refusals_before_the_order_are_recorded_and_hold_nothing() {
    let (house, provider) = one([]).await;
    for (body, status, kind) in [
        (json!({"model": "m"}), 400, ErrorKind::InvalidRequest),
        (json!({"messages": []}), 400, ErrorKind::InvalidRequest),
        (ask("nothing-like-it"), 404, ErrorKind::UnknownModel),
    ] {
        assert_eq!(house.chat(&body).await.status, status);
        let left = house.left().await;
        assert_eq!((left.record.error, left.record.status, left.record.finish), (Some(kind), status, "refused"));
        assert!(left.receipt.is_none());
    }
    assert_eq!((house.orders(), provider.count()), (0, 0));
}

#[tokio::test]
async fn an_empty_wallet_is_told_before_anything_is_sent() {
    let provider = Scripted::new([]);
    let house = House::with(vec![endpoint("acme/m", &provider)], |setup| setup.cash_nano = 1).await;
    let reply = house.chat(&ask("m")).await;
    assert_eq!((reply.status, code(reply).await.as_str()), (402, "insufficient_funds"));
    let left = house.left().await;
    assert!(left.receipt.is_none() && left.record.error == Some(ErrorKind::InsufficientFunds));
    assert_eq!(provider.count(), 0);
}

#[tokio::test]
async fn what_has_no_price_is_unknown_spend_for_a_postpaid_wallet_and_refused_to_a_prepaid_one() {
    let unpriced = |provider: &Arc<Scripted>| Endpoint { prices: PriceHistory::default(), ..endpoint("acme/m", provider) };
    let provider = Scripted::new([]);
    let prepaid = House::new(vec![unpriced(&provider)]).await;
    assert_eq!(code(prepaid.chat(&ask("m")).await).await, "model_unpriced");
    assert_eq!(provider.count(), 0);
    let postpaid = House::with(vec![unpriced(&provider)], |setup| setup.kind = WalletKind::Postpaid).await;
    let reply = postpaid.chat(&ask("m")).await;
    assert_eq!((reply.status, header(&reply, "x-gotoai-charge")), (200, ""));
    let left = postpaid.left().await;
    assert_eq!((left.state(), left.record.charge), (OrderState::Unpriced, None));
    assert_eq!(postpaid.ledger.wallet("default").unwrap().unwrap().unpriced_orders, 1);
    postpaid.verify();
}

#[tokio::test]
async fn a_closed_ledger_refuses_and_nothing_is_sent() {
    let (house, provider) = one([]).await;
    house.ledger.close();
    assert_eq!(code(house.chat(&ask("m")).await).await, "ledger_unavailable");
    assert_eq!(provider.count(), 0);
}

struct Strict;

impl Guardrail for Strict {
    fn check(&self, call: &Call) -> gotoai::base::Result<()> {
        let bad = memchr::memmem::find(&call.body, b"hello").is_some();
        if bad { Err(Error::new(ErrorKind::InvalidRequest, "not here")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_guardrail_refuses_before_anything_is_sent() {
    let provider = Scripted::new([]);
    let house = House::with(vec![endpoint("acme/m", &provider)], |setup| setup.snapshot.guardrails.push(Arc::new(Strict))).await;
    assert_eq!(house.chat(&ask("m")).await.status, 400);
    assert_eq!(house.left().await.record.finish, "refused");
    assert_eq!(provider.count(), 0);
}

struct Known;

impl ResponseCache for Known {
    fn lookup(&self, _: &Principal, _: &Call) -> Option<Reply> {
        Some(Reply { status: 200, headers: HeaderMap::new(), body: ReplyBody::Whole(Bytes::from_static(b"{}")) })
    }
}

#[tokio::test]
async fn a_known_answer_is_recorded_too() {
    let provider = Scripted::new([]);
    let house = House::with(vec![endpoint("acme/m", &provider)], |setup| setup.cache = Some(Arc::new(Known))).await;
    assert_eq!(house.chat(&ask("m")).await.status, 200);
    let left = house.left().await;
    assert_eq!((left.record.status, left.record.finish, left.receipt.is_none()), (200, "recalled", true));
    assert_eq!(provider.count(), 0);
}

#[tokio::test]
async fn without_a_ledger_calls_are_served_and_recorded() {
    let provider = Scripted::new([]);
    let house = House::with(vec![endpoint("acme/m", &provider)], |setup| setup.ledger = false).await;
    let reply = house.chat(&ask("m")).await;
    assert_eq!((reply.status, header(&reply, "x-gotoai-charge")), (200, ""));
    house.rest().await;
    assert_eq!(house.orders(), 0);
    assert_eq!(house.records(), 1);
}
