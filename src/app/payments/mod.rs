//! Owns: events of payment providers: from whom they are taken, what is answered, and who is told when one cannot be booked as it is.
//! Refuses to know: HTTP, Stripe's format (protocol), what each fact does to the ledger (`book`).
//!
//! Money that came is never refused for want of a wallet: it is booked where it waits for one. What cannot be booked at all
//! (another currency, a refund of a payment that nobody knows) is answered with an error, so that Stripe shows it and sends it again.
//! People are told of both, unless it is put right soon: events may come in any order.

mod book;

use super::Gateway;
use super::gateway::op_id;
use crate::base::{Error, ErrorKind, Money, Result, Timestamp, hex};
use crate::domain::ledger::{LedgerReader, Span};
use crate::protocol::stripe::{self, Event, Fact};
use crate::protocol::{SigningKey, check_signature};
use book::Line;
pub(super) use book::{arrival, assignment, returned};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

/// The payment provider's name in accounts and references, as on the command line: `--payment-provider stripe`.
pub(super) const STRIPE: &str = "stripe";
/// Events about one payment come within seconds of one another.
const GRACE: Duration = Duration::from_secs(600);
/// More rows that a file lacks are no report.
const MISSING_MAX: usize = 1000;
/// What people are told of.
const UNASSIGNED: &str = "payment.unassigned";
const REFUSED: &str = "payment.refused";

impl Gateway {
    /// What Stripe's events must be signed with. `NotFound` where no secret is set: there is no webhook then.
    pub fn stripe_keys(&self) -> Result<Vec<SigningKey>> {
        let secrets = &self.settings.payments.stripe_secrets;
        if secrets.is_empty() {
            let why = "there is no webhook for Stripe here: its signing secret is not set (GOTOAI_STRIPE_WEBHOOK_SECRET)";
            return Err(Error::new(ErrorKind::NotFound, why));
        }
        Ok(secrets.iter().map(SigningKey::new).collect())
    }

    /// Books an event as a webhook got it. `Ok` only once all that it says is durable. Blocks on the store.
    /// Errors of status 400 to 499 say that this event cannot be booked, others that it could not be booked now.
    pub fn stripe_event(&self, keys: &[SigningKey], signature: &str, body: &[u8]) -> Result<Value> {
        check_signature(keys, signature, body, self.clock.now())?;
        match stripe::read(body) {
            Ok(event) => self.take_event(STRIPE, &event),
            Err(why) => Err(self.refuse_event(&Error::new(ErrorKind::InvalidRequest, why), &unnamed(body))),
        }
    }

    /// Books what was exported from Stripe: what its webhook has missed, and fees. What was booked before stays as it is.
    pub(super) fn replay_events(&self, actor: &str, content: &[u8]) -> Result<Value> {
        let wrong = |why| Error::new(ErrorKind::InvalidRequest, why).with_param("content");
        // Stripe says it, whoever brings the file.
        let actor = format!("{STRIPE} by {actor}");
        let (mut told, mut refused) = (Vec::new(), Vec::new());
        let events = stripe::read_file(content).map_err(wrong)?;
        let missing_there = self.missing_at_stripe(&events)?;
        for event in events {
            match event {
                Err(why) => refused.push(json!({ "error": why })),
                Ok(event) => match self.take_event(&actor, &event) {
                    Ok(answer) => told.push(answer),
                    Err(error) if error.kind.status() >= 500 => return Err(error),
                    Err(error) => refused.push(json!({ "event": event.id, "type": event.kind, "error": error.message })),
                },
            }
        }
        let of = |duplicate: bool| {
            let lines = told.iter().filter_map(|answer| answer["booked"].as_array()).flatten();
            lines.filter(|line| line["duplicate"] == duplicate).count()
        };
        Ok(json!({
            "ok": refused.is_empty(),
            "events": told.len() + refused.len(),
            "booked": of(false),
            "booked_before": of(true),
            "answers": told.iter().filter(|answer| answer["note"].is_null()).collect::<Vec<_>>(),
            "refused": refused,
            "missing_there": missing_there,
        }))
    }

