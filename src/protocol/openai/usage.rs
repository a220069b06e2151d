//! Owns: from a usage object of the OpenAI dialect to disjoint meters, and to what it says that the call cost. The most repeated cost bug of the field is counting
//! cached tokens twice; here every token is in exactly one meter, and the parts add up to the provider's totals.
//! Refuses to know: prices, and what to do with a count that does not add up.

use super::cost::{CostForm, CostMembers, ReportedCost};
use crate::protocol::usage::{ReadUsage, Rest, absurd};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Counts as chat, embeddings, responses, images and transcriptions report them. Absent is not zero.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Reported<'a> {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<InputDetails>,
    completion_tokens_details: Option<OutputDetails>,
    /// Responses, images and transcriptions.
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    #[serde(alias = "input_token_details")]
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
    /// DeepSeek's names for cached tokens and the others.
    prompt_cache_hit_tokens: Option<u64>,
    prompt_cache_miss_tokens: Option<u64>,
    /// Moonshot's and Mistral's names for cached tokens, which they also write into the details, or do not.
    cached_tokens: Option<u64>,
    num_cached_tokens: Option<u64>,
    /// Gemini's models behind servers of this dialect: thoughts, beside the completion.
    reasoning_tokens: Option<u64>,
    /// Transcriptions billed by time.
    #[serde(borrow)]
    seconds: Option<&'a RawValue>,
    /// The same, of Mistral: beside tokens, and in place of those of the audio.
    prompt_audio_seconds: Option<u64>,
    /// OpenRouter.
    server_tool_use: Option<ServerTools>,
    /// xAI.
    server_side_tool_usage_details: Option<ServerTools>,
    /// Perplexity.
    num_search_queries: Option<u64>,
    /// xAI's Live Search, which billed sources and not searches. No meter counts them, so what they cost is never known.
    num_sources_used: Option<u64>,
    // What vendors write in these is read only where the family is one that writes it.
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
    #[serde(borrow)]
    cost_details: Option<&'a RawValue>,
    #[serde(borrow)]
    is_byok: Option<&'a RawValue>,
    #[serde(borrow)]
    cost_in_usd_ticks: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
    audio_tokens: Option<u64>,
    image_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
    audio_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct ServerTools {
    web_search_requests: Option<u64>,
    web_search_calls: Option<u64>,
    x_search_calls: Option<u64>,
}

impl ServerTools {
    fn searches(self) -> u64 {
        [self.web_search_requests, self.web_search_calls, self.x_search_calls].into_iter().flatten().fold(0, u64::saturating_add)
    }
}

/// What a usage object says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// `None`: it holds no count at all.
    pub usage: Option<ReadUsage>,
    /// What the call cost, where its vendor says so in this form.
    pub cost: Option<ReportedCost>,
}

impl UsageReport {
    fn of(reported: &Reported<'_>, cost: Option<CostForm>) -> Self {
        Self { usage: meters(reported), cost: cost.and_then(|form| reported.costs().read(form)) }
    }

    /// It says nothing.
    pub fn is_empty(&self) -> bool {
        self.usage.is_none() && self.cost.is_none()
    }

    /// Some vendors repeat a running count: the last one holds.
    pub fn update(&mut self, newer: Self) {
        *self = Self { usage: newer.usage.or(self.usage), cost: newer.cost.or(self.cost) };
    }
}

impl<'a> Reported<'a> {
    fn costs(&self) -> CostMembers<'a> {
        CostMembers { cost: self.cost, cost_details: self.cost_details, is_byok: self.is_byok, cost_in_usd_ticks: self.cost_in_usd_ticks }
    }
}

/// Reads a usage object, and in it a cost in this form.
pub fn read_usage(json: &[u8], cost: Option<CostForm>) -> UsageReport {
    serde_json::from_slice(json).map_or_else(|_| UsageReport::default(), |reported| UsageReport::of(&reported, cost))
}

