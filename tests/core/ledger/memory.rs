//! Owns: the smallest store there is: `decide` over a state that forgets nothing, with the journal kept for the proof.

use gotoai::base::Timestamp;
use gotoai::domain::catalog::PinnedPrice;
use gotoai::domain::ledger::{Account, Block, Command, Event, Reply, Report, State, Verifier, Writes, decide};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct Memory {
    state: State,
    pub(crate) now: Timestamp,
    commits: Vec<(Vec<Event>, Block)>,
    accounts: Vec<Account>,
    prices: Vec<Arc<PinnedPrice>>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { state: State::new(), now: Timestamp(1_000_000), commits: Vec::new(), accounts: Vec::new(), prices: Vec::new() }
    }

    /// One command, one commit.
    pub(crate) fn run(&mut self, command: &Command) -> Reply {
        let mut writes = Writes::default();
        self.state.last_ts = self.now;
        let reply = decide(&mut self.state, command, self.now, &mut writes);
        self.accounts.append(&mut writes.accounts);
        self.prices.append(&mut writes.prices);
        let leaves: Vec<_> = writes.events.iter().map(Event::leaf).collect();
        if let Some(first) = writes.events.first() {
            let head = self.commits.last().map_or((0, [0; 32]), |(_, block)| (block.n, block.hash));
            let block = Block::seal(head, first.seq, &leaves, self.now).unwrap();
            self.commits.push((writes.events, block));
        }
        reply
    }

    fn path(&self, id: i64) -> String {
        self.accounts.iter().find(|account| account.id == id).map_or_else(|| format!("?{id}"), |account| account.path.to_string())
    }

    /// What the last command moved: debit, credit, amount.
    pub(crate) fn moved(&self) -> Vec<(String, String, i64)> {
        let last = self.commits.last().and_then(|(events, _)| events.last());
        let postings = last.map_or(&[][..], |event| &event.postings);
        postings.iter().map(|p| (self.path(p.debit), self.path(p.credit), p.amount_nano)).collect()
    }

    /// Credits minus debits of every account that is not at zero.
    pub(crate) fn balances(&self) -> BTreeMap<String, i64> {
        let all = self.accounts.iter().map(|account| (account.path.to_string(), self.state.balance(account.id).credit_balance()));
        all.filter(|(_, balance)| *balance != 0).collect()
    }

    pub(crate) fn verify(&self) -> Report {
        let mut verifier = Verifier::new();
        for price in &self.prices {
            verifier.price(&price.hash, &price.json);
        }
        for (events, block) in &self.commits {
            for event in events {
                verifier.event(event, event.leaf(), &event.leaf());
            }
            verifier.block(block);
        }
        for wallet in self.state.wallets.values() {
            verifier.wallet(wallet);
        }
        for account in &self.accounts {
            verifier.account(account, self.state.balance(account.id));
        }
        for order in self.state.orders.values() {
            verifier.order(order, self.now);
        }
        verifier.finish()
    }
}
