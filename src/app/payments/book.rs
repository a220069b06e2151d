//! Owns: what a fact about money at a payment provider does to the ledger. Every booking has the id of the business fact, the same
//! as by hand (`admin`), so that events in any order, repeated, at the same time, or beside somebody's own booking count once.
//! Refuses to know: where the facts come from.
//!
//! A fact that implies an earlier one (a refund that failed was made) books both: whichever event comes first, the sum is right.

use super::STRIPE;
use crate::app::Gateway;
use crate::app::admin::booking::{Booked, book as submit_or_fail, recorded, submit, told};
use crate::app::gateway::op_id;
use crate::base::{Error, ErrorKind, Money, OpId, Result};
use crate::domain::ledger::{
    AccountPath, Action, Adjust, AssignPayment, EventKind, Journal, LedgerReader, Payment, Payout, Refusal, TopUp, UnassignedPayment,
};
use crate::protocol::stripe::Fact;
use serde::Deserialize;
use std::sync::Arc;

/// One booking that an event led to.
pub(super) struct Line {
    pub(super) what: EventKind,
    pub(super) reference: String,
    /// Whose money it is; none for the platform's own, and for what waits for a wallet.
    pub(super) wallet: Option<Arc<str>>,
    pub(super) booked: Booked,
    /// It waits for a wallet.
    pub(super) waits: bool,
}

/// Books one fact, durably. Errors of kind `Conflict` and `InvalidRequest`: it cannot be booked as it is.
pub(super) fn book(gateway: &Gateway, actor: &str, fact: &Fact) -> Result<Vec<Line>> {
    let amount = fact.amount().usd().ok_or_else(|| {
        let why = format!("{}: {} cannot be booked; the ledger's currency is USD", fact.reference(), fact.amount());
        Error::new(ErrorKind::InvalidRequest, why)
    })?;
    let desk = Desk { gateway, actor, amount };
    match fact {
        Fact::Received { payment, wallet, .. } => desk.received(payment, wallet.as_deref()).map(|line| vec![line]),
        Fact::Fee { transaction, payment, .. } => desk.fee(transaction, payment.as_deref()).map(|line| vec![line]),
        Fact::Refunded { refund, cash_out, payment, failed, .. } => desk.refunded(cash_out.as_ref().unwrap_or(refund), payment, *failed),
        Fact::Disputed { dispute, payment, .. } => desk.disputed(dispute, payment).map(|(_, line)| vec![line]),
        Fact::Reinstated { dispute, payment, .. } => desk.reinstated(dispute, payment),
        Fact::PaidOut { payout, failed, .. } => desk.paid_out(payout, *failed),
    }
}

/// Why money waits, for people.
pub(super) fn waiting(fact: &Fact) -> String {
    let why = match fact {
        Fact::Received { wallet: Some(wallet), .. } => {
            // Written by whoever made the payment: it may be anything.
            let shown: String = wallet.chars().take(64).flat_map(char::escape_debug).collect();
            format!("names the wallet '{shown}', which does not exist")
        }
        Fact::Received { .. }
        | Fact::Fee { .. }
        | Fact::Refunded { .. }
        | Fact::Disputed { .. }
        | Fact::Reinstated { .. }
        | Fact::PaidOut { .. } => "names no wallet".to_owned(),
    };
    let payment = fact.reference();
    format!("{} came with {payment} and {why}; `gotoai payments assign {payment} WALLET` gives it one", fact.amount())
}

/// Where the money of a payment went when it came.
enum Holder {
    Wallet(Arc<str>),
    Unassigned,
}

struct Desk<'a> {
    gateway: &'a Gateway,
    actor: &'a str,
    amount: Money,
}

