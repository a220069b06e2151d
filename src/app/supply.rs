//! Owns: from settings, price book and model lists to a catalog; and what is known of each provider's list.
//! Refuses to know: when lists are fetched (tasks) and how (adapters).

use super::settings::{ModelSettings, ModelsMode, ProviderSettings, ResilienceSettings, Settings};
use crate::adapters::providers::{HttpClient, OpenAiCompatible, ProviderConfig};
use crate::base::{Result, Timestamp};
use crate::domain::catalog::{Catalog, Endpoint, MakeEndpoint, ModelFacts, PriceBook, PriceHistory, PriceSheet, ProviderEntry};
use crate::domain::health::{EndpointHealth, RetryPolicy};
use crate::domain::provider::Provider;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is known of a provider's model list.
#[derive(Clone, Debug, Default)]
pub struct ProviderStatus {
    /// `None`: never fetched, not even in an earlier run.
    pub models: Option<Vec<String>>,
    pub fetched_at: Option<Timestamp>,
    /// Why the last fetch failed.
    pub error: Option<String>,
}

/// One configured provider with what never changes about it.
pub(super) struct Instance {
    pub(super) settings: ProviderSettings,
    pub(super) provider: Arc<dyn Provider>,
    /// Rank of its first model: a thousand a provider keeps the order of declaration.
    rank: u32,
    retry: RetryPolicy,
    resilience: ResilienceSettings,
}

/// All providers. Health lives here, so that it outlives catalogs.
pub(super) struct Supply {
    pub(super) instances: Vec<Arc<Instance>>,
    pub(super) status: Mutex<BTreeMap<String, ProviderStatus>>,
    pub(super) book: Mutex<Arc<PriceBook>>,
    health: Arc<Mutex<HashMap<Arc<str>, Arc<EndpointHealth>>>>,
    aliases: HashMap<String, String>,
}

impl Supply {
    pub(super) fn new(settings: &Settings, client: &HttpClient, book: Arc<PriceBook>) -> Result<Self> {
        let mut instances = Vec::with_capacity(settings.providers.len());
        for (rank, provider) in (0_u32..).zip(&settings.providers) {
            let resilience = provider.resilience.unwrap_or(settings.resilience);
            let config = ProviderConfig {
                name: provider.name.clone(),
                family: provider.family,
                base_url: provider.base_url.clone(),
                keys: provider.keys.clone(),
                headers: provider.headers.clone(),
            };
            instances.push(Arc::new(Instance {
                provider: Arc::new(OpenAiCompatible::new(&config, client.clone())?),
                settings: provider.clone(),
                rank: rank.saturating_mul(1000),
                retry: retry(&resilience),
                resilience,
            }));
        }
        Ok(Self {
            instances,
            status: Mutex::default(),
            book: Mutex::new(book),
            health: Arc::default(),
            aliases: settings.aliases.iter().map(|alias| (alias.name.clone(), alias.target.clone())).collect(),
        })
    }

    /// The catalog as of now.
    pub(super) fn catalog(&self) -> Catalog {
        let (book, status) = (self.book.lock().clone(), self.status.lock().clone());
        let mut entries = Vec::with_capacity(self.instances.len());
        let mut endpoints = Vec::new();
        for instance in &self.instances {
            let maker = Maker { instance: Arc::clone(instance), book: Arc::clone(&book), health: Arc::clone(&self.health) };
            let listed = status.get(&instance.settings.name).and_then(|status| status.models.as_deref());
            let allow_listed = instance.settings.models_mode == ModelsMode::Fallback;
            let mut ids: Vec<&str> = instance.settings.models.iter().map(|model| model.id.as_str()).collect();
            for id in listed.unwrap_or_default().iter().filter(|_| allow_listed) {
                if !instance.settings.models.iter().any(|model| model.id == *id) {
                    ids.push(id);
                }
            }
            endpoints.extend(ids.into_iter().zip(0_u32..).map(|(id, n)| maker.endpoint(id, n)));
            let unlisted =
                (allow_listed && listed.is_none()).then(|| -> MakeEndpoint { Arc::new(move |model: &str| maker.endpoint(model, 999)) });
            entries.push(ProviderEntry {
                name: instance.settings.name.as_str().into(),
                family: instance.settings.family,
                provider: Arc::clone(&instance.provider),
                unlisted,
            });
        }
        Catalog::new(entries, endpoints, self.aliases.clone())
    }
}

fn retry(resilience: &ResilienceSettings) -> RetryPolicy {
    RetryPolicy {
        max_retries: resilience.max_retries,
        initial_backoff: resilience.initial_backoff,
        max_backoff: resilience.max_backoff,
        head_timeout: resilience.head_timeout,
        idle_timeout: resilience.idle_timeout,
    }
}

/// Makes endpoints of one instance.
struct Maker {
    instance: Arc<Instance>,
    book: Arc<PriceBook>,
    health: Arc<Mutex<HashMap<Arc<str>, Arc<EndpointHealth>>>>,
}

impl Maker {
    /// Names that callers make up must not grow the map of healths.
    const MAX_HEALTHS: usize = 20_000;

    fn endpoint(&self, id: &str, n: u32) -> Arc<Endpoint> {
        let Instance { settings, provider, rank, retry, resilience } = &*self.instance;
        let configured = settings.models.iter().find(|model| model.id == id);
        let facts = self.book.facts(settings.family.name, id);
        let prices = self.prices(configured, facts.as_deref());
        let full: Arc<str> = format!("{}/{id}", settings.name).into();
        let health = {
            let mut healths = self.health.lock();
            match healths.get(&full) {
                Some(health) => Arc::clone(health),
                None => {
                    let health = EndpointHealth::new(resilience.breaker);
                    if healths.len() < Self::MAX_HEALTHS {
                        healths.insert(Arc::clone(&full), Arc::clone(&health));
                    }
                    health
                }
            }
        };
        let default_policy =
            if settings.family.self_hosted { crate::domain::catalog::DataPolicy::SelfHosted } else { settings.data_policy };
        Arc::new(Endpoint {
            id: full,
            provider_name: settings.name.as_str().into(),
            family: settings.family,
            model: id.into(),
            prices,
            context_window: configured.and_then(|model| model.context_window).or(facts.as_ref().and_then(|facts| facts.context_window)),
            max_output: configured.and_then(|model| model.max_output).or(facts.as_ref().and_then(|facts| facts.max_output)),
            quality: configured.and_then(|model| model.quality),
            code_quality: configured.and_then(|model| model.code_quality),
            data_policy: configured.and_then(|model| model.data_policy).unwrap_or(default_policy),
            own_key: settings.own_key,
            retry: *retry,
            rank: rank.saturating_add(n.min(999)),
            provider: Arc::clone(provider),
            health,
        })
    }

    /// Self-hosted models cost nothing by declaration, of others the book knows; what the settings say goes before both.
    fn prices(&self, configured: Option<&ModelSettings>, facts: Option<&ModelFacts>) -> PriceHistory {
        let known = if self.instance.settings.family.self_hosted {
            PriceHistory::of([&PriceSheet::free("self-hosted")])
        } else {
            facts.map(|facts| PriceHistory::of(facts.prices.iter())).unwrap_or_default()
        };
        match configured {
            Some(model) => known.then(&PriceHistory::of(&model.prices)),
            None => known,
        }
    }
}
