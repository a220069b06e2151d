//! Owns: a pipeline with a ledger behind it and a recorder that keeps what it is told, and the questions every test asks.

use crate::ledger::{open, top_up};
use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use gotoai::adapters::providers::{HttpClient, OpenAiCompatible, ProviderConfig};
use gotoai::adapters::stores::sqlite::{Database, SqliteLedger};
use gotoai::base::{Clock, Money, OrderId, Ratio, Secret};
use gotoai::domain::catalog::{Catalog, DataPolicy, Endpoint, Meter, PriceHistory, PriceLine, PriceSheet, ProviderEntry};
use gotoai::domain::health::{BreakerPolicy, EndpointHealth, RetryPolicy};
use gotoai::domain::identity::KeyRing;
use gotoai::domain::ledger::{Command, Durability, EntryQuery, EventKind, Journal, Ledger, Order, OrderReceipt, OrderState, WalletKind};
use gotoai::domain::provider::{Family, Provider};
use gotoai::domain::risk::{Budget, BudgetStore, Used};
use gotoai::domain::usage::{CallRecord, Recorder};
use gotoai::pipeline::{Call, Credential, InFlight, Pipeline, Reply, ReplyBody, ResponseCache, Snapshot};
use gotoai::protocol::Operation;
use gotoai::twin::Twin;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// Dollars a million tokens: one dollar is 1 000 nano-units a token.
pub(crate) fn sheet(input_usd: i64, output_usd: i64) -> Arc<PriceSheet> {
    let line = |meter, usd: i64| PriceLine::new(meter, usd * 1_000_000_000_000, 1_000_000);
    Arc::new(PriceSheet::new(vec![line(Meter::InputUncached, input_usd), line(Meter::OutputText, output_usd)], "test".into(), 0))
}

/// `provider/model` of a family that hangs up when its reader leaves; a test changes what it is about.
pub(crate) fn endpoint(id: &str, provider: &Arc<impl Provider + 'static>) -> Endpoint {
    let (provider_name, model) = id.split_once('/').unwrap();
    let price = sheet(1, 2);
    Endpoint {
        id: id.into(),
        provider_name: provider_name.into(),
        family: Family::by_name("openai").unwrap(),
        model: model.into(),
        prices: PriceHistory::of([&*price]),
        context_window: None,
        max_output: Some(1000),
        quality: None,
        code_quality: None,
        data_policy: DataPolicy::Standard,
        own_key: false,
        retry: RetryPolicy { initial_backoff: Duration::from_millis(2), max_backoff: Duration::from_millis(200), ..RetryPolicy::default() },
        rank: 0,
        provider: Arc::clone(provider) as Arc<dyn Provider>,
        health: EndpointHealth::new(BreakerPolicy::default()),
    }
}

/// The twin as the provider of endpoints.
pub(crate) fn over_http(twin: &Twin, keys: &[&str]) -> Arc<OpenAiCompatible> {
    let config = ProviderConfig {
        name: "twin".into(),
        family: Family::by_name("openai").unwrap(),
        base_url: twin.url(),
        keys: keys.iter().map(|key| Secret::new(*key)).collect(),
        headers: Vec::new(),
    };
    Arc::new(OpenAiCompatible::new(&config, HttpClient::new().unwrap()).unwrap())
}

pub(crate) struct Records {
    kept: Mutex<Vec<CallRecord>>,
    bell: Semaphore,
}

impl Recorder for Records {
    fn record(&self, call: &CallRecord) {
        self.kept.lock().push(call.clone());
        self.bell.add_permits(1);
    }
}

/// What a test may change before the first call.
pub(crate) struct Setup {
    pub(crate) snapshot: Snapshot,
    pub(crate) cache: Option<Arc<dyn ResponseCache>>,
    /// What the wallet has.
    pub(crate) cash_nano: i64,
    pub(crate) kind: WalletKind,
    /// Are calls booked?
    pub(crate) ledger: bool,
}

