//! Owns: JSON exports as they come: one page, an array of pages, or several pages one after the other in a file.

use super::{Format, decimal};
use serde::Deserialize;
use serde_json::value::RawValue;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Without the mark that some tools put in front.
pub(super) fn plain(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

pub(super) fn looks_like_json(bytes: &[u8]) -> bool {
    plain(bytes).iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b'{' | b'['))
}

/// Every page of a file; where a page is a bare list, each of its elements.
pub(super) fn pages(bytes: &[u8]) -> Result<Vec<&RawValue>, String> {
    let mut pages = Vec::new();
    for document in serde_json::Deserializer::from_slice(plain(bytes)).into_iter::<&RawValue>() {
        let document = document.map_err(|error| format!("it is not whole JSON: {error}"))?;
        if document.get().starts_with('[') {
            let elements: Vec<&RawValue> = serde_json::from_str(document.get()).map_err(|error| error.to_string())?;
            pages.extend(elements);
        } else {
            pages.push(document);
        }
    }
    Ok(pages)
}

/// A page of buckets. What is not asked for is passed over.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(borrow)]
    pub(super) data: Option<Vec<&'a RawValue>>,
}

/// The members by which formats differ, of a bucket, an item of activity, or a result within a bucket.
#[derive(Deserialize)]
struct Marks<'a> {
    object: Option<String>,
    date: Option<String>,
    #[serde(borrow)]
    start_time: Option<&'a RawValue>,
    #[serde(borrow)]
    starting_at: Option<&'a RawValue>,
}

pub(super) fn detect(bytes: &[u8]) -> Option<Format> {
    for page in pages(bytes).ok()? {
        let data = serde_json::from_str::<Page<'_>>(page.get()).ok().and_then(|page| page.data);
        for item in data.unwrap_or_else(|| vec![page]) {
            let Ok(marks) = serde_json::from_str::<Marks<'_>>(item.get()) else { continue };
            if marks.date.is_some() {
                return Some(Format::OpenRouter);
            }
            if marks.starting_at.is_some() {
                return Some(Format::Anthropic);
            }
            if marks.start_time.is_some() || marks.object.is_some_and(|object| object.starts_with("organization.")) {
                return Some(Format::OpenAi);
            }
        }
    }
    None
}

/// A number that may be written as text, exactly.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Figure<'a>(#[serde(borrow)] &'a RawValue);

impl Figure<'_> {
    pub(super) fn amount(&self, unit: i32) -> Option<crate::base::Exact> {
        decimal::amount(&decimal::text_of(self.0)?, unit)
    }

    pub(super) fn count(&self) -> Option<u64> {
        decimal::count(&decimal::text_of(self.0)?, 0)
    }
}
