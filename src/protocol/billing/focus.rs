//! Owns: the lines of AI services in a FOCUS 1.2 table (the open specification of cost and usage), whichever provider wrote it.
//! What is owed is `BilledCost`.

use super::sheet::{Line, each_line};
use super::{Bill, BillRow, LineKind, decimal, time, words};
use crate::base::Date;

/// Services that sell models, by a part of their name (lower case), where the category does not say so.
const SERVICES: &[&str] = &["bedrock", "openai", "anthropic", "claude", "vertex", "gemini", "cognitive", "openrouter", "mistral"];

/// Members of `SkuPriceDetails` that name a model (lower case, without `x_`).
const MODEL_MEMBERS: &[&str] = &["model", "modelname", "modelid", "model_name", "model_id"];

/// Columns that change when a charge is restated; all others say which charge it is. FOCUS has no id of a line.
const FIGURES: &[&str] = &[
    "billedcost",
    "contractedcost",
    "effectivecost",
    "listcost",
    "contractedunitprice",
    "listunitprice",
    "consumedquantity",
    "pricingquantity",
    "invoiceid",
];

pub(super) fn read(bytes: &[u8], bill: &mut Bill) -> Result<(), String> {
    each_line(bytes, &["billedcost", "chargeperiodstart"], bill, |line, bill| {
        if is_model_service(line) {
            bill.push_line(line.about(FIGURES), read_line(line)?)?;
        } else {
            bill.foreign += 1;
        }
        Ok(())
    })
}

fn is_model_service(line: &Line<'_>) -> bool {
    let category = line.get(&["servicecategory"]).is_some_and(|category| category.eq_ignore_ascii_case("AI and Machine Learning"));
    let service = line.get(&["servicename"]).unwrap_or_default().to_ascii_lowercase();
    category || SERVICES.iter().any(|name| service.contains(name))
}

fn read_line(line: &Line<'_>) -> Result<BillRow, String> {
    let start = line.get(&["chargeperiodstart"]).and_then(time::instant).ok_or("it has no start of its period")?;
    let end = line.get(&["chargeperiodend"]).and_then(time::instant);
    let kind = match line.get(&["chargecategory"]).unwrap_or("Usage") {
        "Tax" => LineKind::Tax,
        "Usage" => LineKind::Usage,
        "Purchase" => LineKind::Tool,
        _ => LineKind::Credit,
    };
    let within = end.map_or(Some(Date::of(start)), |end| time::one_day(start, end));
    let day = match kind {
        LineKind::Tax => Date::of(start),
        LineKind::Usage | LineKind::Tool | LineKind::Credit => within.ok_or("it is of more than one day: export by the day or hour")?,
    };
    let mut row = BillRow::new(line.number, day);
    let currency = line.get(&["billingcurrency"]).unwrap_or("USD");
    if currency != "USD" {
        return Err(format!("its currency is {currency}, the ledger's is USD"));
    }
    let cost = line.get(&["billedcost"]).ok_or("it has no BilledCost")?;
    row.cost = Some(decimal::amount(cost, decimal::USD).ok_or(format!("'{cost}' is no decimal number"))?);
    row.kind = kind;
    let meter = line.get(&["skumeter"]);
    row.charged = [meter, line.get(&["chargedescription"]), line.get(&["skuid"])].into_iter().flatten().find_map(words::counter);
    row.model = model(line);
    row.key = line.text(&["xapikeyid", "xapikeyname"]);
    row.group = line.text(&["subaccountid"]);
    row.line = line.text(&["chargedescription", "skumeter"]);
    match (kind, row.charged) {
        (LineKind::Usage, Some(charged)) => row.usage.extend(tokens(line)?.map(|tokens| (charged, tokens))),
        (LineKind::Usage, None) if row.model.is_none() => row.kind = LineKind::Tool,
        (LineKind::Usage | LineKind::Tool | LineKind::Credit | LineKind::Tax, _) => {}
    }
    Ok(row)
}

/// `None` where the unit is no number of tokens; then only the cost is compared.
fn tokens(line: &Line<'_>) -> Result<Option<u64>, String> {
    let (Some(quantity), Some(unit)) = (line.get(&["consumedquantity"]), line.get(&["consumedunit"]).and_then(words::token_unit)) else {
        return Ok(None);
    };
    decimal::count(quantity, unit).map(Some).ok_or(format!("'{quantity}' is no whole number of tokens"))
}

/// From the price details, else a resource that is a model, else the text before the last comma of the meter (`gpt-4o, input tokens`).
fn model(line: &Line<'_>) -> Option<String> {
    let details =
        line.get(&["skupricedetails"]).and_then(|json| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).ok());
    let named = details.iter().flatten().find(|(name, _)| {
        let name = name.to_ascii_lowercase();
        MODEL_MEMBERS.contains(&name.strip_prefix("x_").unwrap_or(&name))
    });
    if let Some(name) = named.and_then(|(_, value)| value.as_str()) {
        return Some(name.to_owned());
    }
    let kind = line.get(&["resourcetype"]).unwrap_or_default().to_ascii_lowercase();
    if kind.contains("model") || kind.contains("inference profile") {
        return line.text(&["resourceid", "resourcename"]);
    }
    let (model, what) = line.get(&["skumeter"])?.rsplit_once(',')?;
    words::counter(what).map(|_| model.trim().to_owned())
}
