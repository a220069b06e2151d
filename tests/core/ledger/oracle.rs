//! Owns: the ledger once more, from the posting table of the ledger law alone: a map of balances and a map of orders.
//! Refuses to know: events, accounts' ids, hashes, and how `decide` is built.

use gotoai::domain::ledger::{Reply, WalletKind};
use std::collections::BTreeMap;

/// A command, as small as the law allows.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Open {
        op: u8,
        wallet: &'static str,
        kind: WalletKind,
        limit: Option<i64>,
    },
    TopUp {
        op: u8,
        wallet: &'static str,
        amount: i64,
        fee: i64,
    },
    Reserve {
        order: u8,
        wallet: &'static str,
        hold: Option<i64>,
        lasts_ms: i64,
    },
    Dispatch {
        order: u8,
    },
    Settle {
        order: u8,
        tokens: i64,
        end: End,
    },
    Expire {
        order: u8,
    },
    Recover {
        order: u8,
    },
    Wait {
        ms: i64,
    },
    /// The process ends and another one starts.
    Reopen,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Counted,
    Estimated,
    Undelivered,
    Unpriced,
    Unused,
}

/// A reply without its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done { duplicate: bool },
    Held(i64),
    Settled { state: &'static str, charge: Option<i64>, duplicate: bool },
    Refused(&'static str),
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Done { duplicate, .. } => Self::Done { duplicate },
            Reply::Held { hold } => Self::Held(hold.as_nano()),
            Reply::Settled { state, charge, duplicate } => {
                Self::Settled { state: state.name(), charge: charge.map(gotoai::base::Money::as_nano), duplicate }
            }
            Reply::Refused(refusal) => Self::Refused(refusal.code()),
        }
    }
}

struct Wallet {
    kind: WalletKind,
    limit: Option<i64>,
}

struct Order {
    wallet: &'static str,
    hold: i64,
    /// What the hold was taken from: the user's own cash first, then (postpaid) the platform's credit.
    own: i64,
    state: &'static str,
    charge: Option<i64>,
    expires_at: i64,
}

/// What a call's input is estimated to cost, in every test.
pub(crate) const INPUT_COST: i64 = 40;

pub(crate) struct Oracle {
    pub(crate) now: i64,
    /// Credits minus debits.
    balances: BTreeMap<String, i64>,
    wallets: BTreeMap<&'static str, Wallet>,
    orders: BTreeMap<u8, Order>,
    /// What was asked under each operation's id.
    ops: BTreeMap<u8, String>,
}

/// Half-even, of `value` thousandths.
fn rounded(value: i64) -> i64 {
    let (whole, rest) = (value / 1000, value % 1000);
    whole + i64::from(rest > 500 || (rest == 500 && whole % 2 == 1))
}

impl Oracle {
    pub(crate) fn new(now: i64) -> Self {
        Self { now, balances: BTreeMap::new(), wallets: BTreeMap::new(), orders: BTreeMap::new(), ops: BTreeMap::new() }
    }

    fn post(&mut self, debit: &str, credit: &str, amount: i64) {
        *self.balances.entry(debit.to_owned()).or_default() -= amount;
        *self.balances.entry(credit.to_owned()).or_default() += amount;
    }

    fn balance(&self, wallet: &str, part: &str) -> i64 {
        self.balances.get(&format!("wallet:{wallet}:{part}")).copied().unwrap_or(0)
    }

    fn owed(&self, wallet: &str) -> i64 {
        -self.balance(wallet, "recv")
    }

    fn open_holds(&self, wallet: &str) -> i64 {
        self.orders.values().filter(|order| order.wallet == wallet && order.state == "reserved").map(|order| order.hold).sum()
    }

    /// What comes back of a hold: credit first, then the user's own.
    fn release(&mut self, wallet: &str, own: i64, lent: i64, amount: i64) {
        let to_credit = amount.min(lent);
        let held = format!("wallet:{wallet}:held");
        self.post(&held, &format!("wallet:{wallet}:recv"), to_credit);
        self.post(&held, &format!("wallet:{wallet}:cash"), (amount - to_credit).min(own));
    }

