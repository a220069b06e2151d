//! Owns: by what the providers' JSON exports are told apart, and the numbers in them.

use super::{Format, decimal};
pub(super) use crate::protocol::pages::{Page, looks_like_json, pages, plain};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

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

/// What a result is about: its members without the figures, which are numbers or the member `amount`.
pub(super) fn about(result: &str) -> String {
    fn strip(value: &mut Value) {
        if let Value::Object(members) = value {
            members.retain(|name, member| !member.is_number() && !member.is_null() && name != "amount");
            members.values_mut().for_each(strip);
        }
    }
    let mut value: Value = serde_json::from_str(result).unwrap_or_default();
    strip(&mut value);
    value.to_string()
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
