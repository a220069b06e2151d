//! Owns: what the gateway must know of a whole reply. The reply itself goes to the caller as the provider's bytes.

use super::usage::{ReadUsage, read_usage};
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
    /// `None`: not a JSON object, so not a reply of this dialect.
    pub fn read(body: &[u8]) -> Option<Self> {
        body.trim_ascii_start().first().filter(|byte| **byte == b'{')?;
        let members: Members<'_> = serde_json::from_slice(body).ok()?;
        Some(Self { id: members.id.map(Cow::into_owned), usage: members.usage.and_then(|raw| read_usage(raw.get().as_bytes())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_no_reply() {
        assert_eq!(ReplyFacts::read(b"<html>"), None);
        assert_eq!(ReplyFacts::read(b"[]"), None);
        assert_eq!(ReplyFacts::read(br#"{"id":"a","usage":null}"#), Some(ReplyFacts { id: Some("a".into()), usage: None }));
    }
}