    pub(crate) fn run(&mut self, step: &Step) -> Option<Answer> {
        Some(match step {
            Step::Open { op, wallet, kind, limit } => self.open(*op, wallet, *kind, *limit),
            Step::TopUp { op, wallet, amount, fee } => self.top_up(*op, wallet, *amount, *fee),
            Step::Reserve { order, wallet, hold, lasts_ms } => self.reserve(*order, wallet, *hold, self.now + lasts_ms),
            Step::Dispatch { order } => match self.orders.get(order) {
                None => Answer::Refused("unknown_order"),
                Some(known) if known.state == "reserved" => Answer::Done { duplicate: false },
                Some(_) => self.told(*order, true),
            },
            Step::Settle { order, tokens, end } => self.settle(*order, *tokens, *end),
            Step::Expire { order } => self.give_back(*order, "expired"),
            Step::Recover { order } => self.give_back(*order, "released"),
            Step::Wait { ms } => {
                self.now += ms;
                return None;
            }
            Step::Reopen => {
                for order in self.open_orders() {
                    self.give_back(order, "released");
                }
                return None;
            }
        })
    }

    pub(crate) fn open_orders(&self) -> Vec<u8> {
        self.orders.iter().filter(|(_, order)| order.state == "reserved").map(|(n, _)| *n).collect()
    }

    fn repeated(&mut self, op: u8, asked: &str) -> Option<Answer> {
        let before = self.ops.get(&op)?;
        Some(if before == asked { Answer::Done { duplicate: true } } else { Answer::Refused("conflict") })
    }

    fn open(&mut self, op: u8, wallet: &'static str, kind: WalletKind, limit: Option<i64>) -> Answer {
        let asked = format!("open {wallet} {kind:?} {limit:?}");
        if let Some(answer) = self.repeated(op, &asked) {
            return answer;
        }
        if self.wallets.contains_key(wallet) {
            return Answer::Refused("conflict");
        }
        self.ops.insert(op, asked);
        self.wallets.insert(wallet, Wallet { kind, limit });
        Answer::Done { duplicate: false }
    }

    /// Cases 1 and 13c.
    fn top_up(&mut self, op: u8, wallet: &str, amount: i64, fee: i64) -> Answer {
        let asked = format!("top-up {wallet} {amount} {fee}");
        if let Some(answer) = self.repeated(op, &asked) {
            return answer;
        }
        if !self.wallets.contains_key(wallet) {
            return Answer::Refused("unknown_wallet");
        }
        self.ops.insert(op, asked);
        let cash = format!("wallet:{wallet}:cash");
        self.post("psp:stripe:clearing", &cash, amount);
        self.post("exp:psp_fee", "psp:stripe:clearing", fee);
        // A hold lent by the platform is no debt: it goes back, or becomes one, when its order ends. What a postpaid wallet's
        // holds took of its own cash counts as lent too, so that no more is repaid than is owed for good.
        let lent = if self.wallets[wallet].kind == WalletKind::Prepaid { 0 } else { self.open_holds(wallet) };
        let debt = (self.owed(wallet) - lent).max(0).min(self.balance(wallet, "cash"));
        self.post(&cash, &format!("wallet:{wallet}:recv"), debt);
        Answer::Done { duplicate: false }
    }

    /// Case 2.
    fn reserve(&mut self, n: u8, wallet: &'static str, hold: Option<i64>, expires_at: i64) -> Answer {
        if let Some(order) = self.orders.get(&n) {
            return Answer::Held(order.hold);
        }
        let Some(terms) = self.wallets.get(wallet) else { return Answer::Refused("unknown_wallet") };
        match (terms.kind, hold, terms.limit) {
            (WalletKind::Prepaid, None, _) => return Answer::Refused("unpriced"),
            (WalletKind::Prepaid, ..) if self.owed(wallet) > 0 => return Answer::Refused("indebted"),
            (WalletKind::Prepaid, Some(hold), _) if hold > self.balance(wallet, "cash") => {
                return Answer::Refused("insufficient_funds");
            }
            (WalletKind::Postpaid, hold, Some(limit))
                if hold.unwrap_or(0) > self.balance(wallet, "cash") + (limit - self.owed(wallet)).max(0) =>
            {
                return Answer::Refused("over_credit_limit");
            }
            (WalletKind::Prepaid | WalletKind::Postpaid, ..) => {}
        }
        let hold = hold.unwrap_or(0);
        let own = hold.min(self.balance(wallet, "cash"));
        self.post(&format!("wallet:{wallet}:cash"), &format!("wallet:{wallet}:held"), own);
        self.post(&format!("wallet:{wallet}:recv"), &format!("wallet:{wallet}:held"), hold - own);
        self.orders.insert(n, Order { wallet, hold, own, state: "reserved", charge: None, expires_at });
        Answer::Held(hold)
    }

