//! Owns: CSV exports: the header that tells the format, rows by column name, line numbers.

use super::{Format, pages};
use std::collections::{BTreeMap, HashMap};

/// Enough of each format's columns to know it by; names as `bare` leaves them.
const MARKS: &[(Format, &[&str])] = &[
    (Format::OpenRouter, &["generationid", "costtotal"]),
    (Format::OpenRouter, &["date", "modelpermaslug", "usage"]),
    (Format::AwsCur, &["lineitemusagetype", "lineitemunblendedcost"]),
    (Format::Focus, &["billedcost", "chargeperiodstart"]),
];

/// `lineItem/UsageType`, `line_item_usage_type` and `Line Item Usage Type` are one column.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn columns(header: &csv::StringRecord) -> HashMap<String, usize> {
    let mut columns = HashMap::new();
    for (place, name) in header.iter().enumerate() {
        columns.entry(bare(name)).or_insert(place);
    }
    columns
}

fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(pages::plain(bytes))
}

pub(super) fn detect(bytes: &[u8]) -> Option<Format> {
    let mut reader = reader(bytes);
    let columns = columns(reader.headers().ok()?);
    MARKS.iter().find(|(_, marks)| marks.iter().all(|mark| columns.contains_key(*mark))).map(|(format, _)| *format)
}

/// One row with its columns by name.
pub(super) struct Line<'a> {
    pub(super) number: u64,
    columns: &'a HashMap<String, usize>,
    record: &'a csv::StringRecord,
}

impl Line<'_> {
    /// The cell under the first of `names` that is there and not empty.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        let cell = |name: &&str| self.record.get(*self.columns.get(*name)?).filter(|cell| !cell.is_empty());
        names.iter().find_map(cell)
    }

    /// All of the line but the columns of `figures`, whatever their order: what it is about.
    pub(super) fn about(&self, figures: &[&str]) -> String {
        let cells = self.columns.iter().filter(|(name, _)| !figures.contains(&name.as_str()));
        let filled = cells.filter_map(|(name, place)| Some((name, self.record.get(*place).filter(|cell| !cell.is_empty())?)));
        format!("{:?}", filled.collect::<BTreeMap<_, _>>())
    }

    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        self.get(names).map(str::to_owned)
    }
}

/// Calls `each` for every row; `Err` with the reason names the row as not understood. The header repeated further down, where
/// files were put together, is passed over.
pub(super) fn each_line(
    bytes: &[u8],
    needed: &[&str],
    bill: &mut super::Bill,
    mut each: impl FnMut(&Line<'_>, &mut super::Bill) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = reader(bytes);
    let header = reader.headers().map_err(|error| format!("its first line is no header: {error}"))?.clone();
    let columns = columns(&header);
    if let Some(missing) = needed.iter().find(|name| !columns.contains_key(**name)) {
        return Err(format!("its header has no column '{missing}'"));
    }
    let mut record = csv::StringRecord::new();
    loop {
        let number = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) if record == header => {}
            Ok(true) => {
                let number = record.position().map_or(number, csv::Position::line);
                if let Err(why) = each(&Line { number, columns: &columns, record: &record }, bill) {
                    bill.unread(number, why);
                }
            }
            Err(error) if error.is_io_error() => return Err(format!("it cannot be read: {error}")),
            Err(error) => bill.unread(number, error.to_string()),
        }
    }
}
