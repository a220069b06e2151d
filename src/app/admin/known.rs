//! Owns: whether a provider or an account that a person names is one: a misspelt name must not open accounts of its own.
//! Refuses to know: what is booked there.

use super::booking::{name, refuse};
use crate::app::Gateway;
use crate::app::settings::suggest;
use crate::base::{Error, ErrorKind, Result};
use crate::domain::ledger::AccountPath;
use std::collections::BTreeSet;

/// A provider that is set up, or was once: the ledger has accounts of it.
pub(super) fn known_provider(gateway: &Gateway, provider: &str) -> Result<String> {
    let provider = name(provider, "provider")?;
    let mut known: BTreeSet<String> = gateway.settings.providers.iter().map(|provider| provider.name.clone()).collect();
    if !known.contains(&provider) {
        known.extend(gateway.database.providers()?);
    }
    if known.contains(&provider) {
        return Ok(provider);
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let why = format!("there is no provider '{provider}', neither in the settings nor in the ledger; {}", suggest(&provider, &known));
    Err(Error::new(ErrorKind::NotFound, why).with_param("provider"))
}

/// An account that a correction may name: it is there, there can be only one of its kind, or its provider is known. Wallets' own are
/// the ledger's to check.
pub(super) fn check_account(gateway: &Gateway, path: &str) -> Result<()> {
    match AccountPath::parse(path) {
        Some(AccountPath::Payable(provider) | AccountPath::Suspense(provider) | AccountPath::Cogs(provider)) => {
            known_provider(gateway, provider).map(drop)
        }
        Some(AccountPath::PaymentClearing(_) | AccountPath::Unassigned(..) | AccountPath::Builder(_)) => {
            if gateway.database.has_account(path)? {
                return Ok(());
            }
            Err(refuse(format!("there is no account '{path}': nothing was ever booked there"), "account"))
        }
        None
        | Some(
            AccountPath::Cash(_)
            | AccountPath::Held(_)
            | AccountPath::Receivable(_)
            | AccountPath::Grant(..)
            | AccountPath::CashOut(_)
            | AccountPath::PaymentFee
            | AccountPath::Bank
            | AccountPath::Promo
            | AccountPath::UsageRevenue
            | AccountPath::FeeRevenue
            | AccountPath::ProviderVariance
            | AccountPath::LossFailover
            | AccountPath::LossUndelivered
            | AccountPath::LossCrash
            | AccountPath::LossEstimate,
        ) => Ok(()),
    }
}
