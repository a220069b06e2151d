//! Owns: what the gateway must know of a whole reply. The reply itself goes to the caller as the provider's bytes.

use super::cost::{CostForm, ReportedCost};
use super::usage::{UsageReport, read_leading_usage, read_usage};
use memchr::memchr;
use memchr::memmem::{Finder, FinderRev};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::LazyLock;

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text")]
    service_tier: Option<Cow<'a, str>>,
}

/// A text, or nothing: what is of another type says nothing that we know.
pub(super) fn text<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    let raw = <&'a RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str::<&str>(raw.get()).ok().map(Cow::Borrowed))
}

/// The provider's id of the exchange, its count, what it says that it cost, and the class of service that it was served in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyFacts {
    pub id: Option<String>,
    pub report: UsageReport,
    pub service_tier: Option<Box<str>>,
}

impl ReplyFacts {
    /// Without parsing the whole reply: the usage object by its name, from the end, where it usually stands. Taken only if
    /// what follows closes exactly the reply, so that it is the reply's own and not that of something inside it.
    fn glance(body: &[u8], cost: Option<CostForm>) -> Option<Self> {
        let name = USAGE.rfind(body)?;
        let value = body[name + 7..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let (report, end) = read_leading_usage(value, cost).filter(|(report, _)| report.usage.is_some())?;
        let (head, rest) = (&body[..name], &value[end..]);
        // The tier stands behind the usage where there is one. Before it, only a parse can tell the reply's own from one
        // that a caller has put into some member of it.
        if !closes_one(rest) || SERVICE_TIER.find(head).is_some() {
            return None;
        }
        Some(Self { id: first_id(head), report, service_tier: tier_behind(rest) })
    }

    /// `None`: not a reply of this dialect, because it is no JSON object, or because it is an error that some vendors send
    /// with a status of success: what is only an error has served nobody.
    pub fn read(body: &[u8], cost: Option<CostForm>) -> Option<Self> {
        body.trim_ascii_start().first().filter(|byte| **byte == b'{')?;
        if let Some(facts) = Self::glance(body, cost) {
            return Some(facts);
        }
        let members: Members<'_> = serde_json::from_slice(body).ok()?;
        let report = members.usage.map_or_else(UsageReport::default, |raw| read_usage(raw.get().as_bytes(), cost));
        if members.error.is_some() && report.usage.is_none() && !report.cost.is_some_and(ReportedCost::is_billed) {
            return None;
        }
        Some(Self { id: members.id.map(Cow::into_owned), report, service_tier: members.service_tier.map(Into::into) })
    }
}

// Made once: to make a searcher costs more than to search a reply.
static USAGE: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(b"\"usage\""));
static SERVICE_TIER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"service_tier\""));
static ID: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"id\""));

/// The tier among the last members of a reply, `, ... }`.
fn tier_behind(rest: &[u8]) -> Option<Box<str>> {
    SERVICE_TIER.find(rest)?;
    let members = rest.trim_ascii_start().strip_prefix(b",")?;
    let object = [b"{", members].concat();
    serde_json::from_slice::<Members<'_>>(&object).ok()?.service_tier.map(Into::into)
}

/// Does the rest of an object close one brace and no more, strings aside?
fn closes_one(rest: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_i32, false, false);
    for byte in rest {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth -= 1,
            _ => {}
        }
    }
    depth == -1 && !quoted
}

/// The value of the first member `id`, which every vendor writes first.
fn first_id(head: &[u8]) -> Option<String> {
    let rest = head.get(..512).unwrap_or(head);
    let value = rest[ID.find(rest)? + 4..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let text = value.strip_prefix(b"\"")?;
    let id = std::str::from_utf8(&text[..memchr(b'"', text)?]).ok()?;
    Some(id.to_owned()).filter(|id| !id.contains('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_no_reply() {
        assert_eq!(ReplyFacts::read(b"<html>", None), None);
        assert_eq!(ReplyFacts::read(b"[]", None), None);
        let nested = br#"{"id":"a","usage":{"prompt_tokens":1,"completion_tokens":2},"x":{"usage":{"prompt_tokens":9}}}"#;
        assert_eq!(ReplyFacts::read(nested, None).unwrap().report.usage.unwrap().input_uncached, 1, "the reply's own usage counts");
        let last = br#"{"id":"a","x":"}","usage": {"prompt_tokens":3,"completion_tokens":2}, "tier":"{[" } "#;
        let facts = ReplyFacts::read(last, None).unwrap();
        assert_eq!((facts.id.as_deref(), facts.report.usage.unwrap().input_uncached), (Some("a"), 3));
        let bare = ReplyFacts { id: Some("a".into()), report: UsageReport::default(), service_tier: None };
        assert_eq!(ReplyFacts::read(br#"{"id":"a","usage":null}"#, None), Some(bare));
    }

    #[test]
    fn an_error_is_no_reply_whatever_its_status() {
        assert_eq!(ReplyFacts::read(br#"{"error":{"message":"overloaded"}}"#, None), None);
        assert_eq!(ReplyFacts::read(br#"{"id":"a","choices":[],"error":{"code":502}}"#, None), None);
        assert!(ReplyFacts::read(br#"{"id":"a","error":null}"#, None).is_some());
        let counted = br#"{"id":"a","error":{"code":502},"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        assert!(ReplyFacts::read(counted, None).is_some(), "what the provider counts, it bills");
    }

    #[test]
    fn the_tier_is_the_replys_own() {
        let tier = |text: &str| ReplyFacts::read(text.as_bytes(), None).unwrap().service_tier;
        let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2}"#;
        assert_eq!(tier(&format!(r#"{{"id":"a",{usage},"service_tier":"flex","system_fingerprint":null}}"#)).as_deref(), Some("flex"));
        assert_eq!(tier(&format!(r#"{{"id":"a","service_tier":"priority",{usage}}}"#)).as_deref(), Some("priority"));
        assert_eq!(tier(&format!(r#"{{"id":"a",{usage},"service_tier":null}}"#)), None);
        assert_eq!(tier(&format!(r#"{{"id":"a",{usage}}}"#)), None);
        assert_eq!(tier(&format!(r#"{{"id":"a","metadata":{{"service_tier":"flex"}},{usage}}}"#)), None, "a caller's own words");
        assert_eq!(tier(&format!(r#"{{"id":"a",{usage},"metadata":{{"service_tier":"flex"}}}}"#)), None);
        assert_eq!(
            tier(&format!(r#"{{"id":"a",{usage},"metadata":{{"service_tier":"flex"}},"service_tier":"default"}}"#)).as_deref(),
            Some("default")
        );
    }
}
