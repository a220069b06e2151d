//! Owns: what readers see of the rows: orders, wallets, entries by name, and the proof.
//! Refuses to know: what is not committed yet.

use super::rows::Rows;
use crate::base::{Error, ErrorKind, Money, Result, Timestamp};
use crate::domain::ledger::{
    AccountPath, EntryQuery, Event, EventKind, Grant, GrantSummary, Journal, NamedPosting, Order, OrderReceipt, OrderState, Report,
    Verifier, Wallet, WalletKind, WalletSummary,
};
use std::sync::Arc;

fn parse<'de, T: serde::Deserialize<'de>>(event: &'de Event) -> Result<T> {
    serde_json::from_slice(&event.payload)
        .map_err(|error| Error::new(ErrorKind::Storage, format!("entry {} of the journal is unreadable", event.seq)).with_cause(error))
}

impl Rows {
    pub(super) fn receipt(&self, order: &Order) -> Result<OrderReceipt> {
        let gone = || Error::new(ErrorKind::Storage, format!("order {} has no entry in the journal", order.id));
        let reserve: crate::domain::ledger::ReservePayload<'_> = parse(self.event(order.reserve_seq).ok_or_else(gone)?)?;
        let settlement = order.final_seq.map(|seq| parse(self.event(seq).ok_or_else(gone)?)).transpose()?;
        let wallet = self.wallets.iter().find(|wallet| wallet.id == order.wallet_id);
        Ok(OrderReceipt {
            order: order.clone(),
            wallet: wallet.map_or_else(|| "".into(), |wallet| Arc::clone(&wallet.name)),
            reserve: reserve.into_owned(),
            settlement,
            dispatched: self.attempts.get(&order.id).cloned().unwrap_or_default(),
        })
    }

    pub(super) fn summary(&self, wallet: &Wallet) -> WalletSummary {
        let (cash, held, owed) = (
            self.balance(wallet.cash).credit_balance(),
            self.balance(wallet.held).credit_balance(),
            self.balance(wallet.receivable).debit_balance(),
        );
        let left = |grant: &Grant| Money::nano(self.balance(grant.account).credit_balance());
        let summary = |grant: &Grant| GrantSummary {
            name: Arc::clone(&grant.name),
            left: left(grant),
            priority: grant.priority,
            expires_at: grant.expires_at,
        };
        let grants: Vec<GrantSummary> = wallet.grants.iter().map(summary).collect();
        let granted: i64 = grants.iter().map(|grant| grant.left.as_nano()).sum();
        let own_money = cash + granted;
        let available = match (wallet.kind, wallet.credit_limit) {
            (WalletKind::Prepaid, _) => Some(own_money),
            (WalletKind::Postpaid, limit) => limit.map(|limit| own_money + (limit.as_nano() - owed).max(0)),
        };
        let leaving = AccountPath::CashOut(&wallet.name).to_string();
        let paying_out =
            self.accounts.iter().find(|account| *account.path == leaving).map_or(0, |account| self.balance(account.id).credit_balance());
        let own = || self.orders.iter().filter(|order| order.wallet_id == wallet.id);
        let spent = |states: &[OrderState]| {
            own()
                .filter(|order| states.contains(&order.state))
                .map(|order| order.charge.map_or(0, Money::as_nano) - order.refunded.as_nano())
                .sum::<i64>()
        };
        let count = |state: OrderState| i64::try_from(own().filter(|order| order.state == state).count()).unwrap_or(i64::MAX);
        WalletSummary {
            name: Arc::clone(&wallet.name),
            kind: wallet.kind,
            credit_limit: wallet.credit_limit,
            frozen: wallet.frozen,
            terms: Arc::clone(&wallet.terms),
            cash: Money::nano(cash),
            granted: Money::nano(granted),
            grants,
            paying_out: Money::nano(paying_out),
            held: Money::nano(held),
            owed: Money::nano(owed),
            available: available.map(Money::nano),
            spent_known: Money::nano(spent(&[OrderState::Finalized, OrderState::LateSettled])),
            spent_provisional: Money::nano(spent(&[OrderState::Provisional])),
            unpriced_orders: count(OrderState::Unpriced),
            open_orders: count(OrderState::Reserved),
        }
    }

    pub(super) fn entries(&self, query: &EntryQuery) -> Vec<Journal> {
        let events = self.events().map(|(event, _)| event).filter(|event| event.seq > query.after_seq);
        let events = events.filter(|event| query.order.is_none() || event.order == query.order);
        let events = events.filter(|event| query.wallet.as_deref().is_none_or(|name| self.is_of(event, name)));
        events.take(query.limit).map(|event| self.named(event)).collect()
    }

    fn is_of(&self, event: &Event, wallet: &str) -> bool {
        let named = || serde_json::from_slice::<serde_json::Value>(&event.payload).is_ok_and(|payload| payload["wallet"] == wallet);
        match event.order {
            Some(id) => self.order(id).is_some_and(|order| self.wallet(wallet).is_some_and(|known| known.id == order.wallet_id)),
            None => event.kind != EventKind::AccountOpened && named(),
        }
    }

    fn named(&self, event: &Event) -> Journal {
        let name = |account| self.path(account).to_owned();
        let postings = event.postings.iter();
        Journal {
            seq: event.seq,
            ts: event.ts,
            kind: event.kind,
            order: event.order,
            op: event.op.map(|op| op.to_string()),
            payload: event.payload.clone(),
            postings: postings
                .map(|posting| NamedPosting {
                    debit: name(posting.debit),
                    credit: name(posting.credit),
                    amount: Money::nano(posting.amount_nano),
                    code: posting.code,
                })
                .collect(),
        }
    }

    /// Shows the verifier everything.
    pub(super) fn verify(&self, now: Timestamp) -> Report {
        let mut verifier = Verifier::new();
        for price in &self.prices {
            verifier.price(&price.hash, &price.json);
        }
        for commit in &self.commits {
            for (event, leaf) in &commit.events {
                verifier.event(event, event.leaf(), leaf);
            }
            verifier.block(&commit.block);
        }
        for wallet in &self.wallets {
            verifier.wallet(wallet);
            verifier.grants(wallet, now);
        }
        for account in &self.accounts {
            verifier.account(account, Some(self.balance(account.id)));
        }
        for order in &self.orders {
            verifier.order(order, now);
        }
        for (window, used) in &self.windows {
            if let Some(budget) = self.budgets.iter().find(|budget| budget.id == window.0) {
                verifier.window(budget, window.1, *used);
            }
        }
        verifier.finish()
    }
}
