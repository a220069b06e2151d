//! Owns: the pooled HTTP client for all calls to providers: connections, TLS, and how a broken exchange is named.
//! Refuses to know: URLs, credentials, bodies' meaning.

use crate::base::{Error, ErrorKind, Result};
use crate::domain::provider::{FaultKind, ProviderFault};
use ::http::{Request, Response, Uri};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thread_local::ThreadLocal;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

/// Resolution, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);
const POOL_IDLE_PER_HOST: usize = 512;
/// Finds a peer that vanished while an HTTP/2 connection carries calls; without it they would wait for the head timeout.
const PING_INTERVAL: Duration = Duration::from_secs(20);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type PooledClient = Client<Connector, Full<Bytes>>;

/// A handle; cloning shares the pools.
///
/// There is one client a thread, because a worker runs its own single-threaded runtime: a connection is driven by a task
/// of the runtime that opened it, and a call on another thread would wake that thread for every piece.
#[derive(Clone)]
pub struct HttpClient(Arc<Shared>);

struct Shared {
    connector: Connector,
    clients: ThreadLocal<PooledClient>,
}

impl HttpClient {
    /// Trusts the Mozilla roots. HTTP/2 where the provider offers it over TLS, else HTTP/1.1.
    pub fn new() -> Result<Self> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Internal, "TLS could not be set up").with_cause(error))?
            .with_webpki_roots()
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions().wrap_connector(tcp);
        Ok(Self(Arc::new(Shared { connector: Connector(https), clients: ThreadLocal::new() })))
    }

    /// Sends a request and waits for the head of the reply. A request is sent once: only one that never left because its
    /// pooled connection had gone stale is sent again, over another connection. Dropping the future abandons the exchange.
    pub(in crate::adapters) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        head_timeout: Duration,
    ) -> Result<Response<Incoming>, ProviderFault> {
        let sending = self.here().request(request);
        match timeout(head_timeout, sending).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(ProviderFault::new(FaultKind::Connect, describe(&error))),
            Ok(Err(error)) => Err(ProviderFault::new(FaultKind::Broken, describe(&error))),
            Err(_) => Err(ProviderFault::new(FaultKind::Timeout, format!("no reply within {head_timeout:?}"))),
        }
    }

    fn here(&self) -> &PooledClient {
        self.0.clients.get_or(|| {
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(POOL_IDLE_TIMEOUT)
                .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
                .http2_keep_alive_interval(PING_INTERVAL)
                .build(self.0.connector.clone())
        })
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

/// An error with everything that lay underneath, as one line. HTTP errors carry no headers, hence no credentials.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        source = error.source();
    }
    line
}

/// Connects within a time that covers TLS too, so that a peer that accepts and then says nothing counts as unreachable.
#[derive(Clone)]
struct Connector(HttpsConnector<HttpConnector>);

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let connected = timeout(CONNECT_TIMEOUT, connecting).await;
            connected.unwrap_or_else(|_| Err(format!("no connection within {CONNECT_TIMEOUT:?}").into()))
        })
    }
}
