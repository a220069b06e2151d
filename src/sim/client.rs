//! Owns: the callers outside: who ask, ask again with the same mark, read, wait or leave. They outlive the process, and write down
//! what they were told.
//! Refuses to know: what is right (check).

use super::fault::Fault;
use super::plan::{Ask, CallPlan, Patience};
use super::wallet::secret_of;
use super::world::{Process, Told, Who};
use crate::base::{Money, Secret};
use crate::pipeline::{Call, Credential, Pipeline, Relay, Reply, ReplyBody};
use crate::protocol::Operation;
use http::HeaderMap;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;

/// When an ask of a call is made.
pub(super) fn at_ms(plan: &CallPlan, again: u32) -> u64 {
    let after = again.checked_sub(1).and_then(|at| plan.agains.get(usize::try_from(at).ok()?));
    plan.at_ms + after.map_or(0, |again| again.after_ms)
}

/// The asks of a call.
pub(super) fn asks(plan: &CallPlan) -> impl Iterator<Item = Ask> + use<> {
    let call = plan.n;
    (0..=u32::try_from(plan.agains.len()).unwrap_or(0)).map(move |again| Ask { call, again })
}

/// Asks once, at its time.
pub(super) async fn ask(process: Process, pipeline: Arc<Pipeline>, plan: CallPlan, ask: Ask) {
    process.until(at_ms(&plan, ask.again)).await;
    let who = Who::Call(ask);
    process.gate("client ask", who).await;
    let asked = Told { life: process.life(), asked_at: process.elapsed(), ..Told::default() };
    process.world.seen().told.insert(ask, asked);
    let call = Call {
        operation: Operation::Chat,
        request_id: ask.to_string().into(),
        credential: Credential::Key(Secret::new(secret_of(plan.wallet))),
        mode: None,
        labels: std::iter::once(ask.to_string().into()).chain(plan.label.map(Arc::from)).collect(),
        idempotency_key: plan.marked.then(|| format!("mark-{}", plan.n).into()),
        body: plan.body(ask.again).into(),
    };
    let exchange = async {
        let reply = pipeline.run(call).await;
        process.gate("client reply", who).await;
        read(&process, &plan, ask, reply).await;
    };
    match plan.patience {
        // Who asks again waits for the answer.
        _ if ask.again > 0 => exchange.await,
        Patience::UntilMs(patience_ms) => {
            if tokio::time::timeout(Duration::from_millis(patience_ms), exchange).await.is_err() {
                process.count(Fault::Leave);
                process.note(who, || "the caller has left".to_owned());
            }
        }
        Patience::Endless | Patience::Frames(_) => exchange.await,
    }
}

async fn read(process: &Process, plan: &CallPlan, ask: Ask, reply: Reply) {
    let now = process.elapsed();
    process.note(Who::Call(ask), || format!("is told {}, charge {:?}", reply.status, text(&reply.headers, "x-gotoai-charge")));
    if let Some(told) = process.world.seen().told.get_mut(&ask) {
        told.status = Some(reply.status);
        told.order = text(&reply.headers, "x-gotoai-order").and_then(|id| id.parse().ok());
        told.charge = text(&reply.headers, "x-gotoai-charge").and_then(|charge| charge.parse::<Money>().ok());
        told.replayed = text(&reply.headers, "idempotent-replayed") == Some("true");
        if let ReplyBody::Whole(body) = &reply.body {
            told.body = body.to_vec();
            told.code = code_of(body).filter(|_| reply.status >= 400);
            told.ended = true;
            told.ended_at = now;
        }
    }
    if let ReplyBody::Stream(relay) = reply.body {
        read_stream(process, plan, ask, relay).await;
    }
}

fn code_of(body: &[u8]) -> Option<String> {
    let error: serde_json::Value = serde_json::from_slice(body).ok()?;
    error["error"]["code"].as_str().map(str::to_owned)
}

/// Reads to its end, or leaves before.
async fn read_stream(process: &Process, plan: &CallPlan, ask: Ask, mut relay: Box<Relay>) {
    let who = Who::Call(ask);
    for read in 0.. {
        if ask.again == 0 && plan.patience == Patience::Frames(read) {
            process.count(Fault::Leave);
            process.note(who, || format!("the caller leaves after {read} pieces"));
            return process.gate("client leave", who).await;
        }
        if ask.again == 0 && plan.read_pause_ms > 0 {
            process.count(Fault::SlowReader);
            tokio::time::sleep(Duration::from_millis(plan.read_pause_ms)).await;
        }
        let frame = relay.frame().await;
        process.gate("client read", who).await;
        let piece = frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
        let now = process.elapsed();
        let mut seen = process.world.seen();
        let Some(told) = seen.told.get_mut(&ask) else { return };
        match piece {
            Some(piece) => told.body.extend_from_slice(&piece),
            None => {
                told.ended = true;
                told.ended_at = now;
                return;
            }
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
