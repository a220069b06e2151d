//! Owns: the delivery of what is to be told: a line in the log at once, a message to the webhook until it is taken or a day has
//! passed. At least once; its id is always the same, so that a receiver can tell a repetition.
//! Refuses to know: what is worth telling (whoever puts it into the outbox), signatures (adapters).

use super::Gateway;
use super::gateway::op_id;
use crate::adapters::stores::sqlite::Message;
use crate::adapters::telemetry::AlertLabels;
use crate::base::{Result, Timestamp};
use crate::domain::ledger::hex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Messages of one round. Its sum of timeouts fits the claim.
const BATCH: usize = 8;
const CLAIM: Duration = Duration::from_secs(120);
/// After so many failures in a row the rest of the round waits for its next time.
const FAILURES_MAX: usize = 3;
const BACKOFF_MAX_MS: u64 = 3_600_000;
const GIVE_UP_MS: i64 = 86_400_000;

/// What is sent: the same for every try.
fn envelope(message: &Message) -> Value {
    let id = op_id(&["message", &message.dedupe, &message.created_at.0.to_string(), &message.id.to_string()]);
    json!({
        "id": format!("evt_{}", hex(&id.0)),
        "type": message.topic,
        "created_at": message.created_at.to_string(),
        "data": serde_json::from_str::<Value>(&message.payload).unwrap_or_default(),
    })
}

fn log(message: &Message) {
    let (topic, data) = (&message.topic, &message.payload);
    if topic.starts_with("budget.") {
        tracing::warn!(topic, data, "alert");
    } else {
        tracing::error!(topic, data, "alert");
    }
}

/// 1 s, 2 s, 4 s ... an hour, each a quarter more or less.
fn backoff(tries: u32) -> Duration {
    let base = 1000_u64.checked_shl(tries.saturating_sub(1).min(32)).unwrap_or(BACKOFF_MAX_MS).min(BACKOFF_MAX_MS);
    Duration::from_millis(base * 3 / 4 + fastrand::u64(0..=base / 2))
}

/// One round.
pub(super) async fn deliver(gateway: Arc<Gateway>) {
    let claimed = blocking(&gateway, |gateway| gateway.database.claim_messages(BATCH, CLAIM, gateway.clock.now())).await;
    let messages = match claimed {
        Ok(messages) if messages.is_empty() => return,
        Ok(messages) => messages,
        Err(error) => return tracing::error!(%error, "alerts cannot be read"),
    };
    let mut failures = 0;
    for message in messages {
        if message.tries == 1 {
            log(&message);
        }
        let outcome = match &gateway.webhook {
            None => Ok(()),
            Some(_) if failures >= FAILURES_MAX => Err("others before it failed".to_owned()),
            Some(webhook) => webhook.send(envelope(&message).to_string(), gateway.clock.now()).await,
        };
        failures = if outcome.is_err() { failures + 1 } else { 0 };
        if let Err(error) = settle(&gateway, message, outcome).await {
            tracing::error!(%error, "the outcome of an alert could not be written; it may be delivered again");
        }
    }
}

async fn settle(gateway: &Arc<Gateway>, message: Message, outcome: Result<(), String>) -> Result<()> {
    let now = gateway.clock.now();
    let has_webhook = gateway.webhook.is_some();
    let count = |outcome| gateway.metrics.ledger.alerts.get_or_create(&AlertLabels { outcome }).inc();
    match outcome {
        Ok(()) => {
            if has_webhook {
                count("delivered");
            }
            blocking(gateway, move |gateway| gateway.database.delivered(message.id, now)).await?;
        }
        Err(why) => {
            let next = now.plus(backoff(message.tries));
            let next = Some(next).filter(|next| next.0 - message.created_at.0 <= GIVE_UP_MS);
            count(if next.is_some() { "failed" } else { "given_up" });
            tracing::warn!(
                topic = message.topic,
                tries = message.tries,
                why,
                again_at = next.map(tracing::field::display),
                "alert not taken"
            );
            blocking(gateway, move |gateway| gateway.database.put_off(message.id, next)).await?;
        }
    }
    let waiting = blocking(gateway, |gateway| gateway.database.waiting_messages()).await?;
    gateway.metrics.ledger.alerts_waiting.set(waiting);
    Ok(())
}

async fn blocking<T: Send + 'static>(gateway: &Arc<Gateway>, run: impl FnOnce(&Gateway) -> Result<T> + Send + 'static) -> Result<T> {
    let gateway = Arc::clone(gateway);
    let done = tokio::task::spawn_blocking(move || run(&gateway)).await;
    done.unwrap_or_else(|error| Err(crate::base::Error::new(crate::base::ErrorKind::Internal, "the task ended").with_cause(error)))
}

impl Gateway {
    /// Sends a test message at once and says what came of it.
    pub(super) fn test_alert(&self) -> Value {
        let Some(webhook) = &self.webhook else {
            return json!({ "ok": true, "webhook": null, "detail": "no webhook is set: alerts go to the log only" });
        };
        let now = self.clock.now();
        let message = test_message(now);
        let sent = self.block_on(webhook.send(envelope(&message).to_string(), now));
        json!({ "ok": sent.is_ok(), "webhook": webhook.host(), "detail": sent.err().unwrap_or_else(|| "taken".to_owned()) })
    }
}

fn test_message(now: Timestamp) -> Message {
    let payload = json!({ "detail": "a test of alerts" }).to_string();
    Message { id: 0, topic: "test".to_owned(), dedupe: "test".to_owned(), payload, created_at: now, tries: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_hour_and_stay_near_their_middle() {
        for tries in 1..70 {
            let ms = backoff(tries).as_millis();
            let middle = 1000_u128.checked_shl(tries - 1).unwrap_or(u128::MAX).min(3_600_000);
            assert!(ms >= middle * 3 / 4 && ms <= middle * 5 / 4, "{tries}: {ms}");
        }
    }

    #[test]
    fn a_message_is_the_same_at_every_try() {
        let first = test_message(Timestamp(1));
        let again = Message { tries: 9, ..first.clone() };
        assert_eq!(envelope(&first), envelope(&again));
        assert_ne!(envelope(&first)["id"], envelope(&test_message(Timestamp(2)))["id"]);
    }
}
