//! Owns: what is changed after an order has ended: cases 6 and 10c of the law.

use super::Oracle;
use super::bill::Bill;
use super::order::{BUILDER, COGS, PAYABLE, SUSPENSE, UNDELIVERED};

/// The accounts that a bill was paid to.
fn legs(bill: Bill) -> [(&'static str, i64); 3] {
    [("rev:usage", bill.usage), ("rev:fee", bill.fee), (BUILDER, bill.builder)]
}

impl Oracle {
    /// Each leg in proportion, counted over all refunds of the order.
    pub(super) fn refund(&mut self, n: u8, amount: i64) -> Result<(), &'static str> {
        let order = self.orders.get_mut(&n).ok_or("unknown_order")?;
        let charge = order.charge.filter(|charge| *charge > 0).ok_or("not_charged")?;
        if amount < 1 || amount > charge - order.refunded {
            return Err("exceeds");
        }
        let back = order.bill.share(order.refunded + amount).less(order.bill.share(order.refunded));
        order.refunded += amount;
        let (wallet, mut spent) = (order.wallet, order.purse.clone());
        self.give_back(&legs(back), wallet, &mut spent);
        self.orders.get_mut(&n).unwrap().purse = spent;
        self.uncharge(n, amount);
        Ok(())
    }

    /// Evidence, or a new rating: in the user's favour, or the platform's loss. What never had a price is charged now.
    pub(super) fn true_up(&mut self, n: u8, tokens: i64, with_builder: bool) -> Result<(), &'static str> {
        let order = self.orders.get(&n).ok_or("unknown_order")?;
        let has_ended = matches!(order.state, "finalized" | "late_settled" | "provisional" | "unpriced");
        if !has_ended || order.refunded > 0 {
            return Err("not_charged");
        }
        let (wallet, old, lost, is_suspended) = (order.wallet, order.bill, order.lost, order.is_suspended);
        let was_unpriced = order.state == "unpriced";
        let mut spent = order.purse.clone();
        let mut new = Bill::of(tokens, with_builder);
        if !order.has_builder {
            (new.fee, new.builder) = (new.fee + new.builder, 0);
        }
        let paid = if was_unpriced {
            spent = self.beyond(wallet, new.charge());
            let paid = new.paid_with(spent.sum());
            for (path, amount) in &spent.0 {
                self.post(path, "paid", *amount);
            }
            for (path, amount) in legs(paid) {
                self.post("paid", path, amount);
            }
            paid
        } else if new.charge() < old.charge() {
            let paid = kept(old, new);
            self.give_back(&legs(old.less(paid)), wallet, &mut spent);
            paid
        } else {
            Bill { cost: new.cost, ..old }
        };
        // What waited for evidence is owed now; what is owed no more was nobody's first.
        if is_suspended {
            self.post(SUSPENSE, PAYABLE, old.cost);
        }
        let (less, more) = ((old.cost - new.cost).max(0), (new.cost - old.cost).max(0));
        self.post(PAYABLE, UNDELIVERED, less.min(lost));
        self.post(PAYABLE, COGS, less - less.min(lost));
        self.post(if was_unpriced { COGS } else { "exp:loss:estimate" }, PAYABLE, more);
        let order = self.orders.get_mut(&n).unwrap();
        order.state = if order.state == "late_settled" { "late_settled" } else { "finalized" };
        (order.purse, order.charge, order.bill) = (spent, Some(paid.charge()), paid);
        (order.lost, order.is_suspended) = (lost.min(new.cost), false);
        let less = if was_unpriced { -paid.charge() } else { old.charge() - paid.charge() };
        self.uncharge(n, less);
        Ok(())
    }
}

/// What stays of `old` when only the charge of `new` is due: each leg as the evidence has it, as far as it was paid.
fn kept(old: Bill, new: Bill) -> Bill {
    let due = new.charge();
    let (mut usage, mut builder) = (old.usage.min(new.usage), old.builder.min(new.builder));
    let fee = old.fee.min(due - usage - builder);
    usage = old.usage.min(due - builder - fee);
    builder = due - usage - fee;
    Bill { cost: new.cost, usage, builder, fee }
}
