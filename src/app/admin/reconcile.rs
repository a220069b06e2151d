//! Owns: the operation of reconciliation, and its level 1: a provider's files against the books, arguments in, report out.
//! Books the gaps where it is told to.
//! Refuses to know: what a gap means (domain/reconcile), how a file is read (protocol/billing).

use super::booking::{self, submit};
use super::known::known_provider;
use super::{findings, read};
use crate::app::Gateway;
use crate::app::gateway::op_id;
use crate::base::{Date, Error, ErrorKind, Exact, Money, Result, Rounding};
use crate::domain::ledger::{Action, CloseGap, Move, Refusal};
use crate::domain::reconcile::{
    Books, DaysBy, Gap, OurRow, Proposal, Reconciliation, Scope, Terms, Theirs, Tolerance, UnitPrice, match_bill,
};
use crate::protocol::billing::{self, Bill, Counts, Format};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const LEVEL_INTERNAL: u8 = 0;
const LEVEL_PROVIDER: u8 = 1;
/// More rows that were not read are only counted.
const UNREAD_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(rename = "level")]
    _level: Option<u8>,
    /// By our name.
    provider: String,
    format: Option<String>,
    content: Content,
    /// First and last day, both included.
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    key_map: BTreeMap<String, String>,
    #[serde(default)]
    model_map: BTreeMap<String, String>,
    /// Books what the gaps propose, so that they are closed.
    #[serde(default)]
    apply: bool,
    reason: Option<String>,
}

/// Read first: the other arguments follow from it. Without a level, files make it level 1.
#[derive(Deserialize)]
struct Level {
    level: Option<u8>,
    provider: Option<IgnoredAny>,
    content: Option<IgnoredAny>,
}

/// One file's text, or several with their names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    One(String),
    Several(Vec<File>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    content: String,
}

fn refuse(param: &'static str, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, why).with_param(param)
}

pub(super) fn reconcile(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let Level { level, provider, content } = read(arguments)?;
    let of_files = provider.is_some() || content.is_some();
    match level.unwrap_or(if of_files { LEVEL_PROVIDER } else { LEVEL_INTERNAL }) {
        LEVEL_INTERNAL => return findings::reconcile(gateway, arguments),
        LEVEL_PROVIDER => {}
        other => {
            let why = format!("level {other} is not known; 0 compares the books with themselves, 1 with a provider's files");
            return Err(refuse("level", why));
        }
    }
    let asked: Arguments = read(arguments)?;
    known_provider(gateway, &asked.provider)?;
    let bill = read_files(&asked)?;
    let Some(terms) = terms(gateway, &asked, &bill)? else {
        return Err(refuse("content", "the files are about no day: they hold neither rows nor buckets"));
    };
    let end = Date::of_day(terms.to.day_number() + 1).start();
    let as_of_seq = gateway.database.last_seq()?;
    let compare = || {
        let ours = gateway.database.daily(&terms.provider, terms.from.start(), end)?;
        let closed = gateway.database.closed(&terms.provider)?;
        match_bill(&bill.rows, &ours, &closed, &terms).ok_or_else(|| refuse("content", "a sum of amounts is too large to be exact"))
    };
    let done = compare()?;
    if !asked.apply {
        return Ok(report(&bill, &terms, &done));
    }
    let why = asked.reason.as_deref().ok_or_else(|| refuse("reason", "booking needs a reason"))?;
    let reason = booking::text(why, "reason")?;
    if !bill.unread.is_empty() {
        return Err(refuse("content", "rows of the files were not understood, so nothing is booked; compare without 'apply' to see them"));
    }
    let mut booked = Vec::new();
    for gap in &done.gaps {
        let of = Closing { actor, reason: &reason, terms: &terms, by_end: done.days_by == DaysBy::End, as_of_seq };
        booked.push(close(gateway, &of, gap)?);
    }
    let mut shown = report(&bill, &terms, &compare()?);
    shown["booked"] = booked.into();
    Ok(shown)
}

/// What all gaps of a comparison are booked with.
struct Closing<'a> {
    actor: &'a str,
    reason: &'a str,
    terms: &'a Terms,
    by_end: bool,
    as_of_seq: i64,
}

