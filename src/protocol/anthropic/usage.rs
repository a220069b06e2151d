//! Owns: from a usage object of the Anthropic dialect to disjoint meters. Its `input_tokens` are those that no cache was read
//! or written for; the others stand beside them.
//! Refuses to know: prices, and how the counts of a stream's events are put together.

use crate::protocol::usage::{ReadUsage, Rest, absurd};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Reported {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
    server_tool_use: Option<ServerTools>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct ServerTools {
    web_search_requests: Option<u64>,
}

/// Reads a usage object; `None` if it is none or holds no count of input.
pub fn read_usage(json: &[u8]) -> Option<ReadUsage> {
    let reported: Reported = serde_json::from_slice(json).ok()?;
    let input = reported.input_tokens?;
    let split = reported.cache_creation.unwrap_or_default();
    let thinking = reported.output_tokens_details.and_then(|details| details.thinking_tokens);
    let searches = reported.server_tool_use.and_then(|tools| tools.web_search_requests);
    let (short, long) = (split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens);
    let counts = [Some(input), reported.cache_read_input_tokens, reported.cache_creation_input_tokens, reported.output_tokens];
    if absurd(&counts) || absurd(&[thinking, searches, short, long]) {
        return None;
    }
    let parts = short.unwrap_or(0) + long.unwrap_or(0);
    let written = reported.cache_creation_input_tokens.unwrap_or(parts);
    // Without the split all of it was written for five minutes, which is the default.
    let split_fits = (short.is_none() && long.is_none()) || parts == written;
    let mut writes = Rest::of(written);
    let cache_write_1h = writes.take(long.unwrap_or(0));
    let (cache_write, writes_fit) = writes.end();
    let mut output = Rest::of(reported.output_tokens.unwrap_or(0));
    let output_reasoning = output.take(thinking.unwrap_or(0));
    let (output_text, output_fits) = output.end();
    Some(ReadUsage {
        input_uncached: input,
        cache_read: reported.cache_read_input_tokens.unwrap_or(0),
        cache_write,
        cache_write_1h,
        output_text,
        output_reasoning,
        searches: searches.unwrap_or(0),
        consistent: split_fits && writes_fit && output_fits,
        ..ReadUsage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_of_cache_writes() {
        let read = |text: &str| read_usage(text.as_bytes()).unwrap();
        let only_total = read(r#"{"input_tokens":1,"cache_creation_input_tokens":9,"output_tokens":2}"#);
        assert_eq!((only_total.cache_write, only_total.cache_write_1h, only_total.consistent), (9, 0, true));
        let only_split = read(r#"{"input_tokens":10,"cache_creation":{"ephemeral_5m_input_tokens":7,"ephemeral_1h_input_tokens":3}}"#);
        assert_eq!((only_split.cache_write, only_split.cache_write_1h, only_split.consistent), (7, 3, true));
        let wrong = read(r#"{"input_tokens":1,"cache_creation_input_tokens":4,"cache_creation":{"ephemeral_1h_input_tokens":9}}"#);
        assert_eq!((wrong.cache_write, wrong.cache_write_1h, wrong.consistent), (0, 4, false));
    }

    #[test]
    fn nothing_is_not_zero() {
        assert_eq!(read_usage(br#"{"output_tokens":5}"#), None);
        assert_eq!(read_usage(br#"{"input_tokens":0,"output_tokens":0}"#), Some(ReadUsage { consistent: true, ..ReadUsage::default() }));
        assert_eq!(read_usage(br#"{"input_tokens":1,"cache_read_input_tokens":99999999999999999}"#), None);
    }
}