pub(crate) struct House {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) ledger: Arc<SqliteLedger>,
    records: Arc<Records>,
    folder: TempDir,
}

/// What a call left behind: its record, and its order if it got that far.
pub(crate) struct Left {
    pub(crate) record: CallRecord,
    pub(crate) receipt: Option<OrderReceipt>,
    pub(crate) entries: Vec<Journal>,
}

impl Left {
    pub(crate) fn state(&self) -> OrderState {
        self.receipt.as_ref().unwrap().order.state
    }

    pub(crate) fn charge(&self) -> i64 {
        self.receipt.as_ref().unwrap().order.charge.unwrap().as_nano()
    }

    pub(crate) fn cost(&self) -> i64 {
        self.receipt.as_ref().unwrap().order.cost.unwrap().as_nano()
    }

    /// Has this account's name been debited by the settlement?
    pub(crate) fn debits(&self, path: &str) -> bool {
        self.entries.last().unwrap().postings.iter().any(|posting| posting.debit == path)
    }
}

impl House {
    pub(crate) async fn new(endpoints: Vec<Endpoint>) -> Self {
        Self::with(endpoints, |_| {}).await
    }

    pub(crate) async fn with(endpoints: Vec<Endpoint>, change: impl FnOnce(&mut Setup)) -> Self {
        let snapshot = Snapshot {
            catalog: catalog(endpoints, &[]),
            fee: Ratio::ZERO,
            markup: Vec::new(),
            hold_timeout: Duration::from_secs(900),
            answer_lifetime: Duration::from_secs(86_400),
            answer_limit_bytes: 1 << 20,
            kill_switch: false,
            open: true,
            guardrails: Vec::new(),
        };
        let mut setup = Setup { snapshot, cache: None, cash_nano: 1_000_000_000, kind: WalletKind::Prepaid, ledger: true };
        change(&mut setup);
        let folder = TempDir::new().unwrap();
        let database = Database::open(&folder.path().join("l.db")).unwrap();
        let ledger = Arc::new(SqliteLedger::open(&database, &Clock::system(), Durability::Relaxed, true).unwrap().0);
        for command in [open(1, "default", setup.kind, None), top_up(2, "default", setup.cash_nano, 0)] {
            ledger.submit(command).wait().await.unwrap();
        }
        let records = Arc::new(Records { kept: Mutex::default(), bell: Semaphore::new(0) });
        let pipeline = Pipeline {
            clock: Clock::system(),
            snapshot: ArcSwap::from_pointee(setup.snapshot),
            keys: ArcSwap::from_pointee(KeyRing::default()),
            terms: ArcSwap::default(),
            ledger: setup.ledger.then(|| Arc::clone(&ledger) as Arc<dyn Ledger>),
            frozen: ArcSwapOption::empty(),
            cache: setup.cache,
            recorder: Arc::clone(&records) as Arc<dyn Recorder>,
            in_flight: InFlight::default(),
        };
        Self { pipeline: Arc::new(pipeline), ledger, records, folder }
    }