/// The same of the object that the text begins with, and where it ends.
pub(super) fn read_leading_usage(json: &[u8], cost: Option<CostForm>) -> Option<(UsageReport, usize)> {
    let mut values = serde_json::Deserializer::from_slice(json).into_iter();
    let report = UsageReport::of(&values.next()?.ok()?, cost);
    Some((report, values.byte_offset()))
}

fn meters(reported: &Reported<'_>) -> Option<ReadUsage> {
    let seconds = reported.seconds.and_then(whole_seconds).or(reported.prompt_audio_seconds);
    let input = reported.prompt_tokens.or(reported.input_tokens).or_else(|| seconds.map(|_| 0))?;
    let output = reported.completion_tokens.or(reported.output_tokens).unwrap_or(0);
    let inputs = reported.prompt_tokens_details.or(reported.input_tokens_details).unwrap_or_default();
    let outputs = reported.completion_tokens_details.or(reported.output_tokens_details).unwrap_or_default();
    let outputs = OutputDetails { reasoning_tokens: outputs.reasoning_tokens.or(reported.reasoning_tokens), ..outputs };
    let searches = reported.server_tool_use.or(reported.server_side_tool_usage_details).map(ServerTools::searches);
    let searches = searches.or(reported.num_search_queries);
    if absurd(&[Some(input), Some(output), reported.total_tokens, outputs.reasoning_tokens, outputs.audio_tokens, seconds, searches]) {
        return None;
    }
    // Audio that is billed by the second is in no token meter, though the total counts its tokens.
    let timed = seconds.unwrap_or(0) > 0;
    let inputs = if timed { InputDetails::default() } else { inputs };
    let (into, fits_in) = read_input(input, inputs, reported);
    let (out, fits_out) = read_output(input, output, outputs, reported.total_tokens.filter(|_| !timed));
    Some(ReadUsage {
        output_text: out.output_text,
        output_reasoning: out.output_reasoning,
        audio_out: out.audio_out,
        seconds: seconds.unwrap_or(0),
        searches: searches.unwrap_or(0),
        consistent: fits_in && fits_out && reported.num_sources_used.is_none_or(|sources| sources == 0),
        ..into
    })
}

fn read_input(input: u64, details: InputDetails, reported: &Reported<'_>) -> (ReadUsage, bool) {
    let mut rest = Rest::of(input);
    let named = [details.cached_tokens, reported.prompt_cache_hit_tokens, reported.cached_tokens, reported.num_cached_tokens];
    let cached = named.into_iter().flatten().next().unwrap_or(0);
    let parts = ReadUsage {
        cache_read: rest.take(cached),
        cache_write: rest.take(details.cache_write_tokens.unwrap_or(0)),
        audio_in: rest.overlay(details.audio_tokens.unwrap_or(0)),
        image_in: rest.overlay(details.image_tokens.unwrap_or(0)),
        ..ReadUsage::default()
    };
    let (input_uncached, fits) = rest.end();
    let halves = (reported.prompt_cache_hit_tokens, reported.prompt_cache_miss_tokens);
    let halves_fit = if let (Some(hit), Some(miss)) = halves { hit.saturating_add(miss) == input } else { true };
    (ReadUsage { input_uncached, ..parts }, fits && halves_fit)
}

fn read_output(input: u64, output: u64, details: OutputDetails, total: Option<u64>) -> (ReadUsage, bool) {
    let reasoning = details.reasoning_tokens.unwrap_or(0);
    // What the total has and neither side names. xAI reports reasoning beside the completion, everyone else inside it.
    let beside = total.map_or(0, |total| total.saturating_sub(input.saturating_add(output)));
    let outside = (beside > 0 && reasoning == beside) || (total.is_none() && reasoning > output);
    // Tokens that only the total knows are output that was not shown: taken as reasoning, and not believed.
    let reasoning = if outside || beside == 0 { reasoning } else { reasoning.saturating_add(beside) };
    let all = if outside { output.saturating_add(reasoning) } else { output.saturating_add(beside) };
    let adds_up = total.is_none_or(|total| total == input.saturating_add(all)) && (outside || beside == 0);
    let mut rest = Rest::of(all);
    let parts = ReadUsage {
        output_reasoning: rest.take(reasoning),
        audio_out: rest.take(details.audio_tokens.unwrap_or(0)),
        ..ReadUsage::default()
    };
    let (output_text, fits) = rest.end();
    (ReadUsage { output_text, ..parts }, fits && adds_up)
}

