//! Owns: from the `usageMetadata` of the Gemini dialect to disjoint meters. Its prompt includes what was cached; thoughts and
//! the prompts of tools stand beside prompt and candidates.
//! Refuses to know: prices.

use crate::protocol::usage::{ReadUsage, Rest, absurd};
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reported {
    prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    #[serde(alias = "responseTokenCount")]
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    total_token_count: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Vec<Share>,
    #[serde(default)]
    cache_tokens_details: Vec<Share>,
    #[serde(default)]
    tool_use_prompt_tokens_details: Vec<Share>,
    #[serde(default, alias = "responseTokensDetails")]
    candidates_tokens_details: Vec<Share>,
}

/// The share of one modality.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Share {
    #[serde(default)]
    modality: String,
    #[serde(default)]
    token_count: u64,
}

fn share(shares: &[Share], modality: &str) -> u64 {
    shares.iter().filter(|share| share.modality == modality).fold(0, |sum, share| sum.saturating_add(share.token_count))
}

/// Reads a usage object; `None` if it is none or holds no count at all.
pub fn read_usage(json: &[u8]) -> Option<ReadUsage> {
    let reported: Reported = serde_json::from_slice(json).ok()?;
    // A prompt of nothing is left out, as every zero is; a count that says nothing at all is none.
    reported.prompt_token_count.or(reported.total_token_count)?;
    let prompt = reported.prompt_token_count;
    let (tools, thoughts) = (reported.tool_use_prompt_token_count, reported.thoughts_token_count);
    let (candidates, cached) = (reported.candidates_token_count, reported.cached_content_token_count);
    if absurd(&[prompt, tools, thoughts, candidates, cached, reported.total_token_count]) {
        return None;
    }
    let [prompt, tools, thoughts, candidates, cached] = [prompt, tools, thoughts, candidates, cached].map(|count| count.unwrap_or(0));
    let mut input = Rest::of(prompt + tools);
    let cache_read = input.take(cached);
    // Of each modality the cached part is in the cache's count already.
    let fresh = |modality: &str| {
        let all =
            share(&reported.prompt_tokens_details, modality).saturating_add(share(&reported.tool_use_prompt_tokens_details, modality));
        all.saturating_sub(share(&reported.cache_tokens_details, modality))
    };
    let (audio_in, image_in) = (input.overlay(fresh("AUDIO")), input.overlay(fresh("IMAGE")));
    let (input_uncached, input_fits) = input.end();
    let mut output = Rest::of(candidates);
    let audio_out = output.take(share(&reported.candidates_tokens_details, "AUDIO"));
    let (output_text, output_fits) = output.end();
    let sum = prompt + tools + candidates + thoughts;
    let adds_up = reported.total_token_count.is_none_or(|total| total == sum);
    Some(ReadUsage {
        input_uncached,
        cache_read,
        audio_in,
        image_in,
        output_text,
        output_reasoning: thoughts,
        audio_out,
        consistent: input_fits && output_fits && adds_up,
        ..ReadUsage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_add_up_is_flagged() {
        let read = |text: &str| read_usage(text.as_bytes()).unwrap();
        assert!(!read(r#"{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":16}"#).consistent);
        let cached = read(r#"{"promptTokenCount":10,"cachedContentTokenCount":12,"totalTokenCount":10}"#);
        assert_eq!((cached.cache_read, cached.input_uncached, cached.consistent), (10, 0, false));
    }

    #[test]
    fn nothing_is_not_zero() {
        assert_eq!(read_usage(b"{}"), None);
        assert_eq!(
            read_usage(br#"{"promptTokenCount":0,"totalTokenCount":0}"#),
            Some(ReadUsage { consistent: true, ..ReadUsage::default() })
        );
        assert_eq!(read_usage(br#"{"promptTokenCount":99999999999999999}"#), None);
    }
}
