//! Owns: reading a Rust source as far as the rules of the house need it: what it imports, how long its functions are.
//! Refuses to know: the rules.
//!
//! It is a scanner, not a parser: comments and literals are blanked first, then braces match and words can be trusted.

use std::ops::Range;

/// A source with comments and literals blanked (same length, same lines), and the places of its modules.
pub(crate) struct Source {
    text: Vec<u8>,
    modules: Vec<Module>,
}

struct Module {
    name: String,
    body: Range<usize>,
    is_test: bool,
}

/// A path into this crate, by `crate::` or `super::`, as segments from the crate's root.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) in_test: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
    pub(crate) in_test: bool,
}

impl Source {
    pub(crate) fn read(source: &str) -> Self {
        let text = blank(source.as_bytes());
        let modules = inline_modules(&text);
        Self { text, modules }
    }

    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for at in words(&self.text, b"fn") {
            let Some((name, after)) = identifier(&self.text, at + 2) else { continue };
            let Some(body) = body(&self.text, after) else { continue };
            let (line, end) = (self.line(at), self.line(body.end));
            found.push(Function { name, line, lines: end - line + 1, in_test: self.in_test(at) });
        }
        found
    }

    /// Every path into the crate, imports and inline ones. `home` is the module path of the file: `["domain", "catalog"]`.
    pub(crate) fn references(&self, home: &[String]) -> Vec<Reference> {
        let mut found = Vec::new();
        for at in words(&self.text, b"crate") {
            self.collect(at, at + 5, Vec::new(), &mut found);
        }
        for at in words(&self.text, b"super") {
            if self.text[..at].ends_with(b"super::") {
                continue; // the first of a chain speaks for all
            }
            let mut path: Vec<String> = home.to_vec();
            path.extend(self.modules.iter().filter(|m| m.body.contains(&at)).map(|m| m.name.clone()));
            let mut end = at + 5;
            path.pop();
            while self.text[end..].starts_with(b"::super") {
                path.pop();
                end += 7;
            }
            self.collect(at, end, path, &mut found);
        }
        found
    }

    /// Follows `::a::{b, c::d}` from `end` and adds one reference per leaf.
    fn collect(&self, at: usize, end: usize, stem: Vec<String>, found: &mut Vec<Reference>) {
        let mut leaves = Vec::new();
        follow(&self.text, end, stem, &mut leaves);
        let (line, in_test) = (self.line(at), self.in_test(at));
        found.extend(leaves.into_iter().map(|path| Reference { path, line, in_test }));
    }

    fn in_test(&self, at: usize) -> bool {
        self.modules.iter().any(|m| m.is_test && m.body.contains(&at))
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at.min(self.text.len())].split(|b| *b == b'\n').count()
    }

    /// Is `word` used as a word (a type, say) outside tests? The line of its first use.
    pub(crate) fn first_use(&self, word: &str) -> Option<usize> {
        words(&self.text, word.as_bytes()).find(|at| !self.in_test(*at)).map(|at| self.line(at))
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Places where `word` stands as a whole word.
fn words<'a>(text: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    (0..text.len().saturating_sub(word.len() - 1)).filter(move |&at| {
        text[at..].starts_with(word) && (at == 0 || !is_word(text[at - 1])) && text.get(at + word.len()).is_none_or(|next| !is_word(*next))
    })
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The identifier at `at` (after space), and where it ends.
fn identifier(text: &[u8], at: usize) -> Option<(String, usize)> {
    let start = skip_space(text, at);
    let start = if text[start..].starts_with(b"r#") { start + 2 } else { start };
    let length = text[start..].iter().take_while(|b| is_word(**b)).count();
    (length > 0 && !text[start].is_ascii_digit())
        .then(|| (String::from_utf8_lossy(&text[start..start + length]).into_owned(), start + length))
}

/// The braces that follow a signature at `at`, unless a `;` ends it first.
fn body(text: &[u8], at: usize) -> Option<Range<usize>> {
    let mut depth = 0_i32;
    for (offset, byte) in text[at..].iter().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(braces(text, at + offset)),
            _ => {}
        }
    }
    None
}

