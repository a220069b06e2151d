//! Owns: the catalog of one snapshot, and how a requested model name becomes candidates.
//! Refuses to know: which candidate is best (routing) and where the lists come from (app).

use super::{Endpoint, Mode};
use crate::base::{Error, ErrorKind, Result, Timestamp};
use crate::domain::provider::{Family, Provider};
use std::collections::HashMap;
use std::sync::Arc;

/// Makes the endpoint of a model that the provider has not listed.
pub type MakeEndpoint = Arc<dyn Fn(&str) -> Arc<Endpoint> + Send + Sync>;

/// One configured provider in the catalog.
#[derive(Clone)]
pub struct ProviderEntry {
    pub name: Arc<str>,
    pub family: &'static Family,
    pub provider: Arc<dyn Provider>,
    /// Set while the provider's model list is unknown (it was down since the start): `provider/model` is then taken at
    /// its word. `None` once a list is known.
    pub unlisted: Option<MakeEndpoint>,
}

/// What a model name stands for: candidates in order of declaration, and the mode that the name carried.
#[derive(Clone, Debug)]
pub struct Selection {
    pub candidates: Vec<Arc<Endpoint>>,
    pub mode: Option<Mode>,
}

/// All that can be called. Immutable: a change makes a new one.
#[derive(Clone, Default)]
pub struct Catalog {
    providers: Vec<ProviderEntry>,
    by_model: HashMap<Arc<str>, Vec<Arc<Endpoint>>>,
    by_id: HashMap<Arc<str>, Arc<Endpoint>>,
    aliases: HashMap<String, String>,
}

impl Catalog {
    /// `aliases`: name to selector. An alias that leads to another alias is followed once only.
    pub fn new(providers: Vec<ProviderEntry>, endpoints: Vec<Arc<Endpoint>>, aliases: HashMap<String, String>) -> Self {
        let mut by_model: HashMap<Arc<str>, Vec<Arc<Endpoint>>> = HashMap::new();
        let mut by_id = HashMap::new();
        for endpoint in endpoints {
            by_model.entry(Arc::clone(&endpoint.model)).or_default().push(Arc::clone(&endpoint));
            by_id.insert(Arc::clone(&endpoint.id), endpoint);
        }
        for same_model in by_model.values_mut() {
            same_model.sort_by_key(|endpoint| endpoint.rank);
        }
        Self { providers, by_model, by_id, aliases }
    }

    pub fn providers(&self) -> &[ProviderEntry] {
        &self.providers
    }

    /// Every endpoint, sorted by id.
    pub fn endpoints(&self) -> Vec<&Arc<Endpoint>> {
        let mut all: Vec<_> = self.by_id.values().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    pub fn aliases(&self) -> &HashMap<String, String> {
        &self.aliases
    }

    /// `model`, `provider/model`, an alias, each with an optional `:mode`. An exact name wins over a suffix read as mode.
    pub fn resolve(&self, requested: &str, now: Timestamp) -> Result<Selection> {
        if let Some(candidates) = self.lookup(requested, now) {
            return Ok(Selection { candidates, mode: None });
        }
        let suffixed = requested.rsplit_once(':').and_then(|(name, mode)| Some((name, mode.parse::<Mode>().ok()?)));
        if let Some((name, mode)) = suffixed
            && let Some(candidates) = self.lookup(name, now)
        {
            return Ok(Selection { candidates, mode: Some(mode) });
        }
        Err(self.unknown(requested))
    }

    fn lookup(&self, name: &str, now: Timestamp) -> Option<Vec<Arc<Endpoint>>> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        if let Some(same_model) = self.by_model.get(name) {
            return Some(same_model.clone());
        }
        if let Some(endpoint) = self.by_id.get(name) {
            return Some(vec![Arc::clone(endpoint)]);
        }
        if let Some(guessed) = self.guess(name, now) {
            return Some(guessed);
        }
        let (provider_name, model) = name.split_once('/')?;
        let entry = self.providers.iter().find(|entry| &*entry.name == provider_name)?;
        entry.unlisted.as_ref().filter(|_| !model.is_empty()).map(|make| vec![make(model)])
    }

    /// A bare name while some lists are still unknown (the first moments of the first start): providers whose model of this
    /// name has a known price, or the only provider there is.
    fn guess(&self, name: &str, now: Timestamp) -> Option<Vec<Arc<Endpoint>>> {
        if self.providers.iter().any(|entry| name.strip_prefix(&*entry.name).is_some_and(|rest| rest.starts_with('/'))) {
            return None;
        }
        let unlisted = || self.providers.iter().filter_map(|entry| Some((entry.family, entry.unlisted.as_ref()?)));
        let priced: Vec<_> = unlisted()
            .filter(|(family, _)| !family.self_hosted)
            .map(|(_, make)| make(name))
            .filter(|e| e.price_at(now).is_some())
            .collect();
        if !priced.is_empty() {
            return Some(priced);
        }
        match unlisted().collect::<Vec<_>>().as_slice() {
            [(_, make)] if self.providers.len() == 1 => Some(vec![make(name)]),
            _ => None,
        }
    }

    fn unknown(&self, requested: &str) -> Error {
        let advice = if self.providers.is_empty() {
            "no provider is configured: set OPENAI_API_KEY or another provider's key, or add one to gotoai.yaml".to_owned()
        } else {
            match self.closest(requested) {
                Some(near) => format!("did you mean '{near}'? GET /v1/models lists what can be called"),
                None => "GET /v1/models lists what can be called".to_owned(),
            }
        };
        let shown: String = requested.chars().take(200).collect();
        Error::new(ErrorKind::UnknownModel, format!("the model '{shown}' does not exist or is not served here; {advice}"))
            .with_param("model")
    }

    /// The name that shares the longest beginning with the requested one, if that is most of it.
    fn closest(&self, requested: &str) -> Option<&str> {
        let shared = |name: &str| name.bytes().zip(requested.bytes()).take_while(|(a, b)| a == b).count();
        let (best, length) = self.by_model.keys().map(|name| (name, shared(name))).max_by(|a, b| (a.1, b.0).cmp(&(b.1, a.0)))?;
        (length >= 3 && length * 2 >= requested.len()).then_some(&**best)
    }
}
