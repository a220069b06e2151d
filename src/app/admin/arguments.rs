//! Owns: an operation's arguments as they are read, and what a person is told when one is wrong: which, and what it takes.
//! Refuses to know: which arguments there are (each operation).

use crate::base::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Of what was written instead, so much is told back.
const ECHO_CHARS: usize = 60;

/// Of an operation that takes none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoArguments {}

/// Reads an operation's arguments, a JSON object; an unknown, missing or wrong one is named.
pub(super) fn read<T: DeserializeOwned>(arguments: &[u8]) -> Result<T> {
    if arguments.trim_ascii_start().first() == Some(&b'{') {
        return serde_json::from_slice(arguments).map_err(|error| wrong(arguments, &error));
    }
    let is_json = serde_json::from_slice::<IgnoredAny>(arguments).is_ok();
    let kind = if is_json { ErrorKind::InvalidRequest } else { ErrorKind::InvalidJson };
    Err(Error::new(kind, "the arguments must be a JSON object, such as {\"wallet\": \"team-a\"}"))
}

fn wrong(arguments: &[u8], error: &serde_json::Error) -> Error {
    let said = error.to_string();
    if serde_json::from_slice::<IgnoredAny>(arguments).is_err() {
        return Error::new(ErrorKind::InvalidJson, format!("the arguments are not JSON: {said}"));
    }
    let within = member(arguments, offset(arguments, error));
    let told = explained(&said);
    let refused = |message: String| Error::new(ErrorKind::InvalidRequest, message);
    match (within, named(&said)) {
        (Some(within), _) => refused(format!("'{within}': {told}")).with_param(within),
        (None, Some(named)) => refused(told).with_param(named.to_owned()),
        (None, None) => refused(told),
    }
}

/// Where the reader stood when it gave up.
fn offset(arguments: &[u8], error: &serde_json::Error) -> usize {
    let lines = arguments.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    lines.map(<[u8]>::len).sum::<usize>() + error.column()
}

/// The argument whose value that is in.
fn member(arguments: &[u8], offset: usize) -> Option<String> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(arguments).ok()?;
    let start = |value: &RawValue| value.get().as_ptr().addr().wrapping_sub(arguments.as_ptr().addr());
    let holds = |value: &RawValue| (start(value)..=start(value) + value.get().len()).contains(&offset);
    members.into_iter().find(|(_, value)| holds(value)).map(|(name, _)| name.into_owned())
}

/// The argument that is missing or unknown.
fn named(said: &str) -> Option<&str> {
    let rest = said.strip_prefix("missing field `").or_else(|| said.strip_prefix("unknown field `"))?;
    rest.split_once('`').map(|(name, _)| name)
}

/// The reader's words as a person says them: no types of a programming language, no positions in a text nobody sees.
pub(super) fn explained(said: &str) -> String {
    let said = said.rsplit_once(" at line ").map_or(said, |(what, _)| what);
    if let (Some(name), true) = (named(said), said.starts_with("missing")) {
        return format!("'{name}' is missing");
    }
    if let Some(name) = named(said) {
        return match said.split_once("`, expected ") {
            Some((_, known)) => format!("there is no '{name}' here; there is: {}", list(known)),
            None => format!("there is no '{name}' here, nor anything else"),
        };
    }
    let choice = said.strip_prefix("unknown variant `").and_then(|rest| rest.split_once("`, expected "));
    if let Some((given, known)) = choice {
        return format!("'{}' is not one of: {}", clipped(given), list(known));
    }
    let mismatch = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "));
    match mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((given, "a string")) if given.starts_with("integer") || given.starts_with("floating") => {
            format!("must be text, in quotes, not {}", described(given))
        }
        Some((given, expected)) => format!("must be {}, not {}", wanted(expected), described(given)),
        None if said.starts_with("data did not match any variant") => "has none of the forms that the reference shows".to_owned(),
        None if said == "expected value" => "must be one of the words it takes, as text".to_owned(),
        None => said.to_owned(),
    }
}

