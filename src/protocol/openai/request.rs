//! Owns: what the gateway must know of a chat or embeddings request, where it stands in the bytes, and the splice that
//! changes it. Everything else in the body stays as the caller wrote it, members we do not know included.

use super::plain::plain;
use super::search::Switches;
use crate::base::{Error, ErrorKind, Result};
use crate::protocol::Operation;
use bytes::Bytes;
use memchr::memchr_iter;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::ops::Range;
use std::sync::Arc;

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    model: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    input: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    tools: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    n: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    functions: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    response_format: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    web_search_options: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    plugins: Option<&'a RawValue>,
}

/// Members that stand for what is given by reference. Each has one underscore, which little else in a prompt has.
const REFERENCES: [&[u8]; 6] = [b"\"image_url\"", b"\"video_url\"", b"\"audio_url\"", b"\"file_id\"", b"\"file_url\"", b"\"file_data\""];

/// How often each of the members stands in the text.
fn references(text: &[u8]) -> [u64; 6] {
    let mut counts = [0; 6];
    for underscore in memchr_iter(b'_', text) {
        for (count, name) in counts.iter_mut().zip(REFERENCES) {
            let before = memchr::memchr(b'_', name).and_then(|at| underscore.checked_sub(at));
            *count += u64::from(before.is_some_and(|start| text[start..].starts_with(name)));
        }
    }
    counts
}

/// A member that is there, `null` included: where it stands matters.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What routing, money and the relay need of a request.
#[derive(Clone, Debug)]
pub struct RequestFacts {
    /// As requested, alias and mode suffix included.
    pub model: Arc<str>,
    pub stream: bool,
    /// The caller itself asked for the usage chunk.
    pub wants_usage: bool,
    /// Bytes of everything that becomes input tokens. A token is at least one byte, so this bounds their number.
    pub input_bytes: u64,
    /// Images given by reference: their bytes say nothing of their tokens.
    pub images: u64,
    /// Files and videos given by reference, which may fill the whole window.
    pub files: u64,
    /// There are tools: the provider puts words of its own into the prompt.
    pub tools: bool,
    /// Web searches that the provider may make, at most.
    pub searches: u64,
    /// Output tokens allowed in one choice, if the caller set a bound.
    pub max_output: Option<u64>,
    pub choices: u64,
    /// The class of service that the caller named.
    pub service_tier: Option<Box<str>>,
    model_at: Range<usize>,
    stream_options_at: Option<Range<usize>>,
    /// Both members that bound the output, where they stand.
    max_output_at: Vec<Range<usize>>,
    body_at: usize,
}

/// What is changed in a body on its way to an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Edits<'a> {
    /// The endpoint's own name of the model.
    pub model: &'a str,
    /// The usage chunk of a stream.
    pub ask_usage: bool,
    /// Output tokens in one choice that the wallet affords, and the member to write them into if the caller wrote none.
    pub max_output: Option<(u64, &'static str)>,
}

/// A member of the wrong type, by its name.
fn typed<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, param: &'static str, expected: &str) -> Result<Option<T>> {
    raw.map(|raw| serde_json::from_str::<Option<T>>(raw.get()))
        .transpose()
        .map(Option::flatten)
        .map_err(|_| Error::new(ErrorKind::InvalidRequest, format!("'{param}' must be {expected}")).with_param(param))
}

fn missing(param: &'static str) -> Error {
    Error::new(ErrorKind::InvalidRequest, format!("'{param}' is required")).with_param(param)
}

