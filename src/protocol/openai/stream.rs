//! Owns: what the gateway reads of a chat stream in passing: usage, end marks, how much was delivered. Events go on as the
//! provider's bytes; only a usage chunk that the gateway itself asked for is taken out.

use super::cost::CostForm;
use super::reply::text;
use super::usage::{UsageReport, read_usage};
use crate::protocol::sse;
use bytes::{Bytes, BytesMut};
use memchr::memchr;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::LazyLock;

/// How a stream had ended when its bytes ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// With `[DONE]`, or at least with a finish reason.
    Complete,
    /// The provider reported an error in the stream.
    ErrorEvent,
    /// In the middle.
    Cut,
}

/// Reads a stream event by event.
#[derive(Debug)]
pub struct StreamScan {
    splitter: sse::Splitter,
    /// Take out the usage chunk: the caller did not ask for it.
    hide_usage: bool,
    /// How the provider tells costs, if it does.
    cost: Option<CostForm>,
    pub id: Option<String>,
    /// What its usage chunks say.
    pub report: UsageReport,
    /// The class of service, as the first event or the one with the usage names it.
    pub service_tier: Option<Box<str>>,
    /// Tokens delivered, estimated: for each event with content its bytes / 4, at least one.
    pub delivered_tokens: u64,
    done: bool,
    finished: bool,
    errored: bool,
    garbled: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text")]
    service_tier: Option<Cow<'a, str>>,
}

impl StreamScan {
    pub fn new(hide_usage: bool, cost: Option<CostForm>) -> Self {
        Self {
            splitter: sse::Splitter::default(),
            hide_usage,
            cost,
            id: None,
            report: UsageReport::default(),
            service_tier: None,
            delivered_tokens: 0,
            done: false,
            finished: false,
            errored: false,
            garbled: false,
        }
    }

    /// What of this piece goes on to the caller now. `None`: this is no event stream any more (one event is too large).
    pub fn pass(&mut self, piece: Bytes) -> Option<Bytes> {
        let whole = self.splitter.push(piece)?;
        if whole.is_empty() {
            return Some(whole);
        }
        let hidden = self.scan(&whole);
        if !hidden {
            return Some(whole);
        }
        let mut kept = BytesMut::with_capacity(whole.len());
        for event in sse::events(&whole).filter(|event| !self.is_hidden(event)) {
            kept.extend_from_slice(&event);
        }
        Some(kept.freeze())
    }

    /// The provider reported an error in the stream.
    pub fn errored(&self) -> bool {
        self.errored
    }

    /// The first event was not JSON: whatever this is, it is not the dialect.
    pub fn garbled(&self) -> bool {
        self.garbled
    }

    /// The end mark has come.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The bytes have run out: how the stream stands, and what of its last ones still goes on to the caller. Some providers
    /// leave out the blank line behind the last event; what is whole counts, an event that breaks off in the middle does not.
    pub fn finish(&mut self) -> (StreamEnd, Bytes) {
        let rest = self.splitter.rest();
        let is_blank = rest.iter().all(u8::is_ascii_whitespace);
        let is_whole = is_blank || sse::data(&rest).is_some_and(|data| data == b"[DONE]" || is_object(data));
        let hidden = is_whole && self.scan(&rest) && self.is_hidden(&rest);
        let end = if self.errored {
            StreamEnd::ErrorEvent
        } else if self.done || (self.finished && is_whole) {
            StreamEnd::Complete
        } else {
            StreamEnd::Cut
        };
        (end, if is_whole && !hidden { rest } else { Bytes::new() })
    }

    /// Reads the events; true if one of them must be taken out.
    fn scan(&mut self, whole: &Bytes) -> bool {
        let mut hidden = false;
        for event in sse::events(whole) {
            let Some(data) = sse::data(&event) else { continue };
            if data == b"[DONE]" {
                self.done = true;
                continue;
            }
            if self.id.is_none() {
                self.first(data);
            }
            self.measure(data);
            if usage_object(data) {
                hidden |= self.take_usage(data);
            }
        }
        hidden
    }

