//! Owns: what the file says of prices: what a provider bills, and what users are charged beyond it.
//! Refuses to know: the price book, and which call is rated by which price.

use super::file::{Node, Section};
use super::scalar::{Scalar, wrong};
use crate::base::{Ratio, Result, Timestamp};
use crate::domain::catalog::{DayWindow, MarkupRule, Meter, PinnedPrice, PriceLine, PriceSheet, Sell, ServiceTier};
use serde_json::{Map, Value};

/// Member, meter, units that the price is for.
const PRICES: [(&str, Meter, u32); 14] = [
    ("input_per_mtok", Meter::InputUncached, 1_000_000),
    ("output_per_mtok", Meter::OutputText, 1_000_000),
    ("cache_read_per_mtok", Meter::CacheRead, 1_000_000),
    ("cache_write_per_mtok", Meter::CacheWrite, 1_000_000),
    ("cache_write_1h_per_mtok", Meter::CacheWrite1h, 1_000_000),
    ("reasoning_per_mtok", Meter::OutputReasoning, 1_000_000),
    ("audio_input_per_mtok", Meter::AudioIn, 1_000_000),
    ("audio_output_per_mtok", Meter::AudioOut, 1_000_000),
    ("image_input_per_mtok", Meter::ImageIn, 1_000_000),
    ("per_image", Meter::ImageOut, 1),
    ("per_hour_audio", Meter::Seconds, 3600),
    ("per_mchar", Meter::Characters, 1_000_000),
    ("per_search", Meter::Searches, 1),
    ("per_request", Meter::Request, 1),
];

/// Members that hold more than one figure.
const FROM: &str = "from";
const OFF_PEAK: &str = "off_peak";
const TIERS: &str = "tiers";

/// Section and factor of each tier that may have its own price.
const TIER_MEMBERS: [(&str, &str, ServiceTier); 4] = [
    ("flex", "flex_factor", ServiceTier::Flex),
    ("priority", "priority_factor", ServiceTier::Priority),
    ("batch", "batch_factor", ServiceTier::Batch),
    ("ultrafast", "ultrafast_factor", ServiceTier::Ultrafast),
];

/// A price as an administrative operation is given it: the members of `models[].price`, each as text.
pub(in crate::app) fn read_price(members: &Map<String, Value>) -> Result<PriceSheet> {
    read_sheet(&section("price", members)?)
}

fn section(path: &str, members: &Map<String, Value>) -> Result<Section> {
    let node = |(name, value): (&String, &Value)| {
        let place = format!("{path}.{name}");
        let node = match value {
            Value::String(text) => Node::Text(Scalar { place, text: text.trim().to_owned(), shown: Some(text.clone()) }),
            Value::Object(members) => Node::Map(section(&place, members)?),
            // A number has been through a binary fraction by now.
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                return Err(wrong(&place, "must be a text, such as \"0.15\""));
            }
        };
        Ok((name.clone(), node))
    };
    Ok(Section { path: path.to_owned(), entries: members.iter().map(node).collect::<Result<_>>()? })
}

/// A model's `price`: one, or a list of them with the day from which each holds.
pub(super) fn read_prices(model: &Section) -> Result<Vec<PriceSheet>> {
    let place = model.path_of("price");
    match model.get("price") {
        None | Some(Node::Null) => Ok(Vec::new()),
        Some(Node::Map(section)) => Ok(vec![read_sheet(section)?]),
        Some(Node::List(nodes)) => read_list(nodes, &place),
        Some(Node::Text(_)) => Err(wrong(&place, "must be a mapping of names to prices, or a list of such mappings, each with its 'from'")),
    }
}

fn read_list(nodes: &[Node], place: &str) -> Result<Vec<PriceSheet>> {
    let mut sheets: Vec<PriceSheet> = Vec::with_capacity(nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        let place = format!("{place}[{i}]");
        let section = node.section(&place)?.ok_or_else(|| wrong(&place, "holds no price"))?;
        let sheet = read_sheet(section)?;
        if sheets.last().is_some_and(|last| sheet.effective_at_ms <= last.effective_at_ms) {
            return Err(wrong(&section.path_of(FROM), "is not later than the price before it; write the prices in order of their dates"));
        }
        sheets.push(sheet);
    }
    Ok(sheets)
}

/// Input and output must both be given, because a meter without a line costs nothing: a forgotten one would be free.
fn read_sheet(section: &Section) -> Result<PriceSheet> {
    section.check_members(&allowed(&[FROM, OFF_PEAK, TIERS]))?;
    for (name, meter, _) in PRICES {
        if matches!(meter, Meter::InputUncached | Meter::OutputText) && section.scalar(name)?.is_none() {
            return Err(wrong(&section.path_of(name), "is missing; write 0 if it costs nothing"));
        }
    }
    let from: Option<Timestamp> = section.scalar(FROM)?.map(|text| text.text.parse().map_err(|_| text.fail(NO_DATE))).transpose()?;
    let mut sheet = PriceSheet::new(Vec::new(), "settings".to_owned(), from.map_or(0, Timestamp::millis));
    read_lines(section, None, &mut sheet.lines)?;
    if let Some(tiers) = section.section(TIERS)? {
        let members: Vec<&str> = TIER_MEMBERS.iter().flat_map(|(name, factor, _)| [*name, *factor]).collect();
        tiers.check_members(&members)?;
        for (name, factor, tier) in TIER_MEMBERS {
            if let Some(own) = tiers.section(name)? {
                own.check_members(&allowed(&[OFF_PEAK]))?;
                read_lines(own, Some(tier), &mut sheet.lines)?;
            }
            if let Some(text) = tiers.scalar(factor)? {
                let ratio = Ratio::from_decimal(&text.text).map_err(|_| text.fail("is not a factor; write 0.5 for half the price"))?;
                sheet.factors.insert(tier, ratio);
            }
        }
    }
    Ok(sheet)
}