/// Books one gap, once: its id is made of the figures on both sides. What costs nothing that is known is left open.
fn close(gateway: &Gateway, of: &Closing<'_>, gap: &Gap) -> Result<Value> {
    let mut shown = json!({
        "gap": gap.id,
        "class": gap.class.name(),
        "day": text(gap.day),
        "model": gap.model,
        "key": gap.key,
        "proposals": gap.proposals.iter().map(proposal).collect::<Vec<_>>(),
        "entry_seq": Value::Null,
    });
    if !gap.costed {
        shown["left"] = "the files do not say what it costs".into();
        return Ok(shown);
    }
    let (model, line) = match &gap.scope {
        Scope::Model(name) => (Some(name.as_str().into()), None),
        Scope::Line(name) => (None, Some(name.as_str().into())),
        Scope::Day => (None, None),
    };
    let posting =
        |one: &Proposal| Move { debit: one.debit.as_str().into(), credit: one.credit.as_str().into(), amount_nano: one.amount_nano };
    let closing = CloseGap {
        gap: gap.id.as_str().into(),
        provider: of.terms.provider.as_str().into(),
        day: text(gap.day).into(),
        model,
        line,
        key: gap.key.as_deref().map(Into::into),
        by_end: of.by_end,
        explains: gap.explains.iter().map(|(counter, count)| (counter.name().into(), *count)).collect(),
        moves: gap.proposals.iter().map(posting).collect(),
        as_of_seq: of.as_of_seq,
    };
    let booked = submit(gateway, op_id(&["gap", &gap.id]), of.actor, of.reason, Action::CloseGap(closing))?;
    let booked = booked.map_err(|refusal| match refusal {
        Refusal::Conflict => {
            let why = format!("an order was corrected while the bill was compared, so '{}' is not closed: compare again", gap.id);
            Error::new(ErrorKind::Conflict, why)
        }
        other => other.to_error(&gap.id),
    })?;
    shown["entry_seq"] = booked.seq.into();
    shown["duplicate"] = booked.duplicate.into();
    Ok(shown)
}

fn read_files(asked: &Arguments) -> Result<Bill> {
    let files: Vec<(&str, &str)> = match &asked.content {
        Content::One(content) => vec![("the file", content)],
        Content::Several(files) => files.iter().map(|file| (file.name.as_str(), file.content.as_str())).collect(),
    };
    let names = || Format::ALL.map(Format::name).join(", ");
    let given = match asked.format.as_deref().unwrap_or("auto") {
        "auto" => None,
        name => {
            Some(Format::by_name(name).ok_or_else(|| refuse("format", format!("'{name}' is no format; there are: auto, {}", names())))?)
        }
    };
    let mut bill = Bill::default();
    let mut contents = BTreeMap::new();
    for (name, content) in files {
        if let Some(before) = contents.insert(content, name) {
            return Err(refuse("content", format!("{name} is the same as {before}: a bill counts once")));
        }
        let format = given.or_else(|| billing::detect(content.as_bytes(), name));
        let format = format.ok_or_else(|| refuse("content", format!("{name}: no known format; say which it is: {}", names())))?;
        billing::read(format, content.as_bytes(), &mut bill)
            .map_err(|why| refuse("content", format!("{name} cannot be read as {}: {why}", format.name())))?;
    }
    Ok(bill)
}

/// The days that were asked for, else those of the files as far as they are over; `None` if there are none.
fn terms(gateway: &Gateway, asked: &Arguments, bill: &Bill) -> Result<Option<Terms>> {
    let day = |text: &Option<String>, param| {
        let parse = |text: &String| Date::parse(text).ok_or_else(|| refuse(param, format!("'{text}' is no day such as 2026-12-01")));
        text.as_ref().map(parse).transpose()
    };
    let (from, to) = (day(&asked.from, "from")?, day(&asked.to, "to")?);
    let yesterday = Date::of_day(Date::of(gateway.clock.now()).day_number() - 1);
    let Some(from) = from.or(bill.days.map(|(first, _)| first)) else { return Ok(None) };
    let Some(to) = to.or(bill.days.map(|(_, last)| last.min(yesterday))) else { return Ok(None) };
    if to < from {
        let why = format!(
            "no day is left from {} to {}; a day that is not over is compared only where 'to' (--until) names it",
            text(from),
            text(to)
        );
        return Err(refuse("to", why));
    }
    Ok(Some(Terms {
        provider: asked.provider.clone(),
        from,
        to,
        tolerance: Tolerance::default(),
        key_map: asked.key_map.clone(),
        model_map: asked.model_map.clone(),
    }))
}

fn text(day: Date) -> String {
    day.start().to_string().chars().take(10).collect()
}

