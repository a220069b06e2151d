//! Owns: one connection, from its handshake to its end.

use super::Phase;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that has not sent its first request head by then is closed, whatever it speaks.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// hyper measures an idle kept-alive connection and a slow head with one clock. It must be longer than the 60 s after which
/// load balancers let go of an idle connection, or they would send requests into connections that we are closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);

/// What every worker serves; cloned per connection.
#[derive(Clone)]
pub(super) struct Server {
    router: TowerToHyperService<Router>,
    http: auto::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    phase: watch::Receiver<Phase>,
}

impl Server {
    pub(super) fn new(router: Router, tls: Option<TlsAcceptor>, phase: watch::Receiver<Phase>) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
        http.http2().timer(TokioTimer::new()).keep_alive_interval(HTTP2_PING_INTERVAL);
        Self { router: TowerToHyperService::new(router), http, tls, phase }
    }

    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    pub(super) async fn serve(mut self, stream: TcpStream) {
        if stream.set_nodelay(true).is_err() {
            return; // already gone
        }
        let Some(tls) = self.tls.take() else {
            return self.exchange(stream).await;
        };
        let mut phase = self.phase();
        let secured = tokio::select! {
            secured = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => secured,
            _ = phase.wait_for(|p| *p != Phase::Serving) => return,
        };
        match secured {
            Ok(Ok(stream)) => self.exchange(stream).await,
            Ok(Err(e)) => tracing::debug!(error = %e, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    /// Requests and replies, until either side ends it. A client that leaves drops its handler and its body at once.
    async fn exchange<I>(mut self, stream: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let asked = Arc::new(AtomicBool::new(false));
        let service = Noting { router: self.router, asked: Arc::clone(&asked) };
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut first_request_due = pin!(sleep(FIRST_REQUEST_TIMEOUT));
        let (mut patient, mut draining) = (true, false);
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(e) = ended {
                        tracing::debug!(error = %e, "connection ended");
                    }
                    return;
                }
                _ = self.phase.wait_for(|p| *p != Phase::Serving), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = first_request_due.as_mut(), if patient => {
                    if !asked.load(Ordering::Relaxed) {
                        return;
                    }
                    patient = false;
                }
            }
        }
    }
}

/// The router, noting that a first request has come.
struct Noting {
    router: TowerToHyperService<Router>,
    asked: Arc<AtomicBool>,
}

impl Service<Request<Incoming>> for Noting {
    type Response = Response<Body>;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        self.router.call(request)
    }
}
