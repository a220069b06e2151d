//! Owns: where the money of a hold comes from, in which order it is spent, and where it returns to.
//! Refuses to know: what the money is for.

use super::{Desk, posting};
use crate::base::{Money, Timestamp};
use crate::domain::ledger::command::Refusal;
use crate::domain::ledger::order::{HoldSource, Order, Part};
use crate::domain::ledger::posting::{Posting, PostingCode};
use crate::domain::ledger::state::{State, Wallet, WalletKind};

/// Grants that one hold may draw on, however often it grows. An entry has 16 lines: a settlement needs up to 3 for the charge, 2 for
/// the cost, 3 for losses, and one for each source that gets something back (these, cash, credit); a true-up one or two more.
const MAX_GRANTS: usize = 5;

/// A hold that can be taken: how much, and from where.
#[derive(Debug)]
pub(super) struct Funding {
    pub(super) hold: Money,
    pub(super) parts: Vec<Part>,
}

/// What is owed for good. What an open hold has lent from the receivable is none: it goes back, or becomes debt, when its
/// order ends; paid back before, it could not go back any more. Where a hold also took grants or cash, this is less than the
/// debt by as much, and the rest is repaid by the next top-up.
pub(super) fn debt(state: &State, wallet: &Wallet) -> i64 {
    let owed = state.balance(wallet.receivable).debit_balance();
    match wallet.kind {
        WalletKind::Prepaid => owed,
        WalletKind::Postpaid => (owed - state.balance(wallet.held).credit_balance()).max(0),
    }
}

/// What may still be owed; `None` without limit.
fn credit_left(state: &State, wallet: &Wallet) -> Option<i64> {
    let owed = state.balance(wallet.receivable).debit_balance();
    wallet.credit_limit.map(|limit| limit.as_nano().saturating_sub(owed).max(0))
}

/// The wallet's money in the order in which it is spent: grants that have not expired, cash, then (postpaid) credit. `drawn`: what the
/// hold has drawn on already.
fn sources(state: &State, wallet: &Wallet, now: Timestamp, drawn: &[Part]) -> Vec<Part> {
    let is_drawn = |account| drawn.iter().any(|part| part.0 == account);
    let mut room = MAX_GRANTS.saturating_sub(wallet.grants.iter().filter(|grant| is_drawn(grant.account)).count());
    let mut parts = Vec::with_capacity(wallet.grants.len() + 2);
    let spendable = wallet.grants.iter().filter(|grant| grant.expires_at.is_none_or(|at| at > now)).map(|grant| grant.account);
    let filled = |account| Some(Part(account, state.balance(account).credit_balance())).filter(|part| part.1 > 0);
    for part in spendable.filter_map(filled) {
        if is_drawn(part.0) {
            parts.push(part);
        } else if room > 0 {
            room -= 1;
            parts.push(part);
        }
    }
    parts.extend(filled(wallet.cash));
    if wallet.kind == WalletKind::Postpaid {
        parts.push(Part(wallet.receivable, credit_left(state, wallet).unwrap_or(i64::MAX)));
    }
    parts
}

/// How much of `asked` can be held, at least `least` of it, and from where; `drawn` is what the order holds already.
pub(super) fn fund(
    state: &State,
    wallet: &Wallet,
    now: Timestamp,
    asked: Option<Money>,
    least: Option<Money>,
    drawn: &[Part],
) -> Result<Funding, Refusal> {
    if wallet.frozen {
        return Err(Refusal::Frozen);
    }
    let is_unpriced = asked.is_none();
    let asked = match (asked, wallet.kind) {
        (Some(asked), _) => asked,
        (None, WalletKind::Prepaid) => return Err(Refusal::Unpriced),
        (None, WalletKind::Postpaid) => Money::ZERO,
    };
    let owed = state.balance(wallet.receivable).debit_balance();
    if wallet.kind == WalletKind::Prepaid && owed > 0 {
        return Err(Refusal::Indebted { owed: Money::nano(owed) });
    }
    let mut parts = sources(state, wallet, now, drawn);
    let available = parts.iter().fold(0_i64, |sum, part| sum.saturating_add(part.1));
    let hold = asked.min(Money::nano(available));
    // Nobody can say what an unpriced call takes, but that it takes something: it needs that something is left.
    if hold < least.unwrap_or(asked).min(asked) || (is_unpriced && available == 0) {
        return Err(match (wallet.kind, wallet.credit_limit) {
            (WalletKind::Postpaid, Some(limit)) => Refusal::OverCreditLimit { owed: Money::nano(owed), limit, hold: asked },
            _ => Refusal::InsufficientFunds { available: Money::nano(available), hold: asked },
        });
    }
    let mut rest = hold.as_nano();
    for part in &mut parts {
        part.1 = part.1.min(rest);
        rest -= part.1;
    }
    parts.retain(|part| part.1 > 0);
    Ok(Funding { hold, parts })
}

