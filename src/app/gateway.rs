//! Owns: the gateway as one thing: opened from settings, closed in order; what the doors ask beside the path.
//! Refuses to know: HTTP, SQL.

use super::reconcile::Reconciler;
use super::settings::Settings;
use super::supply::Supply;
use super::tasks;
use crate::adapters::alerts::Webhook;
use crate::adapters::providers::HttpClient;
use crate::adapters::stores::sqlite::{Database, SqliteLedger};
use crate::adapters::telemetry::{Metrics, init_logs};
use crate::base::{Clock, Error, ErrorKind, KeyId, OpId, OrderId, Result, Secret, Timestamp};
use crate::domain::catalog::{Endpoint, PriceBook};
use crate::domain::identity::{KeyRing, KeyStore, Principal, Scope, Scopes, UserPath, VirtualKey};
use crate::domain::ledger::{Action, Command, Ledger, LedgerReader, OpenWallet, Operation, OrderReceipt, Reply, WalletKind};
use crate::pipeline::{Credential, InFlight, Pipeline, Snapshot};
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long calls may take to be settled once they are told to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// One model name as listed, with the endpoints behind it.
pub struct ModelView {
    pub id: String,
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// Whether the gateway can serve, and if not, why.
pub struct Readiness {
    pub ready: bool,
    pub checks: Vec<(&'static str, Result<(), String>)>,
}

/// A gateway: one store, one snapshot, one pipeline behind every door.
pub struct Gateway {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) database: Database,
    /// Present also when calls are not booked: what was booked before stays readable.
    pub(super) ledger: Arc<SqliteLedger>,
    pub(super) supply: Supply,
    pub(super) metrics: Arc<Metrics>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) reconciler: Reconciler,
    pub(super) webhook: Option<Webhook>,
    runtime: Handle,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    notice: Mutex<Option<Secret>>,
    closed: AtomicBool,
    /// For administration only: what this one leaves behind is anchored by those that serve.
    pub(super) offline: bool,
}

