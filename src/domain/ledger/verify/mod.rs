//! Owns: the proof. Feed it the journal from the first event, then show it the projections; it recomputes every balance, every
//! order, every hash, and names what does not agree. Checks are numbered as in the ledger law, section 6.
//! Refuses to know: where the rows come from, and repair.
//!
//! `check` is what there is to check, `finding` what comes to light; `told` is what the journal tells, `stored` compares the
//! stored rows with it, `conduct` looks at how the books are run. A verifier may be kept: fed with what is new, shown what that
//! has touched, it proves the same at the price of the difference.

mod check;
mod conduct;
mod finding;
mod projection;
mod stored;
mod told;

pub use check::{Check, Severity};
pub use finding::{Compensation, Finding, Remedy, Report, Subject};
use told::Told;

use super::account::{AccountId, AccountPath, Balance};
use super::anchor::{Anchor, AnchorCheck, AnchorEvidence};
use super::chain::{Block, Hash, block_hash, hex, merkle_root, sha256};
use super::event::{AccountPayload, Event, EventKind, SettlePayload};
use super::order::{CostSource, OrderState};
use super::rated::RatedTerms;
use super::state::WindowId;
use crate::base::{FastMap, FastSet, OrderId, Timestamp};
use crate::domain::catalog::PriceSheet;
use conduct::Conduct;
use finding::wallet_of;
use std::sync::Arc;
use told::{ToldAccount, ToldWallet};

/// One pass over the journal, and its memory. It holds a small record an account, a wallet and a window, and one an order until
/// its stored row has been seen to agree at its end.
pub struct Verifier {
    report: Report,
    accounts: FastMap<AccountId, ToldAccount>,
    /// In the order in which they were opened.
    opened: Vec<AccountId>,
    wallets: FastMap<Arc<str>, ToldWallet>,
    names: Vec<Arc<str>>,
    /// Orders whose stored row has not been seen to agree at their end.
    orders: FastMap<OrderId, Told>,
    /// What each order has been refunded: a later refund finds its order already let go.
    refunded: FastMap<OrderId, i64>,
    /// What orders hold and have spent in each window: money held, money spent, orders held, orders spent.
    windows: FastMap<WindowId, [i64; 4]>,
    /// Stored wallets, by the number that orders refer to.
    wallet_names: FastMap<i64, Arc<str>>,
    prices: FastMap<String, PriceSheet>,
    conduct: Conduct,
    leaves: Vec<Hash>,
    anchors: AnchorCheck,
    /// Debits and credits of all stored balances.
    total: (i128, i128),
    last_ts: Timestamp,
    last_seq: i64,
    chained_seq: i64,
    touched: Touched,
    shown: Shown,
}

/// What new events have changed since it was last asked for.
#[derive(Debug, Default)]
pub struct Touched {
    pub accounts: FastSet<AccountId>,
    pub wallets: FastSet<Arc<str>>,
    pub windows: FastSet<WindowId>,
}

/// Stored rows seen in this comparison.
#[derive(Debug, Default)]
struct Shown {
    accounts: FastSet<AccountId>,
    wallets: FastSet<Arc<str>>,
    windows: FastSet<WindowId>,
    orders: FastSet<OrderId>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    pub fn new() -> Self {
        Self {
            report: Report::default(),
            accounts: FastMap::default(),
            opened: Vec::new(),
            wallets: FastMap::default(),
            names: Vec::new(),
            orders: FastMap::default(),
            refunded: FastMap::default(),
            windows: FastMap::default(),
            wallet_names: FastMap::default(),
            prices: FastMap::default(),
            conduct: Conduct::default(),
            leaves: Vec::new(),
            anchors: AnchorCheck::default(),
            total: (0, 0),
            last_ts: Timestamp(i64::MIN),
            last_seq: 0,
            chained_seq: 0,
            touched: Touched::default(),
            shown: Shown::default(),
        }
    }

    fn find(&mut self, check: Check, subject: Subject, detail: String) {
        self.report.add(Finding::new(check, subject, detail));
    }

    /// The journal itself is not as it was written.
    fn changed(&mut self, check: Check, subject: Subject, detail: String) {
        self.report.add(Finding::new(check, subject, detail).with(Remedy::Restore));
    }

    /// The last entry it has been fed.
    pub fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// A stored price sheet, before the journal that refers to it.
    pub fn price(&mut self, hash: &[u8], json: &str) {
        let name = hex(hash);
        if self.prices.contains_key(&name) {
            return;
        }
        if sha256(json.as_bytes()) != *hash {
            let detail = format!("price sheet {name} was changed: its content does not match its hash");
            self.changed(Check::R21, Subject::Price(name.as_str().into()), detail);
        }
        match serde_json::from_str(json) {
            Ok(sheet) => drop(self.prices.insert(name, sheet)),
            Err(error) => {
                let detail = format!("price sheet {name} is unreadable ({error})");
                self.changed(Check::R08, Subject::Price(name.as_str().into()), detail);
            }
        }
    }

