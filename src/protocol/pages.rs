//! Owns: JSON exports as they come: one page, an array of pages, or several pages one after the other in a file.
//! Refuses to know: what stands in them.

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
