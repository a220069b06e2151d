//! Owns: a pipeline with a ledger behind it and a recorder that keeps what it is told, and the questions every test asks.

use crate::ledger::{Store, top_up};
use bytes::Bytes;
use gotoai::adapters::providers::{HttpClient, OpenAiCompatible, ProviderConfig};
use gotoai::base::{Clock, Money, OpId, OrderId, Ratio, Secret, Timestamp};
use gotoai::domain::catalog::{Catalog, DataPolicy, Endpoint, Meter, PinnedPrice, PriceLine, PriceSheet, ProviderEntry};
use gotoai::domain::health::{BreakerPolicy, EndpointHealth, RetryPolicy};
use gotoai::domain::identity::KeyRing;
use gotoai::domain::ledger::{Command, EntryQuery, EventKind, Journal, Ledger, OrderReceipt, OrderState, WalletKind};
use gotoai::domain::provider::{Family, Provider};
use gotoai::domain::usage::{CallRecord, Recorder};
use gotoai::pipeline::{Call, Credential, InFlight, Pipeline, Reply, ReplyBody, Snapshot};
use gotoai::protocol::Operation;
use gotoai::twin::Twin;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// One call in, hold and charge out: $1 a million input tokens, $2 a million output tokens.
pub(crate) fn sheet(input_usd: i64, output_usd: i64) -> Arc<PriceSheet> {
    let line = |meter, usd: i64| PriceLine { meter, num: usd * 1_000_000_000_000, per: 1_000_000, above_input_tokens: None };
    Arc::new(PriceSheet {
        lines: vec![line(Meter::InputUncached, input_usd), line(Meter::OutputText, output_usd)],
        source: "test".into(),
        effective_at_ms: 0,
    })
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
        pinned: Some(PinnedPrice::of(&price)),
        price: Some(price),
        context_window: None,
        max_output: Some(1000),
        quality: None,
        code_quality: None,
        data_policy: DataPolicy::Standard,
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

pub(crate) struct House {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) records: Arc<Records>,
    store: Store,
    ledger: Arc<dyn Ledger>,
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
    pub(crate) fn new(endpoints: Vec<Endpoint>) -> Self {
        Self::with(endpoints, |_, _| {})
    }

    /// `change`: a last hand on the pipeline and on the snapshot before they are used.
    pub(crate) fn with(endpoints: Vec<Endpoint>, change: impl FnOnce(&mut Pipeline, &mut Snapshot)) -> Self {
        let store = Store::with_clock(Clock::system());
        let open = Command::OpenWallet {
            op: OpId([1; 16]),
            wallet: "default".into(),
            kind: WalletKind::Prepaid,
            credit_limit: None,
            actor: "test".into(),
        };
        store.run(open);
        store.run(top_up(2, "default", 1_000_000_000, 0));
        let records = Arc::new(Records { kept: Mutex::default(), bell: Semaphore::new(0) });
        let ledger: Arc<dyn Ledger> = Arc::clone(&store.ledger) as Arc<dyn Ledger>;
        let mut snapshot = Snapshot {
            catalog: catalog(endpoints, HashMap::new()),
            fee: Ratio::ZERO,
            hold_timeout: Duration::from_secs(900),
            kill_switch: false,
            open: true,
            guardrails: Vec::new(),
        };
        let mut pipeline = Pipeline {
            clock: Clock::system(),
            snapshot: arc_swap::ArcSwap::from_pointee(Snapshot { catalog: Catalog::default(), guardrails: Vec::new(), ..snapshot_like(&snapshot) }),
            keys: arc_swap::ArcSwap::from_pointee(KeyRing::default()),
            ledger: Some(Arc::clone(&ledger)),
            cache: None,
            recorder: Arc::clone(&records) as Arc<dyn Recorder>,
            in_flight: InFlight::default(),
        };
        change(&mut pipeline, &mut snapshot);
        pipeline.snapshot.store(Arc::new(snapshot));
        Self { pipeline: Arc::new(pipeline), records, store, ledger }
    }

    pub(crate) async fn chat(&self, body: &Value) -> Reply {
        self.pipeline.run(call(body)).await
    }

    /// The record of the one call so far, once everything about it has come to rest.
    pub(crate) async fn left(&self) -> Left {
        self.records.bell.acquire().await.unwrap().forget();
        assert!(self.pipeline.in_flight.wait(Duration::from_secs(10)).await, "something is still in flight");
        assert_eq!(self.pipeline.in_flight.count(), 0);
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

    pub(crate) fn orders(&self) -> i64 {
        self.ledger.verify().unwrap().orders
    }

    pub(crate) fn close(&self) {
        self.store.ledger.close();
    }
}

fn snapshot_like(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        catalog: Catalog::default(),
        fee: snapshot.fee,
        hold_timeout: snapshot.hold_timeout,
        kill_switch: snapshot.kill_switch,
        open: snapshot.open,
        guardrails: Vec::new(),
    }
}

pub(crate) fn catalog(endpoints: Vec<Endpoint>, aliases: HashMap<String, String>) -> Catalog {
    let mut entries: Vec<ProviderEntry> = Vec::new();
    for endpoint in &endpoints {
        if !entries.iter().any(|entry| entry.name == endpoint.provider_name) {
            let (name, family, provider) = (Arc::clone(&endpoint.provider_name), endpoint.family, Arc::clone(&endpoint.provider));
            entries.push(ProviderEntry { name, family, provider, unlisted: None });
        }
    }
    let ranked = endpoints.into_iter().zip(0..).map(|(endpoint, rank)| Arc::new(Endpoint { rank, ..endpoint })).collect();
    Catalog::new(entries, ranked, aliases)
}

pub(crate) fn call(body: &Value) -> Call {
    Call {
        operation: Operation::Chat,
        request_id: "req-1".into(),
        credential: Credential::None,
        mode: None,
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

/// Long before every test.
pub(crate) const PAST: Timestamp = Timestamp(1);
