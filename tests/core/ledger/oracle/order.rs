//! Owns: a call's life: cases 2 to 5, 7, 9, 11, 13, 14 of the law, metered holds, and idempotency keys.

use super::bill::Bill;
use super::purse::{Purse, cash, held, receivable};
use super::{Answer, Answered, Call, End, Oracle, Used};
use gotoai::domain::ledger::{HoldPolicy, WalletKind};

/// What a call's input is estimated to cost, in every test.
pub(crate) const INPUT_COST: i64 = 40;
const USAGE: &str = "rev:usage";
const FEE: &str = "rev:fee";
pub(super) const COGS: &str = "cogs:acme";
pub(super) const PAYABLE: &str = "prov:acme:payable";
pub(super) const SUSPENSE: &str = "prov:acme:suspense";
const CRASH: &str = "exp:loss:crash";
pub(super) const UNDELIVERED: &str = "exp:loss:undelivered";
pub(super) const BUILDER: &str = "builder:bob:payable";

pub(super) struct Order {
    pub(super) wallet: &'static str,
    pub(super) state: &'static str,
    /// What is held, or was when it ended.
    pub(super) hold: i64,
    /// Where the hold came from; once the order has ended, where what was spent came from.
    pub(super) purse: Purse,
    expires_at: i64,
    /// As charged.
    pub(super) bill: Bill,
    pub(super) charge: Option<i64>,
    pub(super) refunded: i64,
    /// The part of the cost that was a loss from the beginning.
    pub(super) lost: i64,
    /// The cost waits for evidence.
    pub(super) is_suspended: bool,
    /// Taken for a dead node's; nobody has told what came of it.
    pub(super) is_abandoned: bool,
    pub(super) has_builder: bool,
    /// Budgets that count it: which, the window's start, what it holds of it.
    pub(super) counted: Vec<(usize, i64, i64)>,
    /// As requested.
    pub(super) model: &'static str,
}

impl Order {
    pub(super) fn is_open(&self) -> bool {
        self.state == "reserved"
    }
}

impl Oracle {
    /// A key is free again once its order has ended without any use, or once its time is over.
    fn is_taken(&self, mark: u8) -> bool {
        self.marks.get(&mark).is_some_and(|(order, until)| *until > self.now && self.orders[order].state != "released")
    }

    pub(super) fn reserve(&mut self, n: u8, call: &Call) -> Answered {
        if let Some(order) = self.orders.get(&n) {
            return Ok(Answer::Held(order.hold));
        }
        if call.mark.is_some_and(|(mark, _)| self.is_taken(mark)) {
            return Err("repeated");
        }
        let wallet = self.wallets.get(call.wallet).ok_or("unknown_wallet")?;
        let all_or_nothing = call.hold.unwrap_or(0);
        let least = match wallet.hold {
            HoldPolicy::Strict => all_or_nothing,
            HoldPolicy::Clamp | HoldPolicy::Metered => call.least.unwrap_or(all_or_nothing).min(all_or_nothing),
        };
        let afforded = self.afforded(call.wallet, call.hold, least)?;
        let hold = afforded.min(self.allowed(call, least)?);
        let purse = self.take(call.wallet, hold);
        let counted = self.count(call, hold);
        if let Some((mark, lasts_ms)) = call.mark {
            self.marks.insert(mark, (n, self.now + lasts_ms));
        }
        let order = Order {
            wallet: call.wallet,
            state: "reserved",
            hold,
            purse,
            expires_at: self.now + call.lasts_ms,
            bill: Bill::default(),
            charge: None,
            refunded: 0,
            lost: 0,
            is_suspended: false,
            is_abandoned: false,
            has_builder: false,
            counted,
            model: call.model,
        };
        self.orders.insert(n, order);
        Ok(Answer::Held(hold))
    }