/// Seconds as a decimal number, begun ones counted.
fn whole_seconds(raw: &RawValue) -> Option<u64> {
    Decimal::from_str_exact(raw.get()).ok().filter(|seconds| !seconds.is_sign_negative()).and_then(|seconds| seconds.ceil().to_u64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> ReadUsage {
        read_usage(text.as_bytes(), None).usage.unwrap()
    }

    #[test]
    fn explicit_zero_is_a_count_and_nothing_is_not() {
        assert_eq!(read(r#"{"prompt_tokens":0,"completion_tokens":0}"#), ReadUsage { consistent: true, ..ReadUsage::default() });
        for nothing in
            ["{}", "null", r#"{"prompt_tokens":99999999999999999}"#, r#"{"total_tokens":5}"#, r#"{"type":"duration","seconds":-1}"#]
        {
            assert_eq!(read_usage(nothing.as_bytes(), None), UsageReport::default(), "{nothing}");
        }
    }

    #[test]
    fn what_does_not_add_up_is_flagged_and_never_negative() {
        let cached = read(r#"{"prompt_tokens":10,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":15}}"#);
        assert!(!cached.consistent && cached.cache_read == 10 && cached.input_uncached == 0);
        let less = read(r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":12}"#);
        assert!(!less.consistent && less.output_text == 5);
        let halves = read(r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":4}"#);
        assert!(!halves.consistent && (halves.cache_read, halves.input_uncached) == (4, 6));
        let audio =
            read(r#"{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":4}}"#);
        assert!(!audio.consistent && (audio.output_reasoning, audio.audio_out, audio.output_text) == (3, 2, 0));
    }

    #[test]
    fn tokens_that_only_the_total_knows_are_counted_and_not_believed() {
        let hidden = read(r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115}"#);
        assert_eq!((hidden.output_text, hidden.output_reasoning, hidden.consistent), (5, 100, false));
    }

    #[test]
    fn cached_audio_is_cached() {
        let usage = read(r#"{"prompt_tokens":80,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":40,"audio_tokens":60}}"#);
        assert_eq!((usage.cache_read, usage.audio_in, usage.input_uncached, usage.consistent), (40, 40, 0, true));
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_totals(prompt in 0..1_000_000_u64, completion in 0..1_000_000_u64, cached in 0..2_000_000_u64, audio in 0..2_000_000_u64, reasoning in 0..2_000_000_u64, beside in 0..9_u64) {
            let total = prompt + completion + beside;
            let text = format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":{audio}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#);
            let usage = read(&text);
            prop_assert_eq!(usage.input_uncached + usage.cache_read + usage.cache_write + usage.audio_in + usage.image_in, prompt);
            prop_assert_eq!(usage.output_text + usage.output_reasoning + usage.audio_out, completion + beside);
        }

        #[test]
        fn no_usage_makes_it_panic(counts in proptest::array::uniform6(any::<u64>())) {
            let [a, b, c, d, e, f] = counts;
            let _ = read_usage(format!(r#"{{"prompt_tokens":{a},"completion_tokens":{b},"total_tokens":{c},"prompt_tokens_details":{{"cached_tokens":{d},"image_tokens":{e}}},"completion_tokens_details":{{"reasoning_tokens":{f}}}}}"#).as_bytes(), None);
        }
    }
}