    /// While it is kept, the ledger commits nothing.
    pub(crate) fn locked(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.folder.path().join("l.db")).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }

    pub(crate) fn limit(&self, budget: Budget) {
        Database::open(&self.folder.path().join("l.db")).unwrap().insert_budget(budget, Clock::system().now()).unwrap();
    }

    /// What the budgets have used.
    pub(crate) fn limits(&self) -> Vec<Used> {
        let database = Database::open(&self.folder.path().join("l.db")).unwrap();
        database.list_budgets(Clock::system().now()).unwrap().into_iter().map(|(_, used)| used).collect()
    }

    pub(crate) async fn chat(&self, body: &Value) -> Reply {
        self.pipeline.run(call(body)).await
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn rest(&self) {
        assert!(self.pipeline.in_flight.wait(Duration::from_secs(10)).await, "something is still in flight");
        assert_eq!(self.pipeline.in_flight.count(), 0);
    }

    /// The record of the one call so far, once everything about it has come to rest.
    pub(crate) async fn left(&self) -> Left {
        self.records.bell.acquire().await.unwrap().forget();
        self.rest().await;
        // The settlement is queued before the record is made; what is answered after it finds it booked.
        self.ledger.submit(Command::Expire { order: OrderId([0; 16]) }).wait().await.unwrap();
        let record = {
            let mut kept = self.records.kept.lock();
            assert_eq!(kept.len(), 1, "one call, one record");
            kept.remove(0)
        };
        let Some(id) = record.order else { return Left { record, receipt: None, entries: Vec::new() } };
        let receipt = self.ledger.order(id).unwrap();
        let entries = self.ledger.entries(&EntryQuery { order: Some(id), limit: 10, ..EntryQuery::default() }).unwrap();
        assert_eq!(entries.len(), 2, "one reserve, one settlement: {entries:?}");
        assert_eq!(entries[0].kind, EventKind::Reserve);
        assert!(!receipt.as_ref().unwrap().order.state.is_open());
        Left { record, receipt, entries }
    }

    /// The proof of the whole ledger, with nothing held.
    pub(crate) fn verify(&self) {
        let report = self.ledger.verify().unwrap();
        assert!(report.ok(), "{:?}", report.findings);
        assert_eq!(self.ledger.wallet("default").unwrap().unwrap().held, Money::ZERO);
    }

    /// The order of the one call so far, as it came to rest.
    pub(crate) async fn last_order(&self) -> Order {
        self.rest().await;
        self.ledger.submit(Command::Expire { order: OrderId([0; 16]) }).wait().await.unwrap();
        let id = self.records.kept.lock().last().and_then(|record| record.order).unwrap();
        self.ledger.order(id).unwrap().unwrap().order
    }

    /// Records that nobody has looked at.
    pub(crate) fn records(&self) -> usize {
        self.records.kept.lock().len()
    }

    pub(crate) fn orders(&self) -> i64 {
        self.ledger.verify().unwrap().orders
    }
}

/// The endpoints in the order in which they are given.
pub(crate) fn catalog(endpoints: Vec<Endpoint>, aliases: &[(&str, &str)]) -> Catalog {
    let mut entries: Vec<ProviderEntry> = Vec::new();
    for endpoint in &endpoints {
        if !entries.iter().any(|entry| entry.name == endpoint.provider_name) {
            let (name, family, provider) = (Arc::clone(&endpoint.provider_name), endpoint.family, Arc::clone(&endpoint.provider));
            entries.push(ProviderEntry { name, family, provider, unlisted: None });
        }
    }
    let ranked = endpoints.into_iter().zip(0..).map(|(endpoint, rank)| Arc::new(Endpoint { rank, ..endpoint })).collect();
    Catalog::new(entries, ranked, aliases.iter().map(|(name, target)| ((*name).to_owned(), (*target).to_owned())).collect())
}

pub(crate) fn call(body: &Value) -> Call {
    Call {
        operation: Operation::Chat,
        request_id: "req-1".into(),
        credential: Credential::None,
        mode: None,
        labels: Vec::new(),
        idempotency_key: None,
        body: Bytes::from(body.to_string()),
    }
}

pub(crate) fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100})
}

pub(crate) fn ask_stream(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100, "stream": true})
}

/// The whole body of a reply, streamed or not.
pub(crate) async fn bytes(reply: Reply) -> Bytes {
    match reply.body {
        ReplyBody::Whole(bytes) => bytes,
        ReplyBody::Stream(relay) => relay.collect().await.unwrap().to_bytes(),
    }
}

pub(crate) async fn text(reply: Reply) -> String {
    String::from_utf8(bytes(reply).await.to_vec()).unwrap()
}

/// The code of the error envelope.
pub(crate) async fn code(reply: Reply) -> String {
    let value: Value = serde_json::from_slice(&bytes(reply).await).unwrap();
    value["error"]["code"].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers.get(name).map_or("", |value| value.to_str().unwrap())
}