    /// Cases 3, 4, 5, 11, 13 and 14b.
    fn settle(&mut self, n: u8, tokens: i64, end: End) -> Answer {
        let Some(order) = self.orders.get(&n) else { return Answer::Refused("unknown_order") };
        let late = order.state == "expired" && end != End::Unused;
        if order.state != "reserved" && !late {
            return self.told(n, true);
        }
        let (wallet, hold, own) = (order.wallet, if late { 0 } else { order.hold }, if late { 0 } else { order.own });
        let (cost, mut charge) = match end {
            End::Counted | End::Estimated => (tokens, rounded(tokens * 1055).max(i64::from(tokens > 0))),
            End::Undelivered => (tokens, 0),
            End::Unpriced | End::Unused => (0, 0),
        };
        let (mut usage_leg, terms) = (cost.min(charge), &self.wallets[wallet]);
        let limit = terms.limit.unwrap_or(if terms.kind == WalletKind::Postpaid { i64::MAX } else { 0 });
        let cash = self.balance(wallet, "cash");
        let sources = [("held", hold), ("cash", cash), ("recv", limit - self.owed(wallet))];
        let mut charged = 0;
        for (part, most) in sources {
            let from = format!("wallet:{wallet}:{part}");
            let taken = charge.min(most.max(0));
            let to_usage = taken.min(usage_leg);
            self.post(&from, "rev:usage", to_usage);
            self.post(&from, "rev:fee", taken - to_usage);
            (usage_leg, charge, charged) = (usage_leg - to_usage, charge - taken, charged + taken);
            if part == "held" {
                self.release(wallet, own, hold - own, hold - taken);
            }
        }
        self.post(if end == End::Undelivered { "exp:loss:undelivered" } else { "cogs:acme" }, "prov:acme:payable", cost);
        let order = self.orders.get_mut(&n).unwrap();
        order.charge = (end != End::Unpriced).then_some(charged);
        order.state = match end {
            End::Unpriced => "unpriced",
            _ if late => "late_settled",
            End::Counted => "finalized",
            End::Estimated | End::Undelivered => "provisional",
            End::Unused => "released",
        };
        self.told(n, false)
    }

    /// Cases 14a and, with the input's cost as a loss, the crash.
    fn give_back(&mut self, n: u8, state: &'static str) -> Answer {
        let Some(order) = self.orders.get_mut(&n) else { return Answer::Refused("unknown_order") };
        if order.state != "reserved" || (state == "expired" && order.expires_at > self.now) {
            return self.told(n, true);
        }
        order.state = state;
        let (wallet, hold, own) = (order.wallet, order.hold, order.own);
        self.release(wallet, own, hold - own, hold);
        if state == "released" {
            self.post("exp:loss:crash", "prov:acme:suspense", INPUT_COST);
        }
        self.told(n, false)
    }

    fn told(&self, n: u8, duplicate: bool) -> Answer {
        let order = &self.orders[&n];
        Answer::Settled { state: order.state, charge: order.charge, duplicate }
    }

    /// Every account that is not at zero.
    pub(crate) fn balances(&self) -> BTreeMap<String, i64> {
        self.balances.iter().filter(|(_, balance)| **balance != 0).map(|(path, balance)| (path.clone(), *balance)).collect()
    }

    /// What must hold whatever has happened.
    pub(crate) fn check(&self) {
        assert_eq!(self.balances.values().sum::<i64>(), 0, "zero-sum");
        for wallet in self.wallets.keys() {
            assert_eq!(self.balance(wallet, "held"), self.open_holds(wallet), "held of {wallet} = its open holds");
            assert!(self.balance(wallet, "cash") >= 0 && self.owed(wallet) >= 0, "{wallet} is beyond a limit");
        }
    }
}
