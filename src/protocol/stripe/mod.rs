//! Owns: what Stripe says in its events (and in lists of its balance transactions), as facts about money: bytes in, facts out.
//! Refuses to know: wallets that exist, what is booked, where events come from.
//!
//! `read` is one event as a webhook gets it, `read_file` what was exported of them. The table from event type to facts is
//! `events::facts`, that of balance transactions `transactions::facts`; `objects` are Stripe's shapes, as far as they matter, `fact` is what they mean.

mod events;
mod fact;
mod objects;
mod transactions;

pub use fact::{Amount, Event, Fact};

use super::pages::{Page, pages};
use objects::Envelope;

/// One event. `Err` says what is wrong with it: it is none, or one that money hangs on cannot be understood.
pub fn read(bytes: &[u8]) -> Result<Event, String> {
    // A list would be read as the members in order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is no event of Stripe: not a JSON object".to_owned());
    }
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|error| format!("it is no event of Stripe: {error}"))?;
    events::event(&envelope)
}

/// What a file holds: events, balance transactions, lists of either, in any order; given back oldest first, because a payment
/// comes before its refund. The inner `Err` is a single one that is not understood. `Err`: it is not JSON at all.
pub fn read_file(bytes: &[u8]) -> Result<Vec<Result<Event, String>>, String> {
    let mut events = Vec::new();
    for page in pages(bytes)? {
        let list = serde_json::from_str::<Page<'_>>(page.get()).ok().and_then(|page| page.data);
        // An event has a member `data`, too: an object.
        for item in list.unwrap_or_else(|| vec![page]) {
            let read: Result<Envelope<'_>, _> = serde_json::from_str(item.get());
            events.push(read.map_err(|error| format!("it is nothing of Stripe's: {error}")).and_then(|envelope| events::event(&envelope)));
        }
    }
    // An export is of one mode; not everything in it says which.
    let mode = events.iter().flatten().filter_map(|event: &Event| event.live).min();
    for event in events.iter_mut().flatten() {
        event.live = event.live.or(mode);
    }
    events.sort_by_key(|event| event.as_ref().map_or(i64::MAX, |event| event.created_s));
    Ok(events)
}

#[cfg(test)]
mod tests;