    /// What is booked here for the time that a list of balance transactions is about, and is not in it. Before anything of it is booked.
    fn missing_at_stripe(&self, events: &[Result<Event, String>]) -> Result<Vec<Value>> {
        let moves: Vec<&Event> = events.iter().flatten().filter(|event| event.moves_balance).collect();
        let at = |event: &&Event| event.created_s.saturating_mul(1000);
        let (Some(first), Some(last)) = (moves.iter().map(at).min(), moves.iter().map(at).max()) else { return Ok(Vec::new()) };
        // It is booked soon after it has happened, never before.
        let span = Span { from: Timestamp(first).plus(GRACE), to: Timestamp(last) };
        let listed: HashSet<&str> = moves.iter().flat_map(|event| &event.facts).flat_map(Fact::names).collect();
        let booked = self.ledger.payments(STRIPE, span, MISSING_MAX + listed.len())?;
        let missing = booked.iter().filter_map(|entry| {
            let payload: Value = serde_json::from_slice(&entry.payload).ok()?;
            let reference = payload["reference"].as_str().unwrap_or_default();
            let amount = payload["amount_nano"].as_i64().map(Money::nano);
            let shown = || {
                json!({
                    "what": entry.kind.name(), "reference": reference, "wallet": payload["wallet"], "amount": amount,
                    "booked_at": entry.ts.to_string(), "entry_seq": entry.seq,
                })
            };
            (!listed.contains(reference)).then(shown)
        });
        Ok(missing.take(MISSING_MAX).collect())
    }

    fn take_event(&self, actor: &str, event: &Event) -> Result<Value> {
        if !event.facts.is_empty() && event.live != Some(true) && !self.settings.payments.stripe_test_mode {
            return Err(self.refuse_event(&of_test_mode(event), &json!({ "payment_provider": STRIPE, "reference": event.id })));
        }
        let mut lines = Vec::new();
        for fact in &event.facts {
            let subject = json!({ "payment_provider": STRIPE, "event": event.id, "type": event.kind, "reference": fact.reference() });
            match book::book(self, actor, fact) {
                Ok(booked) => {
                    match booked.iter().find(|line| line.waits) {
                        Some(_) => self.tell_later(UNASSIGNED, fact.reference(), &book::waiting(fact), subject)?,
                        None => self.settled_with(fact.reference())?,
                    }
                    lines.extend(booked);
                }
                Err(error) => return Err(self.refuse_event(&error, &subject)),
            }
        }
        for line in &lines {
            let (what, reference, wallet) = (line.what.name(), &line.reference, line.wallet.as_deref());
            tracing::info!(event = event.id, what, reference, wallet, duplicate = line.booked.duplicate, "payment event booked");
        }
        let note = Some(event.note).filter(|note| !note.is_empty());
        Ok(json!({
            "received": true,
            "event": event.id,
            "type": event.kind,
            "booked": lines.iter().map(shown).collect::<Vec<_>>(),
            "note": note,
        }))
    }

    /// An error that repeating will not mend is told to people; Stripe gives up after some days.
    fn refuse_event(&self, error: &Error, subject: &Value) -> Error {
        tracing::warn!(%subject, %error, cause = error.cause, "payment event not booked");
        if error.kind.status() >= 500 {
            return error.clone();
        }
        let reference = subject["reference"].as_str().unwrap_or_default();
        let told = self.tell_later(REFUSED, reference, &error.message, subject.clone());
        told.err().unwrap_or_else(|| error.clone())
    }

    fn tell_later(&self, topic: &str, reference: &str, detail: &str, mut subject: Value) -> Result<()> {
        subject["detail"] = detail.into();
        self.database.tell(topic, &dedupe(topic, reference), &subject, self.clock.now(), GRACE)
    }

    /// People have seen to it.
    pub(super) fn settled_with(&self, reference: &str) -> Result<()> {
        [UNASSIGNED, REFUSED].into_iter().try_for_each(|topic| self.database.withdraw(&dedupe(topic, reference)))
    }
}

/// Whoever signs it: in test mode anybody with the account can pay with a card that is none.
fn of_test_mode(event: &Event) -> Error {
    let says = if event.live == Some(false) { "is of Stripe's test mode" } else { "does not say that it is live" };
    let why = format!(
        "{} ({}) {says}, where no money moves, so it is not booked; a gateway that is only tried out books it with GOTOAI_STRIPE_TEST_MODE=on",
        event.id, event.kind
    );
    Error::new(ErrorKind::InvalidRequest, why)
}

/// One message for each thing at Stripe that is not as it should be.
fn dedupe(topic: &str, reference: &str) -> String {
    format!("{topic}:{STRIPE}:{reference}")
}

/// An event that cannot be read is the same as another by its content.
fn unnamed(body: &[u8]) -> Value {
    let same = op_id(&["event", &String::from_utf8_lossy(body)]);
    json!({ "payment_provider": STRIPE, "reference": hex(&same.0) })
}

fn shown(line: &Line) -> Value {
    json!({
        "what": line.what.name(),
        "reference": line.reference,
        "wallet": line.wallet,
        "entry_seq": line.booked.seq,
        "duplicate": line.booked.duplicate,
    })
}
