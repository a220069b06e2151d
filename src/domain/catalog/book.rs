//! Owns: what the book that ships with the gateway says of a model (price, limits, capabilities), and how its name is found.
//! Refuses to know: how the book is made (`python/gotoai/price_book`), prices an operator sets, which models are called.

use super::{DayWindow, Meter, PriceLine, PriceSheet, ServiceTier};
use crate::base::{Ratio, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

/// What a model can take or give beyond plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    Tools,
    ParallelTools,
    Vision,
    JsonSchema,
    Reasoning,
    AudioIn,
    AudioOut,
    VideoIn,
    Pdf,
    WebSearch,
    PromptCache,
}

/// What a model is for. `Responses` are chat models that answer on the Responses API only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelMode {
    #[default]
    Chat,
    Completion,
    Responses,
    Embedding,
    Image,
    Transcription,
    Speech,
    Realtime,
    Moderation,
    Rerank,
    Video,
    Ocr,
    Other,
}

/// What the book knows of one model at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    pub id: Arc<str>,
    /// In the order in which they take effect. Empty: the model is known, its price is not, or is not one that a sheet can
    /// express.
    pub prices: Vec<PriceSheet>,
    pub context_window: Option<u64>,
    pub max_output: Option<u64>,
    pub capabilities: Vec<Capability>,
    /// False where nobody says what the model can do: an empty `capabilities` is then no denial.
    pub capabilities_known: bool,
    pub mode: ModelMode,
}

impl ModelFacts {
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// A data set the book was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSet {
    pub name: String,
    pub version: String,
    pub licence: String,
}

/// Prices and facts by provider family and model name. Immutable.
#[derive(Debug, Default)]
pub struct PriceBook {
    dated: String,
    sources: Vec<DataSet>,
    families: HashMap<Arc<str>, Family>,
}

#[derive(Debug, Default)]
struct Family {
    models: Vec<Arc<ModelFacts>>,
    /// Ids and names, lower case, to places in `models`.
    names: HashMap<Arc<str>, u32>,
    /// Longest first, so that the first that fits is the closest.
    prefixes: Vec<(Box<str>, u32)>,
}

#[derive(Deserialize)]
struct BookFile<'a> {
    schema: u32,
    dated: String,
    currency: Cow<'a, str>,
    sources: Vec<DataSet>,
    #[serde(borrow)]
    entries: Vec<EntryFile<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFile<'a> {
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    context_window: Option<u64>,
    max_output: Option<u64>,
    #[serde(default)]
    mode: ModelMode,
    capabilities: Option<Vec<Capability>>,
    #[serde(borrow, default)]
    lines: Vec<LineFile<'a>>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(default)]
    factors: BTreeMap<ServiceTier, Ratio>,
    #[serde(borrow)]
    effective_at: Option<Cow<'a, str>>,
    /// Changes that have been announced.
    #[serde(borrow, default)]
    later: Vec<LaterFile<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaterFile<'a> {
    #[serde(borrow)]
    effective_at: Cow<'a, str>,
    #[serde(borrow)]
    lines: Vec<LineFile<'a>>,
    #[serde(default)]
    factors: BTreeMap<ServiceTier, Ratio>,
}

/// One price of an entry.
struct VersionFile<'a> {
    lines: &'a [LineFile<'a>],
    factors: &'a BTreeMap<ServiceTier, Ratio>,
    effective_at: Option<&'a str>,
}

