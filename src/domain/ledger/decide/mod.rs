//! Owns: what follows from a command: events, postings, the order's next state, the answer. A pure function of the state:
//! no I/O, no clock, no randomness; the same commands in the same order give the same ledger everywhere.
//! Refuses to know: how the state got into memory and how the writes are made durable.
//!
//! `hold` is a call under way, `order` its end, `funds` where its money comes from and returns to, `budget` who else counts it;
//! `operate` is what people do, `correct` what is changed after the fact.

mod budget;
mod correct;
mod funds;
mod hold;
mod operate;
mod order;
mod project;

pub use correct::corrected_charge;
pub use project::project;

use super::AccountId;
use super::command::{Command, Refusal, Reply};
use super::event::{Event, EventKind};
use super::posting::{Posting, PostingCode};
use super::state::{State, Writes};
use crate::base::Timestamp;
use serde::Serialize;

/// Decides one command at ledger time `now` (already monotone). Whatever `Needs::of(command)` and `State::windows_of` name must
/// be in `state`, or be absent from the ledger altogether.
pub fn decide(state: &mut State, command: &Command, now: Timestamp, writes: &mut Writes) -> Reply {
    let mut desk = Desk { state, writes, now };
    let decided = match command {
        Command::Operate(operation) => desk.operate(operation),
        Command::Reserve(reserve) => desk.reserve(reserve),
        Command::Extend { order, by } => desk.extend(*order, *by),
        Command::Renew { order, until } => desk.renew(*order, *until),
        Command::Dispatch { order, attempt } => desk.dispatch(*order, attempt),
        Command::Settle(settle) => desk.settle(settle),
        Command::Expire { order } => desk.expire(*order),
        Command::Recover { order } => desk.recover(*order),
        Command::ExpireGrant { wallet, grant } => desk.expire_grant(wallet, grant),
    };
    decided.unwrap_or_else(Reply::Refused)
}

/// An entry has at most so many postings: stores number them so.
const MAX_POSTINGS: usize = 16;

type Decided = Result<Reply, Refusal>;

/// One decision under way.
struct Desk<'a> {
    state: &'a mut State,
    writes: &'a mut Writes,
    now: Timestamp,
}

impl Desk<'_> {
    /// The next event, not yet applied. Accounts it uses must have been opened before: opening is an event too.
    fn event(&self, kind: EventKind, payload: &impl Serialize, postings: Vec<Posting>) -> Event {
        let mut json = Vec::with_capacity(1024);
        let payload = serde_json::to_writer(&mut json, payload).map(|()| json).unwrap_or_default();
        Event { seq: self.state.last_seq + 1, kind, order: None, op: None, ts: self.now, payload, postings }
    }

    /// Applies the event's postings and appends it. An account that refuses means the amount is beyond what it can hold:
    /// funds were checked before.
    fn append(&mut self, event: Event) -> Result<i64, Refusal> {
        if event.postings.len() > MAX_POSTINGS {
            return Err(Refusal::TooLarge);
        }
        self.state.apply(&event).map_err(|_| Refusal::TooLarge)?;
        self.state.last_seq = event.seq;
        self.state.last_ts = event.ts;
        let seq = event.seq;
        if event.kind == EventKind::TrueUp {
            self.state.last_true_up_seq = seq;
        }
        if event.kind == EventKind::GapClosed {
            self.state.last_closing_seq = seq;
        }
        self.writes.events.push(event);
        Ok(seq)
    }

    fn account(&mut self, path: super::AccountPath<'_>) -> AccountId {
        self.state.account(path, self.writes)
    }
}

/// Nothing, where there is nothing to move: a posting's amount is always more than zero, its accounts are two.
fn posting(debit: AccountId, credit: AccountId, amount_nano: i64, code: PostingCode) -> Option<Posting> {
    (amount_nano > 0 && debit != credit).then_some(Posting { debit, credit, amount_nano, code })
}
