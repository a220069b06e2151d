//! Owns: the gateway as Python holds it: open, serve, listen, call, close.

use super::blocking::{self, Reply};
use super::door::Door;
use super::exchange::{self, House};
use super::runtime;
use super::signals::{Bell, Signals};
use crate::app::Gateway;
use crate::app::settings::Settings;
use crate::base::{Error, ErrorKind, Result};
use crate::doors::http;
use crate::doors::native::NativeServer;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::collections::HashMap;
use std::mem;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long exchanges of this process may take to notice that the gateway closes.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that close has to end.
struct Inner {
    house: Arc<House>,
    server: Mutex<Option<NativeServer>>,
    /// Held while closing: a second closer waits for the first.
    closed: Mutex<bool>,
    bell: Arc<Bell>,
}

#[pyclass(frozen, module = "gotoai._core")]
pub(super) struct Core {
    inner: Arc<Inner>,
    pid: u32,
}

impl Inner {
    fn open(env: &HashMap<String, String>, config: Option<&Path>, offline: bool) -> Result<Self> {
        let handle = runtime::handle()?;
        let _inside = handle.enter();
        let settings = Settings::load(env, config)?;
        let gateway = Gateway::open(settings, offline, handle)?;
        let router = http::router(Arc::clone(&gateway)).with_state(());
        let bell = Bell::new().map_err(|e| Error::new(ErrorKind::Internal, "No descriptors are left to open a gateway.").with_cause(e))?;
        Ok(Self {
            house: Arc::new(House { gateway, router, closing: watch::Sender::new(false) }),
            server: Mutex::default(),
            closed: Mutex::new(false),
            bell: Arc::new(bell),
        })
    }

    fn refuse_if_closed(&self) -> Result<()> {
        runtime::handle()?;
        if *self.house.closing.borrow() { Err(exchange::closed()) } else { Ok(()) }
    }

    fn listen(&self) -> Result<String> {
        self.refuse_if_closed()?;
        let mut server = self.server.lock();
        if let Some(server) = server.as_ref() {
            return Ok(server.url().to_owned());
        }
        let started = {
            let gateway = &self.house.gateway;
            NativeServer::start(self.house.router.clone(), &gateway.settings().server, &gateway.pipeline().in_flight)?
        };
        let url = started.url().to_owned();
        *server = Some(started);
        Ok(url)
    }

    /// From the outside in: exchanges of this process are told to end, connections drain, then the gateway with its orders and
    /// its store.
    fn close(&self, drain: Duration) -> Result<()> {
        let mut closed = self.closed.lock();
        if mem::replace(&mut *closed, true) {
            return Ok(());
        }
        let server = self.server.lock().take();
        // Before the server drains: it waits for all calls in flight, those of this process among them.
        self.house.closing.send_replace(true);
        self.bell.ring();
        if let Some(mut server) = server {
            server.shutdown(drain);
        }
        let handle = runtime::handle()?;
        handle.block_on(async {
            if timeout(NOTICE_TIMEOUT, self.house.closing.closed()).await.is_err() {
                tracing::warn!("calls were still open when the gateway closed");
            }
            self.house.gateway.close().await;
        });
        Ok(())
    }

    fn drain_timeout(&self) -> Duration {
        self.house.gateway.settings().server.drain_timeout
    }

    /// Blocks until told to stop, then drains. The first signal drains, the second one cuts.
    fn stay(&self, py: Python<'_>, signals: &Signals<'_>) -> PyResult<()> {
        while signals.count() == 0 && !*self.house.closing.borrow() {
            self.bell.wait(py)?;
        }
        let server = self.server.lock().take();
        let Some(mut server) = server else { return Ok(()) }; // someone else is closing it
        let stopper = server.stopper();
        stopper.drain(self.drain_timeout());
        let (bell, ended) = (Arc::clone(&self.bell), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&ended);
        let drained = thread::spawn(move || {
            server.join();
            // Not read off the thread: it is still running when it rings, and nobody rings again.
            told.store(true, Ordering::Release);
            bell.ring();
        });
        while !ended.load(Ordering::Acquire) {
            self.bell.wait(py)?;
            if signals.count() > 1 {
                stopper.cut();
                break;
            }
        }
        py.detach(|| drained.join()).map_err(|_| Error::new(ErrorKind::Internal, "The native server failed while it stopped.").into())
    }
}