    /// Computes cost and charge of a settlement again from its usage, its pinned prices and its terms.
    fn recompute(&mut self, seq: i64, settled: &SettlePayload) {
        if let Some(detail) = self.miscomputed(settled) {
            self.changed(Check::R08, Subject::Entry(seq), format!("entry {seq}: {detail}"));
        }
        let Some(rated) = settled.rated.as_ref().filter(|rated| rated.reported_cost_exact.is_some()) else { return };
        let sheet = settled.price.as_ref().and_then(|hash| self.prices.get(hash));
        if let Some(computed) = sheet.and_then(|sheet| sheet.amount(&settled.usage, &rated.rating()).ok()) {
            self.price_drift(seq, settled, computed, rated.reported_cost_exact.unwrap_or(computed));
        }
    }

    fn miscomputed(&self, settled: &SettlePayload) -> Option<String> {
        let stored = settled.cost_exact?;
        let is_reported = settled.cost_source == CostSource::Reported;
        let Some(hash) = settled.price.as_ref() else {
            let baseless = settled.state == OrderState::Unpriced && !is_reported;
            return baseless.then(|| format!("a cost of {stored} nano is stored, and neither a price nor a report that it follows from"));
        };
        // Entries of before there were tiers were rated at the standard one.
        let rated = settled.rated.clone().unwrap_or_else(|| RatedTerms { at_ms: self.last_ts.0, ..RatedTerms::default() });
        let computed = match self.prices.get(hash).map(|sheet| sheet.amount(&settled.usage, &rated.rating())) {
            None => return Some(format!("it refers to price sheet {hash}, which is not stored")),
            Some(Err(error)) => return Some(error.to_string()),
            Some(Ok(exact)) => exact,
        };
        if is_reported && rated.reported_cost_exact.is_none() {
            return Some("its cost is said to be the provider's own figure, which is not stored".to_owned());
        }
        // On the caller's own key the provider's cost is not ours.
        let cost = rated.upstream_cost_exact.unwrap_or(stored);
        // A cost that the provider reports goes before usage times price; the charge is still made of these.
        let made = rated.reported_cost_exact.unwrap_or(computed);
        if made != cost {
            return Some(format!("the cost is stored as {cost} nano, usage and price make {made}"));
        }
        let by_terms = settled.rated.is_some() && settled.outcome.is_none() && rated.upstream_cost_exact.is_none();
        let told = settled.charge_exact.filter(|_| by_terms)?;
        let charge = rated.charge(&settled.usage, computed, |hash| self.prices.get(hash).cloned());
        if charge == Some(told) {
            return None;
        }
        let made = charge.map_or_else(|| "nothing that can be computed".to_owned(), |charge| format!("{charge} nano"));
        Some(format!("the exact charge is stored as {told} nano, its terms make {made}"))
    }