    fn first(&mut self, data: &[u8]) {
        let chunk = serde_json::from_slice::<Chunk<'_>>(data);
        self.garbled = chunk.is_err();
        let (id, tier) = chunk.map(|chunk| (chunk.id, chunk.service_tier)).unwrap_or_default();
        self.id = Some(id.map(Cow::into_owned).unwrap_or_default());
        self.service_tier = tier.map(Into::into);
    }

    /// Without a parse: what the event delivers, whether it ends the choice, whether it is an error.
    fn measure(&mut self, data: &[u8]) {
        if data.starts_with(b"{\"error\"") || data.starts_with(b"{ \"error\"") {
            self.errored = true;
            return;
        }
        let content = content_bytes(data);
        if content > 0 {
            self.delivered_tokens += content.div_ceil(4);
        } else if TOOL_CALLS.find(data).is_some() {
            self.delivered_tokens += 1;
        }
        if !self.finished && value_of(data, &FINISH_REASON).is_some_and(|value| value.first() == Some(&b'"')) {
            self.finished = true;
        }
    }

    fn take_usage(&mut self, data: &[u8]) -> bool {
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else { return false };
        let read = chunk.usage.map_or_else(UsageReport::default, |raw| read_usage(raw.get().as_bytes(), self.cost));
        self.report.update(read);
        if let Some(tier) = chunk.service_tier {
            self.service_tier = Some(tier.into());
        }
        self.hide_usage && !read.is_empty() && is_empty_list(chunk.choices)
    }

    fn is_hidden(&self, event: &[u8]) -> bool {
        let Some(data) = sse::data(event).filter(|data| usage_object(data)) else { return false };
        self.hide_usage && serde_json::from_slice::<Chunk<'_>>(data).is_ok_and(|chunk| is_empty_list(chunk.choices))
    }
}

fn is_empty_list(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| raw.get().bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"[]"))
}

fn is_object(data: &[u8]) -> bool {
    data.first() == Some(&b'{') && serde_json::from_slice::<&RawValue>(data).is_ok()
}

/// Searchers are made once: making one costs more than searching an event with it.
static CONTENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"content\""));
static FINISH_REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"finish_reason\""));
static TOOL_CALLS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"tool_calls\""));
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));

/// What stands behind `"name":`, blanks skipped.
fn value_of<'a>(data: &'a [u8], name: &Finder<'_>) -> Option<&'a [u8]> {
    let after = data[name.find(data)? + name.needle().len()..].trim_ascii_start();
    Some(after.strip_prefix(b":")?.trim_ascii_start())
}

fn usage_object(data: &[u8]) -> bool {
    value_of(data, &USAGE).is_some_and(|value| value.first() == Some(&b'{'))
}