    /// How much of a hold the wallet can give, at least `least`.
    fn afforded(&self, wallet: &str, hold: Option<i64>, least: i64) -> Result<i64, &'static str> {
        let known = &self.wallets[wallet];
        if known.frozen {
            return Err("frozen");
        }
        if known.kind == WalletKind::Prepaid {
            if hold.is_none() {
                return Err("unpriced");
            }
            if self.owed(wallet) > 0 {
                return Err("indebted");
            }
        }
        let all = self.spendable(wallet).sum();
        let there = all.min(hold.unwrap_or(0));
        match (known.kind, known.limit) {
            _ if there >= least && (hold.is_some() || all > 0) => Ok(there),
            (WalletKind::Postpaid, Some(_)) => Err("over_credit_limit"),
            _ => Err("insufficient_funds"),
        }
    }

    fn take(&mut self, wallet: &str, hold: i64) -> Purse {
        let purse = self.spendable(wallet).spend(hold);
        for (path, amount) in &purse.0 {
            self.post(path, &held(wallet), *amount);
        }
        purse
    }

    /// A metered hold grows by as much as there is.
    pub(super) fn extend(&mut self, n: u8, by: i64) -> Answered {
        let order = self.orders.get(&n).ok_or("unknown_order")?;
        if !order.is_open() {
            return Ok(self.told(n, true));
        }
        let wallet = order.wallet;
        let allowed = self.allowed_more(n, by);
        if allowed == 0 {
            return Err("insufficient_funds");
        }
        let more = self.afforded(wallet, Some(allowed), 1)?;
        let taken = self.take(wallet, more);
        self.count_more(n, more);
        let order = self.orders.get_mut(&n).unwrap();
        order.purse.add(&taken);
        order.hold += more;
        Ok(Answer::Held(order.hold))
    }

    pub(super) fn dispatch(&self, n: u8) -> Answered {
        let order = self.orders.get(&n).ok_or("unknown_order")?;
        Ok(if order.is_open() { Answer::Done { duplicate: false } } else { self.told(n, true) })
    }

    pub(super) fn settle(&mut self, n: u8, used: &Used) -> Answered {
        let order = self.orders.get(&n).ok_or("unknown_order")?;
        let abandoned = order.is_abandoned;
        let late = (order.state == "expired" || abandoned) && used.end != End::Unused;
        if !order.is_open() && !late {
            return Ok(self.told(n, true));
        }
        let wallet = order.wallet;
        if used.end != End::Unused {
            self.serve(n, used);
        }
        let order = &self.orders[&n];
        // What expired has gone back already.
        let mut hold = if late { Purse::default() } else { order.purse.clone() };
        let whole = Bill::of(used.tokens, used.with_builder);
        let mut bill = match used.end {
            End::Counted | End::Estimated | End::Suspended => whole,
            End::Undelivered => whole.uncharged(),
            End::OwnKey => Bill::own_key(used.tokens, used.with_builder),
            End::Unpriced | End::Unused => Bill::default(),
        };
        if !matches!(used.end, End::OwnKey | End::Unused) {
            // The user pays the price; what the provider says is what we pay.
            bill.cost = used.reported.unwrap_or(bill.cost);
        }
        let mut spent = hold.spend(bill.charge());
        hold.0.reverse();
        let from_hold = spent.sum();
        self.release(wallet, &hold);
        let beyond = self.beyond(wallet, bill.charge() - from_hold);
        let paid = bill.paid_with(from_hold + beyond.sum());
        for (path, amount) in [(held(wallet), from_hold)].iter().chain(&beyond.0) {
            self.post(path, "paid", *amount);
        }
        for (path, amount) in [(USAGE, paid.usage), (BUILDER, paid.builder), (FEE, paid.fee)] {
            self.post("paid", path, amount);
        }
        let lost = if used.end == End::Undelivered { bill.cost } else { 0 };
        let owed = if used.end == End::Suspended { SUSPENSE } else { PAYABLE };
        self.post(UNDELIVERED, owed, lost);
        self.post(COGS, owed, bill.cost - lost);
        self.post("exp:loss:failover", "prov:other:suspense", used.lost);
        if abandoned {
            self.post(SUSPENSE, CRASH, INPUT_COST);
        }
        spent.add(&beyond);
        let order = self.orders.get_mut(&n).unwrap();
        (order.purse, order.bill, order.lost, order.is_suspended) = (spent, paid, lost, owed == SUSPENSE);
        order.is_abandoned = false;
        order.has_builder = used.with_builder && !matches!(used.end, End::Undelivered | End::Unused);
        order.charge = (used.end != End::Unpriced).then_some(paid.charge());
        order.state = match used.end {
            End::Unpriced => "unpriced",
            _ if late => "late_settled",
            End::Counted | End::OwnKey => "finalized",
            End::Estimated | End::Suspended | End::Undelivered => "provisional",
            End::Unused => "released",
        };
        self.uncount(n, !late, (used.end != End::Unused).then_some(paid.charge()));
        Ok(self.told(n, false))
    }

    /// A charge beyond its hold never fails: from cash, then as debt up to the limit; the rest is nobody's.
    pub(super) fn beyond(&self, wallet: &str, amount: i64) -> Purse {
        Purse(vec![(cash(wallet), self.balance(&cash(wallet))), (receivable(wallet), self.credit(wallet))]).spend(amount)
    }

    pub(super) fn expire(&mut self, n: u8) -> Answered {
        let order = self.orders.get(&n).ok_or("unknown_order")?;
        if order.expires_at > self.now || !order.is_open() {
            return Ok(self.told(n, true));
        }
        Ok(self.give_up(n, "expired"))
    }

    /// The node is dead: the user gets all back, the input's cost is the platform's loss.
    pub(super) fn recover(&mut self, n: u8) -> Answered {
        if !self.orders.get(&n).ok_or("unknown_order")?.is_open() {
            return Ok(self.told(n, true));
        }
        self.post(CRASH, SUSPENSE, INPUT_COST);
        let told = self.give_up(n, "released");
        self.orders.get_mut(&n).unwrap().is_abandoned = true;
        Ok(told)
    }

    fn give_up(&mut self, n: u8, state: &'static str) -> Answer {
        let order = self.orders.get_mut(&n).unwrap();
        order.state = state;
        let (wallet, hold) = (order.wallet, std::mem::take(&mut order.purse));
        self.release(wallet, &hold);
        self.uncount(n, true, None);
        self.told(n, false)
    }

    pub(super) fn told(&self, n: u8, duplicate: bool) -> Answer {
        let order = &self.orders[&n];
        Answer::Settled { state: order.state, charge: order.charge, duplicate }
    }
}
