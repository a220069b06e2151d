//! Owns: events of payment providers: from whom they are taken, what is answered, and who is told when one cannot be booked as it is.
//! Refuses to know: HTTP, Stripe's format (protocol), what each fact does to the ledger (`book`).
//!
//! Money that came is never refused for want of a wallet: it is booked where it waits for one. What cannot be booked at all
//! (another currency, a refund of a payment that nobody knows) is answered with an error, so that Stripe shows it and sends it again.
//! People are told of both, unless it is put right soon: events may come in any order.

mod book;

use super::Gateway;
use super::gateway::op_id;
use crate::base::{Error, ErrorKind, Result, hex};
use crate::protocol::stripe::{self, Event};
use crate::protocol::{SigningKey, check_signature};
use book::Line;
pub(super) use book::{arrival, assignment, returned};
use serde_json::{Value, json};
use std::time::Duration;

/// The payment provider's name in accounts and references, as on the command line: `--payment-provider stripe`.
pub(super) const STRIPE: &str = "stripe";
/// Events about one payment come within seconds of one another.
const GRACE: Duration = Duration::from_secs(600);
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
        for event in stripe::read_file(content).map_err(wrong)? {
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
        }))
    }

    fn take_event(&self, actor: &str, event: &Event) -> Result<Value> {
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
