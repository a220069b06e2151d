//! Owns: the twin's words: how text falls into tokens, what the twin says, and repeatable pseudo-random numbers and ids.
//! Refuses to know: JSON and HTTP.

use std::iter;

/// The longest token, in characters.
const PIECE_CHARS: usize = 12;
/// How much of a question the twin repeats.
const QUOTED_WORDS: usize = 12;
const QUOTED_CHARS: usize = 120;

const SENTENCES: [&str; 4] = [
    "This answer comes from a provider twin on your own machine, so it costs nothing and never changes.",
    "A twin has no opinion on that, but it streams, counts tokens and fails on request like the real thing.",
    "Point the same client at a real provider and only the base URL and the key have to change.",
    "Ask again in the same words and you will read the same words, which is what makes a twin useful in tests.",
];

/// Text in tokens: a word with the blanks before it, cut at [`PIECE_CHARS`]. Joined, they are the text again.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut in_word = false;
        let mut end = rest.len();
        for (count, (at, c)) in rest.char_indices().enumerate() {
            if count == PIECE_CHARS || (in_word && c.is_whitespace()) {
                end = at;
                break;
            }
            in_word = in_word || !c.is_whitespace();
        }
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(piece)
    })
}

pub(super) fn token_count(text: &str) -> u64 {
    pieces(text).map(|_| 1).sum()
}

/// What the twin answers to `question`; choices of one reply differ by `variant`.
pub(super) fn answer(lead: &str, question: &str, variant: u64) -> String {
    let sentence = SENTENCES[usize::try_from((fingerprint(question.as_bytes()).wrapping_add(variant)) % 4).unwrap_or(0)];
    let quoted = quote(question);
    if quoted.is_empty() { sentence.to_owned() } else { format!("{lead} \"{quoted}\". {sentence}") }
}

fn quote(question: &str) -> String {
    let mut words = question.split_whitespace();
    let mut quoted = words.by_ref().take(QUOTED_WORDS).collect::<Vec<_>>().join(" ");
    let longer = words.next().is_some();
    if let Some((at, _)) = quoted.char_indices().nth(QUOTED_CHARS) {
        quoted.truncate(at);
        quoted.push('…');
    } else if longer {
        quoted.push('…');
    }
    quoted
}

/// FNV-1a: repeatable on every machine, which the standard hasher does not promise.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The `SplitMix64` generator.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in [-1, 1).
    pub(super) fn signed_unit(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.roll() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// An id as providers write them: a prefix and letters and digits.
pub(super) fn id(prefix: &str, seed: u64, length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut dice = Dice::new(seed ^ fingerprint(prefix.as_bytes()));
    let mut id = String::with_capacity(prefix.len() + length);
    id.push_str(prefix);
    id.extend((0..length).map(|_| char::from(ALPHABET[usize::try_from(dice.roll() % 62).unwrap_or(0)])));
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_text() {
        for text in [
            "",
            " ",
            "one two  three",
            "  lead",
            "trail  ",
            "{\"a\":[1,2,3],\"name\":\"x\"}",
            "日本語の文章は空白がないので切られます",
            "a\nb\t c",
        ] {
            assert_eq!(pieces(text).collect::<String>(), text);
        }
        assert_eq!(pieces("one two  three").collect::<Vec<_>>(), ["one", " two", "  three"]);
        assert_eq!(token_count("abcdefghijklmnop"), 2);
    }

    #[test]
    fn answers_repeat_and_variants_differ() {
        assert_eq!(answer("You asked:", "why?", 0), answer("You asked:", "why?", 0));
        assert_ne!(answer("You asked:", "why?", 0), answer("You asked:", "why?", 1));
        assert!(answer("You asked:", &"word ".repeat(50), 0).contains("word…\""));
        assert!(answer("You asked:", &"é".repeat(500), 0).chars().count() < 300);
    }

    #[test]
    fn ids_depend_on_seed_and_prefix() {
        assert_eq!(id("call_", 1, 24).len(), 29);
        assert_ne!(id("call_", 1, 24), id("call_", 2, 24));
        assert_ne!(id("a", 1, 24)[1..], id("b", 1, 24)[1..]);
    }

    #[test]
    fn dice_stay_in_range() {
        let mut dice = Dice::new(7);
        assert!((0..1000).map(|_| dice.signed_unit()).all(|x| (-1.0..1.0).contains(&x)));
    }
}
