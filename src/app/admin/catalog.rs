//! Owns: models and prices for readers, and the exchange of the price book.

use super::read;
use crate::app::Gateway;
use crate::app::gateway::read_book;
use crate::base::{Error, ErrorKind, Result};
use crate::domain::catalog::{Endpoint, Meter, PriceLine, PriceSheet};
use crate::domain::identity::Principal;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Member names of prices, in the order in which people read them.
const MEMBERS: &[(Meter, &str)] = &[
    (Meter::InputUncached, "input_per_mtok"),
    (Meter::CacheRead, "cached_input_per_mtok"),
    (Meter::CacheWrite, "cache_write_per_mtok"),
    (Meter::AudioIn, "audio_input_per_mtok"),
    (Meter::ImageIn, "image_input_per_mtok"),
    (Meter::OutputText, "output_per_mtok"),
    (Meter::OutputReasoning, "reasoning_per_mtok"),
    (Meter::AudioOut, "audio_output_per_mtok"),
];

/// `num` pico-units per `per` units as decimal USD per `scale` units, exactly where it is finite.
fn decimal(line: &PriceLine, scale: i128) -> String {
    const PLACES: u32 = 18;
    let scaled = i128::from(line.num) * scale * 10_i128.pow(PLACES - 12);
    let units = scaled / i128::from(line.per);
    let text = format!("{units:0>19}");
    let (whole, fraction) = text.split_at(text.len() - PLACES as usize);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        digits => format!("{whole}.{digits}"),
    }
}

/// Base prices as members, tiers as a list.
pub fn price_view(sheet: &PriceSheet) -> Map<String, Value> {
    let mut view = Map::new();
    let mut tiers = Vec::new();
    for (meter, member) in MEMBERS {
        for line in sheet.lines.iter().filter(|line| line.meter == *meter) {
            match line.above_input_tokens {
                None => drop(view.insert((*member).to_owned(), decimal(line, 1_000_000).into())),
                Some(above) => tiers.push(json!({ "above_input_tokens": above, *member: decimal(line, 1_000_000) })),
            }
        }
    }
    if let Some(line) = sheet.lines.iter().find(|line| line.meter == Meter::Request) {
        view.insert("per_request".to_owned(), decimal(line, 1).into());
    }
    if !tiers.is_empty() {
        view.insert("tiers".to_owned(), tiers.into());
    }
    view.insert("source".to_owned(), sheet.source.as_str().into());
    view
}

#[expect(clippy::unnecessary_wraps, reason = "every operation may fail; this one does not")]
pub(super) fn models(gateway: &Gateway, _: &[u8]) -> Result<Value> {
    let models: Vec<Value> = gateway
        .models(&Principal::platform("local"))
        .into_iter()
        .map(|model| {
            let first = model.endpoints.first();
            json!({
                "id": model.id,
                "endpoints": model.endpoints.iter().map(|endpoint| endpoint_view(endpoint)).collect::<Vec<_>>(),
                "context_window": first.and_then(|endpoint| endpoint.context_window),
                "max_output": first.and_then(|endpoint| endpoint.max_output),
                "price": first.and_then(|endpoint| endpoint.price.as_deref()).map(price_view),
            })
        })
        .collect();
    Ok(json!({ "models": models, "providers": providers(gateway) }))
}

fn endpoint_view(endpoint: &Endpoint) -> Value {
    json!({
        "id": &*endpoint.id,
        "provider": &*endpoint.provider_name,
        "model": &*endpoint.model,
        "priced": endpoint.price.is_some(),
        "breaker": endpoint.health.breaker().name(),
        "first_byte_ms": endpoint.health.first_byte().map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
    })
}

fn providers(gateway: &Gateway) -> Vec<Value> {
    let known = gateway.supply.status.lock();
    gateway
        .supply
        .instances
        .iter()
        .map(|instance| {
            let status = known.get(&instance.settings.name).cloned().unwrap_or_default();
            let name = match (&status.models, &status.error) {
                (_, Some(_)) => "failing",
                (Some(_), None) => "ok",
                (None, None) => "not asked yet",
            };
            json!({
                "name": instance.settings.name,
                "family": instance.settings.family.name,
                "base_url": instance.settings.base_url,
                "status": name,
                "error": status.error,
                "models": status.models.map_or(instance.settings.models.len(), |models| models.len()),
                "fetched_at": status.fetched_at.map(|at| at.to_string()),
            })
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    provider: Option<String>,
    search: Option<String>,
}

pub(super) fn prices(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let asked: Prices = read(arguments)?;
    let book = gateway.supply.book.lock().clone();
    let search = asked.search.map(|text| text.to_lowercase());
    let models: Vec<Value> = book
        .entries()
        .filter(|(family, _)| asked.provider.as_deref().is_none_or(|wanted| wanted == *family))
        .filter(|(_, facts)| search.as_deref().is_none_or(|text| facts.id.to_lowercase().contains(text)))
        .map(|(family, facts)| {
            let mut view = facts.price.as_deref().map(price_view).unwrap_or_default();
            view.insert("provider".to_owned(), family.into());
            view.insert("id".to_owned(), (&*facts.id).into());
            view.insert("mode".to_owned(), json!(facts.mode));
            // Null where nobody says: an empty list would be a denial.
            view.insert("capabilities".to_owned(), json!(facts.capabilities_known.then_some(&facts.capabilities)));
            view.insert("context_window".to_owned(), facts.context_window.into());
            view.insert("max_output".to_owned(), facts.max_output.into());
            Value::Object(view)
        })
        .collect();
    Ok(json!({ "dated": book.dated(), "models": models }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    path: Option<std::path::PathBuf>,
}

/// Puts a newer book beside the database, where this and every later start finds it; running gateways on the same
/// database notice and take it. Without a path: reads again what is there.
pub(super) fn refresh(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Refresh { path } = read(arguments)?;
    if let Some(path) = path {
        read_book(&path)?;
        let target = gateway.book_path();
        let partial = target.with_extension("partial");
        // A reader never sees half a book: written aside, then renamed.
        std::fs::copy(&path, &partial)
            .and_then(|_| std::fs::rename(&partial, &target))
            .map_err(|error| Error::new(ErrorKind::Storage, format!("the price book cannot be stored: {error}")))?;
    }
    gateway.reload_book()?;
    gateway.database.announce()?;
    let book = gateway.supply.book.lock().clone();
    Ok(json!({ "dated": book.dated(), "models": book.entries().count() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_shown_exactly() {
        let line = |num, per| PriceLine::new(Meter::InputUncached, num, per);
        assert_eq!(decimal(&line(37_500_000_000, 1_000_000), 1_000_000), "0.0375");
        assert_eq!(decimal(&line(2_500_000_000_000, 1_000_000), 1_000_000), "2.5");
        assert_eq!(decimal(&line(0, 1_000_000), 1_000_000), "0");
        assert_eq!(decimal(&line(15_000_000_000_000, 1_000_000), 1_000_000), "15");
    }
}
