//! Owns: when two names mean one model: `us.anthropic.claude-sonnet-4-5-20250929-v1:0`, `anthropic/claude-sonnet-4.5` and
//! `Claude Sonnet 4.5` do. Snapshots of one model are one: an alias is billed under the snapshot behind it.
//! Refuses to know: catalogs. A name that these rules do not bring together is a question for a person (`model_map`), not a guess.

/// Regions and vendors that stand before a model's id, with a dot between.
const PREFIXES: &[&str] = &[
    "us",
    "eu",
    "apac",
    "global",
    "us-gov",
    "au",
    "jp",
    "ca",
    "anthropic",
    "amazon",
    "meta",
    "mistral",
    "cohere",
    "ai21",
    "openai",
    "deepseek",
    "qwen",
    "stability",
    "writer",
    "twelvelabs",
    "luma",
    "minimax",
    "moonshot",
    "moonshotai",
    "google",
    "nvidia",
    "zai",
];

/// The part of a name that is the model's own.
fn own(name: &str) -> &str {
    let name = name.trim();
    let mut own = name.rsplit_once('/').map_or(name, |(_, last)| last);
    while let Some((front, rest)) = own.split_once('.') {
        if !PREFIXES.iter().any(|prefix| front.eq_ignore_ascii_case(prefix)) {
            break;
        }
        own = rest;
    }
    // Bedrock's version of an id: `-v1:0`.
    if let Some((front, version)) = own.rsplit_once(':')
        && is_number(version)
    {
        own = front.rsplit_once("-v").filter(|(_, number)| is_number(number)).map_or(front, |(model, _)| model);
    }
    // Vertex's snapshot of an id: `@20250929`.
    own = own.split_once('@').map_or(own, |(model, _)| model);
    own = own.strip_suffix("-latest").unwrap_or(own);
    undated(own).unwrap_or(own)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without `-2024-07-18`, `-20250805`, `-0125` (month and day) or `-2407` (year and month).
fn undated(name: &str) -> Option<&str> {
    let (front, last) = name.rsplit_once('-')?;
    if !is_number(last) {
        return None;
    }
    let two = |at: usize| last.get(at..at + 2).and_then(|text| text.parse::<u8>().ok());
    let (month, day) = ((1..=12), (1..=31));
    match last.len() {
        8 => (last.starts_with("20") && month.contains(&two(4)?) && day.contains(&two(6)?)).then_some(front),
        4 => {
            let (first, second) = (two(0)?, two(2)?);
            let is_date = (month.contains(&first) && day.contains(&second)) || ((20..40).contains(&first) && month.contains(&second));
            is_date.then_some(front)
        }
        2 => {
            let (year_front, middle) = front.rsplit_once('-')?;
            let (model, year) = year_front.rsplit_once('-')?;
            let is_date = is_number(middle) && middle.len() == 2 && is_number(year) && year.len() == 4 && year.starts_with("20");
            is_date.then_some(model)
        }
        _ => None,
    }
}

/// The words of a name in order of the alphabet, because vendors and resellers put them in different orders. Numbers are words;
/// a letter behind a number belongs to it (`4o`, `70b`), unless it begins a word of its own (`Claude4.6Sonnet`).
pub(super) fn model_key(name: &str) -> String {
    let letters: Vec<char> = own(name).chars().collect();
    let mut words: Vec<String> = vec![String::new()];
    for (at, letter) in letters.iter().copied().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at)).copied().unwrap_or(' ');
        let begins_word = letter.is_ascii_uppercase() && letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        let breaks = (before.is_alphabetic() && letter.is_ascii_digit())
            || (before.is_ascii_digit() && begins_word)
            || (before.is_lowercase() && letter.is_uppercase());
        if !letter.is_alphanumeric() || breaks {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    // Numbers in a row are one: 3.5 is not 5.3.
    let mut joined: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut().filter(|last| is_version(last) && is_number(&word)) {
            Some(last) => *last = format!("{last}.{word}"),
            None => joined.push(word),
        }
    }
    joined.sort_unstable();
    joined.join("-")
}

fn is_version(text: &str) -> bool {
    text.split('.').all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same_model(theirs: &str, ours: &str) -> bool {
        model_key(theirs) == model_key(ours)
    }

    #[test]
    fn one_model_under_its_names() {
        for (theirs, ours) in [
            ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
            ("GPT-4o mini", "gpt-4o-mini"),
            ("gpt-4-0613", "gpt-4"),
            ("mistral-large-2407", "mistral-large-latest"),
            ("claude-sonnet-4-20250514", "claude-sonnet-4@20250514"),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic/claude-sonnet-4.5"),
            ("Claude Sonnet 4.5", "claude-sonnet-4-5"),
            ("Claude4.6Sonnet", "claude-sonnet-4-6"),
            ("anthropic/claude-4.8-opus-20260528", "anthropic/claude-opus-4.8"),
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
            ("NovaPro", "us.amazon.nova-pro-v1:0"),
            ("Llama3-70B", "meta/llama3-70b"),
            ("openai/gpt-4.1-2025-04-14", "gpt-4.1"),
            ("text-embedding-3-small", "text-embedding-3-small"),
            ("deepseek/deepseek-chat:free", "deepseek/deepseek-chat:free"),
        ] {
            assert!(same_model(theirs, ours), "{theirs} {ours}: {} {}", model_key(theirs), model_key(ours));
        }
    }

    #[test]
    fn different_models_stay_apart() {
        for (theirs, ours) in [
            ("gpt-4o", "gpt-4o-mini"),
            ("gpt-4o", "gpt-4"),
            ("o4-mini", "gpt-4o-mini"),
            ("claude-sonnet-4-5", "claude-opus-4-5"),
            ("deepseek-v3", "deepseek-v2"),
            ("deepseek/deepseek-chat:free", "deepseek/deepseek-chat"),
            ("gpt-3.5-0301", "gpt-5.3"),
            ("llama-3.1-8b", "llama-3.8-1b"),
            ("llama-3.1-8b", "llama-3.1-70b"),
            ("qwen2.5-72b", "qwen3-72b"),
            ("Nova2.0Lite", "amazon.nova-pro-v1:0"),
            ("text-embedding-3-small", "text-embedding-3-large"),
        ] {
            assert!(!same_model(theirs, ours), "{theirs} {ours}");
        }
    }

    #[test]
    fn any_text_has_a_key() {
        for name in ["", "/", "-", "@", ":0", "é-2", "-0125", "🦀", "a.b.c.d"] {
            let _ = model_key(name);
        }
    }
}
