//! Step 2b: a request that its caller marked with `Idempotency-Key`: asked again it is answered as before, never run again.
//! Costs nothing where there is no mark.
//!
//! Answers are sealed (AES-256-GCM) with a key made from the caller's own secret and the mark. Neither is stored, so nobody who
//! has the database can open them.

use super::context::Context;
use super::settle::receipt_headers;
use super::{Credential, Pipeline, Reply, ReplyBody};
use crate::base::{Error, ErrorKind, Result};
use crate::domain::ledger::{Hash, Once, OnceRecord, OrderReceipt, OrderState, SealedAnswer};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use aws_lc_rs::rand;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use std::time::Duration;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const KEY_LIMIT_BYTES: usize = 255;

/// A marked request under way.
pub(super) struct Marked {
    pub(super) once: Once,
    seal: LessSafeKey,
    /// Larger answers are not kept.
    pub(super) limit_bytes: usize,
}

fn digest(parts: &[&[u8]]) -> Hash {
    let mut digest = Digest::new(&SHA256);
    for part in parts {
        // Lengths keep the parts apart.
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(digest.finish().as_ref());
    out
}

/// The same request in other words: members in order of their names, no blanks.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, member) in sorted {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(member, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
}

fn failed<E: std::fmt::Debug>(error: E) -> Error {
    Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause(format!("{error:?}"))
}

impl Marked {
    fn of(cx: &Context, key: &str) -> Result<Self> {
        if key.is_empty() || key.len() > KEY_LIMIT_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let why = format!("Idempotency-Key has 1 to {KEY_LIMIT_BYTES} visible ASCII characters");
            return Err(Error::new(ErrorKind::InvalidRequest, why));
        }
        let Some(principal) = &cx.principal else { return Err(failed("replay before authenticate")) };
        let caller = principal.key_id.map_or_else(|| principal.name.to_string(), |id| id.to_string());
        let path = cx.call.operation.name();
        let secret = match &cx.call.credential {
            Credential::Key(secret) => secret.expose(),
            Credential::None | Credential::Trusted => "",
        };
        let body: Value = serde_json::from_slice(&cx.call.body).map_err(|_| Error::new(ErrorKind::InvalidJson, "the body is not JSON"))?;
        let mut text = String::with_capacity(cx.call.body.len());
        canonical(&body, &mut text);
        let mode = cx.call.mode.as_deref().unwrap_or_default();
        let seal = digest(&[b"gotoai answer", secret.as_bytes(), caller.as_bytes(), key.as_bytes()]);
        Ok(Self {
            once: Once {
                scope: digest(&[b"gotoai scope", caller.as_bytes(), path.as_bytes(), key.as_bytes()]),
                fingerprint: digest(&[path.as_bytes(), mode.as_bytes(), text.as_bytes()]),
                expires_at: cx.began_at.plus(cx.snapshot.answer_lifetime),
            },
            seal: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &seal).map_err(failed)?),
            limit_bytes: cx.snapshot.answer_limit_bytes,
        })
    }

    /// Content type and body, for this caller and this mark only; `None` if they are too large to keep.
    pub(super) fn seal(&self, content_type: &HeaderValue, body: &[u8]) -> Option<SealedAnswer> {
        if body.len() > self.limit_bytes {
            return None;
        }
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = Vec::with_capacity(body.len() + 96);
        sealed.push(u8::try_from(content_type.len()).ok()?);
        sealed.extend(content_type.as_bytes());
        sealed.extend(body);
        self.seal.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(self.once.scope), &mut sealed).ok()?;
        sealed.extend(nonce);
        Some(SealedAnswer { scope: self.once.scope, sealed })
    }

    fn open(&self, mut sealed: Vec<u8>) -> Option<(HeaderValue, Bytes)> {
        let nonce: [u8; NONCE_LEN] = sealed.split_off(sealed.len().checked_sub(NONCE_LEN)?).try_into().ok()?;
        let opened = self.seal.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(self.once.scope), &mut sealed).ok()?;
        let (length, rest) = opened.split_first()?;
        let (content_type, body) = rest.split_at_checked(usize::from(*length))?;
        Some((HeaderValue::from_bytes(content_type).ok()?, Bytes::copy_from_slice(body)))
    }

    /// What a mark that is known means for this request; `None`: it may run.
    fn meet(&self, known: OnceRecord, receipt: Option<&OrderReceipt>) -> Result<Option<Reply>> {
        if known.is_free() {
            return Ok(None);
        }
        let order = known.order;
        if known.fingerprint != self.once.fingerprint {
            let why = "this Idempotency-Key was used for another request; use a new key for a new request";
            return Err(Error::new(ErrorKind::IdempotencyReused, why));
        }
        if known.state == OrderState::Reserved {
            let why = format!("the request with this Idempotency-Key is still running as order {order}");
            return Err(Error::new(ErrorKind::IdempotencyRunning, why).with_retry_after(Duration::from_secs(1)));
        }
        let Some((content_type, body)) = known.sealed.and_then(|sealed| self.open(sealed)) else {
            let charge = known.charge.map_or_else(|| "an amount that is not known".to_owned(), |charge| format!("{charge} USD"));
            let why = format!(
                "the request with this Idempotency-Key ran as order {order} and was charged {charge}; its answer was not kept, and it is not run again"
            );
            let mut refused = Reply::error(&Error::new(ErrorKind::ReplayUnavailable, why));
            refused.headers.extend(receipt_headers(order, receipt, known.charge));
            return Ok(Some(refused));
        };
        let mut headers = receipt_headers(order, receipt, known.charge);
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(Some(Reply { status: 200, headers, body: ReplyBody::Whole(body) }))
    }
}

impl Pipeline {
    /// The answer of before, or an error, or nothing: then the call runs, marked.
    pub(super) async fn replay(&self, cx: &mut Context) -> Result<Option<Reply>> {
        let (Some(key), Some(ledger)) = (cx.call.idempotency_key.as_deref(), &self.ledger) else { return Ok(None) };
        let marked = Marked::of(cx, key)?;
        let answer = match ledger.once(marked.once.scope, cx.began_at).await? {
            Some((known, receipt)) => marked.meet(known, receipt.as_ref())?,
            None => None,
        };
        cx.marked = Some(marked);
        Ok(answer)
    }
}
