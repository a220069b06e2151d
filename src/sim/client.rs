//! Owns: the people outside: callers who ask, read, wait or leave, and the operator who opens wallets and reports payments
//! until each is confirmed. They outlive the process, and write down what they were told.
//! Refuses to know: what is right (check).

use super::scenario::{CallPlan, Fault, LAST_CALL_MS, Patience, Scenario, WALLETS, draw};
use super::world::{Process, Told, Who};
use crate::base::{Money, OpId, Secret};
use crate::domain::ledger::{Action, Command, Ledger, OpenWallet, Operation as Deed, Refusal, Reply as Answer, TopUp, WalletKind};
use crate::pipeline::{Call, Credential, Pipeline, Relay, Reply, ReplyBody};
use crate::protocol::Operation;
use http::HeaderMap;
use http_body_util::BodyExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Payments into one wallet, the first of them before any call.
const PAYMENTS: u32 = 2;

/// The key whose calls this wallet pays.
pub(super) fn secret_of(wallet: usize) -> String {
    format!("sk-goto-simulated-{wallet}")
}

/// Asks once, at its time, unless a process before this one was asked already.
pub(super) async fn call(process: Process, pipeline: Arc<Pipeline>, plan: CallPlan) {
    process.until(plan.at_ms).await;
    let who = Who::Call(plan.n);
    process.gate("client ask", who).await;
    process.world.seen().told.entry(plan.n).or_default();
    let call = Call {
        operation: Operation::Chat,
        request_id: plan.n.to_string().into(),
        credential: Credential::Key(Secret::new(secret_of(plan.wallet))),
        mode: None,
        labels: Vec::new(),
        idempotency_key: None,
        body: plan.body().into(),
    };
    let exchange = async {
        let reply = pipeline.run(call).await;
        process.gate("client reply", who).await;
        read(&process, &plan, reply).await;
    };
    match plan.patience {
        Patience::UntilMs(patience_ms) => {
            if tokio::time::timeout(Duration::from_millis(patience_ms), exchange).await.is_err() {
                process.count(Fault::Leave);
                process.note(who, || "the caller has left".to_owned());
            }
        }
        Patience::Endless | Patience::Frames(_) => exchange.await,
    }
}

async fn read(process: &Process, plan: &CallPlan, reply: Reply) {
    let who = Who::Call(plan.n);
    let told = Told {
        status: Some(reply.status),
        order: text(&reply.headers, "x-gotoai-order").and_then(|id| id.parse().ok()),
        charge: text(&reply.headers, "x-gotoai-charge").and_then(|charge| charge.parse::<Money>().ok()),
        ended: matches!(reply.body, ReplyBody::Whole(_)),
    };
    process.note(who, || format!("is told {}, charge {:?}", reply.status, told.charge));
    process.world.seen().told.insert(plan.n, told);
    if let ReplyBody::Stream(relay) = reply.body
        && read_stream(process, plan, relay).await
        && let Some(told) = process.world.seen().told.get_mut(&plan.n)
    {
        told.ended = true;
    }
}

/// True if it came to its end.
async fn read_stream(process: &Process, plan: &CallPlan, mut relay: Box<Relay>) -> bool {
    let who = Who::Call(plan.n);
    for read in 0.. {
        if plan.patience == Patience::Frames(read) {
            process.count(Fault::Leave);
            process.note(who, || format!("the caller leaves after {read} pieces"));
            process.gate("client leave", who).await;
            return false;
        }
        if plan.read_pause_ms > 0 {
            process.count(Fault::SlowReader);
            tokio::time::sleep(Duration::from_millis(plan.read_pause_ms)).await;
        }
        let frame = relay.frame().await;
        process.gate("client read", who).await;
        if frame.is_none() {
            break;
        }
    }
    true
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Something the operator has to get done, once, however often it takes.
pub(super) struct Task {
    pub(super) n: u32,
    at_ms: u64,
    command: Command,
    /// Wallet and amount, if it is a payment.
    pub(super) paid: Option<(usize, i64)>,
}

fn op(n: u32) -> OpId {
    let mut id = [0xff; 16];
    id[12..].copy_from_slice(&n.to_be_bytes());
    OpId(id)
}

fn operation(n: u32, action: Action) -> Command {
    Command::Operate(Box::new(Deed { op: op(n), actor: "operator".into(), reference: format!("pi_{n}").into(), action }))
}

/// Everything the operator does in this scenario: open each wallet that is called upon, pay into it, pay again later.
pub(super) fn tasks(scenario: &Scenario) -> Vec<Task> {
    let mut all = Vec::new();
    let used: BTreeSet<usize> = scenario.calls.iter().map(|n| scenario.call(*n).wallet).collect();
    for wallet in used {
        let plan = &WALLETS[wallet];
        let first = u32::try_from(wallet).unwrap_or(0) * 16;
        let opened = OpenWallet {
            wallet: plan.name.into(),
            kind: if plan.postpaid { WalletKind::Postpaid } else { WalletKind::Prepaid },
            credit_limit_nano: plan.credit_limit_nano,
        };
        let opened = operation(first, Action::OpenWallet(opened));
        all.push(Task { n: first, at_ms: 0, command: opened, paid: None });
        let mut rng = draw(scenario.seed, "payments", wallet as u64);
        for payment in 0..PAYMENTS {
            let n = first + 1 + payment;
            let amount_nano = plan.top_up_nano / 2 + rng.i64(0..=plan.top_up_nano);
            let top_up = TopUp {
                wallet: plan.name.into(),
                amount_nano,
                fee_nano: if rng.bool() { amount_nano / 29 } else { 0 },
                payment_provider: "stripe".into(),
            };
            let at_ms = if payment == 0 { 0 } else { rng.u64(1_000..LAST_CALL_MS) };
            all.push(Task { n, at_ms, command: operation(n, Action::TopUp(top_up)), paid: Some((wallet, amount_nano)) });
        }
    }
    all.sort_by_key(|task| (task.at_ms, task.n));
    all
}

/// Gets done what is left of `tasks`, in order; `first` only what must be before the first call.
pub(super) async fn operate(process: Process, ledger: Arc<dyn Ledger>, first: bool) {
    for task in tasks(&process.world.scenario) {
        if first != (task.at_ms == 0) || process.world.seen().confirmed.contains(&task.n) {
            continue;
        }
        process.until(task.at_ms).await;
        process.gate("operator ask", Who::Operator).await;
        let twice = process.world.scenario.faults.has(Fault::PaidTwice) && task.paid.is_some();
        let mut told = false;
        while !told {
            let asked = ledger.submit(task.command.clone());
            if twice {
                process.count(Fault::PaidTwice);
                let _ = ledger.submit(task.command.clone()).wait().await;
            }
            match asked.wait().await {
                Ok(Answer::Done { .. }) => told = true,
                // The disk was full: again.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                Ok(Answer::Refused(refusal)) => return refused(&process, &task, refusal),
                Ok(Answer::Held { .. } | Answer::Settled { .. }) => return,
            }
        }
        process.gate("operator told", Who::Operator).await;
        process.world.seen().confirmed.insert(task.n);
    }
}

fn refused(process: &Process, task: &Task, refusal: Refusal) {
    process.world.violate("payments", format!("the operator's task {} was refused: {}", task.n, refusal.code()));
}
