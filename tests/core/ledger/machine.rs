//! Owns: random histories, run through the ledger and through the oracle: same answers, same balances, same budgets, and a journal that
//! proves itself. Over `decide` alone (many and fast), then over SQLite with commits of any size and a new start in between.

use super::history::{budgets, history};
use super::memory::Memory;
use super::oracle::{Answer, Budget, Oracle, Step};
use super::play::{command, stored};
use super::reconciled::rows;
use super::store::Store;
use gotoai::adapters::stores::sqlite::{Database, Inspector};
use gotoai::base::Timestamp;
use gotoai::domain::ledger::{
    Action, Command, EntryQuery, Follows, Ledger, LedgerReader, OrderReceipt, Reply, Span, Spend, SpendQuery, Ticket, WalletSummary,
};
use gotoai::domain::risk::BudgetStore;
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

/// 2099-05-31T23:30:00Z, a Sunday: half an hour later the hour, the day, the week and the month end. Beyond the wall clock, with which
/// the proof compares deadlines.
pub(crate) const NOW: Timestamp = Timestamp(4_083_953_400_000);

/// What the histories of one test have in common: a ledger in memory beside its oracle.
pub(crate) struct Pair {
    pub(crate) memory: Memory,
    pub(crate) oracle: Oracle,
    /// Commands that were done.
    done: Vec<Command>,
}

impl Pair {
    pub(crate) fn new(budgets: &[Budget]) -> Self {
        let memory = Memory::at(NOW);
        budgets.iter().enumerate().for_each(|(n, budget)| memory.limit(stored(n, budget)));
        Self { oracle: Oracle::new(NOW.0, budgets), memory, done: Vec::new() }
    }

    /// The step as a command; evidence names the settlement that it was looked at against.
    fn command(&self, step: &Step, now: Timestamp, node: (i64, i64)) -> Option<Command> {
        let mut command = command(step, now, node)?;
        if let Command::Operate(operation) = &mut command
            && let Action::TrueUp(true_up) = &mut operation.action
            && let Some(receipt) = self.memory.find(true_up.order)
            && let (Some(seq), Some(settled)) = (receipt.order.final_seq, receipt.settlement)
        {
            true_up.follows = Some(Box::new(Follows { seq, settled, as_of_seq: i64::MAX, closed: None }));
        }
        Some(command)
    }

    pub(crate) fn run(&mut self, step: &Step) -> Option<Answer> {
        let command = self.command(step, self.memory.now(), self.memory.node());
        let got = command.map(|command| {
            let reply = self.memory.run(&command);
            if !matches!(reply, Reply::Refused(_)) {
                self.done.push(command);
            }
            Answer::from(reply)
        });
        let expected = self.oracle.run(step);
        assert_eq!(got, expected, "{step:?}");
        match step {
            Step::Reopen => self.memory.reopen(),
            Step::Wait { .. } => self.memory.set(Timestamp(self.oracle.now)),
            _ => {}
        }
        assert_eq!(self.memory.balances(), self.oracle.balances(), "{step:?}");
        assert_eq!(self.memory.windows(), self.oracle.windows(), "{step:?}");
        self.oracle.check();
        expected
    }

    /// Open orders end, expired grants go: what the sweeper does.
    fn rest(&mut self) {
        for order in self.oracle.open_orders() {
            self.run(&Step::Recover { order });
        }
        for (wallet, grant) in self.oracle.expired_grants() {
            self.run(&Step::ExpireGrant { wallet, grant });
        }
    }

    fn proved(&self) {
        let report = self.memory.verify();
        assert!(report.ok(), "{:?}", report.findings);
    }
}

pub(crate) fn in_memory(budgets: &[Budget], steps: &[Step]) {
    let mut pair = Pair::new(budgets);
    for step in steps {
        pair.run(step);
    }
    pair.rest();
    pair.proved();
    // The whole log again, however often: nothing happens.
    let before = pair.memory.entries().len();
    for command in std::mem::take(&mut pair.done) {
        match pair.memory.run(&command) {
            Reply::Done { duplicate: true, .. } | Reply::Settled { duplicate: true, .. } | Reply::Held { .. } => {}
            other => panic!("{other:?} to the repetition of {command:?}"),
        }
    }
    assert_eq!(pair.memory.entries().len(), before);
    assert_eq!(pair.memory.balances(), pair.oracle.balances());
    assert_eq!(pair.memory.windows(), pair.oracle.windows());
}

