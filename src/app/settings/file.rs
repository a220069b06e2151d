//! Owns: the settings file as a tree of texts, and a cursor over it that knows its path and which members are allowed.
//! Refuses to know: which settings there are. Numbers and switches stay the text that was written, so that `0.10` never
//! passes through a binary fraction and `off` means what the setting says it means.

use super::expand::expand;
use super::scalar::{Scalar, wrong};
use super::suggest::suggest;
use crate::base::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// A settings file larger than this is not one.
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// What was written, by form.
#[derive(Debug)]
enum Raw {
    Null,
    Text(String),
    /// A plain number or switch: its text is the source at the node's span.
    Plain,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(String, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.into()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// A value of the file with its variables put in.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Text(Scalar),
    List(Vec<Node>),
    Map(Section),
}

/// A mapping, with the path it stands at.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub(super) path: String,
    pub(super) entries: Vec<(String, Node)>,
}

/// Reads and expands the file; an empty one is an empty mapping.
pub(super) fn read_file(path: &Path, env: &HashMap<String, String>) -> Result<Section> {
    let name = path.display();
    let fail = |problem: String| Error::new(ErrorKind::Configuration, format!("{name}: {problem}"));
    let size = std::fs::metadata(path).map_err(|error| fail(format!("cannot be read: {error}")))?.len();
    if size > FILE_LIMIT_BYTES {
        return Err(fail(format!("is larger than {FILE_LIMIT_BYTES} bytes")));
    }
    let source = std::fs::read_to_string(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    parse(&source, env).map_err(|error| Error { message: format!("{name}: {}", error.message), ..error })
}

/// Reads and expands the text of a settings file.
pub(super) fn parse(source: &str, env: &HashMap<String, String>) -> Result<Section> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let raw: Spanned<Raw> = serde_saphyr::from_str(source).map_err(|error| syntax(&error))?;
    match build(source, env, String::new(), raw)? {
        Node::Null => Ok(Section::default()),
        Node::Map(section) => Ok(section),
        Node::Text(_) | Node::List(_) => {
            Err(Error::new(ErrorKind::Configuration, "the top level must be a mapping: 'server:', 'providers:' ..."))
        }
    }
}

/// The parser's own messages may quote the file, and the file may hold secrets: only the kind and the position are told.
fn syntax(error: &serde_saphyr::Error) -> Error {
    let at = error.location().map(|at| format!("line {}, column {}: ", at.line(), at.column())).unwrap_or_default();
    let problem = match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => format!("'{key}' stands twice in one mapping"),
        serde_saphyr::Error::UnknownAnchor { .. } => "an alias (*name) refers to nothing; quote a text that begins with '*'".into(),
        _ => "not valid YAML; check indentation, colons and quotes".into(),
    };
    Error::new(ErrorKind::Configuration, format!("{at}{problem}"))
}

fn build(source: &str, env: &HashMap<String, String>, path: String, node: Spanned<Raw>) -> Result<Node> {
    Ok(match node.value {
        Raw::Null => Node::Null,
        Raw::Plain => {
            let span = node.defined.span();
            let offset = |bytes: Option<u64>| bytes.and_then(|bytes| usize::try_from(bytes).ok());
            let text = offset(span.byte_offset()).zip(offset(span.byte_len())).and_then(|(at, len)| source.get(at..at + len));
            let text = text.ok_or_else(|| wrong(&path, "write this value in quotes"))?;
            Node::Text(Scalar { place: path, text: text.trim().into(), shown: Some(text.trim().into()) })
        }
        Raw::Text(written) => {
            let text = expand(&written, env).map_err(|problem| wrong(&path, problem))?;
            Node::Text(Scalar { place: path, text, shown: Some(written) })
        }
        Raw::List(items) => {
            let mut nodes = Vec::with_capacity(items.len());
            for (i, item) in items.into_iter().enumerate() {
                nodes.push(build(source, env, format!("{path}[{i}]"), item)?);
            }
            Node::List(nodes)
        }
        Raw::Map(entries) => {
            let mut section = Section { path, entries: Vec::with_capacity(entries.len()) };
            for (name, value) in entries {
                let path = section.path_of(&name);
                section.entries.push((name, build(source, env, path, value)?));
            }
            Node::Map(section)
        }
    })
}

impl Node {
    /// `None` for null.
    pub(super) fn section(&self, place: &str) -> Result<Option<&Section>> {
        match self {
            Self::Null => Ok(None),
            Self::Map(section) => Ok(Some(section)),
            Self::Text(_) | Self::List(_) => Err(wrong(place, "must be a mapping of names to values")),
        }
    }

