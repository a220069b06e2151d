//! Owns: what the gateway must know of a whole reply. The reply itself goes to the caller as the provider's bytes.

use super::usage::{ReadUsage, read_usage};
use memchr::{memchr, memmem};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// The provider's id of the exchange, and its count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyFacts {
    pub id: Option<String>,
    pub usage: Option<ReadUsage>,
}

impl ReplyFacts {
    /// Without parsing the whole reply: the usage object by its name, from the end, where it usually stands. Taken only if
    /// what follows closes exactly the reply, so that it is the reply's own and not that of something inside it.
    fn glance(body: &[u8]) -> Option<Self> {
        let name = memmem::rfind(body, b"\"usage\"")?;
        let value = body[name + 7..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let mut values = serde_json::Deserializer::from_slice(value).into_iter::<&RawValue>();
        let usage = read_usage(values.next()?.ok()?.get().as_bytes())?;
        closes_one(&value[values.byte_offset()..]).then(|| Self { id: first_id(&body[..name]), usage: Some(usage) })
    }

    /// `None`: not a JSON object, so not a reply of this dialect.
    pub fn read(body: &[u8]) -> Option<Self> {
        body.trim_ascii_start().first().filter(|byte| **byte == b'{')?;
        if let Some(facts) = Self::glance(body) {
            return Some(facts);
        }
        let members: Members<'_> = serde_json::from_slice(body).ok()?;
        Some(Self { id: members.id.map(Cow::into_owned), usage: members.usage.and_then(|raw| read_usage(raw.get().as_bytes())) })
    }
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
    let value = rest[memmem::find(rest, b"\"id\"")? + 4..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let text = value.strip_prefix(b"\"")?;
    let id = std::str::from_utf8(&text[..memchr(b'"', text)?]).ok()?;
    Some(id.to_owned()).filter(|id| !id.contains('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_no_reply() {
        assert_eq!(ReplyFacts::read(b"<html>"), None);
        assert_eq!(ReplyFacts::read(b"[]"), None);
        let nested = br#"{"id":"a","usage":{"prompt_tokens":1,"completion_tokens":2},"x":{"usage":{"prompt_tokens":9}}}"#;
        assert_eq!(ReplyFacts::read(nested).unwrap().usage.unwrap().input_uncached, 1, "the reply's own usage counts");
        let last = br#"{"id":"a","x":"}","usage": {"prompt_tokens":3,"completion_tokens":2}, "tier":"{[" } "#;
        let facts = ReplyFacts::read(last).unwrap();
        assert_eq!((facts.id.as_deref(), facts.usage.unwrap().input_uncached), (Some("a"), 3));
        assert_eq!(ReplyFacts::read(br#"{"id":"a","usage":null}"#), Some(ReplyFacts { id: Some("a".into()), usage: None }));
    }
}
