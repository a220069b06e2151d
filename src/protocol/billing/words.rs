//! Owns: which counter a provider's words mean: `cached input`, `USE1-NovaPro-cache-read-input-token-count`, `output_tokens`.

use super::Counter;

/// All parts of a row must occur in the text (lower case, without `-`, `_`, `.`, blanks); the first row that fits wins, so the
/// narrower ones stand first.
const WORDS: &[(&[&str], Counter)] = &[
    (&["cachewrite1h"], Counter::CacheWrite1h),
    (&["ephemeral1h"], Counter::CacheWrite1h),
    (&["cachewrite", "1h"], Counter::CacheWrite1h),
    (&["cachewrite"], Counter::CacheWrite),
    (&["cachecreation"], Counter::CacheWrite),
    (&["cacheread"], Counter::CacheRead),
    (&["uncachedinput"], Counter::InputUncached),
    (&["cachedinput"], Counter::CacheRead),
    (&["inputcached"], Counter::CacheRead),
    (&["cachehit"], Counter::CacheRead),
    (&["cached"], Counter::CacheRead),
    (&["audio", "input"], Counter::AudioIn),
    (&["audio", "output"], Counter::AudioOut),
    (&["image", "inputtoken"], Counter::ImageIn),
    (&["imageinput"], Counter::ImageIn),
    (&["reasoning"], Counter::OutputReasoning),
    (&["inputtoken"], Counter::InputUncached),
    (&["prompttoken"], Counter::InputUncached),
    (&["outputtoken"], Counter::OutputText),
    (&["responsetoken"], Counter::OutputText),
    (&["completiontoken"], Counter::OutputText),
];

/// Words that are the whole text.
const WHOLE: &[(&str, Counter)] = &[("input", Counter::InputUncached), ("output", Counter::OutputText)];

fn bare(text: &str) -> String {
    text.chars().filter(|c| !"-_. ".contains(*c)).map(|c| c.to_ascii_lowercase()).collect()
}

/// What a line's text says is counted or charged; `None` if it does not say.
pub(super) fn counter(text: &str) -> Option<Counter> {
    let text = bare(text);
    let whole = WHOLE.iter().find(|(word, _)| *word == text).map(|(_, counter)| *counter);
    whole.or_else(|| WORDS.iter().find(|(words, _)| words.iter().all(|word| text.contains(word))).map(|(_, counter)| *counter))
}

/// The power of ten of a unit such as `1K tokens`, `Tokens`, `1M Tokens`, `Million Input Tokens`; `None` if it does not say.
pub(super) fn token_unit(unit: &str) -> Option<i32> {
    let unit = unit.to_ascii_lowercase();
    let word = |wanted: &str| unit.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == wanted);
    if !unit.contains("token") {
        return None;
    }
    if word("1m") || word("million") || word("1000000") || word("m") {
        return Some(6);
    }
    if word("1k") || word("thousand") || word("1000") || word("k") {
        return Some(3);
    }
    (unit.trim().starts_with("token") || word("1")).then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_provider() {
        for (text, means) in [
            ("input", Counter::InputUncached),
            ("cached input", Counter::CacheRead),
            ("output", Counter::OutputText),
            ("audio input", Counter::AudioIn),
            ("uncached_input_tokens", Counter::InputUncached),
            ("cache_read_input_tokens", Counter::CacheRead),
            ("cache_creation.ephemeral_1h_input_tokens", Counter::CacheWrite1h),
            ("cache_creation.ephemeral_5m_input_tokens", Counter::CacheWrite),
            ("USE1-Claude4.6Sonnet-input-tokens", Counter::InputUncached),
            ("USE1-NovaPro-cache-write-input-token-count", Counter::CacheWrite),
            ("USE1-MP:USE1_CacheReadInputTokenCount_Global-Units", Counter::CacheRead),
            ("USE1-MP:USE1_OutputTokenCount-Units", Counter::OutputText),
        ] {
            assert_eq!(counter(text), Some(means), "{text}");
        }
        assert_eq!(counter("web search tool calls"), None);
        assert_eq!(counter("EU-ModelUnits"), None);
    }

    #[test]
    fn units_say_how_many() {
        let units = [
            "1K tokens",
            "Tokens",
            "1M Tokens",
            "tokens (1K)",
            "AWS Marketplace software usage|us-west-2|Million Input Tokens",
            "Units",
            "Hours",
        ];
        assert_eq!(units.map(token_unit), [Some(3), Some(0), Some(6), Some(3), Some(6), None, None]);
    }
}