impl Funding {
    /// How the source is written on the order: one word where it is one of the two usual ones.
    pub(super) fn source(&self, wallet: &Wallet) -> (HoldSource, Vec<Part>) {
        match self.parts[..] {
            [] if wallet.kind == WalletKind::Prepaid => (HoldSource::Cash, Vec::new()),
            [] => (HoldSource::Receivable, Vec::new()),
            [Part(account, _)] if account == wallet.cash => (HoldSource::Cash, Vec::new()),
            [Part(account, _)] if account == wallet.receivable => (HoldSource::Receivable, Vec::new()),
            _ => (HoldSource::Parts, self.parts.clone()),
        }
    }

    pub(super) fn postings(&self, wallet: &Wallet) -> Vec<Posting> {
        self.parts.iter().filter_map(|part| posting(part.0, wallet.held, part.1, PostingCode::Hold)).collect()
    }
}

/// An open order's hold with what was added to it. The order of spending stays: grants before cash, cash before credit.
pub(super) fn grown(order: &Order, wallet: &Wallet, hold: Money, added: &[Part]) -> Funding {
    let mut parts = parts_of(order, wallet);
    for part in added {
        match parts.iter_mut().find(|known| known.0 == part.0) {
            Some(known) => known.1 = known.1.saturating_add(part.1),
            None => parts.push(*part),
        }
    }
    parts.retain(|part| part.1 > 0);
    parts.sort_by_key(|part| (part.0 == wallet.receivable, part.0 == wallet.cash));
    Funding { hold, parts }
}

/// The hold's parts in the order of spending.
pub(super) fn parts_of(order: &Order, wallet: &Wallet) -> Vec<Part> {
    match order.hold_source {
        HoldSource::Cash => vec![Part(wallet.cash, order.hold.as_nano())],
        HoldSource::Receivable => vec![Part(wallet.receivable, order.hold.as_nano())],
        HoldSource::Parts => order.parts.clone(),
    }
}

/// Gives back the last `amount` of the parts, the last one first. What stays is what was spent.
pub(super) fn take_back(parts: &mut Vec<Part>, amount: i64) -> Vec<Part> {
    let mut rest = amount;
    let mut back = Vec::new();
    for part in parts.iter_mut().rev() {
        let share = part.1.min(rest);
        if share > 0 {
            part.1 -= share;
            rest -= share;
            back.push(Part(part.0, share));
        }
    }
    parts.retain(|part| part.1 > 0);
    back
}

/// Where each nano-unit of a charge comes from: the hold, then cash, then debt up to the limit; the rest is absorbed.
pub(super) struct Split {
    /// Account and amount, in order.
    pub(super) from: Vec<Part>,
    pub(super) overrun: i64,
    pub(super) absorbed: i64,
}

pub(super) fn split_charge(state: &State, wallet: &Wallet, hold_nano: i64, charge_nano: i64) -> Split {
    let from_hold = charge_nano.min(hold_nano);
    let beyond = charge_nano - from_hold;
    let cash = state.balance(wallet.cash).credit_balance().clamp(0, beyond);
    let credit = match (wallet.kind, credit_left(state, wallet)) {
        (WalletKind::Postpaid, None) => i64::MAX,
        (_, left) => left.unwrap_or(0),
    };
    let owed = (beyond - cash).min(credit);
    let from = [Part(wallet.held, from_hold), Part(wallet.cash, cash), Part(wallet.receivable, owed)];
    Split { from: from.into_iter().filter(|part| part.1 > 0).collect(), overrun: cash + owed, absorbed: beyond - cash - owed }
}

impl Desk<'_> {
    /// Money returns to a wallet: a debt is repaid first, then what was spent comes back where it came from, last spent first;
    /// what came from nowhere known is cash. `spent` is reduced by what returned to it.
    pub(super) fn give_back(&self, wallet: &Wallet, spent: &mut Vec<Part>, amount: i64) -> Vec<Part> {
        let owed = debt(self.state, wallet).min(amount);
        let mut to = vec![Part(wallet.receivable, owed)];
        let mut rest = amount - owed;
        // The part of the charge that was credit, as far as it is still owed, has been met above.
        for part in take_back(spent, amount) {
            let share = if part.0 == wallet.receivable { 0 } else { part.1.min(rest) };
            rest -= share;
            to.push(Part(part.0, share));
        }
        to.push(Part(wallet.cash, rest));
        to.retain(|part| part.1 > 0);
        to
    }
}
