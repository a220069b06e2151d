//! Owns: sockets that listen, and the loop that accepts from one of them; how long its thread stays.

use super::Phase;
use super::connection::Server;
use crate::base::{Error, ErrorKind, Result};
use crate::pipeline::InFlight;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::time::sleep;

const BACKLOG: u32 = 1024;
/// A limit a worker: beyond it connections wait in the backlog.
const MAX_CONNECTIONS: u32 = 10_000;
/// Out of descriptors or memory: trying again at once would only spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Workers share their port by `SO_REUSEPORT`, which would let a second gateway join it unnoticed and take half of the
/// connections. A plain bind first, given up at once, finds one that is there already.
pub(super) fn refuse_if_taken(addr: SocketAddr) -> Result<()> {
    if addr.port() == 0 {
        return Ok(());
    }
    StdTcpListener::bind(addr).map(drop).map_err(|e| cannot_listen(addr, &e))
}

/// One more listener on `addr`. Must run inside a tokio runtime.
pub(super) fn bind(addr: SocketAddr) -> Result<TcpListener> {
    let listen = || -> io::Result<TcpListener> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|e| cannot_listen(addr, &e))
}

fn cannot_listen(addr: SocketAddr, error: &io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there; set PORT to a free port, or to 0 to have one chosen",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address; set HOST to one it has, or to 127.0.0.1",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges; set PORT to a higher one",
        _ => "the system refused",
    };
    Error::new(ErrorKind::Configuration, format!("Cannot listen on {addr}: {why}.")).with_cause(error)
}

/// Accepts until the server drains, then waits for the connections to end and the calls to be settled, as long as the phase
/// allows.
pub(super) async fn accept(listener: TcpListener, server: Server, in_flight: InFlight) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let mut phase = server.phase();
    tokio::select! {
        () = accept_forever(listener, &server, &connections) => {}
        _ = phase.wait_for(|p| *p != Phase::Serving) => {}
    }

    let limit = match *phase.borrow() {
        Phase::Draining(limit) => limit,
        Phase::Serving | Phase::Cut => Duration::ZERO,
    };
    let at_rest = async {
        // Every connection holds a permit: when all are back, all have ended.
        let _ = connections.acquire_many(MAX_CONNECTIONS).await;
        // A call outlives a client that left, and runs here: the thread stays for it.
        in_flight.rest().await;
    };
    // What has not ended is dropped with the runtime, and settles on what is known.
    tokio::select! {
        () = at_rest => {}
        () = sleep(limit) => tracing::warn!(calls = in_flight.count(), "not all had ended at the end of the drain; the rest is cut"),
        _ = phase.wait_for(|p| *p == Phase::Cut) => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "the permit joins it: `accept` waits until all are back")]
async fn accept_forever(listener: TcpListener, server: &Server, connections: &Arc<Semaphore>) {
    loop {
        let Ok(permit) = Arc::clone(connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let server = server.clone();
                tokio::spawn(async move {
                    server.serve(stream).await;
                    drop(permit);
                });
            }
            Err(e) if concerns_one_connection(&e) => {}
            Err(e) => {
                tracing::error!(error = %e, "cannot accept connections; trying again");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// The peer gave up between its SYN and our accept: no reason to slow down.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gateway_on_a_port_is_refused_and_told_what_to_do() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = first.local_addr().unwrap();
        bind(addr).expect("workers of one gateway share their port");
        let refused = refuse_if_taken(addr).unwrap_err();
        assert!(refused.message.contains("PORT"), "{}", refused.message);
    }
}
