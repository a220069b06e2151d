//! Owns: OpenAI's organization usage and costs (`/v1/organization/usage/*`, `/v1/organization/costs`): pages of buckets of results,
//! each result naming its kind in `object`.

use super::pages::{Figure, Page, about, pages};
use super::{Bill, BillRow, Counter, Counts, LineKind, decimal, time, words};
use crate::base::{Date, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Bucket<'a> {
    start_time: i64,
    end_time: i64,
    #[serde(borrow, alias = "result")]
    results: Vec<&'a RawValue>,
}

/// What any kind of result may hold; absent is not zero.
#[derive(Deserialize)]
struct Outcome<'a> {
    object: String,
    model: Option<String>,
    project_id: Option<String>,
    api_key_id: Option<String>,
    service_tier: Option<String>,
    batch: Option<bool>,
    num_model_requests: Option<u64>,
    input_tokens: Option<u64>,
    input_cached_tokens: Option<u64>,
    input_cache_write_tokens: Option<u64>,
    input_text_tokens: Option<u64>,
    input_audio_tokens: Option<u64>,
    input_cached_audio_tokens: Option<u64>,
    input_image_tokens: Option<u64>,
    input_cached_image_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_text_tokens: Option<u64>,
    output_audio_tokens: Option<u64>,
    output_image_tokens: Option<u64>,
    images: Option<u64>,
    characters: Option<u64>,
    #[serde(borrow)]
    seconds: Option<Figure<'a>>,
    #[serde(borrow)]
    amount: Option<Amount<'a>>,
    line_item: Option<String>,
}

#[derive(Deserialize)]
struct Amount<'a> {
    #[serde(borrow)]
    value: Option<Figure<'a>>,
    currency: Option<String>,
}

pub(super) fn read(bytes: &[u8], bill: &mut Bill) -> Result<(), String> {
    for page in pages(bytes)? {
        let page: Page<'_> = serde_json::from_str(page.get()).map_err(|error| format!("a page has another form: {error}"))?;
        for bucket in page.data.ok_or("a page has no 'data'")? {
            let parsed: Bucket<'_> = serde_json::from_str(bucket.get()).map_err(|error| format!("a bucket has another form: {error}"))?;
            read_bucket(&parsed, bucket.get(), bill);
        }
    }
    Ok(())
}

fn read_bucket(bucket: &Bucket<'_>, text: &str, bill: &mut Bill) {
    let start = time::day_of_seconds(bucket.start_time).map(|_| Timestamp(bucket.start_time.saturating_mul(1000)));
    let day = start.and_then(|start| time::one_day(start, Timestamp(bucket.end_time.saturating_mul(1000))));
    if let Some(day) = day {
        bill.cover(day);
    }
    let again = !bucket.results.is_empty() && !bill.first_time(text.to_owned());
    for result in &bucket.results {
        let row = bill.next_row();
        if again {
            bill.repeated += 1;
            continue;
        }
        let read = match day {
            None => Err("its bucket is of more than one day: ask for bucket_width=1d".to_owned()),
            Some(day) => read_result(result.get(), row, day),
        };
        let kept = read.and_then(|read| bill.push_line(format!("{:?} {}", bucket.start_time, about(result.get())), read));
        if let Err(why) = kept {
            bill.unread(row, why);
        }
    }
}

fn read_result(text: &str, number: u64, day: Date) -> Result<BillRow, String> {
    let result: Outcome<'_> = serde_json::from_str(text).map_err(|error| format!("another form: {error}"))?;
    let mut row = BillRow::new(number, day);
    row.requests = result.num_model_requests;
    match kind(&result.object) {
        Some("completions") => row.usage = completion_counts(&result)?,
        Some("embeddings" | "moderations") => row.usage = one(Counter::InputUncached, result.input_tokens)?,
        Some("images") => row.usage = one(Counter::ImageOut, result.images)?,
        Some("audio_speeches") => row.usage = one(Counter::Characters, result.characters)?,
        Some("audio_transcriptions") => row.usage = one(Counter::Seconds, result.seconds.as_ref().and_then(Figure::count))?,
        Some("vector_stores" | "code_interpreter_sessions") => row.kind = LineKind::Tool,
        Some("costs") => read_cost(&result, &mut row)?,
        Some(_) | None => return Err(format!("'{}' is not known", result.object)),
    }
    row.model = result.model.or(row.model);
    (row.key, row.group) = (result.api_key_id, result.project_id);
    row.service_tier = if result.batch == Some(true) { Some("batch".to_owned()) } else { result.service_tier };
    Ok(row)
}

