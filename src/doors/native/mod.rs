//! The native door: an HTTP server with a worker per core and no Python in sight.
//! Owns: threads, start and graceful end. Refuses to know: what the router does.

mod connection;
mod listen;
mod tls;

use crate::app::settings::ServerSettings;
use crate::base::{Error, ErrorKind, Result};
use crate::pipeline::InFlight;
use axum::Router;
use connection::Server;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use tokio::runtime;
use tokio::sync::watch;

/// Where a server is in its life. Every worker and every connection watches it; it only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Nothing new is accepted; what is in flight may finish within this time.
    Draining(Duration),
    /// What is in flight is aborted.
    Cut,
}

/// A running server. Dropping it cuts what is in flight.
pub struct NativeServer {
    addr: SocketAddr,
    url: String,
    phase: watch::Sender<Phase>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl NativeServer {
    /// Binds, then serves on threads of its own, which stay until the calls they carry are no longer `in_flight`. When it
    /// returns, connections are accepted.
    pub fn start(router: Router, settings: &ServerSettings, in_flight: &InFlight) -> Result<Self> {
        let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (phase, watcher) = watch::channel(Phase::Serving);
        // With its state settled once, the router is not rebuilt for every request.
        let server = Server::new(router.with_state(()), tls, watcher);

        let wanted = SocketAddr::new(settings.host, settings.port);
        listen::refuse_if_taken(wanted)?;
        let mut started = Self { addr: wanted, url: String::new(), phase, workers: Vec::new() };
        for number in 0..settings.workers.max(1) {
            // The first worker resolves port 0; the others share what it got.
            started.addr = started.spawn_worker(number, server.clone(), in_flight.clone())?;
        }
        started.url = format!("{scheme}://{}{}", reachable(started.addr), settings.base_path);
        Ok(started)
    }

    fn spawn_worker(&mut self, number: usize, server: Server, in_flight: InFlight) -> Result<SocketAddr> {
        let failed = |e: std::io::Error| Error::new(ErrorKind::Configuration, "A worker of the server could not start.").with_cause(e);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listener = {
            let _inside = runtime.enter();
            listen::bind(self.addr)?
        };
        let addr = listener.local_addr().map_err(failed)?;
        let worker = thread::Builder::new()
            .name(format!("gotoai-http-{number}"))
            .spawn(move || runtime.block_on(listen::accept(listener, server, in_flight)))
            .map_err(failed)?;
        self.workers.push(worker);
        Ok(addr)
    }

    /// Where it listens; the port is a real one even if 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL for a client on this machine.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A handle that can end the server from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper { phase: self.phase.clone() }
    }

    /// Blocks until every worker has ended; something must have asked them to.
    pub fn join(&mut self) {
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker of the native server panicked");
            }
        }
    }

    /// Accepts nothing more, lets what is in flight finish for up to `drain`, clients or none, aborts the rest; blocks.
    pub fn shutdown(&mut self, drain: Duration) {
        self.stopper().drain(drain);
        self.join();
    }
}

impl Drop for NativeServer {
    fn drop(&mut self) {
        self.stopper().cut();
        self.join();
    }
}

#[derive(Clone)]
pub struct Stopper {
    phase: watch::Sender<Phase>,
}

impl Stopper {
    /// Accepts nothing more; what is in flight may finish for up to `limit`.
    pub fn drain(&self, limit: Duration) {
        self.phase.send_if_modified(|phase| {
            let first = *phase == Phase::Serving;
            if first {
                *phase = Phase::Draining(limit);
            }
            first
        });
    }

    /// Ends everything at once.
    pub fn cut(&self) {
        self.phase.send_replace(Phase::Cut);
    }
}

/// The unspecified address is nothing a client can connect to.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v6.port())),
        SocketAddr::V4(_) | SocketAddr::V6(_) => addr,
    }
}