/// `[meter, num, per]`, and what the line depends on: a threshold alone as a number, else an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum LineFile<'a> {
    Always(#[serde(borrow)] Cow<'a, str>, i64, u32),
    Above(#[serde(borrow)] Cow<'a, str>, i64, u32, u64),
    When(#[serde(borrow)] Cow<'a, str>, i64, u32, WhenFile),
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenFile {
    above: Option<u64>,
    tier: Option<ServiceTier>,
    window: Option<DayWindow>,
}

static EMBEDDED: LazyLock<Arc<PriceBook>> = LazyLock::new(|| {
    // A test parses the same bytes. Were they broken all the same, an empty book is the safe one: unpriced is refused.
    Arc::new(PriceBook::parse(include_bytes!("prices.json")).unwrap_or_default())
});

impl PriceBook {
    /// The book that ships with the gateway, parsed on first use.
    pub fn embedded() -> Arc<Self> {
        Arc::clone(&EMBEDDED)
    }

    /// Reads a book. Errors name the entry.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let file: BookFile = serde_json::from_slice(json).map_err(|error| format!("price book: {error}"))?;
        // 2 has lines for tiers and times of day, factors and announced prices; 1 is what came before.
        if !(1..=2).contains(&file.schema) || file.currency != "USD" {
            return Err(format!("price book: schema {} in {} is not understood", file.schema, file.currency));
        }
        let mut book = Self { dated: file.dated, sources: file.sources, families: HashMap::new() };
        for entry in file.entries {
            let name = format!("{}/{}", entry.provider, entry.id);
            book.add(entry).map_err(|error| format!("price book: {name}: {error}"))?;
        }
        for family in book.families.values_mut() {
            family.prefixes.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
            family.prefixes.shrink_to_fit();
            family.models.shrink_to_fit();
            family.names.shrink_to_fit();
        }
        Ok(book)
    }

    fn add(&mut self, entry: EntryFile) -> Result<(), String> {
        let id: Arc<str> = entry.id.as_ref().into();
        let facts = Arc::new(ModelFacts {
            id: Arc::clone(&id),
            prices: self.sheets(&entry)?,
            context_window: entry.context_window,
            max_output: entry.max_output,
            capabilities_known: entry.capabilities.is_some(),
            capabilities: entry.capabilities.unwrap_or_default(),
            mode: entry.mode,
        });
        if !self.families.contains_key(entry.provider.as_ref()) {
            self.families.insert(entry.provider.as_ref().into(), Family::default());
        }
        let Some(family) = self.families.get_mut(entry.provider.as_ref()) else { return Ok(()) };
        let place = u32::try_from(family.models.len()).map_err(|_| "too many models".to_owned())?;
        family.models.push(facts);
        family.claim(shared_lower(id), place)?;
        for name in entry.names {
            family.claim(name.into(), place)?;
        }
        family.prefixes.extend(entry.prefixes.into_iter().map(|prefix| (prefix.into(), place)));
        Ok(())
    }

    fn sheets(&self, entry: &EntryFile) -> Result<Vec<PriceSheet>, String> {
        if entry.lines.is_empty() {
            return if entry.later.is_empty() { Ok(Vec::new()) } else { Err("a later price needs one before it".to_owned()) };
        }
        let set = self.sources.iter().find(|set| set.name == entry.source);
        let set = set.ok_or_else(|| format!("source {} is not among the book's", entry.source))?;
        let sheet = |version: VersionFile| -> Result<PriceSheet, String> {
            let lines = version.lines.iter().map(price_line).collect::<Result<Vec<_>, _>>()?;
            let effective_at = version.effective_at.map_or(Ok(Timestamp(0)), str::parse);
            let effective_at = effective_at.map_err(|problem: String| format!("effective_at {problem}"))?;
            let mut sheet = PriceSheet::new(lines, format!("{} {}", set.name, set.version), effective_at.0);
            sheet.factors.clone_from(version.factors);
            Ok(sheet)
        };
        let first = VersionFile { lines: &entry.lines, factors: &entry.factors, effective_at: entry.effective_at.as_deref() };
        let later = entry.later.iter().map(|later| VersionFile {
            lines: &later.lines,
            factors: &later.factors,
            effective_at: Some(&later.effective_at),
        });
        let sheets = std::iter::once(first).chain(later).map(sheet).collect::<Result<Vec<_>, _>>()?;
        if sheets.is_sorted_by(|a, b| a.effective_at_ms < b.effective_at_ms) {
            Ok(sheets)
        } else {
            Err("its prices are not in order of their dates".to_owned())
        }
    }

    /// What is known of `model` at a provider of this family: by exact id or name in any case, else without the suffix
    /// of a dated snapshot, else by the longest prefix rule. Nothing is guessed beyond that.
    pub fn facts(&self, family: &str, model: &str) -> Option<Arc<ModelFacts>> {
        let family = self.families.get(family)?;
        let name = lower(model);
        let named = || family.names.get(name.as_ref());
        let undated = || family.names.get(without_date(&name)?);
        let begun = || family.prefixes.iter().find(|(prefix, _)| name.starts_with(prefix.as_ref())).map(|(_, place)| place);
        let place = named().or_else(undated).or_else(begun)?;
        family.models.get(*place as usize).cloned()
    }

    /// The day (ISO date) whose prices these are.
    pub fn dated(&self) -> &str {
        &self.dated
    }

    pub fn sources(&self) -> &[DataSet] {
        &self.sources
    }

    /// Every model with its family, families in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Arc<ModelFacts>)> {
        self.families.iter().flat_map(|(name, family)| family.models.iter().map(|facts| (name.as_ref(), facts)))
    }
}

impl Family {
    fn claim(&mut self, name: Arc<str>, place: u32) -> Result<(), String> {
        match self.names.insert(name, place) {
            Some(other) if other != place => {
                let id = self.models.get(other as usize).map_or("another", |facts| facts.id.as_ref());
                Err(format!("one of its names is taken by {id}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn price_line(line: &LineFile) -> Result<PriceLine, String> {
    let (name, num, per, when) = match line {
        LineFile::Always(meter, num, per) => (meter, *num, *per, WhenFile::default()),
        LineFile::Above(meter, num, per, above) => (meter, *num, *per, WhenFile { above: Some(*above), ..WhenFile::default() }),
        LineFile::When(meter, num, per, when) => (meter, *num, *per, *when),
    };
    let meter = meter_named(name).ok_or_else(|| format!("unknown meter {name}"))?;
    if num < 0 || per == 0 {
        return Err(format!("{name} has the price {num} per {per}"));
    }
    // A line of the standard tier alone would leave the others without a price, which is to say free.
    if let Some(tier @ (ServiceTier::Auto | ServiceTier::Standard)) = when.tier {
        return Err(format!("{name} has a price of its own in tier {}", tier.name()));
    }
    Ok(PriceLine { above_input_tokens: when.above, tier: when.tier, window: when.window, ..PriceLine::new(meter, num, per) })
}

/// The meter by the name that it has everywhere in JSON.
fn meter_named(name: &str) -> Option<Meter> {
    Meter::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name)).ok()
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) }
}

/// The lower-case form, sharing the string where it is lower case already.
fn shared_lower(name: Arc<str>) -> Arc<str> {
    if let Cow::Owned(lowered) = lower(&name) { lowered.into() } else { name }
}

/// The name before the suffix of a dated snapshot: `-2024-07-18`, `-20250805`, `-0125` (month and day), `-2407` (year and
/// month). The generator strips the same.
fn without_date(name: &str) -> Option<&str> {
    let number = |text: &str| if text.bytes().all(|b| b.is_ascii_digit()) { text.parse::<u32>().ok() } else { None };
    let is_month = |month: u32| (1..=12).contains(&month);
    let month_day = |text: u32| is_month(text / 100) && text % 100 < 40;
    let dated = |suffix: &str| match *suffix.as_bytes() {
        [b'-', b'2', b'0', _, _, b'-', _, _, b'-', _, _] => {
            let parts = (suffix.get(3..5).and_then(number), suffix.get(6..8).and_then(number), suffix.get(9..11).and_then(number));
            matches!(parts, (Some(_), Some(month), Some(day)) if month_day(month * 100 + day))
        }
        [b'-', b'2', b'0', _, _, _, _, _, _] => suffix.get(1..).and_then(number).is_some_and(|date| month_day(date % 10_000)),
        [b'-', _, _, _, _] => {
            let digits = suffix.get(1..).and_then(number);
            digits.is_some_and(|date| month_day(date) || ((2000..3000).contains(&date) && is_month(date % 100)))
        }
        _ => false,
    };
    [11, 9, 5].into_iter().find_map(|length| {
        let (stem, suffix) = name.split_at_checked(name.len().checked_sub(length)?)?;
        dated(suffix).then_some(stem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rounding;
    use crate::domain::catalog::{Rating, Usage};

    fn nano(price: &PriceSheet, usage: Usage) -> i64 {
        price.amount(&usage, &Rating::standard(Timestamp(0))).unwrap().round(Rounding::HalfEven).unwrap().as_nano()
    }

    fn book_of(entry: &str) -> Result<PriceBook, String> {
        let head = r#"{"schema":1,"dated":"2026-01-02","currency":"USD","sources":[{"name":"set","version":"1","licence":"MIT"}]"#;
        PriceBook::parse(format!("{head},\"entries\":[{entry}]}}").as_bytes())
    }

    #[test]
    fn the_shipped_book_parses_and_every_line_is_valid() {
        let book = PriceBook::parse(include_bytes!("prices.json")).unwrap();
        assert_eq!(book.entries().count(), PriceBook::embedded().entries().count());
        assert!(book.entries().count() > 1000, "a refresh lost most of the book");
        assert_eq!(book.dated().len(), 10);
        assert!(book.sources().iter().any(|set| set.name == "genai-prices"));
        for (family, facts) in book.entries() {
            let found = book.facts(family, &facts.id).unwrap();
            assert!(Arc::ptr_eq(&found, facts), "{family}/{} is not found by its own id", facts.id);
            for price in &facts.prices {
                check_sheet(family, facts, price);
            }
        }
    }

    fn check_sheet(family: &str, facts: &ModelFacts, price: &PriceSheet) {
        assert!(price.lines.iter().all(|l| l.num >= 0 && l.per > 0), "{family}/{}", facts.id);
        for (index, line) in price.lines.iter().enumerate() {
            let same = |other: &PriceLine| PriceLine { num: line.num, per: line.per, ..*other } == *line;
            assert!(!price.lines[..index].iter().any(same), "{family}/{} prices a meter twice", facts.id);
        }
        let most = Usage::default().with(Meter::InputUncached, 10_000_000).with(Meter::OutputText, 1_000_000).with(Meter::Searches, 100);
        price.bound(&most, &Rating { tier: ServiceTier::Ultrafast, at: Timestamp(0) }).unwrap();
    }

    #[test]
    fn only_declared_models_are_free() {
        for (family, facts) in PriceBook::embedded().entries() {
            let free = !facts.prices.is_empty() && facts.prices.iter().all(|price| price.lines.iter().all(|line| line.num == 0));
            let declared = facts.id.ends_with(":free") || facts.mode == ModelMode::Moderation;
            assert!(!free || declared, "{family}/{} costs nothing", facts.id);
        }
    }

    #[test]
    fn golden_price() {
        let book = PriceBook::embedded();
        let million = Usage::default().with(Meter::InputUncached, 1_000_000);
        for (family, model) in [("openai", "gpt-4o-mini"), ("openai", "GPT-4o-mini-2024-07-18"), ("openrouter", "openai/gpt-4o-mini")] {
            let facts = book.facts(family, model).unwrap();
            let price = &facts.prices[0];
            assert_eq!(nano(price, million), 150_000_000);
            assert_eq!(nano(price, Usage::default().with(Meter::CacheRead, 1_000_000)), 75_000_000);
            assert_eq!(nano(price, Usage::default().with(Meter::OutputText, 1_000_000)), 600_000_000);
            assert!(price.source.starts_with("genai-prices "));
            assert_eq!(facts.context_window, Some(128_000));
            assert!(facts.can(Capability::Tools) && facts.capabilities_known);
        }
    }

    /// A cache that is written costs at least what the input costs, or its tokens are sold below cost.
    #[test]
    fn no_cache_write_is_cheaper_than_the_input() {
        let thousand = |meter| Usage::default().with(meter, 1000);
        for (family, facts) in PriceBook::embedded().entries() {
            for price in &facts.prices {
                let (input, write) = (nano(price, thousand(Meter::InputUncached)), nano(price, thousand(Meter::CacheWrite)));
                assert!(write >= input, "{family}/{}: a cache write costs {write}, the input {input}", facts.id);
                assert!(nano(price, thousand(Meter::CacheWrite1h)) >= write, "{family}/{}", facts.id);
            }
        }
    }

    #[test]
    fn golden_service_tiers_searches_and_windows() {
        let price = |family: &str, model: &str| PriceBook::embedded().facts(family, model).unwrap().prices[0].clone();
        let at = |minute: i64| Timestamp(minute * 60_000);
        let rated = |price: &PriceSheet, tier| {
            let usage = Usage::default().with(Meter::InputUncached, 1000).with(Meter::OutputText, 100);
            price.amount(&usage, &Rating { tier, at: at(0) }).unwrap().round(Rounding::HalfEven).unwrap().as_nano()
        };
        let astra = price("openai", "gpt-6-astra");
        let standard = rated(&astra, ServiceTier::Standard);
        assert_eq!(rated(&astra, ServiceTier::Priority), 2 * standard);
        assert_eq!(rated(&astra, ServiceTier::Ultrafast), 6 * standard);
        assert_eq!(rated(&astra, ServiceTier::Flex) * 2, standard);
        assert_eq!(rated(&price("openai", "gpt-4o"), ServiceTier::Priority), 1000 * 4250 + 100 * 17_000);
        let searched = price("openai", "gpt-4o-search-preview");
        assert_eq!(nano(&searched, Usage::default().with(Meter::Request, 1)), 25_000_000, "every call searches");
        let peak = price("deepseek", "deepseek-v4-flash");
        let cost = |minute| {
            let usage = Usage::default().with(Meter::OutputText, 1000);
            peak.amount(&usage, &Rating::standard(at(minute))).unwrap().round(Rounding::HalfEven).unwrap().as_nano()
        };
        assert_eq!((cost(59), cost(60), cost(240), cost(360)), (600_000, 1_200_000, 600_000, 1_200_000));
    }

    #[test]
    fn golden_tier() {
        let price = PriceBook::embedded().facts("openai", "gpt-5.4").unwrap().prices[0].clone();
        let cost = |input| nano(&price, Usage::default().with(Meter::InputUncached, input));
        assert_eq!(cost(272_000), 272_000 * 2500);
        assert_eq!(cost(272_001), 272_001 * 5000);
    }

    #[test]
    fn an_unknown_model_is_unknown() {
        let book = PriceBook::embedded();
        let absent = [("openai", "gpt-4o-mini:free"), ("openai", "no-such-model"), ("openai", ""), ("openai", "gpt-4o-minima")];
        for (family, model) in absent.into_iter().chain([("openrouter", "openai/gpt-4o-mini:free"), ("ollama", "llama3"), ("", "")]) {
            assert!(book.facts(family, model).is_none(), "{family}/{model}");
        }
    }

    #[test]
    fn exact_then_snapshot_then_longest_prefix() {
        let line = r#""lines":[["input_uncached",1,1]],"source":"set""#;
        let entry = |id: &str, prefix: &str| format!(r#"{{"provider":"p","id":"{id}","prefixes":["{prefix}"],{line}}}"#);
        let book = book_of(&[entry("M", "m-"), entry("m-large", "m-large-"), entry("m-0125", "x")].join(",")).unwrap();
        let id = |name: &str| book.facts("p", name).map(|facts| facts.id.to_string());
        let cases = [("m", "M"), ("M-0125", "m-0125"), ("m-2024-07-18", "M"), ("m-large-20250805", "m-large"), ("m-large-x", "m-large")];
        for (name, expected) in cases.into_iter().chain([("m-2407", "M"), ("m-small", "M"), ("m-large2", "M")]) {
            assert_eq!(id(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(id("n-0125"), None);
    }

    #[test]
    fn only_dates_are_stripped() {
        for name in ["m-2024-07-18", "m-20250805", "m-0125", "m-2407"] {
            assert_eq!(without_date(name), Some("m"), "{name}");
        }
        for name in ["m", "", "m-8192", "m-1234567", "m-2024-13-01", "m-20251399", "m-12b5", "é-01", "m0125", "-+125"] {
            assert_eq!(without_date(name), None, "{name}");
        }
    }

    #[test]
    fn a_broken_entry_is_named() {
        let broken = [
            (r#""lines":[["input_tokens",1,1]],"source":"set""#, "unknown meter input_tokens"),
            (r#""lines":[["request",-1,1]],"source":"set""#, "-1 per 1"),
            (r#""lines":[["request",1,0]],"source":"set""#, "1 per 0"),
            (r#""lines":[["request",1,1]],"source":"rumour""#, "source rumour"),
            (r#""lines":[["request",1,1]],"source":"set","effective_at":"May""#, "effective_at 'May'"),
            (r#""lines":[["request",1,1,{"tier":"auto"}]],"source":"set""#, "tier auto"),
            (r#""lines":[["request",1,1]],"source":"set","later":[{"effective_at":"1970-01-01","lines":[]}]"#, "not in order"),
            (r#""source":"set","later":[{"effective_at":"2027-01-01","lines":[]}]"#, "needs one before it"),
        ];
        for (rest, reason) in broken {
            let error = book_of(&format!(r#"{{"provider":"p","id":"m",{rest}}}"#)).unwrap_err();
            assert!(error.contains("p/m") && error.contains(reason), "{error}");
        }
        let twice = r#"{"provider":"p","id":"m","source":"set"},{"provider":"p","id":"n","names":["m"],"source":"set"}"#;
        let gold = r#"{"provider":"p","id":"m","lines":[["request",1,1,{"tier":"gold"}]],"source":"set"}"#;
        assert!(book_of(gold).is_err());
        assert!(book_of(twice).unwrap_err().contains("p/n: one of its names is taken by m"));
    }

    #[test]
    fn a_dated_price_holds_from_midnight() {
        let entry = r#"{"provider":"p","id":"m","lines":[["request",1,3,7]],"source":"set","effective_at":"2026-02-28"}"#;
        let price = book_of(entry).unwrap().facts("p", "m").unwrap().prices[0].clone();
        assert_eq!(Timestamp(price.effective_at_ms).to_string(), "2026-02-28T00:00:00.000Z");
        assert_eq!(price.lines, [PriceLine { above_input_tokens: Some(7), ..PriceLine::new(Meter::Request, 1, 3) }]);
        assert_eq!(price.source, "set 1");
    }

    #[test]
    fn tiers_windows_factors_and_announced_prices() {
        let entry = r#"{"provider":"p","id":"m","source":"set","lines":[["input_uncached",2,1],["input_uncached",1,1,{"tier":"flex","above":5}],
            ["output_text",1,1,{"window":[990,30]}]],"factors":{"batch":[1,2]},"later":[{"effective_at":"2027-01-01","lines":[["input_uncached",3,1]]}]}"#;
        let book = book_of(entry).unwrap();
        let facts = book.facts("p", "m").unwrap();
        let [now, later] = facts.prices.as_slice() else { panic!("{:?}", facts.prices) };
        let flex = PriceLine { tier: Some(ServiceTier::Flex), above_input_tokens: Some(5), ..PriceLine::new(Meter::InputUncached, 1, 1) };
        assert_eq!(now.lines[1], flex);
        assert_eq!(now.lines[2].window, DayWindow::between("16:30", "00:30"));
        assert_eq!(now.factors[&ServiceTier::Batch], Ratio { num: 1, den: 2 });
        assert_eq!((later.effective_at().to_string().as_str(), later.lines.len()), ("2027-01-01T00:00:00.000Z", 1));
    }
}
