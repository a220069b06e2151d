//! Owns: JSON text as its reader will see its words: `"\u0069mage_url"` is `"image_url"` to a provider.
//! Refuses to know: JSON beyond escapes, and which words are looked for.

use memchr::memmem;
use std::borrow::Cow;

/// The text with every escape of a printable ASCII character undone but those of quotes and backslashes; no longer JSON, only to be
/// searched. Nothing is copied where nothing is escaped so.
pub(super) fn plain(json: &str) -> Cow<'_, str> {
    let mut seen = String::new();
    let mut from = 0;
    for at in memmem::find_iter(json.as_bytes(), b"\\u00") {
        let Some(read) = json.get(at + 4..at + 6).and_then(|digits| u8::from_str_radix(digits, 16).ok()) else { continue };
        if at >= from && matches!(read, b' '..=b'~') && !matches!(read, b'"' | b'\\') {
            seen.push_str(&json[from..at]);
            seen.push(char::from(read));
            from = at + 6;
        }
    }
    if from == 0 { Cow::Borrowed(json) } else { Cow::Owned(seen + &json[from..]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_cannot_be_hidden() {
        for (json, read) in [
            (r#"{"type":"\u0069mage_url"}"#, r#"{"type":"image_url"}"#),
            (r#"["\u0077\u0065b_se\u0061rch"]"#, r#"["web_search"]"#),
            (r#""\u003ca\u003e \u00e9 \u0022 \u005c \u0000""#, r#""<a> \u00e9 \u0022 \u005c \u0000""#),
            (r#""\u00"#, r#""\u00"#),
        ] {
            assert_eq!(plain(json), read);
        }
        assert!(matches!(plain(r#"{"content":"ordinary"}"#), Cow::Borrowed(_)));
    }
}
