//! Owns: the projections as the journal makes them, to be put in the place of stored ones that do not agree.
//! Refuses to know: how they are stored. Orders are made again from their own entries (`decide::project`).

use super::Verifier;
use crate::base::{Money, Timestamp};
use crate::domain::ledger::account::{Account, AccountId, AccountPath, Balance};
use crate::domain::ledger::state::{Grant, Wallet};
use std::collections::HashMap;
use std::sync::Arc;

impl Verifier {
    /// Every account that was opened, with the balance that its postings make.
    pub fn accounts_told(&self) -> Vec<(Account, Balance)> {
        let made = |id: &AccountId| {
            let told = self.accounts.get(id)?;
            let path = AccountPath::parse(&told.path)?;
            Some((Account { id: *id, path: told.path.clone(), class: path.class() as u8, guard: path.guard() }, told.balance))
        };
        self.opened.iter().filter_map(made).collect()
    }

    /// Every wallet that was opened; their numbers are given in the order of their opening.
    pub fn wallets_told(&self) -> Vec<Wallet> {
        let ids: HashMap<&str, AccountId> = self.accounts.iter().map(|(id, told)| (&*told.path, *id)).collect();
        let account = |path: AccountPath<'_>| ids.get(path.to_string().as_str()).copied().unwrap_or(0);
        let made = |(id, name): (i64, &Arc<str>)| {
            let told = self.wallets.get(name)?;
            let mut wallet = Wallet {
                id,
                name: Arc::clone(name),
                kind: told.kind,
                credit_limit: told.credit_limit_nano.map(Money::nano),
                frozen: told.frozen,
                terms: Arc::clone(&told.terms),
                cash: account(AccountPath::Cash(name)),
                held: account(AccountPath::Held(name)),
                receivable: account(AccountPath::Receivable(name)),
                moved_nano: told.moved_nano,
                grants: Vec::new(),
            };
            for (grant, priority, expires_at_ms) in &told.grants {
                wallet.place(Grant {
                    name: Arc::clone(grant),
                    account: account(AccountPath::Grant(name, grant)),
                    priority: *priority,
                    expires_at: expires_at_ms.map(Timestamp),
                });
            }
            Some(wallet)
        };
        (1..).zip(&self.names).filter_map(made).collect()
    }
}