/// From the `{` at `open` to its `}`; to the end of the text if it is never closed.
fn braces(text: &[u8], open: usize) -> Range<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in text[open..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open..open + offset;
        }
    }
    open..text.len()
}

fn inline_modules(text: &[u8]) -> Vec<Module> {
    let mut modules = Vec::new();
    for at in words(text, b"mod") {
        let Some((name, after)) = identifier(text, at + 3) else { continue };
        if text.get(skip_space(text, after)) != Some(&b'{') {
            continue;
        }
        let before = text[..at].trim_ascii_end();
        let is_test = before.ends_with(b"#[cfg(test)]");
        modules.push(Module { name, body: braces(text, skip_space(text, after)), is_test });
    }
    modules
}

/// Reads `::name`, `::{a, b}` and `::*` from `at` on, and returns where it stopped.
fn follow(text: &[u8], at: usize, mut path: Vec<String>, leaves: &mut Vec<Vec<String>>) -> usize {
    let here = skip_space(text, at);
    if !text[here..].starts_with(b"::") {
        if !path.is_empty() {
            leaves.push(path);
        }
        return at;
    }
    let next = skip_space(text, here + 2);
    if text.get(next) == Some(&b'{') {
        return follow_group(text, next, &path, leaves);
    }
    match identifier(text, next) {
        Some((name, end)) => {
            path.push(name);
            follow(text, end, path, leaves)
        }
        None => {
            leaves.push(path); // a glob, or a turbofish
            next
        }
    }
}

fn follow_group(text: &[u8], open: usize, stem: &[String], leaves: &mut Vec<Vec<String>>) -> usize {
    let close = braces(text, open).end;
    let mut at = open + 1;
    while at < close {
        match identifier(text, at) {
            Some((name, end)) if end <= close => {
                let mut path = stem.to_vec();
                if name != "self" {
                    path.push(name);
                }
                at = follow(text, end, path, leaves);
                // `as alias` and the comma
                at += text[at..close].iter().take_while(|b| **b != b',').count() + 1;
            }
            Some(_) => break,
            None => {
                leaves.push(stem.to_vec());
                at += text[at..close].iter().take_while(|b| **b != b',').count() + 1;
            }
        }
    }
    close + 1
}

/// Blanks comments, strings and character literals; keeps newlines, so that lines stay.
fn blank(source: &[u8]) -> Vec<u8> {
    let mut text = source.to_vec();
    let mut at = 0;
    while at < text.len() {
        let end = literal_end(source, at);
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut text[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    text
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts here.
fn literal_end(text: &[u8], at: usize) -> usize {
    let rest = &text[at..];
    if rest.starts_with(b"//") {
        return at + rest.iter().take_while(|b| **b != b'\n').count();
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(text, at);
    }
    match rest[0] {
        b'"' => string_end(text, at + 1),
        b'\'' => char_end(text, at),
        b'r' if at == 0 || !is_word(text[at - 1]) || text[at - 1] == b'b' => raw_string_end(text, at),
        _ => at,
    }
}

fn block_comment_end(text: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if text[at..].starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// `r"..."`, `r#"..."#` and so on.
fn raw_string_end(text: &[u8], at: usize) -> usize {
    let hashes = text[at + 1..].iter().take_while(|b| **b == b'#').count();
    if text.get(at + 1 + hashes) != Some(&b'"') {
        return at;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let start = at + 2 + hashes;
    text[start..].windows(close.len()).position(|w| w == close).map_or(text.len(), |p| start + p + close.len())
}

/// A character literal; a lifetime is none.
fn char_end(text: &[u8], at: usize) -> usize {
    if text.get(at + 1) == Some(&b'\\') {
        let tail = text[at + 3..].iter().take_while(|b| **b != b'\'').count();
        return (at + 4 + tail).min(text.len());
    }
    // One character may be up to four bytes.
    (at + 2..=at + 5)
        .find(|&end| text.get(end) == Some(&b'\''))
        .filter(|&end| std::str::from_utf8(&text[at + 1..end]).is_ok_and(|s| s.chars().count() == 1))
        .map_or(at, |end| end + 1)
}
