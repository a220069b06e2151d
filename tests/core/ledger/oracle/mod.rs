//! Owns: the ledger once more, from the ledger law alone: a map of balances, a map of orders, and what each noun does to them.
//! Refuses to know: events, accounts' ids, hashes, and how `decide` is built. Where the law is silent it follows the reference.
//!
//! `purse` is whose money is spent first and where it returns to, `wallet` what people do, `order` a call's life, `correct` what is
//! changed afterwards, `budget` who else counts a call, `bill` what a call costs.

mod bill;
mod budget;
mod correct;
mod order;
mod purse;
mod step;
mod wallet;

pub(crate) use budget::{Budget, Every};
pub(crate) use order::INPUT_COST;
pub(crate) use step::{Act, Answer, Call, End, Step, Used};

use order::Order;
use std::collections::BTreeMap;
use wallet::Wallet;

pub(crate) struct Oracle {
    pub(crate) now: i64,
    /// Credits minus debits.
    balances: BTreeMap<String, i64>,
    wallets: BTreeMap<&'static str, Wallet>,
    orders: BTreeMap<u8, Order>,
    /// What was asked under each operation's id.
    ops: BTreeMap<u8, Act>,
    budgets: Vec<Budget>,
    /// Held and spent, by budget and the window's start.
    windows: BTreeMap<(usize, i64), (i64, i64)>,
    /// Idempotency keys: the order they became, and until when they count.
    marks: BTreeMap<u8, (u8, i64)>,
}

type Answered = Result<Answer, &'static str>;

impl Oracle {
    pub(crate) fn new(now: i64, budgets: &[Budget]) -> Self {
        Self {
            now,
            balances: BTreeMap::new(),
            wallets: BTreeMap::new(),
            orders: BTreeMap::new(),
            ops: BTreeMap::new(),
            budgets: budgets.to_vec(),
            windows: BTreeMap::new(),
            marks: BTreeMap::new(),
        }
    }

    fn post(&mut self, debit: &str, credit: &str, amount: i64) {
        *self.balances.entry(debit.to_owned()).or_default() -= amount;
        *self.balances.entry(credit.to_owned()).or_default() += amount;
    }

    fn balance(&self, path: &str) -> i64 {
        self.balances.get(path).copied().unwrap_or(0)
    }

    /// `None`: no command.
    pub(crate) fn run(&mut self, step: &Step) -> Option<Answer> {
        let answer = match step {
            Step::Operate { op, act } => self.operate(*op, act),
            Step::Reserve { order, call } => self.reserve(*order, call),
            Step::Extend { order, by } => self.extend(*order, *by),
            Step::Dispatch { order } => self.dispatch(*order),
            Step::Settle { order, used } => self.settle(*order, used),
            Step::Expire { order } => self.expire(*order),
            Step::Recover { order } => self.recover(*order),
            Step::ExpireGrant { wallet, grant } => self.expire_grant(wallet, grant),
            Step::Wait { ms } => {
                self.now += ms;
                return None;
            }
            Step::Reopen => {
                for order in self.open_orders() {
                    drop(self.recover(order));
                }
                return None;
            }
        };
        Some(answer.unwrap_or_else(Answer::Refused))
    }

    /// Once per business fact: what was done is not done again, what was refused may be asked again.
    fn operate(&mut self, op: u8, act: &Act) -> Answered {
        if let Some(before) = self.ops.get(&op) {
            return if before == act { Ok(Answer::Done { duplicate: true }) } else { Err("conflict") };
        }
        match *act {
            Act::Refund { order, amount } => self.refund(order, amount),
            Act::TrueUp { order, tokens, with_builder } => self.true_up(order, tokens, with_builder),
            Act::Payout { amount } => {
                self.post("bank:main", "psp:stripe:clearing", amount);
                Ok(())
            }
            Act::Invoice { accrued, paid } => {
                self.post("prov:acme:payable", "bank:main", paid);
                self.post("prov:acme:payable", "exp:provider_variance", accrued - paid);
                Ok(())
            }
            Act::Adjust { debit, credit, amount } => self.adjust(debit, credit, amount),
            _ => self.operate_wallet(act),
        }?;
        self.ops.insert(op, act.clone());
        Ok(Answer::Done { duplicate: false })
    }

    /// Case 18's neighbour: any two accounts, but no hold, and none beyond its limit.
    fn adjust(&mut self, debit: &str, credit: &str, amount: i64) -> Result<(), &'static str> {
        let is_there = |path: &str| match path.split(':').collect::<Vec<_>>()[..] {
            ["wallet", _, "held"] => false,
            ["wallet", wallet, ..] => self.wallets.contains_key(wallet),
            _ => true,
        };
        if debit == credit || !is_there(debit) || !is_there(credit) {
            return Err("bad_account");
        }
        if let Some(wallet) = credit.strip_prefix("wallet:").and_then(|rest| rest.strip_suffix(":recv"))
            && self.debt(wallet) < amount
        {
            return Err("exceeds");
        }
        if debit.ends_with(":cash") && self.balance(debit) < amount {
            return Err("too_large");
        }
        self.post(debit, credit, amount);
        Ok(())
    }

    pub(crate) fn open_orders(&self) -> Vec<u8> {
        self.orders.iter().filter(|(_, order)| order.is_open()).map(|(n, _)| *n).collect()
    }

    /// Every account that is not at zero.
    pub(crate) fn balances(&self) -> BTreeMap<String, i64> {
        self.balances.iter().filter(|(_, balance)| **balance != 0).map(|(path, balance)| (path.clone(), *balance)).collect()
    }

    /// Every window that holds or has spent something: by budget, in the order of their making, and start.
    pub(crate) fn windows(&self) -> BTreeMap<(i64, i64), (i64, i64)> {
        let used = self.windows.iter().filter(|(_, used)| **used != (0, 0));
        used.map(|((budget, start), used)| ((i64::try_from(*budget).unwrap() + 1, *start), *used)).collect()
    }

    /// What must hold whatever has happened.
    pub(crate) fn check(&self) {
        assert_eq!(self.balances.values().sum::<i64>(), 0, "zero-sum");
        for (name, wallet) in &self.wallets {
            let held: i64 = self.orders.values().filter(|order| order.is_open() && order.wallet == *name).map(|order| order.hold).sum();
            assert_eq!(self.balance(&purse::held(name)), held, "held of {name} = its open holds");
            assert!(self.balance(&purse::cash(name)) >= 0 && self.owed(name) >= 0, "{name} is beyond a limit");
            for grant in wallet.grants.keys() {
                assert!(self.balance(&purse::grant(name, grant)) >= 0, "{grant} of {name} is overspent");
            }
        }
        for order in self.orders.values() {
            assert!(order.refunded <= order.charge.unwrap_or(0), "more was given back than was charged");
        }
    }
}