/// Bytes of the first text in the event, `content` or `reasoning_content`, still escaped.
fn content_bytes(data: &[u8]) -> u64 {
    let Some(text) = value_of(data, &CONTENT).and_then(|value| value.strip_prefix(b"\"")) else { return 0 };
    let mut at = 0;
    while let Some(quote) = memchr(b'"', &text[at..]) {
        at += quote;
        let backslashes = text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return at as u64;
        }
        at += 1;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "data: {\"id\":\"c1\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n";
    const TEXT: &str =
        "data: {\"id\":\"c1\",\"choices\":[{\"delta\":{\"content\":\"Hello \\\"you\\\"\"},\"finish_reason\":null}],\"usage\":null}\n\n";
    const STOP: &str = "data: {\"id\":\"c1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";
    const USAGE: &str = "data: {\"id\":\"c1\",\"choices\": [ ],\"usage\": {\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    fn run(hide: bool, text: &str, step: usize) -> (String, StreamScan) {
        let mut scan = StreamScan::new(hide, Some(CostForm::Credits));
        let mut out = String::new();
        for piece in text.as_bytes().chunks(step) {
            out.push_str(std::str::from_utf8(&scan.pass(Bytes::copy_from_slice(piece)).unwrap()).unwrap());
        }
        (out, scan)
    }

    #[test]
    fn hides_only_the_usage_chunk_it_asked_for_however_it_is_cut() {
        let all = [ROLE, TEXT, STOP, USAGE, DONE].concat();
        for step in [1, 7, 64, 10_000] {
            let (out, mut scan) = run(true, &all, step);
            assert_eq!(out, [ROLE, TEXT, STOP, DONE].concat());
            assert_eq!(scan.report.usage.map(|usage| (usage.input_uncached, usage.output_text)), Some((3, 2)));
            assert_eq!((scan.finish(), scan.id.as_deref()), ((StreamEnd::Complete, Bytes::new()), Some("c1")));
            assert_eq!(run(false, &all, step).0, all);
        }
    }

    #[test]
    fn tells_complete_from_cut_from_error() {
        let end = |events: &[&str]| run(true, &events.concat(), 50).1.finish().0;
        assert_eq!(end(&[ROLE, TEXT]), StreamEnd::Cut);
        assert_eq!(end(&[ROLE, TEXT, STOP]), StreamEnd::Complete);
        assert_eq!(end(&[ROLE, "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"]), StreamEnd::ErrorEvent);
        assert_eq!(end(&[ROLE, TEXT, "data: {\"id\":\"c1\",\"cho"]), StreamEnd::Cut);
        assert_eq!(end(&[ROLE, TEXT, STOP, "data: {\"id\":\"c1\",\"cho"]), StreamEnd::Cut);
    }

    #[test]
    fn a_last_event_without_its_blank_line_counts_and_goes_on() {
        for last in ["data: [DONE]\n", "data: [DONE]"] {
            let (_, mut scan) = run(true, &[ROLE, TEXT, STOP, last].concat(), 50);
            assert_eq!(scan.finish(), (StreamEnd::Complete, Bytes::from_static(last.as_bytes())));
        }
        let (_, mut scan) = run(true, &[ROLE, TEXT, STOP, USAGE.trim_end()].concat(), 50);
        assert_eq!(scan.finish(), (StreamEnd::Complete, Bytes::new()), "the usage was asked for by the gateway");
        assert!(scan.report.usage.is_some());
        let (_, mut scan) = run(true, &[ROLE, TEXT.trim_end()].concat(), 50);
        assert_eq!(scan.finish(), (StreamEnd::Cut, Bytes::from_static(TEXT.trim_end().as_bytes())));
    }

    #[test]
    fn tells_garbage_from_a_first_event() {
        assert!(run(true, "data: <html>\n\n", 50).1.garbled());
        assert!(![ROLE, "data: {}\n\n", ": note\n\n"].iter().any(|event| run(true, event, 500).1.garbled()));
    }

    #[test]
    fn the_last_word_on_the_tier_counts() {
        let first = ROLE.replacen("\"id\"", "\"service_tier\":\"auto\",\"id\"", 1);
        assert_eq!(run(true, &first, 500).1.service_tier.as_deref(), Some("auto"));
        let last = USAGE.replacen("\"id\"", "\"service_tier\":\"default\",\"id\"", 1);
        assert_eq!(run(true, &[&first, TEXT, &last].concat(), 500).1.service_tier.as_deref(), Some("default"));
        assert_eq!(run(true, &[&first, TEXT, USAGE].concat(), 500).1.service_tier.as_deref(), Some("auto"));
    }

    #[test]
    fn measures_what_was_delivered() {
        assert_eq!(run(true, ROLE, 500).1.delivered_tokens, 0);
        assert_eq!(run(true, TEXT, 500).1.delivered_tokens, 4);
    }
}
