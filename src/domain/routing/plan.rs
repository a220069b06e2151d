//! Owns: the order in which a call's candidates are tried, by mode.
//! Refuses to know: how attempts are made (execute) and who may use which model (gate).

use crate::base::{Error, ErrorKind, Exact, Result, Timestamp};
use crate::domain::catalog::{Endpoint, Mode};
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

/// The candidates in the order in which to try them: what the mode wants first; those whose breaker is open left out;
/// ties in order of declaration. Prices are those in force `now`. Never empty: an empty plan is an error that says why.
pub fn plan(mut candidates: Vec<Arc<Endpoint>>, mode: Option<Mode>, now: Timestamp) -> Result<Vec<Arc<Endpoint>>> {
    if mode == Some(Mode::Privacy) {
        candidates.retain(|endpoint| endpoint.data_policy.is_private());
        if candidates.is_empty() {
            return Err(Error::new(
                ErrorKind::NoEndpoint,
                "mode 'privacy': no endpoint of this model keeps the data private; mark one with data_policy: no_retention, or use a self-hosted provider",
            ));
        }
    }
    let waits: Vec<Duration> = candidates.iter().map(|endpoint| endpoint.health.wait()).collect();
    if let Some(soonest) = waits.iter().min().filter(|wait| !wait.is_zero()) {
        return Err(all_rest(*soonest));
    }
    if waits.iter().any(|wait| !wait.is_zero()) {
        let mut wait = waits.into_iter();
        candidates.retain(|_| wait.next().is_some_and(|wait| wait.is_zero()));
    }
    if candidates.len() > 1 {
        candidates.sort_by(|a, b| by_mode(mode, a, b, now).then(a.rank.cmp(&b.rank)));
    }
    Ok(candidates)
}

/// Nobody is left to be asked for now. `wait` is when to come again.
pub fn all_rest(wait: Duration) -> Error {
    let why = "no provider of this model takes calls at the moment: each failed too often, or asked to be left alone for a while";
    Error::new(ErrorKind::CircuitOpen, why).with_retry_after(wait)
}

fn by_mode(mode: Option<Mode>, a: &Endpoint, b: &Endpoint, now: Timestamp) -> Ordering {
    match mode {
        None | Some(Mode::Privacy) => Ordering::Equal,
        Some(Mode::Cheap) => by_price(a, b, now),
        Some(Mode::Quality) => b.quality.cmp(&a.quality).then_with(|| by_price(a, b, now)),
        Some(Mode::Code) => b.code_quality.or(b.quality).cmp(&a.code_quality.or(a.quality)).then_with(|| by_price(a, b, now)),
        // An endpoint that nobody has tried yet goes first once: otherwise it would never be measured.
        Some(Mode::Latency) => a.health.first_byte().cmp(&b.health.first_byte()),
    }
}

/// Cheaper first; unpriced last.
fn by_price(a: &Endpoint, b: &Endpoint, now: Timestamp) -> Ordering {
    let key = |endpoint: &Endpoint| -> Option<Exact> { endpoint.blended_price(now) };
    match (key(a), key(b)) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}