impl Desk<'_> {
    fn submit(&self, op: OpId, reference: &str, action: Action) -> Result<Result<Booked, Refusal>> {
        submit(self.gateway, op, self.actor, reference, action)
    }

    /// Where a refusal means that the fact contradicts what was booked before.
    fn book(&self, op: OpId, reference: &str, action: Action) -> Result<Line> {
        let (what, wallet) = (action.kind(), action.wallet().cloned());
        let booked = submit_or_fail(self.gateway, op, self.actor, reference, action, reference)?;
        Ok(Line { what, reference: reference.to_owned(), wallet, booked, waits: false })
    }

    fn entry(&self, op: OpId) -> Result<Option<Journal>> {
        self.gateway.ledger.operation(op)
    }

    fn received(&self, payment: &str, wallet: Option<&str>) -> Result<Line> {
        let op = arrival(payment);
        if let Some(wallet) = wallet {
            let top_up = top_up(wallet.into(), self.amount);
            match self.submit(op, payment, Action::TopUp(top_up))? {
                Ok(booked) => return Ok(self.line(EventKind::TopUp, payment, Some(wallet.into()), booked)),
                Err(Refusal::UnknownWallet) => {}
                Err(Refusal::Conflict) => return self.received_before(payment, Some(wallet)),
                Err(other) => return Err(other.to_error(payment)),
            }
        }
        let unassigned = UnassignedPayment { payment: payment.into(), amount_nano: self.amount.as_nano(), payment_provider: STRIPE.into() };
        match self.submit(op, payment, Action::Unassigned(unassigned))? {
            Ok(booked) if !booked.duplicate => Ok(Line { waits: true, ..self.line(EventKind::PaymentUnassigned, payment, None, booked) }),
            Ok(_) | Err(Refusal::Conflict) => self.received_before(payment, wallet),
            Err(other) => Err(other.to_error(payment)),
        }
    }

    /// Another event, or a person, was first: the money is there once, and the event may say more about whose it is.
    fn received_before(&self, payment: &str, named: Option<&str>) -> Result<Line> {
        let Some((holder, amount)) = self.arrived(payment)? else {
            return Err(Error::new(ErrorKind::Conflict, format!("'{payment}' was already booked with other content")));
        };
        if amount != self.amount {
            let why = format!("'{payment}' was booked with {amount} USD, and this event says {} USD", self.amount);
            return Err(Error::new(ErrorKind::Conflict, why));
        }
        match (holder, named) {
            (Holder::Wallet(wallet), Some(named)) if *wallet != *named && self.assigned(payment)?.is_none() => {
                let why = format!("'{payment}' was booked for the wallet '{wallet}', and this event names '{named}'");
                Err(Error::new(ErrorKind::Conflict, why))
            }
            (Holder::Wallet(wallet), _) => Ok(self.line(EventKind::TopUp, payment, Some(wallet), Booked::NOTHING)),
            (Holder::Unassigned, None) => Ok(self.waiting(payment, true)),
            (Holder::Unassigned, Some(named)) => self.assign(payment, named),
        }
    }

    fn waiting(&self, payment: &str, waits: bool) -> Line {
        Line { waits, ..self.line(EventKind::PaymentUnassigned, payment, None, Booked::NOTHING) }
    }

    fn assign(&self, payment: &str, wallet: &str) -> Result<Line> {
        let assign = AssignPayment { payment: payment.into(), wallet: wallet.into(), payment_provider: STRIPE.into() };
        match self.submit(assignment(payment), payment, Action::Assign(assign))? {
            Ok(booked) => Ok(self.line(EventKind::PaymentAssigned, payment, Some(wallet.into()), booked)),
            Err(Refusal::UnknownWallet) => Ok(self.waiting(payment, true)),
            // All of it has been given back meanwhile.
            Err(Refusal::Exceeds { .. }) => Ok(self.waiting(payment, false)),
            // Somebody has decided otherwise; that stands.
            Err(Refusal::Conflict) => Ok(self.line(EventKind::PaymentAssigned, payment, self.assigned(payment)?, Booked::NOTHING)),
            Err(other) => Err(other.to_error(wallet)),
        }
    }

    fn line(&self, what: EventKind, reference: &str, wallet: Option<Arc<str>>, booked: Booked) -> Line {
        Line { what, reference: reference.to_owned(), wallet, booked, waits: false }
    }

    /// Whose money a payment brought, and how much; `None` if it is not booked.
    fn arrived(&self, payment: &str) -> Result<Option<(Holder, Money)>> {
        let Some(entry) = self.entry(arrival(payment))? else { return Ok(None) };
        if entry.kind == EventKind::PaymentUnassigned {
            let UnassignedPayment { amount_nano, .. } = told(&entry)?;
            let holder = self.assigned(payment)?.map_or(Holder::Unassigned, Holder::Wallet);
            return Ok(Some((holder, Money::nano(amount_nano))));
        }
        let TopUp { wallet, amount_nano, .. } = told(&entry)?;
        Ok(Some((Holder::Wallet(wallet), Money::nano(amount_nano))))
    }

    fn assigned(&self, payment: &str) -> Result<Option<Arc<str>>> {
        Ok(recorded::<AssignPayment>(self.gateway, assignment(payment))?.map(|assign| assign.wallet))
    }

    fn holder(&self, payment: &str) -> Result<Holder> {
        let unknown = || {
            let why = format!("the payment '{payment}' is not booked: send its own event first, or book it (`gotoai wallet topup`)");
            Error::new(ErrorKind::Conflict, why)
        };
        self.arrived(payment)?.map(|(holder, _)| holder).ok_or_else(unknown)
    }

    /// Money of a payment that has left the payment provider, once: from its wallet, or from where it waits for one.
    fn taken(&self, op: OpId, reference: &str, payment: &str, action: fn(Payment) -> Action) -> Result<(Journal, Line)> {
        let mut first = None;
        if self.entry(op)?.is_none() {
            let taken = match self.holder(payment)? {
                Holder::Wallet(wallet) => action(Payment { wallet, amount_nano: self.amount.as_nano(), payment_provider: STRIPE.into() }),
                Holder::Unassigned => self.between(&unassigned_account(payment), &clearing(), self.amount.as_nano()),
            };
            match self.submit(op, reference, taken)? {
                Ok(booked) => first = Some(booked),
                // Another delivery was faster.
                Err(Refusal::Conflict) => {}
                Err(Refusal::TooLarge) => {
                    let why = format!("of '{payment}', which no wallet has yet, less is left than {} USD", self.amount);
                    return Err(Error::new(ErrorKind::Conflict, why));
                }
                Err(other) => return Err(other.to_error(payment)),
            }
        }
        let entry = self.entry(op)?.ok_or_else(|| Error::new(ErrorKind::LedgerUnavailable, "the ledger failed on this command"))?;
        let (wallet, amount_nano) = if entry.kind == EventKind::Adjust {
            (None, told::<Adjust>(&entry)?.amount_nano)
        } else {
            let Payment { wallet, amount_nano, .. } = told(&entry)?;
            (Some(wallet), amount_nano)
        };
        if amount_nano != self.amount.as_nano() {
            let why = format!("'{reference}' was booked with {} USD, and this event says {} USD", Money::nano(amount_nano), self.amount);
            return Err(Error::new(ErrorKind::Conflict, why));
        }
        let line = self.line(entry.kind, reference, wallet, first.unwrap_or(Booked::NOTHING));
        Ok((entry, line))
    }

    /// And is back: where it was taken from.
    fn back(&self, reference: &str, payment: &str, taken: Option<&Arc<str>>) -> Result<Line> {
        let op = returned(STRIPE, reference);
        // It may have been told before the payment had a wallet.
        if let Some(entry) = self.entry(op)? {
            return Ok(self.line(entry.kind, reference, taken.cloned(), Booked::NOTHING));
        }
        let action = match taken.map_or_else(|| self.holder(payment), |wallet| Ok(Holder::Wallet(Arc::clone(wallet))))? {
            Holder::Wallet(wallet) => Action::TopUp(top_up(wallet, self.amount)),
            Holder::Unassigned => self.between(&clearing(), &unassigned_account(payment), self.amount.as_nano()),
        };
        self.book(op, reference, action)
    }

    fn refunded(&self, reference: &str, payment: &str, failed: bool) -> Result<Vec<Line>> {
        let (entry, line) = self.taken(op_id(&["cash_out", STRIPE, reference]), reference, payment, Action::PaidBack)?;
        let wallet = line.wallet.clone();
        let mut lines = vec![line];
        if entry.kind == EventKind::CashOut && !self.end_cash_out(reference, &entry, failed, &mut lines)? {
            return Ok(lines);
        }
        if failed {
            lines.push(self.back(reference, payment, wallet.as_ref())?);
        }
        Ok(lines)
    }

    /// Somebody has taken the money out of the wallet before the refund was made; this is its end. True: it was paid, so what
    /// fails now has to come back.
    fn end_cash_out(&self, reference: &str, entry: &Journal, failed: bool, lines: &mut Vec<Line>) -> Result<bool> {
        let payment: Payment = told(entry)?;
        let (op, wallet) = (op_id(&["cash_out_end", STRIPE, reference]), Arc::clone(&payment.wallet));
        let action = if failed { Action::CashOutFailed(payment) } else { Action::CashOutPaid(payment) };
        let what = action.kind();
        match self.submit(op, reference, action)? {
            Ok(booked) => {
                lines.push(self.line(what, reference, Some(wallet), booked));
                Ok(false)
            }
            Err(Refusal::Conflict) if failed || self.is_by_event(op)? => Ok(failed),
            Err(Refusal::Conflict) => {
                let why = format!("'{reference}' was booked as failed, and Stripe has made it");
                Err(Error::new(ErrorKind::Conflict, why))
            }
            Err(other) => Err(other.to_error(reference)),
        }
    }

    /// Events may come in any order, people look first.
    fn is_by_event(&self, op: OpId) -> Result<bool> {
        #[derive(Deserialize)]
        struct By {
            actor: Arc<str>,
        }
        let entry = self.entry(op)?;
        let by = entry.and_then(|entry| serde_json::from_slice::<By>(&entry.payload).ok());
        Ok(by.is_some_and(|by| by.actor.split(' ').next() == Some(STRIPE)))
    }

    fn disputed(&self, dispute: &str, payment: &str) -> Result<(Journal, Line)> {
        self.taken(op_id(&["chargeback", STRIPE, dispute]), dispute, payment, Action::Chargeback)
    }

    fn reinstated(&self, dispute: &str, payment: &str) -> Result<Vec<Line>> {
        let (_, line) = self.disputed(dispute, payment)?;
        let back = self.back(dispute, payment, line.wallet.as_ref())?;
        Ok(vec![line, back])
    }

    /// A fee that was booked with its payment by hand is not booked again; so the payment comes first.
    fn fee(&self, transaction: &str, payment: Option<&str>) -> Result<Line> {
        if let Some(payment) = payment {
            self.holder(payment)?;
            let entry = self.entry(arrival(payment))?.filter(|entry| entry.kind == EventKind::TopUp);
            let by_hand = entry.as_ref().map(told::<TopUp>).transpose()?.is_some_and(|top_up| top_up.fee_nano > 0);
            if by_hand {
                return Ok(self.line(EventKind::TopUp, payment, None, Booked::NOTHING));
            }
        }
        let action = self.between(&AccountPath::PaymentFee.to_string(), &clearing(), self.amount.as_nano());
        self.book(op_id(&["payment_fee", STRIPE, transaction]), transaction, action)
    }

    /// Stripe may also draw from our bank: a payout of less than zero.
    fn paid_out(&self, payout: &str, failed: bool) -> Result<Vec<Line>> {
        let (amount_nano, bank) = (self.amount.as_nano(), AccountPath::Bank.to_string());
        let action = if amount_nano > 0 {
            Action::Payout(Payout { payment_provider: STRIPE.into(), amount_nano })
        } else {
            self.between(&bank, &clearing(), amount_nano)
        };
        let mut lines = vec![self.book(op_id(&["payout", STRIPE, payout]), payout, action)?];
        if failed {
            let back = self.between(&clearing(), &bank, amount_nano);
            lines.push(self.book(op_id(&["payout_failed", STRIPE, payout]), payout, back)?);
        }
        Ok(lines)
    }

    /// An entry between two accounts of the platform; less than zero goes the other way.
    fn between(&self, debit: &str, credit: &str, amount_nano: i64) -> Action {
        let (debit, credit) = if amount_nano < 0 { (credit, debit) } else { (debit, credit) };
        Action::Adjust(Adjust { debit: debit.into(), credit: credit.into(), amount_nano: amount_nano.saturating_abs(), finding: None })
    }
}

/// The fee is not part of it: not every event about a payment knows it.
fn top_up(wallet: Arc<str>, amount: Money) -> TopUp {
    TopUp { wallet, amount_nano: amount.as_nano(), fee_nano: 0, payment_provider: STRIPE.into() }
}

/// That money came.
pub(crate) fn arrival(reference: &str) -> OpId {
    op_id(&["top_up", STRIPE, reference])
}

/// That money which had left came back: no payment of that name.
pub(crate) fn returned(payment_provider: &str, reference: &str) -> OpId {
    op_id(&["returned", payment_provider, reference])
}

/// That it was given to a wallet later.
pub(crate) fn assignment(payment: &str) -> OpId {
    op_id(&["assign", STRIPE, payment])
}

fn clearing() -> String {
    AccountPath::PaymentClearing(STRIPE).to_string()
}

fn unassigned_account(payment: &str) -> String {
    AccountPath::Unassigned(STRIPE, payment).to_string()
}