    /// `None` for null and for an empty text: both mean "not set".
    pub(super) fn scalar(&self, place: &str) -> Result<Option<Scalar>> {
        match self {
            Self::Null => Ok(None),
            Self::Text(scalar) => Ok(Some(scalar.clone()).filter(|scalar| !scalar.is_empty())),
            Self::List(_) | Self::Map(_) => Err(wrong(place, "must be a single value")),
        }
    }

    pub(super) fn list(&self, place: &str) -> Result<&[Self]> {
        match self {
            Self::Null => Ok(&[]),
            Self::List(items) => Ok(items),
            Self::Text(_) | Self::Map(_) => Err(wrong(place, "must be a list")),
        }
    }
}

impl Section {
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// Refuses members that are not among `allowed`.
    pub(super) fn check_members(&self, allowed: &[&str]) -> Result<()> {
        match self.entries.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
            Some((name, _)) => Err(wrong(&self.path_of(name), format!("there is no such setting; {}", suggest(name, allowed)))),
            None => Ok(()),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entries.iter().find(|(entry, _)| entry == name).map(|(_, node)| node)
    }

    pub(super) fn scalar(&self, name: &str) -> Result<Option<Scalar>> {
        self.get(name).map_or(Ok(None), |node| node.scalar(&self.path_of(name)))
    }

    pub(super) fn section(&self, name: &str) -> Result<Option<&Self>> {
        self.get(name).map_or(Ok(None), |node| node.section(&self.path_of(name)))
    }

    pub(super) fn list(&self, name: &str) -> Result<&[Node]> {
        self.get(name).map_or(Ok(&[]), |node| node.list(&self.path_of(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Result<Section> {
        parse(source, &HashMap::from([("KEY".to_owned(), "k: [1]".to_owned())]))
    }

    fn text(section: &Section, name: &str) -> String {
        section.scalar(name).unwrap().unwrap().text
    }

    #[test]
    fn numbers_and_switches_keep_their_text() {
        let section =
            read("é: 1\na: 0.10\nb: off\nc: 007\nd: 12345678901234567890.123456789012345678\ne: '5'\nf: ~\ng: 0.30 # note\n").unwrap();
        let read: Vec<_> = ["a", "b", "c", "d", "e", "g"].map(|name| text(&section, name)).into();
        assert_eq!(read, ["0.10", "off", "007", "12345678901234567890.123456789012345678", "5", "0.30"]);
        assert!(section.scalar("f").unwrap().is_none());
    }

    #[test]
    fn aliases_of_the_file_itself_keep_their_text_too() {
        let section = read("a: &x 0.10\nb: *x\nc: {d: 1.50, e: [2.0]}\n").unwrap();
        assert_eq!(text(&section, "b"), "0.10");
        let inner = section.section("c").unwrap().unwrap();
        assert_eq!(text(inner, "d"), "1.50");
        assert_eq!(inner.list("e").unwrap()[0].scalar("").unwrap().unwrap().place, "c.e[0]");
    }

    #[test]
    fn a_variable_never_becomes_structure() {
        let section = read("a: ${KEY}\nb: [\"${KEY}\"]\n").unwrap();
        assert_eq!(text(&section, "a"), "k: [1]");
        assert_eq!(section.list("b").unwrap()[0].scalar("").unwrap().unwrap().text, "k: [1]");
    }

    #[test]
    fn a_missing_variable_is_reported_with_its_path() {
        let error = read("a:\n  b: [x, '${NONE}']\n").unwrap_err();
        assert!(error.message.starts_with("a.b[1]: the environment variable NONE is not set"), "{error}");
    }

    #[test]
    fn syntax_errors_have_a_position_and_never_quote_the_file() {
        for bad in [
            "a: [sk-live-1",
            "a: 'sk-live-1",
            "key: sk-live-1\n  b: sk-live-2: c",
            "a: *sk-live-1",
            "sk-live-1",
            "- sk-live-1",
            "a: !!int sk-live-1",
        ] {
            let error = read(bad).unwrap_err();
            assert!(!error.message.contains("sk-live"), "{error}");
        }
        assert!(read("a: 1\na: 2\n").unwrap_err().message.contains("'a' stands twice"));
        assert!(read("a: 1\nb: [\n").unwrap_err().message.contains("line"));
    }

    #[test]
    fn an_empty_file_is_an_empty_mapping() {
        for source in ["", "# only a comment\n", "---\n"] {
            assert!(read(source).unwrap().entries.is_empty());
        }
    }
}
