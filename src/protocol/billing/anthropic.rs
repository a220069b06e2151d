//! Owns: Anthropic's usage report (`/v1/organizations/usage_report/messages`) and cost report (`/v1/organizations/cost_report`).
//! Costs are cents as decimal text.

use super::pages::{Figure, Page, about, pages};
use super::{Bill, BillRow, Counter, Counts, LineKind, decimal, time, words};
use crate::base::Date;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Bucket<'a> {
    starting_at: String,
    ending_at: String,
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    model: Option<String>,
    api_key_id: Option<String>,
    workspace_id: Option<String>,
    service_tier: Option<String>,
    uncached_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    output_tokens: Option<u64>,
    server_tool_use: Option<ServerToolUse>,
    #[serde(borrow)]
    amount: Option<Figure<'a>>,
    currency: Option<String>,
    cost_type: Option<String>,
    token_type: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct ServerToolUse {
    web_search_requests: Option<u64>,
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
    let ends = time::instant(&bucket.starting_at).zip(time::instant(&bucket.ending_at));
    let day = ends.and_then(|(start, end)| time::one_day(start, end));
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
            None => Err("its bucket is not within one UTC day".to_owned()),
            Some(day) => read_result(result.get(), row, day),
        };
        let kept = read.and_then(|read| bill.push_line(format!("{:?} {}", &bucket.starting_at, about(result.get())), read));
        if let Err(why) = kept {
            bill.unread(row, why);
        }
    }
}

fn read_result(text: &str, number: u64, day: Date) -> Result<BillRow, String> {
    let result: Outcome<'_> = serde_json::from_str(text).map_err(|error| format!("another form: {error}"))?;
    let mut row = BillRow::new(number, day);
    if let Some(amount) = &result.amount {
        let currency = result.currency.as_deref().unwrap_or("USD");
        if !currency.eq_ignore_ascii_case("usd") {
            return Err(format!("its currency is {currency}, the ledger's is USD"));
        }
        row.cost = Some(amount.amount(decimal::CENTS).ok_or("its amount is no decimal number")?);
        row.charged = result.token_type.as_deref().and_then(words::counter);
        // Searches, sessions, code execution. Costs that are not grouped by description have no type and are all of it.
        if result.cost_type.as_deref().is_some_and(|kind| kind != "tokens") {
            row.kind = LineKind::Tool;
        }
    } else {
        row.usage = counts(&result)?;
    }
    (row.model, row.key, row.group) = (result.model, result.api_key_id, result.workspace_id);
    (row.service_tier, row.line) = (result.service_tier, result.description);
    Ok(row)
}

fn counts(result: &Outcome<'_>) -> Result<Counts, String> {
    let mut counts = Counts::new();
    counts.insert(Counter::InputUncached, result.uncached_input_tokens.ok_or("it has neither an amount nor uncached_input_tokens")?);
    counts.insert(Counter::OutputText, result.output_tokens.ok_or("it has no output_tokens")?);
    let written = result.cache_creation.as_ref();
    let optional = [
        (Counter::CacheRead, result.cache_read_input_tokens),
        (Counter::CacheWrite, written.and_then(|written| written.ephemeral_5m_input_tokens)),
        (Counter::CacheWrite1h, written.and_then(|written| written.ephemeral_1h_input_tokens)),
        (Counter::Searches, result.server_tool_use.as_ref().and_then(|tools| tools.web_search_requests)),
    ];
    counts.extend(optional.into_iter().filter_map(|(counter, count)| Some((counter, count?))));
    Ok(counts)
}