/// Where a borrowed member stands in the body it was read from.
fn position(body: &[u8], raw: &RawValue) -> Range<usize> {
    let start = (raw.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    start..start + raw.get().len()
}

impl RequestFacts {
    /// Reads a body. The whole of it must be valid JSON: what is forwarded is never nonsense.
    pub fn read(operation: Operation, body: &[u8]) -> Result<Self> {
        // Checked as text once, and not member by member.
        let text = std::str::from_utf8(body).map_err(serde::de::Error::custom);
        let members: Members<'_> = text.and_then(serde_json::from_str).map_err(|error| not_json(body, &error))?;
        // A list would be read as the members in order.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Error::new(ErrorKind::InvalidJson, "the body is not a JSON object but a list"));
        }
        let model_raw = members.model.ok_or_else(|| missing("model"))?;
        let model: String = typed(Some(model_raw), "model", "a string")?.ok_or_else(|| missing("model"))?;
        if model.is_empty() {
            return Err(missing("model"));
        }
        let content = match operation {
            Operation::Chat => members.messages.filter(|raw| raw.get().starts_with('[')).ok_or_else(|| missing("messages"))?,
            Operation::Embeddings => members.input.filter(|raw| raw.get() != "null").ok_or_else(|| missing("input"))?,
        };
        let stream = operation == Operation::Chat && typed(members.stream, "stream", "true or false")?.unwrap_or(false);
        let options: Option<StreamOptions> = typed(members.stream_options, "stream_options", "an object")?;
        let max_completion: Option<u64> = typed(members.max_completion_tokens, "max_completion_tokens", "a whole number, 0 or more")?;
        let max_tokens: Option<u64> = typed(members.max_tokens, "max_tokens", "a whole number, 0 or more")?;
        let choices: Option<u64> = typed(members.n, "n", "a whole number, 0 or more")?;
        let choices = choices.unwrap_or(1).clamp(1, 128);
        let searches = Switches { web_search_options: members.web_search_options, plugins: members.plugins, tools: members.tools };
        let words = plain(content.get());
        let [images, videos, sounds, file_ids, file_urls, files] = references(words.as_bytes());
        let length = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len() as u64);
        Ok(Self {
            model: model.into(),
            stream,
            wants_usage: options.is_some_and(|options| options.include_usage == Some(true)),
            input_bytes: [Some(content), members.tools, members.functions, members.response_format].map(length).iter().sum(),
            // Of images, videos and sounds the word stands twice: as the part's type, and as its member.
            images: images / 2,
            files: file_ids + file_urls + files + videos / 2 + sounds / 2,
            tools: members.tools.or(members.functions).is_some_and(|tools| tools.get() != "null"),
            searches: searches.most(choices),
            max_output: max_completion.or(max_tokens),
            choices,
            service_tier: typed(members.service_tier, "service_tier", "a string")?,
            model_at: position(body, model_raw),
            stream_options_at: members.stream_options.map(|raw| position(body, raw)),
            max_output_at: [members.max_completion_tokens, members.max_tokens]
                .into_iter()
                .flatten()
                .map(|raw| position(body, raw))
                .collect(),
            body_at: memchr::memchr(b'{', body).map_or(0, |at| at + 1),
        })
    }

    /// The body to send. Where nothing changes the bytes are the caller's own.
    pub fn splice(&self, body: &Bytes, change: &Edits<'_>) -> Bytes {
        let mut edits: Vec<(Range<usize>, String)> = Vec::with_capacity(3);
        if &*self.model != change.model {
            edits.push((self.model_at.clone(), serde_json::Value::from(change.model).to_string()));
        }
        if change.ask_usage && !self.wants_usage {
            edits.push(self.usage_edit(body));
        }
        if let Some((limit, member)) = change.max_output {
            edits.extend(self.max_output_at.iter().map(|at| (at.clone(), limit.to_string())));
            if self.max_output_at.is_empty() {
                edits.push((self.body_at..self.body_at, format!(r#""{member}":{limit},"#)));
            }
        }
        if edits.is_empty() {
            return body.clone();
        }
        edits.sort_by_key(|(at, _)| at.start);
        let mut out = Vec::with_capacity(body.len() + 64);
        let mut done = 0;
        for (at, text) in edits {
            out.extend_from_slice(&body[done..at.start]);
            out.extend_from_slice(text.as_bytes());
            done = at.end;
        }
        out.extend_from_slice(&body[done..]);
        out.into()
    }

    fn usage_edit(&self, body: &[u8]) -> (Range<usize>, String) {
        let Some(at) = self.stream_options_at.clone() else {
            return (self.body_at..self.body_at, r#""stream_options":{"include_usage":true},"#.to_owned());
        };
        let mut options: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&body[at.clone()]).unwrap_or_default();
        options.insert("include_usage".to_owned(), true.into());
        (at, serde_json::Value::Object(options).to_string())
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

fn not_json(body: &[u8], error: &serde_json::Error) -> Error {
    if body.is_empty() {
        return Error::new(ErrorKind::InvalidJson, "the request has no body; send a JSON object with content-type application/json");
    }
    let text = error.to_string();
    if text.starts_with("duplicate field") {
        return Error::new(ErrorKind::InvalidRequest, format!("the body has a {text}"));
    }
    Error::new(ErrorKind::InvalidJson, format!("the body is not a JSON object: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn edits(model: &str, ask_usage: bool) -> Edits<'_> {
        Edits { model, ask_usage, max_output: None }
    }

    #[test]
    fn a_bound_is_written_where_the_caller_wrote_one() {
        let clamp = |text: &'static str| {
            let change = Edits { model: "m", ask_usage: false, max_output: Some((7, "max_tokens")) };
            let body = Bytes::from(text);
            String::from_utf8(RequestFacts::read(Operation::Chat, &body).unwrap().splice(&body, &change).to_vec()).unwrap()
        };
        assert_eq!(clamp(r#"{"model":"m","messages":[]}"#), r#"{"max_tokens":7,"model":"m","messages":[]}"#);
        assert_eq!(
            clamp(r#"{"model":"m","messages":[],"max_completion_tokens":null,"max_tokens":99}"#),
            r#"{"model":"m","messages":[],"max_completion_tokens":7,"max_tokens":7}"#
        );
    }

    fn read(text: &str) -> RequestFacts {
        RequestFacts::read(Operation::Chat, text.as_bytes()).unwrap()
    }

    fn refused(text: &str) -> Error {
        RequestFacts::read(Operation::Chat, text.as_bytes()).unwrap_err()
    }

    #[test]
    fn unchanged_bodies_are_the_callers_bytes() {
        let text = "{ \"model\" : \"m\" ,\"messages\":[ ],\n \"x_unknown\": 1e400 }";
        let body = Bytes::from_static(b"{ \"model\" : \"m\" ,\"messages\":[ ],\n \"x_unknown\": 1e400 }");
        let spliced = read(text).splice(&body, &edits("m", false));
        assert_eq!(spliced.as_ptr(), body.as_ptr());
    }

    #[test]
    fn splices_model_and_usage_and_nothing_else() {
        let text = r#"{"messages":[{"content":"\"model\":\"no\""}],"model":"fast:cheap","stream":true,"q":{"a":[1.0]}}"#;
        let spliced = read(text).splice(&Bytes::from(text), &edits("gpt", true));
        let expected = r#"{"stream_options":{"include_usage":true},"messages":[{"content":"\"model\":\"no\""}],"model":"gpt","stream":true,"q":{"a":[1.0]}}"#;
        assert_eq!(spliced, expected);
    }

    #[test]
    fn stream_options_keep_their_other_members() {
        for (before, after) in
            [("null", r#"{"include_usage":true}"#), (r#"{"x":1,"include_usage":false}"#, r#"{"x":1,"include_usage":true}"#)]
        {
            let text = format!(r#"{{"model":"m","messages":[],"stream":true,"stream_options":{before}}}"#);
            let spliced = read(&text).splice(&Bytes::from(text.clone()), &edits("m", true));
            assert_eq!(spliced, text.replace(before, after));
        }
    }

    #[test]
    fn refuses_with_the_member_named() {
        assert_eq!(refused("{").kind, ErrorKind::InvalidJson);
        assert_eq!(refused("").kind, ErrorKind::InvalidJson);
        assert_eq!(refused("[]").kind, ErrorKind::InvalidJson);
        let not_text = RequestFacts::read(Operation::Chat, b"{\"model\":\"m\",\"messages\":[],\"x\":\"\xff\"}").unwrap_err();
        assert_eq!(not_text.kind, ErrorKind::InvalidJson);
        assert_eq!(refused(r#"{"messages":[]}"#).param.as_deref(), Some("model"));
        assert_eq!(refused(r#"{"model":5,"messages":[]}"#).param.as_deref(), Some("model"));
        assert_eq!(refused(r#"{"model":"m"}"#).param.as_deref(), Some("messages"));
        assert_eq!(refused(r#"{"model":"m","messages":[],"stream":"yes"}"#).param.as_deref(), Some("stream"));
        assert_eq!(refused(r#"{"model":"m","messages":[],"max_tokens":-1}"#).param.as_deref(), Some("max_tokens"));
        assert_eq!(refused(r#"{"model":"a","model":"b","messages":[]}"#).kind, ErrorKind::InvalidRequest);
    }

    #[test]
    fn what_becomes_input_or_is_searched_for() {
        let plain = read(r#"{"model":"m","messages":[]}"#);
        assert_eq!((plain.input_bytes, plain.images, plain.files, plain.tools, plain.searches), (2, 0, 0, false, 0));
        let text = r#"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"u"}},{"type":"file","file":{"file_id":"f"}}]}],"functions":[{}],"response_format":{"a":1},"plugins":[{"id":"web"}]}"#;
        let full = read(text);
        assert_eq!((full.images, full.files, full.tools, full.searches), (1, 1, true, 1));
        let content = &text[text.find("[{").unwrap()..text.find(",\"functions").unwrap()];
        assert_eq!(full.input_bytes, content.len() as u64 + 4 + 7);
    }

    proptest! {
        #[test]
        fn references_are_found_wherever_they_stand(parts in prop::collection::vec("[_\"a-f]{0,9}|\"(image_url|video_url|audio_url|file_id|file_url|file_data)\"", 0..12)) {
            let text = parts.concat();
            let found = REFERENCES.map(|name| text.matches(std::str::from_utf8(name).unwrap()).count() as u64);
            prop_assert_eq!(references(text.as_bytes()), found);
        }

        #[test]
        fn a_splice_changes_only_what_it_must(model in "\\PC{1,12}", target in "[a-z/]{1,12}", extra in "\\PC{0,30}", stream in any::<bool>()) {
            let text = json!({"before": extra, "model": model, "messages": [{"role": "user", "content": extra}], "stream": stream, "after": [1, null]}).to_string();
            let spliced = read(&text).splice(&Bytes::from(text.clone()), &edits(&target, stream));
            let (mut was, is): (Value, Value) = (serde_json::from_str(&text).unwrap(), serde_json::from_slice(&spliced).unwrap());
            was["model"] = target.into();
            if stream { was["stream_options"] = json!({"include_usage": true}); }
            prop_assert_eq!(was, is);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RequestFacts::read(Operation::Chat, &bytes);
        }
    }
}
