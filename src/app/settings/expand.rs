//! Owns: `${VAR}` and `${VAR:-default}` inside one text of the settings file. It works on values that are already parsed,
//! so what a variable holds can never become structure.
//! Refuses to know: YAML, and which setting the text belongs to.

use std::collections::HashMap;

/// The text with its variables put in. An empty variable counts as unset, as it does everywhere in the settings;
/// `$${` stands for a plain `${`. An error says what is wrong without showing any value.
pub(super) fn expand(text: &str, env: &HashMap<String, String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, inside) = (&rest[..at], &rest[at + 2..]);
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = inside;
            continue;
        }
        out.push_str(before);
        let end = inside.find('}').ok_or("'${' is never closed; write '$${' for a plain '${'")?;
        let (name, default) = match inside[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inside[..end], None),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err("'${...}' must hold the name of a variable: letters, digits and '_'".into());
        }
        let value = env.get(name).map(String::as_str).filter(|value| !value.is_empty()).or(default);
        out.push_str(value.ok_or_else(|| format!("the environment variable {name} is not set; set it, or write ${{{name}:-default}}"))?);
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> HashMap<String, String> {
        [("A", "1"), ("TRICK", "x: {y: 2}\n- ${A}"), ("EMPTY", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn variables_and_defaults() {
        assert_eq!(expand("a${A}b${NONE:-d}c", &env()), Ok("a1bdc".into()));
        assert_eq!(expand("${EMPTY:-e}${NONE:-}", &env()), Ok("e".into()));
        assert_eq!(expand("pa$$word $${A} $", &env()), Ok("pa$$word ${A} $".into()));
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        assert_eq!(expand("${TRICK}", &env()), Ok("x: {y: 2}\n- ${A}".into()));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(expand("${NONE}", &env()).unwrap_err().contains("NONE is not set"));
        assert!(expand("${EMPTY}", &env()).unwrap_err().contains("EMPTY is not set"));
        assert!(expand("${A", &env()).is_err());
        assert!(expand("${A-b}", &env()).is_err());
    }
}
