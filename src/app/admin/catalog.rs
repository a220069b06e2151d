//! Owns: models and prices for readers, and the exchange of the price book.

use super::{NoArguments, read};
use crate::app::Gateway;
use crate::app::gateway::read_book;
use crate::base::{Error, ErrorKind, Result, Timestamp};
use crate::domain::catalog::{DayWindow, Endpoint, Meter, PinnedPrice, PriceBook, PriceHistory, PriceLine, PriceSheet};
use crate::domain::identity::Principal;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Member names of prices and the units they are for, in the order in which people read them.
const MEMBERS: &[(Meter, &str, i128)] = &[
    (Meter::InputUncached, "input_per_mtok", 1_000_000),
    (Meter::CacheRead, "cached_input_per_mtok", 1_000_000),
    (Meter::CacheWrite, "cache_write_per_mtok", 1_000_000),
    (Meter::CacheWrite1h, "cache_write_1h_per_mtok", 1_000_000),
    (Meter::AudioIn, "audio_input_per_mtok", 1_000_000),
    (Meter::ImageIn, "image_input_per_mtok", 1_000_000),
    (Meter::OutputText, "output_per_mtok", 1_000_000),
    (Meter::OutputReasoning, "reasoning_per_mtok", 1_000_000),
    (Meter::AudioOut, "audio_output_per_mtok", 1_000_000),
    (Meter::ImageOut, "per_image", 1),
    (Meter::Seconds, "per_hour_audio", 3600),
    (Meter::Characters, "per_mchar", 1_000_000),
    (Meter::Searches, "per_search", 1),
    (Meter::Request, "per_request", 1),
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

/// Prices that always hold as members, those under a condition as a list; and which sheet it is, since when.
pub fn price_view(price: &PinnedPrice) -> Map<String, Value> {
    let (sheet, mut view) = (&price.sheet, Map::new());
    let mut conditions: Vec<Conditional> = Vec::new();
    for (meter, member, scale) in MEMBERS {
        for line in sheet.lines.iter().filter(|line| line.meter == *meter) {
            let when = condition(line);
            let place = if when.is_empty() { &mut view } else { under(&mut conditions, when) };
            place.insert((*member).to_owned(), decimal(line, *scale).into());
        }
    }
    let tiers: Vec<Value> = conditions.into_iter().map(|(when, prices)| Value::Object(when.into_iter().chain(prices).collect())).collect();
    if !tiers.is_empty() {
        view.insert("tiers".to_owned(), tiers.into());
    }
    if !sheet.factors.is_empty() {
        let percent: Map<String, Value> =
            sheet.factors.iter().map(|(tier, ratio)| (tier.name().to_owned(), ratio.to_percent().into())).collect();
        view.insert("tier_percent".to_owned(), percent.into());
    }
    view.insert("source".to_owned(), sheet.source.as_str().into());
    if sheet.effective_at_ms > 0 {
        view.insert("effective_at".to_owned(), sheet.effective_at().to_string().into());
    }
    view.insert("hash".to_owned(), price.hash_hex().into());
    view
}

/// A condition, and the prices under it.
type Conditional = (Map<String, Value>, Map<String, Value>);

/// The prices under a condition, all of them in one place.
fn under(conditions: &mut Vec<Conditional>, when: Map<String, Value>) -> &mut Map<String, Value> {
    let known = conditions.iter().position(|(other, _)| *other == when);
    let place = known.unwrap_or_else(|| {
        conditions.push((when, Map::new()));
        conditions.len() - 1
    });
    &mut conditions[place].1
}

/// What a line depends on.
fn condition(line: &PriceLine) -> Map<String, Value> {
    let mut when = Map::new();
    if let Some(tier) = line.tier {
        when.insert("service_tier".to_owned(), tier.name().into());
    }
    if let Some((from, to)) = line.window.map(DayWindow::times) {
        when.insert("from".to_owned(), from.into());
        when.insert("to".to_owned(), to.into());
    }
    if let Some(above) = line.above_input_tokens {
        when.insert("above_input_tokens".to_owned(), above.into());
    }
    when
}

/// The price in force at `now` with its members, and under `later` what takes effect after it.
fn history_view(prices: &PriceHistory, now: Timestamp) -> Option<Map<String, Value>> {
    let later: Vec<Value> = prices.after(now).map(|price| Value::Object(price_view(price))).collect();
    let mut view = prices.at(now).map(|price| price_view(price)).or_else(|| (!later.is_empty()).then(Map::new))?;
    if !later.is_empty() {
        view.insert("later".to_owned(), later.into());
    }
    Some(view)
}

pub(super) fn models(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let NoArguments {} = read(arguments)?;
    let now = gateway.clock.now();
    let models: Vec<Value> = gateway
        .models(&Principal::platform("local"))
        .into_iter()
        .map(|model| {
            let first = model.endpoints.first();
            json!({
                "id": model.id,
                "endpoints": model.endpoints.iter().map(|endpoint| endpoint_view(endpoint, now)).collect::<Vec<_>>(),
                "context_window": first.and_then(|endpoint| endpoint.context_window),
                "max_output": first.and_then(|endpoint| endpoint.max_output),
                "price": first.and_then(|endpoint| history_view(&endpoint.prices, now)),
            })
        })
        .collect();
    Ok(json!({ "models": models, "providers": providers(gateway) }))
}

fn endpoint_view(endpoint: &Endpoint, now: Timestamp) -> Value {
    json!({
        "id": &*endpoint.id,
        "provider": &*endpoint.provider_name,
        "model": &*endpoint.model,
        "priced": endpoint.price_at(now).is_some(),
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
    let now = gateway.clock.now();
    let search = asked.search.map(|text| text.to_lowercase());
    let models: Vec<Value> = book
        .entries()
        .filter(|(family, _)| asked.provider.as_deref().is_none_or(|wanted| wanted == *family))
        .filter(|(_, facts)| search.as_deref().is_none_or(|text| facts.id.to_lowercase().contains(text)))
        .map(|(family, facts)| {
            let mut view = history_view(&PriceHistory::of(&facts.prices), now).unwrap_or_default();
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
    let before = gateway.supply.book.lock().clone();
    gateway.reload_book()?;
    gateway.database.announce()?;
    let book = gateway.supply.book.lock().clone();
    Ok(json!({ "dated": book.dated(), "models": book.entries().count(), "changed": changes(&before, &book) }))
}

/// Every model whose prices differ between two books: the hashes of its sheets before and after. New books often say the
/// same from a newer source; that is no change.
fn changes(before: &PriceBook, after: &PriceBook) -> Vec<Value> {
    let known = |book: &PriceBook| -> BTreeMap<(String, String), Vec<PriceSheet>> {
        book.entries().map(|(family, facts)| ((family.to_owned(), facts.id.to_string()), facts.prices.clone())).collect()
    };
    let (before, after) = (known(before), known(after));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let same = |a: &[PriceSheet], b: &[PriceSheet]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| PriceSheet { source: b.source.clone(), ..a.clone() } == *b)
    };
    let hashes = |sheets: &[PriceSheet]| sheets.iter().map(|sheet| PinnedPrice::of(sheet).hash_hex()).collect::<Vec<_>>();
    let sheets = |book: &BTreeMap<(String, String), Vec<PriceSheet>>, name| book.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .map(|name| (name, sheets(&before, name), sheets(&after, name)))
        .filter(|(_, before, after)| !same(before, after))
        .map(|((family, id), before, after)| {
            let since = after.last().map(|sheet| sheet.effective_at().to_string());
            json!({ "provider": family, "id": id, "before": hashes(&before), "after": hashes(&after), "effective_at": since })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Ratio;
    use crate::domain::catalog::ServiceTier;

    #[test]
    fn prices_are_shown_exactly() {
        let line = |num, per| PriceLine::new(Meter::InputUncached, num, per);
        assert_eq!(decimal(&line(37_500_000_000, 1_000_000), 1_000_000), "0.0375");
        assert_eq!(decimal(&line(2_500_000_000_000, 1_000_000), 1_000_000), "2.5");
        assert_eq!(decimal(&line(0, 1_000_000), 1_000_000), "0");
        assert_eq!(decimal(&line(15_000_000_000_000, 1_000_000), 1_000_000), "15");
    }

    #[test]
    fn conditions_are_told_beside_their_price() {
        let line = PriceLine::new(Meter::OutputText, 2_000_000, 1);
        let lines = vec![
            line,
            PriceLine { tier: Some(ServiceTier::Flex), num: 1_000_000, ..line },
            PriceLine { tier: Some(ServiceTier::Flex), ..PriceLine::new(Meter::Searches, 10_000_000_000, 1) },
            PriceLine { window: DayWindow::between("16:30", "00:30"), above_input_tokens: Some(7), ..line },
        ];
        let mut sheet = PriceSheet::new(lines, "test".into(), 86_400_000);
        sheet.factors.insert(ServiceTier::Batch, Ratio { num: 1, den: 2 });
        let price = PinnedPrice::of(&sheet);
        let want = json!({
            "output_per_mtok": "2",
            "tiers": [
                { "service_tier": "flex", "output_per_mtok": "1", "per_search": "0.01" },
                { "from": "16:30", "to": "00:30", "above_input_tokens": 7, "output_per_mtok": "2" },
            ],
            "tier_percent": { "batch": "50" },
            "source": "test", "effective_at": "1970-01-02T00:00:00.000Z", "hash": price.hash_hex(),
        });
        assert_eq!(Value::Object(price_view(&price)), want);
        let later = history_view(&PriceHistory::of([&sheet]), Timestamp(0)).unwrap();
        assert_eq!(Value::Object(later), json!({ "later": [want] }));
    }

    #[test]
    fn a_new_book_says_what_changed() {
        let book = |entries: &str, version: &str| {
            let head = r#"{"schema":2,"dated":"2026-01-02","currency":"USD","sources":[{"name":"s","version":"V","licence":"MIT"}]"#;
            PriceBook::parse(format!("{},\"entries\":[{entries}]}}", head.replace('V', version)).as_bytes()).unwrap()
        };
        let entry = |id: &str, num: i64| format!(r#"{{"provider":"p","id":"{id}","source":"s","lines":[["request",{num},1]]}}"#);
        let (old, new) = (book(&[entry("a", 1), entry("b", 1)].join(","), "1"), book(&[entry("a", 1), entry("b", 2)].join(","), "2"));
        let changed = changes(&old, &new);
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert_eq!((&changed[0]["id"], changed[0]["before"] == changed[0]["after"]), (&json!("b"), false));
        assert!(changes(&old, &old).is_empty());
    }
}
