//! Owns: what an organisation has agreed to, as people read and change it; freezing a wallet and thawing it.
//! Refuses to know: what follows from terms (ledger, pipeline).

use super::arguments::explained;
use super::booking::{Booked, amount, book, refuse, submit, text};
use super::read;
use super::wallet::{after, find};
use crate::app::Gateway;
use crate::base::{Error, ErrorKind, Money, OpId, Result};
use crate::domain::catalog::MarkupRule;
use crate::domain::ledger::{Action, Agreed, HoldPolicy, Refusal, SetTerms, SettlementPolicy, Terms, WalletName, WalletSummary};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How often a change is made again on top of somebody else's.
const CHANGE_TRIES: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    wallet: String,
    reason: String,
}

pub(super) fn freeze(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    set_frozen(gateway, actor, arguments, true)
}

pub(super) fn thaw(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    set_frozen(gateway, actor, arguments, false)
}

/// The state is the fact: a wallet that is so already is left alone.
fn set_frozen(gateway: &Gateway, actor: &str, arguments: &[u8], frozen: bool) -> Result<Value> {
    let asked: Named = read(arguments)?;
    let reason = text(&asked.reason, "reason")?;
    if find(gateway, &asked.wallet)?.frozen == frozen {
        return after(gateway, &asked.wallet, &Booked::NOTHING);
    }
    let named = WalletName { wallet: asked.wallet.as_str().into() };
    let action = if frozen { Action::Freeze(named) } else { Action::Thaw(named) };
    let booked = book(gateway, OpId::new(), actor, &reason, action, &asked.wallet)?;
    after(gateway, &asked.wallet, &booked)
}

/// A member that is given is changed; one that is left out stays as it is.
#[derive(Deserialize)]
#[expect(clippy::option_option, reason = "absent, null and given are three different wishes")]
#[serde(deny_unknown_fields)]
struct TermsArguments {
    wallet: String,
    /// Null: as usual for the wallet's kind.
    #[serde(default, deserialize_with = "given")]
    hold: Option<Option<HoldPolicy>>,
    /// By outcome; outcomes left out stay as they are.
    settlement: Option<Map<String, Value>>,
    markup: Option<Vec<MarkupRule>>,
    /// Null: none.
    #[serde(default, deserialize_with = "given")]
    credit_limit: Option<Option<String>>,
    reason: Option<String>,
}

/// Tells null from absent.
#[expect(clippy::option_option, reason = "absent, null and given are three different wishes")]
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

impl TermsArguments {
    const fn changes(&self) -> bool {
        self.hold.is_some() || self.settlement.is_some() || self.markup.is_some() || self.credit_limit.is_some()
    }

    /// Terms and credit limit as they shall be.
    fn over(&self, wallet: &WalletSummary) -> Result<(Terms, Option<Money>)> {
        let mut terms = (*wallet.terms).clone();
        terms.hold = self.hold.unwrap_or(terms.hold);
        if let Some(outcomes) = self.settlement.clone() {
            terms.settlement = settlement(terms.settlement, outcomes)?;
        }
        terms.markup = self.markup.clone().unwrap_or(terms.markup);
        let limit = match &self.credit_limit {
            Some(limit) => limit.as_ref().map(|text| amount(text, "credit_limit")).transpose()?,
            None => wallet.credit_limit,
        };
        Ok((terms, limit))
    }
}

fn settlement(current: SettlementPolicy, outcomes: Map<String, Value>) -> Result<SettlementPolicy> {
    let wrong = |error: serde_json::Error| refuse(format!("'settlement': {}", explained(&error.to_string())), "settlement");
    let mut whole = serde_json::to_value(current).map_err(wrong)?;
    if let Some(members) = whole.as_object_mut() {
        members.extend(outcomes);
    }
    serde_json::from_value(whole).map_err(wrong)
}

/// Changes what is given, and only that: where somebody else has changed something meanwhile, on top of what they made of it.
fn change(gateway: &Gateway, actor: &str, reason: &str, asked: &TermsArguments) -> Result<Booked> {
    let name = asked.wallet.as_str();
    for _ in 0..CHANGE_TRIES {
        let wallet = find(gateway, name)?;
        let (terms, limit) = asked.over(&wallet)?;
        if terms == *wallet.terms && limit == wallet.credit_limit {
            return Ok(Booked::NOTHING);
        }
        let set = SetTerms {
            wallet: name.into(),
            credit_limit_nano: limit.map(Money::as_nano),
            terms: Arc::new(terms),
            replaces: Some(Agreed { credit_limit_nano: wallet.credit_limit.map(Money::as_nano), terms: wallet.terms }),
        };
        match submit(gateway, OpId::new(), actor, reason, Action::SetTerms(set))? {
            Err(Refusal::Conflict) => {}
            done => return done.map_err(|refusal| refusal.to_error(name)),
        }
    }
    let why = format!("the terms of wallet '{name}' are being changed by others all the time; look at them, then ask again");
    Err(Error::new(ErrorKind::Conflict, why).with_param("wallet"))
}

/// Shows the terms, or changes what is given.
pub(super) fn terms(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: TermsArguments = read(arguments)?;
    let name = asked.wallet.clone();
    let wallet = find(gateway, &name)?;
    if !asked.changes() {
        return Ok(view(&wallet));
    }
    let reason = text(asked.reason.as_deref().unwrap_or_default(), "reason")?;
    let booked = change(gateway, actor, &reason, &asked)?;
    if booked.seq.is_some() {
        gateway.reload_terms()?;
        // Other processes on this store look again.
        gateway.database.announce()?;
    }
    let mut shown = view(&find(gateway, &name)?);
    shown["entry_seq"] = booked.seq.into();
    shown["duplicate"] = booked.duplicate.into();
    Ok(shown)
}

fn view(wallet: &WalletSummary) -> Value {
    json!({
        "wallet": &*wallet.name,
        "kind": wallet.kind,
        "currency": "USD",
        "credit_limit": wallet.credit_limit,
        "hold": wallet.terms.hold(wallet.kind),
        "hold_is_default": wallet.terms.hold.is_none(),
        "settlement": wallet.terms.settlement,
        "markup": wallet.terms.markup,
    })
}
