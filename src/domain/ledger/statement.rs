//! Owns: a wallet's statement: what it had, what came and went, what it has; and the proof that these agree.
//! Refuses to know: how it is printed.

use super::posting::PostingCode;
use crate::base::{Date, Money};
use std::collections::BTreeMap;

/// What belongs to a wallet, signed: its own money (cash, grants, held, on its way out) less what it owes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Nano-units at the beginning and at the end of the span.
    pub opening_nano: i128,
    pub closing_nano: i128,
    /// By kind, into the wallet positive. Movements within the wallet (holds, releases, repaid debts) are none.
    pub movements: BTreeMap<&'static str, i128>,
    /// Calls that were settled in the span.
    pub usage: Vec<UsageLine>,
    /// What the accounts hold now, and what has moved since the end of the span.
    pub now_nano: i128,
    pub since_nano: i128,
    pub open_orders: i64,
    pub held: Money,
}

/// Calls of one day and model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    pub day: Date,
    pub model: String,
    pub orders: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub pass_through: Money,
    pub fee: Money,
    pub charge: Money,
    /// Of the charge: settled on estimated usage.
    pub provisional: Money,
    pub refunded: Money,
    pub unpriced: i64,
}

impl Statement {
    /// Notes a posting that crosses the wallet's border before, within or after the span.
    pub fn moved(&mut self, code: PostingCode, amount_nano: i128, when: When) {
        match when {
            When::Before => self.opening_nano += amount_nano,
            When::Within => *self.movements.entry(code.name()).or_default() += amount_nano,
            When::After => self.since_nano += amount_nano,
        }
    }

    /// Adds up. `now_nano`: the balances as stored, which the entries have to explain.
    pub fn close(&mut self, now_nano: i128) {
        self.closing_nano = self.opening_nano + self.movements.values().sum::<i128>();
        self.now_nano = now_nano;
    }

    /// What was there, what moved and what is there now agree.
    pub fn is_proved(&self) -> bool {
        self.closing_nano + self.since_nano == self.now_nano
    }
}

/// Where a moment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    Within,
    After,
}