/// Decimal text; `None` if it does not fit an amount.
fn usd(nano: i128) -> Option<Money> {
    i64::try_from(nano).ok().map(Money::nano)
}

fn rounded(cost: Exact) -> Option<Money> {
    cost.round(Rounding::HalfEven)
}

fn counts(counts: &Counts) -> Value {
    counts.iter().map(|(counter, count)| (counter.name().to_owned(), json!(count))).collect::<Map<_, _>>().into()
}

fn theirs(side: &Theirs) -> Value {
    json!({ "rows": side.rows, "requests": side.requests, "usage": counts(&side.usage), "cost": side.cost.and_then(rounded), "cost_exact_nano": side.cost.map(|cost| cost.to_string()) })
}

fn ours(side: &OurRow) -> Value {
    json!({
        "orders": side.orders,
        "usage": counts(&side.usage),
        "cost": usd(side.cost_nano),
        "cost_exact_nano": side.cost_exact.map(|cost| cost.to_string()),
        "provisional_orders": side.provisional,
        "provisional_cost": usd(side.provisional_nano),
        "unpriced_orders": side.unpriced,
        "suspended_failover": usd(side.failover_nano),
        "suspended_crash": usd(side.crash_nano),
        "suspended_estimate": usd(side.estimate_nano),
        "closed_gaps": side.closed,
        "closed_cost": usd(side.closed_nano),
        "price_sheets": side.price_sheets,
    })
}

fn proposal(proposal: &Proposal) -> Value {
    json!({
        "finding": proposal.finding,
        "debit": proposal.debit,
        "credit": proposal.credit,
        "amount": Money::nano(proposal.amount_nano),
        "amount_nano": proposal.amount_nano,
        "reason": proposal.reason,
    })
}

fn unit_price(price: &UnitPrice) -> Value {
    json!({ "counter": price.counter.map(billing::Counter::name), "theirs_per_million": price.theirs, "ours_per_million": price.ours })
}

fn gap(gap: &Gap) -> Value {
    let counts: Vec<Value> =
        gap.counts.iter().map(|diff| json!({ "counter": diff.counter.name(), "theirs": diff.theirs, "ours": diff.ours })).collect();
    json!({
        "id": gap.id,
        "class": gap.class.name(),
        "meaning": gap.class.meaning(),
        "beyond_tolerance": gap.beyond_tolerance,
        "day": text(gap.day),
        "model": gap.model,
        "key": gap.key,
        "theirs": theirs(&gap.theirs),
        "ours": ours(&gap.ours),
        "counts": counts,
        "unit_prices": gap.unit_prices.iter().map(unit_price).collect::<Vec<_>>(),
        "proposals": gap.proposals.iter().map(proposal).collect::<Vec<_>>(),
    })
}

/// `ok`: nothing is beyond the tolerance, and every row of the files was understood.
fn report(bill: &Bill, terms: &Terms, done: &Reconciliation) -> Value {
    let ok = bill.unread.is_empty() && !done.gaps.iter().any(|gap| gap.beyond_tolerance);
    let unread: Vec<Value> = bill.unread.iter().take(UNREAD_MAX).map(|unread| json!({ "row": unread.row, "why": unread.why })).collect();
    let mut billed = theirs(&done.totals.theirs);
    billed["tax"] = json!(rounded(done.totals.tax));
    let priced = done.totals.theirs.cost.is_some();
    json!({
        "ok": ok,
        "level": LEVEL_PROVIDER,
        "provider": terms.provider,
        "from": text(terms.from),
        "to": text(terms.to),
        "days_by": done.days_by.name(),
        "matched_by": if done.keyed { vec!["day", "model", "key"] } else { vec!["day", "model"] },
        "rows": bill.rows.len(),
        "repeated": bill.repeated,
        "foreign": bill.foreign,
        "left_out": done.left_out,
        "unread": unread,
        "unread_rows": bill.unread.len(),
        "compared": done.cells,
        "matched": done.matched,
        "gaps": done.gaps.iter().map(gap).collect::<Vec<_>>(),
        "proposals": done.gaps.iter().flat_map(|gap| &gap.proposals).map(proposal).collect::<Vec<_>>(),
        "totals": {
            "theirs": billed,
            "ours": ours(&done.totals.ours),
            "difference": if priced { usd(done.totals.billed_nano - done.totals.ours.cost_nano) } else { None },
        },
    })
}