impl Gateway {
    /// Opens the store, settles what a dead predecessor left, and starts the background tasks on `runtime`. `offline`: for
    /// administration only; no recovery, no task, no provider is called. Blocks; not to be called on a runtime's thread.
    pub fn open(settings: Settings, offline: bool, runtime: &Handle) -> Result<Arc<Self>> {
        if !offline {
            init_logs(settings.log.level, settings.log.format);
        }
        let clock = Clock::system();
        let database = Database::open(&settings.store.database)?;
        let (ledger, recovered) = SqliteLedger::open(&database, &clock, settings.ledger.durability, !offline && settings.ledger.on)?;
        if recovered > 0 {
            tracing::warn!(orders = recovered, "settled what an earlier process had left open");
        }
        let ledger = Arc::new(ledger);
        let book = match &settings.price_book {
            Some(path) => Arc::new(read_book(path)?),
            None => current_book(&database.path().with_file_name("prices.json"))?,
        };
        let client = HttpClient::new()?;
        let supply = Supply::new(&settings, &client, book)?;
        let webhook = settings.alerts.webhook.as_ref().map(|(url, secret)| Webhook::new(client, url, secret)).transpose()?;
        let metrics = Arc::new(Metrics::new());
        let pipeline = Arc::new(Pipeline {
            clock: clock.clone(),
            snapshot: ArcSwap::from_pointee(snapshot(&settings, &supply)),
            keys: ArcSwap::from_pointee(KeyRing::default()),
            terms: ArcSwap::default(),
            ledger: settings.ledger.on.then(|| Arc::clone(&ledger) as Arc<dyn Ledger>),
            frozen: ArcSwapOption::empty(),
            cache: None,
            recorder: Arc::clone(&metrics) as Arc<dyn crate::domain::usage::Recorder>,
            in_flight: InFlight::default(),
        });
        let gateway = Arc::new(Self {
            reconciler: Reconciler::new(clock.now()),
            webhook,
            settings,
            clock,
            database,
            ledger,
            supply,
            metrics,
            pipeline,
            runtime: runtime.clone(),
            stop: watch::channel(false).0,
            tasks: Mutex::default(),
            notice: Mutex::default(),
            closed: AtomicBool::new(false),
            offline,
        });
        gateway.ensure_wallet(Principal::DEFAULT_WALLET)?;
        gateway.load_lists()?;
        gateway.reload_frozen()?;
        if !offline {
            gateway.ensure_platform_key()?;
            *gateway.tasks.lock() = tasks::start(&gateway, runtime, &gateway.stop.subscribe());
        }
        gateway.reload_keys()?;
        gateway.reload_terms()?;
        Ok(gateway)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    pub fn metrics(&self) -> &Metrics {
        self.metrics.in_flight.set(i64::try_from(self.pipeline.in_flight.count()).unwrap_or(i64::MAX));
        self.metrics.ledger.reconciled_age_seconds.set(self.reconciled_age().unwrap_or(-1));
        &self.metrics
    }

    /// The platform key, if this start made one. Shown once.
    pub fn startup_notice(&self) -> Option<Secret> {
        self.notice.lock().take()
    }

    /// Stops the tasks, waits for what is in flight (at most the drain time, then it is told to end), closes the ledger, anchors
    /// it. Idempotent.
    pub async fn close(self: &Arc<Self>) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            let _ = task.await;
        }
        let in_flight = &self.pipeline.in_flight;
        if !in_flight.wait(self.settings.server.drain_timeout).await {
            tracing::warn!(calls = in_flight.count(), "calls were still in flight at the end of the drain; they end on what is known");
            in_flight.stop();
            if !in_flight.wait(STOP_TIMEOUT).await {
                tracing::error!(calls = in_flight.count(), "closed with calls in flight; the next start settles them as after a crash");
            }
        }
        if !self.offline {
            let gateway = Arc::clone(self);
            let _ = self.runtime.spawn_blocking(move || gateway.release_reconciliation()).await;
        }
        let ledger = Arc::clone(&self.ledger);
        let _ = self.runtime.spawn_blocking(move || ledger.close()).await;
        if !self.offline && self.settings.ledger.on && self.settings.ledger.anchor_every.is_some() {
            tasks::anchor(Arc::clone(self)).await;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A wallet that pays after use, without limit, so that a first user needs no top-up.
    fn ensure_wallet(&self, name: &str) -> Result<()> {
        if self.ledger.has_wallet(name)? {
            return Ok(());
        }
        let open = OpenWallet { wallet: name.into(), kind: WalletKind::Postpaid, credit_limit_nano: None };
        let op = op_id(&["open_wallet", name]);
        let operation = Operation { op, actor: "start".into(), reference: "default wallet".into(), action: Action::OpenWallet(open) };
        let command = Command::Operate(Box::new(operation));
        match self.ledger.submit(command).wait_blocking()? {
            Reply::Refused(refusal) => Err(refusal.to_error(name)),
            Reply::Done { .. } | Reply::Held { .. } | Reply::Settled { .. } => Ok(()),
        }
    }

    /// Never open by default: without a configured platform key, and without one made earlier, one is made now.
    fn ensure_platform_key(&self) -> Result<()> {
        let auth = &self.settings.auth;
        if auth.master_key.is_some() || auth.insecure_no_auth {
            return Ok(());
        }
        let now = self.clock.now();
        if self.database.list_keys()?.iter().any(|key| key.scopes.has(Scope::Platform) && key.status(now) == "active") {
            return Ok(());
        }
        let secret = VirtualKey::new_secret()?;
        self.database.insert_key(&VirtualKey {
            id: KeyId::new(),
            name: "platform".to_owned(),
            digest: VirtualKey::digest_of(secret.expose()),
            hint: VirtualKey::hint_of(secret.expose()),
            scopes: Scopes::all(),
            models: Vec::new(),
            user_path: UserPath::root(),
            wallet: Principal::DEFAULT_WALLET.to_owned(),
            mode: None,
            builder: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
        })?;
        *self.notice.lock() = Some(secret);
        Ok(())
    }

    /// Model lists of an earlier run, to serve from until fresh ones come.
    fn load_lists(&self) -> Result<()> {
        for instance in &self.supply.instances {
            if let Some((models, at)) = self.database.model_list(&instance.settings.name)? {
                let mut status = self.supply.status.lock();
                let entry = status.entry(instance.settings.name.clone()).or_default();
                (entry.models, entry.fetched_at) = (Some(models), Some(at));
            }
        }
        self.publish();
        Ok(())
    }

    /// Swaps in a catalog of what is known now. Calls under way keep theirs.
    pub(super) fn publish(&self) {
        self.pipeline.snapshot.store(Arc::new(snapshot(&self.settings, &self.supply)));
    }

    pub(super) fn reload_keys(&self) -> Result<()> {
        let keys = self.database.list_keys()?;
        self.pipeline.keys.store(Arc::new(KeyRing::new(&keys, self.settings.auth.master_key.as_ref())));
        Ok(())
    }

    pub(super) fn reload_terms(&self) -> Result<()> {
        self.pipeline.terms.store(Arc::new(self.ledger.terms()?));
        Ok(())
    }

    /// The caller behind a credential, for what is asked beside the path.
    pub fn principal(&self, credential: &Credential) -> Result<Arc<Principal>> {
        self.pipeline.principal(credential, self.settings.auth.insecure_no_auth)
    }

    /// The gateway's time, by which prices are in force.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The models this caller may use, by name: every endpoint under `provider/model`, and every alias.
    pub fn models(&self, principal: &Principal) -> Vec<ModelView> {
        let snapshot = self.pipeline.snapshot.load();
        let allowed = |endpoint: &&Arc<Endpoint>| principal.may_use(&endpoint.model, &endpoint.id);
        let mut views: Vec<ModelView> = snapshot
            .catalog
            .endpoints()
            .into_iter()
            .filter(allowed)
            .map(|endpoint| ModelView { id: endpoint.id.to_string(), endpoints: vec![Arc::clone(endpoint)] })
            .collect();
        for alias in snapshot.catalog.aliases().keys() {
            if let Ok(selection) = snapshot.catalog.resolve(alias, self.clock.now()) {
                let endpoints: Vec<_> =
                    selection.candidates.into_iter().filter(|endpoint| principal.may_use(alias, &endpoint.id)).collect();
                if !endpoints.is_empty() {
                    views.push(ModelView { id: alias.clone(), endpoints });
                }
            }
        }
        views.sort_by(|a, b| a.id.cmp(&b.id));
        views
    }

    /// One model by any name a call may use.
    pub fn model(&self, principal: &Principal, name: &str) -> Result<ModelView> {
        let selection = self.pipeline.snapshot.load().catalog.resolve(name, self.clock.now())?;
        let endpoints: Vec<_> = selection
            .candidates
            .into_iter()
            .filter(|endpoint| principal.may_use(name, &endpoint.id) || principal.may_use(&endpoint.model, &endpoint.id))
            .collect();
        if endpoints.is_empty() {
            return Err(Error::new(ErrorKind::ModelDenied, format!("this API key may not use the model '{name}'")).with_param("model"));
        }
        Ok(ModelView { id: name.to_owned(), endpoints })
    }

    /// An order's receipt, for the key that made it, for administrators of its user path's tree, and for the platform.
    /// Blocks on the store.
    pub fn order(&self, principal: &Principal, id: OrderId) -> Result<OrderReceipt> {
        let unknown = || Error::new(ErrorKind::NotFound, format!("there is no order '{id}'"));
        let receipt = self.ledger.order(id)?.ok_or_else(unknown)?;
        let own = principal.key_id.is_some_and(|key| receipt.reserve.key.as_deref() == Some(&*key.to_string()));
        let below = UserPath::parse(&receipt.reserve.user_path).is_ok_and(|path| principal.user_path.contains(&path));
        let administers = principal.scopes.has(Scope::OrgAdmin) && below && *receipt.wallet == *principal.wallet;
        if own || administers || principal.scopes.has(Scope::Platform) { Ok(receipt) } else { Err(unknown()) }
    }

    /// Can calls be served? Blocks on the store.
    pub fn readiness(&self) -> Readiness {
        let store = self.database.control_version().map(drop).map_err(|error| error.message);
        let closing = if self.closed.load(Ordering::Acquire) { Err("shutting down".to_owned()) } else { Ok(()) };
        let providers = if self.supply.instances.is_empty() { Err("no provider is configured".to_owned()) } else { Ok(()) };
        let ledger = if self.settings.ledger.on { self.ledger.health() } else { Ok(()) };
        let books = self.pipeline.frozen.load().as_ref().map_or(Ok(()), |reason| Err(format!("frozen {reason}")));
        let checks = vec![("books", books), ("store", store), ("ledger", ledger), ("providers", providers), ("running", closing)];
        Readiness { ready: checks.iter().all(|(_, outcome)| outcome.is_ok()), checks }
    }

    /// Where a refreshed price book lies: beside the database.
    pub(super) fn book_path(&self) -> PathBuf {
        self.settings.price_book.clone().unwrap_or_else(|| self.database.path().with_file_name("prices.json"))
    }

    /// Reads the price book again and publishes a catalog with it. Orders keep the prices they were made with.
    pub(super) fn reload_book(&self) -> Result<()> {
        *self.supply.book.lock() = current_book(&self.book_path())?;
        self.publish();
        Ok(())
    }

    /// Waits for a provider's answer on the gateway's runtime. Not to be called on one of its threads.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// An administrative operation by name: a JSON object in, JSON out. Blocks on the store.
    pub fn admin(&self, operation: &str, arguments: &[u8]) -> Result<Vec<u8>> {
        super::admin::run(self, operation, arguments)
    }

    /// The same for a caller over the network: what its scopes allow, recorded in its name.
    pub fn admin_for(&self, caller: &Principal, operation: &str, arguments: &[u8]) -> Result<Vec<u8>> {
        super::admin::run_for(self, caller, operation, arguments)
    }
}

fn snapshot(settings: &Settings, supply: &Supply) -> Snapshot {
    Snapshot {
        catalog: supply.catalog(),
        fee: settings.ledger.fee,
        markup: settings.ledger.markup.clone(),
        hold_timeout: settings.ledger.hold_timeout,
        answer_lifetime: settings.ledger.answer_lifetime,
        answer_limit_bytes: settings.ledger.answer_limit_bytes,
        kill_switch: settings.kill_switch,
        open: settings.auth.insecure_no_auth,
        guardrails: Vec::new(),
    }
}

pub(super) fn read_book(path: &Path) -> Result<PriceBook> {
    let wrong = |why: String| Error::new(ErrorKind::Configuration, format!("price book '{}': {why}", path.display()));
    let json = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    PriceBook::parse(&json).map_err(wrong)
}

/// The refreshed book if there is one, else the embedded one.
fn current_book(path: &Path) -> Result<Arc<PriceBook>> {
    if path.exists() { read_book(path).map(Arc::new) } else { Ok(PriceBook::embedded()) }
}

/// The id of a business fact: the same fact gives the same id, so that it counts once.
pub(super) fn op_id(fact: &[&str]) -> OpId {
    let digest = VirtualKey::digest_of(&fact.join("\u{1f}"));
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    OpId(id)
}
