//! Owns: what all bookings share: amounts and names as they are read, the submission, what is answered.
//! Refuses to know: what is booked.

use crate::app::Gateway;
use crate::base::{Error, ErrorKind, Money, OpId, Result};
use crate::domain::ledger::{Action, Command, Journal, Ledger, LedgerReader, Operated, Operation, Refusal, Reply};
use serde::de::DeserializeOwned;

const NAME_LIMIT_BYTES: usize = 64;
const TEXT_LIMIT_BYTES: usize = 256;

pub(super) fn refuse(why: impl Into<String>, param: &'static str) -> Error {
    Error::new(ErrorKind::InvalidRequest, why).with_param(param)
}

/// Decimal text, zero or more.
pub(super) fn amount(text: &str, param: &'static str) -> Result<Money> {
    let amount: Money = text.parse().map_err(|why: String| refuse(why, param))?;
    if amount.is_negative() { Err(refuse(format!("'{text}' is negative"), param)) } else { Ok(amount) }
}

/// Decimal text, more than zero.
pub(super) fn some_amount(text: &str, param: &'static str) -> Result<Money> {
    let amount = amount(text, param)?;
    if amount.is_zero() { Err(refuse("the amount must be more than zero", param)) } else { Ok(amount) }
}

/// Names become parts of account paths.
pub(super) fn name(text: &str, param: &'static str) -> Result<String> {
    let fits = !text.is_empty() && text.len() <= NAME_LIMIT_BYTES && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let why = || format!("'{param}' is a name of 1 to {NAME_LIMIT_BYTES} letters, digits, '-', '_' or '.'");
    if fits { Ok(text.to_owned()) } else { Err(refuse(why(), param)) }
}

/// A reference or a reason: for people, and (references) what makes a fact the same fact.
pub(super) fn text(text: &str, param: &'static str) -> Result<String> {
    let fits = !text.trim().is_empty() && text.len() <= TEXT_LIMIT_BYTES && !text.chars().any(char::is_control);
    let why = || format!("'{param}' is a text of 1 to {TEXT_LIMIT_BYTES} bytes without control characters");
    if fits { Ok(text.to_owned()) } else { Err(refuse(why(), param)) }
}

/// What became of a cold command.
pub(crate) struct Booked {
    /// `None`: all was so already.
    pub(crate) seq: Option<i64>,
    /// It had been booked before; nothing changed.
    pub(crate) duplicate: bool,
}

impl Booked {
    /// Nothing had to be booked.
    pub(crate) const NOTHING: Self = Self { seq: None, duplicate: true };
}

/// Submits a cold command and waits until it is durable. The refusal stays a value: some callers go on from it.
pub(crate) fn submit(gateway: &Gateway, op: OpId, actor: &str, reference: &str, action: Action) -> Result<Result<Booked, Refusal>> {
    let operation = Operation { op, actor: actor.into(), reference: reference.into(), action };
    match gateway.ledger.submit(Command::Operate(Box::new(operation))).wait_blocking()? {
        Reply::Done { seq, duplicate } => Ok(Ok(Booked { seq: Some(seq), duplicate })),
        Reply::Refused(refusal) => Ok(Err(refusal)),
        other @ (Reply::Held { .. } | Reply::Settled { .. }) => {
            Err(Error::new(ErrorKind::LedgerUnavailable, "the ledger failed on this command").with_cause(format!("{other:?}")))
        }
    }
}

/// The same; a refusal is told about `subject`.
pub(crate) fn book(gateway: &Gateway, op: OpId, actor: &str, reference: &str, action: Action, subject: &str) -> Result<Booked> {
    submit(gateway, op, actor, reference, action)?.map_err(|refusal| match refusal {
        Refusal::Conflict => {
            let why = format!("'{reference}' was already booked with other content; what is another fact needs a reference of its own");
            Error::new(ErrorKind::Conflict, why).with_param("reference")
        }
        other => other.to_error(subject),
    })
}

/// What an operation booked, if it did.
pub(crate) fn recorded<T: DeserializeOwned>(gateway: &Gateway, op: OpId) -> Result<Option<T>> {
    gateway.ledger.operation(op)?.as_ref().map(told).transpose()
}

/// The same, of its entry.
pub(crate) fn told<T: DeserializeOwned>(entry: &Journal) -> Result<T> {
    let unreadable = |error| Error::new(ErrorKind::Storage, "the earlier entry cannot be read").with_cause(error);
    serde_json::from_slice::<Operated<T>>(&entry.payload).map(|told| told.action).map_err(unreadable)
}
