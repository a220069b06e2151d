//! Owns: one entry of a key's list of allowed models: a name with `*` for any run of characters.

/// A model name or endpoint id, where `*` stands for any run of characters: `gpt-4o*`, `openai/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPattern(String);

impl ModelPattern {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|head| name.strip_prefix(head)) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        let Some(tail) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_names() {
        let yes = [
            ("gpt-4o", "gpt-4o"),
            ("gpt-4o*", "gpt-4o-mini"),
            ("*", "x"),
            ("openai/*", "openai/gpt-4o"),
            ("*-mini*", "gpt-4o-mini-2024"),
            ("a*a", "aa"),
        ];
        let no = [("gpt-4o", "gpt-4o-mini"), ("openai/*", "openai-east/gpt"), ("a*a", "a"), ("*b", "ba"), ("", "x")];
        assert!(yes.iter().all(|(pattern, name)| ModelPattern::new(*pattern).matches(name)));
        assert!(no.iter().all(|(pattern, name)| !ModelPattern::new(*pattern).matches(name)));
    }
}
