//! Owns: what people and payment providers do to a wallet: cases 1, 6b, 6c, 13c and 17 of the law.

use super::purse::{cash, grant, receivable};
use super::{Act, Answer, Answered, Oracle};
use gotoai::domain::ledger::{HoldPolicy, WalletKind};
use std::collections::BTreeMap;

pub(super) struct Wallet {
    pub(super) kind: WalletKind,
    pub(super) limit: Option<i64>,
    pub(super) hold: HoldPolicy,
    pub(super) frozen: bool,
    pub(super) grants: BTreeMap<&'static str, Grant>,
}

pub(super) struct Grant {
    pub(super) priority: u8,
    pub(super) expires_at: Option<i64>,
}

const CLEARING: &str = "psp:stripe:clearing";

fn leaving(wallet: &str) -> String {
    format!("wallet:{wallet}:cashout")
}

const fn usual(kind: WalletKind) -> HoldPolicy {
    match kind {
        WalletKind::Prepaid => HoldPolicy::Clamp,
        WalletKind::Postpaid => HoldPolicy::Strict,
    }
}

impl Oracle {
    pub(super) fn operate_wallet(&mut self, act: &Act) -> Result<(), &'static str> {
        match *act {
            Act::Open { wallet, kind, limit } => return self.open(wallet, kind, limit),
            Act::SetTerms { wallet, limit, hold } => {
                let known = self.known(wallet)?;
                (known.limit, known.hold) = (limit, hold.unwrap_or(usual(known.kind)));
            }
            Act::Freeze { wallet } => self.known(wallet)?.frozen = true,
            Act::Thaw { wallet } => self.known(wallet)?.frozen = false,
            Act::TopUp { wallet, amount, fee } => return self.top_up(wallet, amount, fee),
            Act::Grant { wallet, grant: name, amount, priority, expires_at } => {
                self.known(wallet)?.grants.insert(name, Grant { priority, expires_at });
                self.post("contra:promo", &grant(wallet, name), amount);
            }
            Act::CashOut { wallet, amount } => {
                self.known(wallet)?;
                self.move_at_most(&cash(wallet), &leaving(wallet), amount)?;
            }
            Act::CashOutEnd { wallet, amount, paid } => {
                self.known(wallet)?;
                let to = if paid { CLEARING.to_owned() } else { cash(wallet) };
                self.move_at_most(&leaving(wallet), &to, amount)?;
            }
            Act::Chargeback { wallet, amount } => {
                self.known(wallet)?.frozen = true;
                let from_cash = self.balance(&cash(wallet)).min(amount);
                self.post(&cash(wallet), CLEARING, from_cash);
                self.post(&receivable(wallet), CLEARING, amount - from_cash);
            }
            Act::Refund { .. } | Act::TrueUp { .. } | Act::Payout { .. } | Act::Invoice { .. } | Act::Adjust { .. } => {
                unreachable!("no wallet's: {act:?}")
            }
        }
        Ok(())
    }

    fn known(&mut self, wallet: &str) -> Result<&mut Wallet, &'static str> {
        self.wallets.get_mut(wallet).ok_or("unknown_wallet")
    }

    fn move_at_most(&mut self, from: &str, to: &str, amount: i64) -> Result<(), &'static str> {
        if self.balance(from) < amount {
            return Err("exceeds");
        }
        self.post(from, to, amount);
        Ok(())
    }

    fn open(&mut self, wallet: &'static str, kind: WalletKind, limit: Option<i64>) -> Result<(), &'static str> {
        if self.wallets.contains_key(wallet) {
            return Err("conflict");
        }
        self.wallets.insert(wallet, Wallet { kind, limit, hold: usual(kind), frozen: false, grants: BTreeMap::new() });
        Ok(())
    }

    /// Debt first, from all the cash there is: an earlier release may have brought some back.
    fn top_up(&mut self, wallet: &str, amount: i64, fee: i64) -> Result<(), &'static str> {
        self.known(wallet)?;
        self.post(CLEARING, &cash(wallet), amount);
        self.post("exp:psp_fee", CLEARING, fee);
        let repaid = self.debt(wallet).min(self.balance(&cash(wallet)));
        self.post(&cash(wallet), &receivable(wallet), repaid);
        Ok(())
    }

    /// Grants whose day has come and of which something is left.
    pub(crate) fn expired_grants(&self) -> Vec<(&'static str, &'static str)> {
        let all = self.wallets.iter().flat_map(|(wallet, known)| known.grants.iter().map(|(name, given)| (*wallet, *name, given)));
        let is_due = |given: &Grant| given.expires_at.is_some_and(|at| at <= self.now);
        let due = all.filter(|(wallet, name, given)| is_due(given) && self.balance(&grant(wallet, name)) > 0);
        due.map(|(wallet, name, _)| (wallet, name)).collect()
    }

    /// What is left of it on its day goes back; what open orders hold of it comes back to it and goes the next time.
    pub(super) fn expire_grant(&mut self, wallet: &str, name: &str) -> Answered {
        let given = self.known(wallet)?.grants.get(name).ok_or("unknown_grant")?.expires_at;
        let left = self.balance(&grant(wallet, name));
        if left == 0 || given.is_none_or(|at| at > self.now) {
            return Ok(Answer::Done { duplicate: true });
        }
        self.post(&grant(wallet, name), "contra:promo", left);
        Ok(Answer::Done { duplicate: false })
    }
}
