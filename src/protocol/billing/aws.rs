//! Owns: the lines of Bedrock in AWS's cost and usage report, legacy (`lineItem/UsageType`) or Data Exports (`line_item_usage_type`).
//! A call makes a line for each kind of token; models of other vendors are sold as products of the marketplace.

use super::sheet::{Line, each_line};
use super::{Bill, BillRow, LineKind, decimal, time, words};
use crate::base::Date;

/// Columns that change when a line is restated; the others say which line it is, where it has no id.
const FIGURES: &[&str] = &[
    "lineitemusageamount",
    "lineitemnormalizedusageamount",
    "lineitemunblendedcost",
    "lineitemunblendedrate",
    "lineitemblendedcost",
    "lineitemblendedrate",
    "lineitemnetunblendedcost",
    "lineitemnetunblendedrate",
    "pricingpublicondemandcost",
    "pricingpublicondemandrate",
    "billinvoiceid",
];

pub(super) fn read(bytes: &[u8], bill: &mut Bill) -> Result<(), String> {
    each_line(bytes, &["lineitemusagetype", "lineitemunblendedcost"], bill, |line, bill| {
        if !is_bedrock(line) {
            bill.foreign += 1;
            return Ok(());
        }
        let row = read_line(line)?;
        // The id is unique within a period only.
        let id = line.get(&["identitylineitemid"]).map(|id| format!("{id} {:?} {:?}", line.get(&["lineitemusagestartdate"]), row.line));
        let Some(id) = id else { return bill.push_line(line.about(FIGURES), row) };
        if bill.first_time(id) {
            bill.push(row);
        } else {
            bill.repeated += 1;
        }
        Ok(())
    })
}

fn is_bedrock(line: &Line<'_>) -> bool {
    let names =
        [line.get(&["lineitemproductcode"]), line.get(&["productproductname"]), line.get(&["productservicename"]), line.get(&["product"])];
    names.into_iter().flatten().any(|name| name.to_ascii_lowercase().contains("bedrock"))
}

fn read_line(line: &Line<'_>) -> Result<BillRow, String> {
    let start = line.get(&["lineitemusagestartdate"]).and_then(time::instant).ok_or("it has no start of use")?;
    let end = line.get(&["lineitemusageenddate"]).and_then(time::instant);
    let kind = kind(line.get(&["lineitemlineitemtype"]).unwrap_or("Usage"));
    let within = end.map_or(Some(Date::of(start)), |end| time::one_day(start, end));
    let day = match kind {
        // A month's tax is of no day; it is only told.
        LineKind::Tax => Date::of(start),
        LineKind::Usage | LineKind::Tool | LineKind::Credit => {
            within.ok_or("it is of more than one day: export with daily or hourly granularity")?
        }
    };
    let mut row = BillRow::new(line.number, day);
    row.kind = kind;
    let currency = line.get(&["lineitemcurrencycode", "pricingcurrency"]).unwrap_or("USD");
    if currency != "USD" {
        return Err(format!("its currency is {currency}, the ledger's is USD"));
    }
    let cost = line.get(&["lineitemunblendedcost"]).ok_or("it has no unblended cost")?;
    row.cost = Some(decimal::amount(cost, decimal::USD).ok_or(format!("'{cost}' is no decimal number"))?);
    let usage_type = line.get(&["lineitemusagetype"]).unwrap_or_default();
    row.charged = words::counter(usage_type);
    row.model = model(line, usage_type);
    row.key = line.text(&["lineitemiamprincipal"]);
    row.group = line.text(&["lineitemusageaccountid"]);
    row.service_tier = tier(usage_type).map(str::to_owned);
    row.line = Some(usage_type.to_owned());
    match (kind, row.charged) {
        (LineKind::Usage, Some(charged)) => row.usage.extend(tokens(line)?.map(|tokens| (charged, tokens))),
        (LineKind::Usage, None) => row.kind = LineKind::Tool,
        (LineKind::Tool | LineKind::Credit | LineKind::Tax, _) => {}
    }
    Ok(row)
}

fn kind(name: &str) -> LineKind {
    match name {
        "Tax" => LineKind::Tax,
        "Usage" | "DiscountedUsage" | "SavingsPlanCoveredUsage" => LineKind::Usage,
        // Credit, Refund, EdpDiscount, BundledDiscount, PrivateRateDiscount, SavingsPlanNegation.
        _ => LineKind::Credit,
    }
}

/// The amount in the unit that the line names. Where it names none that says how many (`Units` of the marketplace), the
/// description must; else the count stays unknown, and only the cost is compared.
fn tokens(line: &Line<'_>) -> Result<Option<u64>, String> {
    let units = [line.get(&["pricingunit"]), line.get(&["lineitemlineitemdescription"])];
    let Some(unit) = units.into_iter().flatten().find_map(words::token_unit) else { return Ok(None) };
    let amount = line.get(&["lineitemusageamount"]).ok_or("it has no amount of use")?;
    decimal::count(amount, unit).map(Some).ok_or(format!("'{amount}' is no whole number of tokens"))
}

/// An id of a model or profile in the resource, else the marketplace's or the product's name of the model, else the name within the
/// usage type: `USE1-NovaPro-input-tokens` is of `NovaPro`.
fn model(line: &Line<'_>, usage_type: &str) -> Option<String> {
    let resource = line.get(&["lineitemresourceid"]).filter(|arn| arn.contains("foundation-model/") || arn.contains(":inference-profile/"));
    if let Some((_, id)) = resource.and_then(|arn| arn.rsplit_once('/')) {
        return Some(id.to_owned());
    }
    if let Some(name) = line.get(&["productmodel"]) {
        return Some(name.to_owned());
    }
    let product = line.get(&["productproductname", "productservicename"]).and_then(|name| name.strip_suffix("(Amazon Bedrock Edition)"));
    if let Some(name) = product {
        return Some(name.trim().to_owned());
    }
    let (_, rest) = usage_type.split_once('-')?;
    let end = ["-input", "-output", "-cache", "-mantle"].iter().filter_map(|word| rest.find(word)).min()?;
    Some(rest[..end].to_owned()).filter(|name| !name.is_empty() && !name.starts_with("MP:"))
}

fn tier(usage_type: &str) -> Option<&'static str> {
    let lower = usage_type.to_ascii_lowercase();
    ["batch", "flex", "priority"].into_iter().find(|tier| lower.contains(tier))
}