#[pymethods]
impl Core {
    #[staticmethod]
    #[pyo3(signature = (env, *, config = None, offline = false))]
    fn open(py: Python<'_>, env: HashMap<String, String>, config: Option<PathBuf>, offline: bool) -> PyResult<Self> {
        let inner = py.detach(move || Inner::open(&env, config.as_deref(), offline))?;
        Ok(Self { inner: Arc::new(inner), pid: process::id() })
    }

    #[pyo3(signature = (on_ready = None))]
    fn serve(&self, py: Python<'_>, on_ready: Option<Py<PyAny>>) -> PyResult<()> {
        let url = self.listen(py)?;
        let signals = Signals::watch(py, &self.inner.bell)?;
        let outcome = on_ready.map_or(Ok(()), |ready| ready.call1(py, (url,)).map(drop)).and_then(|()| self.inner.stay(py, &signals));
        self.close(py)?;
        outcome
    }

    fn listen(&self, py: Python<'_>) -> PyResult<String> {
        Ok(py.detach(|| self.inner.listen())?)
    }

    fn door(&self, r#loop: &Bound<'_, PyAny>) -> PyResult<Door> {
        self.inner.refuse_if_closed()?;
        Door::open(Arc::clone(&self.inner.house), r#loop)
    }

    #[pyo3(signature = (method, target, headers, body, *, trusted = false))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        target: &str,
        headers: &Bound<'py, PyAny>,
        body: Bound<'py, PyBytes>,
        trusted: bool,
    ) -> PyResult<(u16, Bound<'py, PyList>, Bound<'py, PyAny>)> {
        self.inner.refuse_if_closed()?;
        let request = exchange::request(method, target, headers, body, trusted)?;
        let (head, reply) = runtime::wait(py, blocking::call(Arc::clone(&self.inner.house), request))??;
        let body = match reply {
            Reply::Whole(bytes) => PyBytes::new(py, &bytes).into_any(),
            Reply::Stream(stream) => Bound::new(py, stream)?.into_any(),
        };
        Ok((head.status.as_u16(), exchange::py_headers(py, &head.headers)?, body))
    }

    fn admin<'py>(&self, py: Python<'py>, operation: &str, arguments: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        self.inner.refuse_if_closed()?;
        let reply = py.detach(|| self.inner.house.gateway.admin(operation, arguments))?;
        Ok(PyBytes::new(py, &reply))
    }

    fn startup_notice(&self) -> Option<String> {
        self.inner.house.gateway.startup_notice().map(|secret| secret.expose().to_owned())
    }

    /// The prefix before every route: an in-process caller has to put it before its targets.
    #[getter]
    fn base_path(&self) -> &str {
        &self.inner.house.gateway.settings().server.base_path
    }

    /// Request bodies above it are refused by the router; a door need not read further than one byte beyond it.
    #[getter]
    fn body_limit(&self) -> usize {
        self.inner.house.gateway.settings().server.body_limit_bytes
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if runtime::forked_since(self.pid) {
            return Ok(()); // it belongs to the parent
        }
        Ok(py.detach(|| self.inner.close(self.inner.drain_timeout()))?)
    }
}

impl Drop for Core {
    #[expect(clippy::mem_forget, reason = "after a fork, threads and files are the parent's: they are not ours to end")]
    fn drop(&mut self) {
        if runtime::forked_since(self.pid) {
            return mem::forget(Arc::clone(&self.inner));
        }
        if let Err(e) = self.inner.close(Duration::ZERO) {
            tracing::error!(error = %e, "the gateway did not close well");
        }
    }
}