    /// The next event, with its leaf (`Event::leaf`, which may be computed where the event is read) and the one that is stored.
    pub fn event(&mut self, event: &Event, leaf: Hash, stored_leaf: &[u8]) {
        self.report.events += 1;
        if event.seq != self.last_seq + 1 {
            let detail = format!("journal: entry {} follows entry {}", event.seq, self.last_seq);
            self.changed(Check::R07, Subject::Entry(event.seq), detail);
        }
        self.last_seq = event.seq;
        if event.ts < self.last_ts {
            self.find(Check::R24, Subject::Entry(event.seq), format!("entry {} is earlier than the entry before it", event.seq));
        }
        self.last_ts = event.ts;
        self.report.last_ts = Some(event.ts);
        if leaf != *stored_leaf {
            let detail = format!("entry {} was changed: its content does not match its leaf", event.seq);
            self.changed(Check::R21, Subject::Entry(event.seq), detail);
        }
        self.leaves.push(leaf);
        if event.kind == EventKind::AccountOpened {
            match event.read::<AccountPayload<'_>>() {
                Ok(opened) => self.open_account(opened.account, &opened.path),
                Err(error) => self.unreadable(event.seq, &error),
            }
        }
        let flow = self.post(event);
        if let Err(error) = self.told_wallet(event) {
            self.unreadable(event.seq, &error);
        }
        if let Err(error) = self.told_order(event, flow) {
            self.unreadable(event.seq, &error);
        }
    }

    fn unreadable(&mut self, seq: i64, error: &serde_json::Error) {
        self.changed(Check::R07, Subject::Entry(seq), format!("entry {seq}: unreadable payload ({error})"));
    }

    fn open_account(&mut self, id: AccountId, path: &str) {
        let is_held = matches!(AccountPath::parse(path), Some(AccountPath::Held(_)));
        let told = ToldAccount { path: path.into(), is_held, is_wallet: path.starts_with("wallet:"), balance: Balance::default(), held: 0 };
        if self.accounts.insert(id, told).is_none() {
            self.opened.push(id);
        }
        self.touched.accounts.insert(id);
    }

    /// Adds the event's postings to the balances; what they move for its order is what comes back.
    fn post(&mut self, event: &Event) -> told::Flow {
        let mut flow = told::Flow::default();
        for posting in &event.postings {
            self.report.postings += 1;
            let mut in_wallet = [false; 2];
            let sides = [(posting.debit, posting.amount_nano, 0), (posting.credit, 0, posting.amount_nano)];
            let mut crossed: [Option<Arc<str>>; 2] = [None, None];
            for (side, (account, debit, credit)) in sides.into_iter().enumerate() {
                let Some(told) = self.accounts.get_mut(&account) else {
                    let detail = format!("entry {} uses account {account}, which was never opened", event.seq);
                    self.changed(Check::R03, Subject::Entry(event.seq), detail);
                    continue;
                };
                told.balance.debits = told.balance.debits.saturating_add(debit);
                told.balance.credits = told.balance.credits.saturating_add(credit);
                self.touched.accounts.insert(account);
                in_wallet[side] = told.is_wallet;
                if told.is_wallet && event.order.is_none() {
                    crossed[side] = wallet_of(&told.path);
                }
                if event.order.is_some() && told.is_held {
                    told.held = told.held.saturating_add(credit).saturating_sub(debit);
                    flow.held_nano = flow.held_nano.saturating_add(credit).saturating_sub(debit);
                }
            }
            for (name, sign) in crossed.iter().zip([-1, 1]) {
                if let Some(told) = name.as_ref().and_then(|name| self.wallets.get_mut(name)) {
                    told.moved_nano = told.moved_nano.saturating_add(sign * posting.amount_nano);
                    self.touched.wallets.extend(name.clone());
                }
            }
            flow.paid_nano = match in_wallet {
                [true, false] => flow.paid_nano.saturating_add(posting.amount_nano),
                [false, true] => flow.paid_nano.saturating_sub(posting.amount_nano),
                [true, true] | [false, false] => flow.paid_nano,
            };
        }
        flow
    }

    /// A posting whose entry does not exist.
    pub fn orphan(&mut self, seq: i64) {
        let detail = format!("a posting belongs to entry {seq}, which is not in the journal");
        self.changed(Check::R07, Subject::Entry(seq), detail);
    }

    /// The next block, after all its events. `prev` is the stored block before it, if any.
    pub fn block(&mut self, block: &Block) {
        let (n, prev) = self.report.head.map_or((0, [0; 32]), |(n, hash)| (n, hash));
        let mut wrong = Vec::new();
        if block.n != n + 1 || block.first_seq != self.chained_seq + 1 || block.last_seq != self.last_seq {
            let (first, last, next, from) = (block.first_seq, block.last_seq, n + 1, self.chained_seq + 1);
            wrong.push(format!("block {} covers entries {first} to {last}, expected block {next} from entry {from}", block.n));
        }
        if block.prev != prev {
            wrong.push(format!("block {} does not follow from the block before it", block.n));
        }
        if merkle_root(&self.leaves) != Some(block.root) {
            wrong.push(format!("block {}: its Merkle root does not match its entries", block.n));
        }
        if block_hash(block.n, block.first_seq, block.last_seq, &block.prev, &block.root, block.ts) != block.hash {
            wrong.push(format!("block {} was changed: its content does not match its hash", block.n));
        }
        if !wrong.is_empty() {
            self.changed(Check::R21, Subject::Block(block.n), wrong.join("; "));
        }
        for wrong in self.anchors.block(block) {
            self.changed(Check::R21, Subject::Block(block.n), wrong);
        }
        self.leaves.clear();
        self.chained_seq = self.last_seq;
        self.report.head = Some((block.n, block.hash));
    }

    /// The stored anchors in order, before the journal, with what is known of anchors besides.
    pub fn anchors(&mut self, stored: &[Anchor], evidence: &AnchorEvidence) {
        self.report.anchors = (stored.len(), evidence.outside.as_ref().map(Vec::len));
        for wrong in self.anchors.begin(stored, evidence) {
            self.changed(Check::R21, Subject::Anchor(wrong.as_str().into()), wrong);
        }
    }

    /// Anchored heads that never came, after the last block.
    pub fn anchored(&mut self) {
        for wrong in self.anchors.finish() {
            self.changed(Check::R21, Subject::Anchor(wrong.as_str().into()), wrong);
        }
    }

    /// Entries that no block seals, once the whole journal and all blocks have been fed.
    pub fn sealed(&mut self) {
        if self.chained_seq != self.last_seq {
            let (first, last) = (self.chained_seq + 1, self.last_seq);
            self.changed(Check::R21, Subject::Entry(first), format!("entries {first} to {last} are in no block"));
        }
    }
}
