//! Owns: OpenRouter's activity: the API's items of a day and model, and the site's CSV, one row a generation. Amounts are credits,
//! which are USD; what an own key at a provider was billed there (`byok_usage_inference`) is not owed to OpenRouter.

use super::pages::{Figure, Page, about, pages};
use super::sheet::{Line, each_line};
use super::{Bill, BillRow, Counter, Counts, decimal, time};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Item<'a> {
    date: String,
    model: Option<String>,
    model_permaslug: Option<String>,
    api_key_name: Option<String>,
    requests: Option<u64>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    #[serde(borrow)]
    usage: Option<Figure<'a>>,
}

/// Columns of a day's activity that grow with it.
const FIGURES: &[&str] = &[
    "usage",
    "costtotal",
    "byokusageinference",
    "requests",
    "tokensprompt",
    "prompttokens",
    "tokenscached",
    "cachedtokens",
    "tokenscompletion",
    "completiontokens",
    "tokensreasoning",
    "reasoningtokens",
];

pub(super) fn read_json(bytes: &[u8], bill: &mut Bill) -> Result<(), String> {
    for page in pages(bytes)? {
        let items = match serde_json::from_str::<Page<'_>>(page.get()) {
            Ok(Page { data: Some(items) }) => items,
            Ok(Page { data: None }) => vec![page],
            Err(error) => return Err(format!("a page has another form: {error}")),
        };
        for item in items {
            let number = bill.next_row();
            match read_item(item, number) {
                Ok(_) if !bill.first_time(item.get().to_owned()) => bill.repeated += 1,
                Ok(row) => {
                    if let Err(why) = bill.push_line(about(item.get()), row) {
                        bill.unread(number, why);
                    }
                }
                Err(why) => bill.unread(number, why),
            }
        }
    }
    Ok(())
}

fn read_item(item: &RawValue, number: u64) -> Result<BillRow, String> {
    let item: Item<'_> = serde_json::from_str(item.get()).map_err(|error| format!("another form: {error}"))?;
    let mut row = BillRow::new(number, time::day(&item.date).ok_or("its date is none")?);
    // The name as called, not the snapshot behind it: it is what our endpoints are named after.
    row.model = item.model.or(item.model_permaslug);
    row.key = item.api_key_name;
    row.requests = item.requests;
    row.usage = counts(item.prompt_tokens, item.cached_tokens, item.completion_tokens, item.reasoning_tokens)?;
    row.cost = Some(item.usage.as_ref().and_then(|usage| usage.amount(decimal::USD)).ok_or("its usage is no decimal number")?);
    Ok(row)
}

/// Reasoning tokens are part of the completion's, cached tokens of the prompt's.
fn counts(prompt: Option<u64>, cached: Option<u64>, completion: Option<u64>, reasoning: Option<u64>) -> Result<Counts, String> {
    let mut counts = Counts::new();
    for (all, whole, part, inner) in [
        (prompt, Counter::InputUncached, cached, Counter::CacheRead),
        (completion, Counter::OutputText, reasoning, Counter::OutputReasoning),
    ] {
        let Some(all) = all else { continue };
        counts.insert(whole, all.checked_sub(part.unwrap_or(0)).ok_or("its parts are more than its totals")?);
        counts.extend(part.map(|part| (inner, part)));
    }
    Ok(counts)
}

pub(super) fn read_csv(bytes: &[u8], bill: &mut Bill) -> Result<(), String> {
    each_line(bytes, &[], bill, |line, bill| {
        let row = read_line(line)?;
        let Some(generation) = line.get(&["generationid"]) else { return bill.push_line(line.about(FIGURES), row) };
        if bill.first_time(generation.to_owned()) {
            bill.push(row);
        } else {
            bill.repeated += 1;
        }
        Ok(())
    })
}

fn read_line(line: &Line<'_>) -> Result<BillRow, String> {
    let day = line.get(&["createdat", "date"]).and_then(time::day).ok_or("it has no time")?;
    let mut row = BillRow::new(line.number, day);
    // A variant such as `free` has prices of its own, and a name of its own at our side.
    row.model = line.text(&["model", "modelpermaslug"]).map(|model| match line.get(&["variant"]) {
        Some(variant) if variant != "standard" && !model.contains(':') => format!("{model}:{variant}"),
        Some(_) | None => model,
    });
    row.key = line.text(&["apikeyname", "apikey"]);
    row.requests = match line.get(&["requests"]) {
        Some(text) => Some(decimal::count(text, 0).ok_or("its requests are no whole number")?),
        None => line.get(&["generationid"]).map(|_| 1),
    };
    let whole = |names: &[&str]| match line.get(names) {
        Some(text) => decimal::count(text, 0).map(Some).ok_or(format!("'{text}' is no whole number of tokens")),
        None => Ok(None),
    };
    row.usage = counts(
        whole(&["tokensprompt", "prompttokens"])?,
        whole(&["tokenscached", "cachedtokens"])?,
        whole(&["tokenscompletion", "completiontokens"])?,
        whole(&["tokensreasoning", "reasoningtokens"])?,
    )?;
    let cost = line.get(&["costtotal", "usage"]).ok_or("it has no cost")?;
    row.cost = Some(decimal::amount(cost, decimal::USD).ok_or(format!("'{cost}' is no decimal number"))?);
    Ok(row)
}