/// `split`: the sizes of the groups in which commands are queued, in turn.
pub(crate) fn in_sqlite(budgets: &[Budget], steps: &[Step], split: &[usize]) {
    let mut pair = Pair::new(budgets);
    let mut store = Store::at(NOW);
    let database = Database::open(&store.path()).unwrap();
    for (n, budget) in budgets.iter().enumerate() {
        database.insert_budget(stored(n, budget), NOW).unwrap();
    }
    let mut inspector = Inspector::new(&database).unwrap();
    let mut sizes = split.iter().cycle();
    let mut waiting: Vec<(Ticket, Option<Answer>)> = Vec::new();
    let mut room = 0;
    let mut committed_alike = split == [1];
    let answered = |waiting: &mut Vec<(Ticket, Option<Answer>)>| {
        for (ticket, expected) in waiting.drain(..) {
            assert_eq!(Some(Answer::from(ticket.wait_blocking().unwrap())), expected);
        }
    };
    for step in steps {
        if room == 0 || matches!(step, Step::Wait { .. } | Step::Reopen) {
            answered(&mut waiting);
            let report = inspector.run(None, NOW, &|| false).unwrap().unwrap();
            assert!(report.ok(), "{:?}", report.findings);
            room = *sizes.next().unwrap();
        }
        let open = pair.oracle.open_orders().len();
        let command = pair.command(step, store.clock.now(), store.ledger.node());
        let expected = pair.run(step);
        if let Some(command) = command {
            room -= 1;
            waiting.push((store.ledger.submit(command), expected));
        } else if let Step::Wait { ms } = step {
            store.clock.advance(Duration::from_millis(u64::try_from(*ms).unwrap()));
        } else {
            let recovered;
            (store, recovered) = store.reopen();
            assert_eq!(recovered, open, "every order left open is recovered");
            // How many commits that takes is the writer's affair.
            committed_alike &= open < 2;
        }
    }
    answered(&mut waiting);
    same(&pair, &store, committed_alike);
    rebuilt(&store);
}

/// The file and memory hold the same: journals entry by entry and, where they were committed alike, leaf by leaf.
fn same(pair: &Pair, store: &Store, committed_alike: bool) {
    assert_eq!(store.balances(), pair.oracle.balances());
    assert_eq!(store.windows(), pair.oracle.windows());
    let all = EntryQuery { limit: usize::MAX, ..EntryQuery::default() };
    assert_eq!(store.ledger.entries(&all).unwrap(), pair.memory.entries());
    read_alike(pair, store);
    let report = store.ledger.verify().unwrap();
    assert!(report.ok(), "{:?}", report.findings);
    if committed_alike {
        assert_eq!(report.head, pair.memory.verify().head);
    }
}

/// What readers are told without reading everything is what memory finds by doing just that.
fn read_alike(pair: &Pair, store: &Store) {
    let figures = |wallet: WalletSummary| {
        let spent = (wallet.spent_known, wallet.spent_provisional);
        (wallet.name, spent, wallet.unpriced_orders, wallet.open_orders, wallet.held, wallet.owed, wallet.paying_out)
    };
    let (stored, summed) = (store.ledger.wallets().unwrap(), pair.memory.wallets());
    for wallet in &stored {
        assert_eq!(store.ledger.wallet(&wallet.name).unwrap().map(figures), Some(figures(wallet.clone())));
    }
    assert_eq!(stored.into_iter().map(figures).collect::<Vec<_>>(), summed.into_iter().map(figures).collect::<Vec<_>>());
    let orders = pair.memory.orders();
    for order in &orders {
        let id = order.order.id;
        let query = EntryQuery { order: Some(id), limit: usize::MAX, ..EntryQuery::default() };
        let own: Vec<_> = pair.memory.entries().into_iter().filter(|entry| entry.order == Some(id)).collect();
        assert_eq!(store.ledger.entries(&query).unwrap(), own);
    }
    let hour = Duration::from_secs(3600);
    for span in [Span { from: Timestamp(0), to: Timestamp(i64::MAX) }, Span { from: NOW.plus(hour), to: NOW.plus(hour * 30) }] {
        let within = |order: &&OrderReceipt| {
            let at = order.order.finished_at.unwrap_or(order.order.created_at);
            span.from <= at && at < span.to
        };
        let mut all = Spend::default();
        orders.iter().filter(within).flat_map(OrderReceipt::spend).for_each(|(_, spend)| all += spend);
        let told = store.ledger.spend(&SpendQuery { span, wallet: None, by: Vec::new() }).unwrap();
        assert_eq!(told.get(&Vec::new()).copied().unwrap_or_default(), all);
    }
}

/// Projections that were lost are made again as the decisions left them.
fn rebuilt(store: &Store) {
    let (database, c) = (Database::open(&store.path()).unwrap(), store.raw());
    let before = rows(&c);
    let unchanged = database.rebuild(None, NOW).unwrap();
    assert!(unchanged.changes.is_empty() && unchanged.left.is_empty(), "{unchanged:?}");
    let lost = "DELETE FROM orders; DELETE FROM grants; UPDATE balances SET credits = credits + 7 WHERE guard = 0; \
                UPDATE wallets SET frozen = 1 - frozen, credit_limit = 1, moved = moved + 1 WHERE terms <> '{}'; UPDATE budget_windows SET held = held + 1, spent = spent + 3";
    super::reconciled::tamper(&c, lost);
    let made = database.rebuild(Some(("me", "lost")), NOW).unwrap();
    assert!(made.left.is_empty(), "{made:?}");
    assert_eq!(rows(&c), before);
}

/// Nothing is written beside the sources: a failure prints its shrunken history.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(3000))]
    #[test]
    fn decides_as_the_law_says(budgets in budgets(), steps in history(NOW.0, 60)) {
        in_memory(&budgets, &steps);
    }
}

proptest! {
    #![proptest_config(cases(32))]
    #[test]
    fn sqlite_decides_the_same_however_commands_are_batched(
        budgets in budgets(), steps in history(NOW.0, 50), split in vec(1..9_usize, 1..6), other in vec(1..30_usize, 1..4),
    ) {
        in_sqlite(&budgets, &steps, &[1]);
        in_sqlite(&budgets, &steps, &split);
        in_sqlite(&budgets, &steps, &other);
    }
}