/// `organization.usage.completions.result` is of `completions`, `organization.costs.result` of `costs`.
fn kind(object: &str) -> Option<&str> {
    let inner = object.strip_prefix("organization.")?.strip_suffix(".result")?;
    Some(inner.strip_prefix("usage.").unwrap_or(inner))
}

fn one(counter: Counter, count: Option<u64>) -> Result<Counts, String> {
    count.map(|count| Counts::from([(counter, count)])).ok_or(format!("it has no whole number of {}", counter.name()))
}

/// `input_tokens` holds the cached ones. Of audio and images it holds the tokens where the result also gives `input_text_tokens`
/// (the later form); before that it was text only, with audio beside it.
fn completion_counts(result: &Outcome<'_>) -> Result<Counts, String> {
    let (input, output) = (result.input_tokens.ok_or("it has no input_tokens")?, result.output_tokens.ok_or("it has no output_tokens")?);
    let less = |all: Option<u64>, cached: Option<u64>| match all {
        Some(all) => all.checked_sub(cached.unwrap_or(0)).map(Some).ok_or("more tokens are cached than there are"),
        None => Ok(None),
    };
    let parts = [
        (Counter::CacheRead, result.input_cached_tokens, true),
        (Counter::CacheWrite, result.input_cache_write_tokens, true),
        (Counter::AudioIn, less(result.input_audio_tokens, result.input_cached_audio_tokens)?, result.input_text_tokens.is_some()),
        (Counter::ImageIn, less(result.input_image_tokens, result.input_cached_image_tokens)?, result.input_text_tokens.is_some()),
        (Counter::AudioOut, result.output_audio_tokens, result.output_text_tokens.is_some()),
    ];
    let mut counts = Counts::new();
    let (mut text_in, mut text_out) = (Some(input), Some(output));
    for (counter, count, included) in parts {
        let Some(count) = count else { continue };
        counts.insert(counter, count);
        let rest = if counter == Counter::AudioOut { &mut text_out } else { &mut text_in };
        if included {
            *rest = rest.and_then(|rest| rest.checked_sub(count));
        }
    }
    if result.output_text_tokens.is_some() {
        // Tokens of images made have no counter of their own: they stay in the text's.
        text_out = text_out.filter(|text| *text >= result.output_image_tokens.unwrap_or(0));
    }
    let wrong = "its parts are more than its totals";
    counts.insert(Counter::InputUncached, text_in.ok_or(wrong)?);
    counts.insert(Counter::OutputText, text_out.ok_or(wrong)?);
    Ok(counts)
}

/// A line item is `<model>, <what>`, or the name of something else that is sold, or absent where costs are not grouped by it.
fn read_cost(result: &Outcome<'_>, row: &mut BillRow) -> Result<(), String> {
    let amount = result.amount.as_ref().ok_or("it has no amount")?;
    let currency = amount.currency.as_deref().unwrap_or("usd");
    if !currency.eq_ignore_ascii_case("usd") {
        return Err(format!("its currency is {currency}, the ledger's is USD"));
    }
    row.cost = Some(amount.value.as_ref().and_then(|value| value.amount(decimal::USD)).ok_or("its amount is no decimal number")?);
    row.line.clone_from(&result.line_item);
    let Some(line) = &result.line_item else { return Ok(()) };
    match line.rsplit_once(',').map(|(model, what)| (model.trim(), words::counter(what))) {
        Some((model, Some(charged))) if !model.contains('|') => {
            row.model = Some(model.to_owned());
            row.charged = Some(charged);
        }
        Some(_) | None => row.kind = LineKind::Tool,
    }
    Ok(())
}