/// Names as the reader lists them, without its marks.
fn list(known: &str) -> String {
    known.trim_start_matches("one of ").replace('`', "").replace(" or ", ", ")
}

fn wanted(expected: &str) -> &str {
    match expected {
        "a string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "i64" | "i32" => "a whole number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "a map" => "an object",
        other if other.contains("enum ") || other.starts_with("struct ") || other == "variant identifier" => {
            "an object as the reference shows it"
        }
        other => other,
    }
}

/// What was given, cut where it is long.
fn described(given: &str) -> String {
    let given = given.replace('`', "");
    let plain = [("integer ", ""), ("floating point ", ""), ("boolean ", ""), ("string ", "the text ")];
    let found = plain.iter().find_map(|(from, to)| given.strip_prefix(from).map(|rest| format!("{to}{}", clipped(rest))));
    found.unwrap_or_else(|| match given.as_str() {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        _ => clipped(&given),
    })
}

fn clipped(text: &str) -> String {
    let short: String = text.chars().take(ECHO_CHARS).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(tag = "every", rename_all = "snake_case", deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is refused is looked at")]
    enum Period {
        Day,
        Custom { span_minutes: u32 },
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Prepaid,
        Postpaid,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is refused is looked at")]
    struct Asked {
        name: String,
        limit: Option<usize>,
        period: Option<Period>,
        kind: Option<Kind>,
        kinds: Option<Vec<Kind>>,
    }

    fn refused(arguments: &str) -> (String, Option<String>) {
        let error = read::<Asked>(arguments.as_bytes()).unwrap_err();
        (error.message, error.param.map(Cow::into_owned))
    }

    #[test]
    fn a_wrong_argument_is_named_in_words_of_people() {
        let cases = [
            (r#"{"name": 25.5}"#, "'name': must be text, in quotes, not 25.5", "name"),
            (r#"{"name": "a", "limit": -1}"#, "'limit': must be a whole number, 0 or more, not -1", "limit"),
            (r#"{"limit": "9", "name": "a"}"#, "'limit': must be a whole number, 0 or more, not the text \"9\"", "limit"),
            (r#"{"name": "a", "period": "day"}"#, "'period': must be an object as the reference shows it, not the text \"day\"", "period"),
            (r#"{"name": "a", "period": {}}"#, "'period': 'every' is missing", "period"),
            (r#"{"name": "a", "period": {"every": "moon"}}"#, "'period': 'moon' is not one of: day, custom", "period"),
            (r#"{"name": "a", "kind": "free"}"#, "'kind': 'free' is not one of: prepaid, postpaid", "kind"),
            (r#"{"name": "a", "kinds": "free"}"#, "'kinds': must be a list, not the text \"free\"", "kinds"),
            (r#"{"name": "a", "kinds": [null]}"#, "'kinds': must be one of the words it takes, as text", "kinds"),
            (r#"{"limit": 1}"#, "'name' is missing", "name"),
            (r#"{"name": "a", "nmae": 1}"#, "there is no 'nmae' here; there is: name, limit, period, kind, kinds", "nmae"),
            ("{\n \"name\": \"a\",\n \"limit\": true\n}", "'limit': must be a whole number, 0 or more, not true", "limit"),
        ];
        for (arguments, message, param) in cases {
            assert_eq!(refused(arguments), (message.to_owned(), Some(param.to_owned())), "{arguments}");
        }
        assert_eq!(read::<NoArguments>(br#"{"x": 1}"#).err().unwrap().message, "there is no 'x' here, nor anything else");
    }

    #[test]
    fn what_is_no_object_says_so() {
        assert!(refused(r#"["a"]"#).0.contains("must be a JSON object"));
        assert_eq!(read::<Asked>(b"{\"name\"").unwrap_err().kind, ErrorKind::InvalidJson);
        assert_eq!(read::<Asked>(b"\xff").unwrap_err().kind, ErrorKind::InvalidJson);
        let long = format!(r#"{{"name": "a", "limit": "{}"}}"#, "x".repeat(100_000));
        assert!(refused(&long).0.len() < 200);
    }
}