const NO_DATE: &str = "is no date; write 2026-12-01 or 2026-12-01T06:30:00Z (UTC)";

fn allowed(more: &[&'static str]) -> Vec<&'static str> {
    PRICES.iter().map(|(name, ..)| *name).chain(more.iter().copied()).collect()
}

/// The lines of a section and of its `off_peak`.
fn read_lines(section: &Section, tier: Option<ServiceTier>, lines: &mut Vec<PriceLine>) -> Result<()> {
    take_lines(section, tier, None, lines)?;
    let Some(off_peak) = section.section(OFF_PEAK)? else { return Ok(()) };
    off_peak.check_members(&allowed(&["from", "to"]))?;
    let time = |name: &str| {
        let given = off_peak.scalar(name)?;
        given.ok_or_else(|| wrong(&off_peak.path_of(name), "is missing; write a time of day in UTC, such as 16:30"))
    };
    let (from, to) = (time("from")?, time("to")?);
    let window = DayWindow::between(&from.text, &to.text);
    let window = window.ok_or_else(|| wrong(&off_peak.path, "is no part of the day; write from: \"16:30\" and to: \"00:30\" (UTC)"))?;
    take_lines(off_peak, tier, Some(window), lines)
}

fn take_lines(section: &Section, tier: Option<ServiceTier>, window: Option<DayWindow>, lines: &mut Vec<PriceLine>) -> Result<()> {
    let before = lines.len();
    for (name, meter, per) in PRICES {
        if let Some(amount) = section.scalar(name)? {
            lines.push(PriceLine { tier, window, ..PriceLine::new(meter, amount.pico_usd()?, per) });
        }
    }
    if lines.len() == before && section.get(OFF_PEAK).is_none() {
        return Err(wrong(&section.path, "holds no price"));
    }
    Ok(())
}

/// `ledger.markup`: rules that go before the fee.
pub(super) fn read_markup(file: &Section) -> Result<Vec<MarkupRule>> {
    let Some(ledger) = file.section("ledger")? else { return Ok(Vec::new()) };
    let mut rules = Vec::new();
    for (i, node) in ledger.list("markup")?.iter().enumerate() {
        let place = format!("{}[{i}]", ledger.path_of("markup"));
        let rule = node.section(&place)?.ok_or_else(|| wrong(&place, "holds no rule"))?;
        rules.push(read_rule(rule)?);
    }
    Ok(rules)
}

fn read_rule(rule: &Section) -> Result<MarkupRule> {
    rule.check_members(&["provider", "model", "percent", "price"])?;
    let pattern = |name: &str| Ok(rule.scalar(name)?.map(|text| text.text.into_boxed_str()));
    let sell = match (rule.scalar("percent")?, rule.section("price")?) {
        (Some(percent), None) => {
            let share = Ratio::from_percent(&percent.text).map_err(|_| percent.fail("is not a percentage; write 5 or 5.5"))?;
            Sell::Markup(share)
        }
        (None, Some(price)) => Sell::Sheet(PinnedPrice::of(&read_sheet(price)?)),
        (Some(_), Some(_)) | (None, None) => return Err(wrong(&rule.path, "must have either a percent or a price")),
    };
    Ok(MarkupRule { provider: pattern("provider")?, model: pattern("model")?, sell })
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use super::super::reference::{members, supply_reference};
    use super::*;
    use std::collections::HashMap;

    fn section(text: &str) -> Section {
        parse(text, &HashMap::new()).unwrap()
    }

    fn read(price: &str) -> Result<Vec<PriceSheet>> {
        read_prices(&section(&format!("price: {price}")))
    }

    fn fails(price: &str) -> String {
        read(price).unwrap_err().message
    }

    #[test]
    fn prices_are_read_as_written() {
        let prices = read("{input_per_mtok: 0.15, output_per_mtok: '0.60', per_request: 0.0001, per_hour_audio: 0.04}").unwrap();
        let want = vec![
            PriceLine::new(Meter::InputUncached, 150_000_000_000, 1_000_000),
            PriceLine::new(Meter::OutputText, 600_000_000_000, 1_000_000),
            PriceLine::new(Meter::Seconds, 40_000_000_000, 3600),
            PriceLine::new(Meter::Request, 100_000_000, 1),
        ];
        assert_eq!(prices, [PriceSheet::new(want, "settings".into(), 0)]);
        assert!(read("~").unwrap().is_empty());
    }

    #[test]
    fn tiers_and_times_of_day() {
        let prices = read(
            "{input_per_mtok: 2, output_per_mtok: 8, off_peak: {from: '16:30', to: '00:30', output_per_mtok: 4}, \
             tiers: {flex: {input_per_mtok: 1, off_peak: {from: '1:00', to: '2:00', input_per_mtok: 0.5}}, batch_factor: '0.5'}}",
        )
        .unwrap();
        let line = |meter, dollars: i64| PriceLine::new(meter, dollars * 500_000_000_000, 1_000_000);
        let (night, early) = (DayWindow::between("16:30", "00:30"), DayWindow::between("1:00", "2:00"));
        let want = vec![
            line(Meter::InputUncached, 4),
            line(Meter::OutputText, 16),
            PriceLine { window: night, ..line(Meter::OutputText, 8) },
            PriceLine { tier: Some(ServiceTier::Flex), ..line(Meter::InputUncached, 2) },
            PriceLine { tier: Some(ServiceTier::Flex), window: early, ..line(Meter::InputUncached, 1) },
        ];
        assert_eq!(prices[0].lines, want);
        assert_eq!(prices[0].factors.get(&ServiceTier::Batch), Some(&Ratio { num: 5, den: 10 }));
    }

    #[test]
    fn a_list_is_a_history() {
        let prices = read("[{input_per_mtok: 1, output_per_mtok: 1}, {from: 2026-12-01, input_per_mtok: 2, output_per_mtok: 2}]").unwrap();
        assert_eq!(prices[1].effective_at().to_string(), "2026-12-01T00:00:00.000Z");
        let alone = read("{from: 2026-12-01T06:30:00Z, input_per_mtok: 2, output_per_mtok: 2}").unwrap();
        assert_eq!(alone[0].effective_at().to_string(), "2026-12-01T06:30:00.000Z");
        let same = "{from: 2026-12-01, input_per_mtok: 2, output_per_mtok: 2}";
        assert!(fails(&format!("[{same}, {same}]")).starts_with("price[1].from: is not later"));
    }

    #[test]
    fn what_is_wrong_has_a_path() {
        let whole = "input_per_mtok: 1, output_per_mtok: 1";
        assert_eq!(fails("{input_per_mtok: 1}"), "price.output_per_mtok: is missing; write 0 if it costs nothing");
        assert!(fails("{input_per_mtok: -1, output_per_mtok: 1}").starts_with("price.input_per_mtok: '-1' is negative"));
        assert!(fails(&format!("{{{whole}, from: soon}}")).starts_with("price.from: 'soon' is no date"));
        assert!(fails(&format!("{{{whole}, tiers: {{gold: {{}}}}}}")).starts_with("price.tiers.gold: there is no such setting"));
        assert!(fails(&format!("{{{whole}, tiers: {{flex: {{}}}}}}")).starts_with("price.tiers.flex: holds no price"));
        assert!(fails(&format!("{{{whole}, tiers: {{batch_factor: -1}}}}")).starts_with("price.tiers.batch_factor: '-1' is not a factor"));
        assert!(
            fails(&format!("{{{whole}, off_peak: {{from: '1:00', output_per_mtok: 1}}}}")).starts_with("price.off_peak.to: is missing")
        );
        assert!(
            fails(&format!("{{{whole}, off_peak: {{from: '1:00', to: '25:00', output_per_mtok: 1}}}}"))
                .starts_with("price.off_peak: is no part")
        );
        assert!(fails("cheap").starts_with("price: must be a mapping"));
    }

    #[test]
    fn markup_rules() {
        let rules = |text: &str| read_markup(&section(&format!("ledger: {{markup: {text}}}"))).map_err(|error| error.message);
        let read = rules("[{provider: openai, percent: 5.5}, {model: 'gpt-*', price: {input_per_mtok: 1, output_per_mtok: 2}}]").unwrap();
        assert_eq!(read[0].sell, Sell::Markup(Ratio { num: 55, den: 1000 }));
        assert!(matches!(&read[1].sell, Sell::Sheet(pinned) if pinned.sheet.lines.len() == 2));
        assert!(rules("[{model: m}]").unwrap_err().starts_with("ledger.markup[0]: must have either"));
        assert!(rules("[{model: m, percent: -1}]").unwrap_err().starts_with("ledger.markup[0].percent: '-1' is not a percentage"));
        assert!(rules("[{modle: m, percent: 1}]").unwrap_err().starts_with("ledger.markup[0].modle: there is no such setting"));
        assert!(read_markup(&section("server: {}")).unwrap().is_empty());
    }

    #[test]
    fn the_table_and_the_prices_agree() {
        let place = "providers.<name>.models[].price";
        assert_eq!(members(supply_reference(), place), [vec![FROM], allowed(&[]), vec![OFF_PEAK, TIERS]].concat());
        let tiers: Vec<&str> = TIER_MEMBERS.iter().flat_map(|(name, factor, _)| [*name, *factor]).collect();
        assert_eq!(members(supply_reference(), &format!("{place}.{TIERS}")), tiers);
    }
}
