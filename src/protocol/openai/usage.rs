//! Owns: from a provider's usage object to disjoint meters. The most repeated cost bug of the field is counting cached
//! tokens twice; here every token is in exactly one meter, and the parts add up to the provider's totals.

use serde::Deserialize;

/// Counts as the OpenAI dialect reports them. Absent is not zero.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
struct Reported {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    audio_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
    audio_tokens: Option<u64>,
}

/// A provider's count, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadUsage {
    pub input_uncached: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub audio_in: u64,
    pub output_text: u64,
    pub output_reasoning: u64,
    pub audio_out: u64,
    /// The parts fit the totals. If not, the count is taken as far as it goes and the order stays provisional.
    pub consistent: bool,
}

/// More tokens than this are a mistake of the provider, not a count.
const MAX_TOKENS: u64 = 1 << 40;

/// Reads a usage object; `None` if it is none or holds no count at all.
pub fn read_usage(json: &[u8]) -> Option<ReadUsage> {
    let reported: Reported = serde_json::from_slice(json).ok()?;
    let prompt = reported.prompt_tokens?;
    let completion = reported.completion_tokens.unwrap_or(0);
    let inputs = reported.prompt_tokens_details.unwrap_or_default();
    let outputs = reported.completion_tokens_details.unwrap_or_default();
    let (reasoning, audio_out) = (outputs.reasoning_tokens.unwrap_or(0), outputs.audio_tokens.unwrap_or(0));
    if [prompt, completion, reasoning, audio_out].iter().any(|count| *count > MAX_TOKENS) {
        return None;
    }
    let mut consistent = true;
    let mut take = |rest: &mut u64, wanted: u64| {
        consistent &= wanted <= *rest;
        let taken = wanted.min(*rest);
        *rest -= taken;
        taken
    };
    let mut input = prompt;
    let cache_read = take(&mut input, inputs.cached_tokens.or(reported.prompt_cache_hit_tokens).unwrap_or(0));
    let cache_write = take(&mut input, inputs.cache_write_tokens.unwrap_or(0));
    let audio_in = take(&mut input, inputs.audio_tokens.unwrap_or(0));
    // xAI reports reasoning beside the completion, everyone else inside it; the total tells which.
    let beside = reasoning > 0 && reported.total_tokens == Some(prompt + completion + reasoning);
    let mut output = if beside { completion + reasoning } else { completion };
    let output_reasoning = take(&mut output, reasoning);
    let audio_out = take(&mut output, audio_out);
    Some(ReadUsage {
        input_uncached: input,
        cache_read,
        cache_write,
        audio_in,
        output_text: output,
        output_reasoning,
        audio_out,
        consistent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> ReadUsage {
        read_usage(text.as_bytes()).unwrap()
    }

    #[test]
    fn recorded_reasoning_reply() {
        let usage = read(
            r#"{"prompt_tokens":13,"completion_tokens":85,"total_tokens":98,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":64,"audio_tokens":0}}"#,
        );
        assert_eq!((usage.input_uncached, usage.output_text, usage.output_reasoning, usage.consistent), (13, 21, 64, true));
    }

    #[test]
    fn cached_tokens_are_counted_once() {
        let usage = read(r#"{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":40}}"#);
        assert_eq!((usage.input_uncached, usage.cache_read), (60, 40));
        let deepseek = read(r#"{"prompt_tokens":100,"completion_tokens":20,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}"#);
        assert_eq!((deepseek.input_uncached, deepseek.cache_read), (36, 64));
    }

    #[test]
    fn reasoning_beside_the_completion() {
        let usage =
            read(r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":45,"completion_tokens_details":{"reasoning_tokens":30}}"#);
        assert_eq!((usage.output_text, usage.output_reasoning, usage.consistent), (5, 30, true));
    }

    #[test]
    fn explicit_zero_is_a_count_and_nothing_is_not() {
        assert_eq!(read(r#"{"prompt_tokens":0,"completion_tokens":0}"#), ReadUsage { consistent: true, ..ReadUsage::default() });
        assert_eq!(read_usage(b"{}"), None);
        assert_eq!(read_usage(b"null"), None);
        assert_eq!(read_usage(br#"{"prompt_tokens":99999999999999999}"#), None);
    }

    #[test]
    fn parts_beyond_the_total_are_flagged() {
        let usage = read(r#"{"prompt_tokens":10,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":15}}"#);
        assert!(!usage.consistent && usage.cache_read == 10 && usage.input_uncached == 0);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_totals(prompt in 0..1_000_000_u64, completion in 0..1_000_000_u64, cached in 0..2_000_000_u64, audio in 0..2_000_000_u64, reasoning in 0..2_000_000_u64) {
            let text = format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":{audio}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#);
            let usage = read(&text);
            prop_assert_eq!(usage.input_uncached + usage.cache_read + usage.cache_write + usage.audio_in, prompt);
            prop_assert_eq!(usage.output_text + usage.output_reasoning + usage.audio_out, completion);
        }
    }
}
