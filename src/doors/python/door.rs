//! Owns: the entrance for one event loop: futures that wait, and the queue that settles them.
//! No lock is held while Python code runs: it may come back here.

use super::exchange::{self, House};
use super::queue::{Due, Payload, Queue, Ticket};
use super::runtime;
use super::stream::{self, Stream};
use crate::base::{Error, ErrorKind};
use axum::extract::Request;
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyWeakrefMethods, PyWeakrefReference};
use std::collections::HashMap;
use std::mem;
use std::os::fd::RawFd;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::task::AbortHandle;

struct Waiting {
    future: Py<PyAny>,
    /// The exchange; `None` for a future that waits for a stream.
    task: Option<AbortHandle>,
}

#[pyclass(frozen, module = "gotoai._core")]
pub(super) struct Door {
    house: Arc<House>,
    queue: Arc<Queue>,
    waiting: Mutex<HashMap<u64, Waiting>>,
    last_id: AtomicU64,
    /// Weak, so that a table of doors by loop keeps no loop alive.
    event_loop: Py<PyWeakrefReference>,
    closed: AtomicBool,
    pid: u32,
}

impl Door {
    pub(super) fn open(house: Arc<House>, event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        runtime::handle()?;
        let failed = |e| Error::new(ErrorKind::Internal, "No door could be opened for this event loop.").with_cause(e);
        Ok(Self {
            house,
            queue: Queue::new().map_err(failed)?,
            waiting: Mutex::default(),
            last_id: AtomicU64::new(0),
            event_loop: PyWeakrefReference::new(event_loop)?.unbind(),
            closed: AtomicBool::new(false),
            pid: process::id(),
        })
    }

    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed)
    }

    fn new_future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(exchange::closed().into());
        }
        let event_loop = self.event_loop.bind(py).upgrade().ok_or_else(exchange::closed)?;
        event_loop.call_method0(intern!(py, "create_future"))
    }

    /// A future for which `arrange` sees to a completion under the given id; settled at once if it says that none is needed.
    pub(super) fn future_of<'py>(&self, py: Python<'py>, arrange: impl FnOnce(u64) -> bool) -> PyResult<Bound<'py, PyAny>> {
        let future = self.new_future(py)?;
        let id = self.next_id();
        self.waiting.lock().insert(id, Waiting { future: future.clone().unbind(), task: None });
        if !arrange(id) {
            let done = self.waiting.lock().remove(&id);
            drop(done);
            future.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(future)
    }

    fn settle(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>, due: Due) -> PyResult<()> {
        let py = slf.py();
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(()); // cancelled; dropping a stream here is the client that left
        }
        let set_result = intern!(py, "set_result");
        match due {
            Due::Reply(status, headers, Payload::Whole(body)) => {
                let reply = (status.as_u16(), exchange::py_headers(py, &headers)?, PyBytes::new(py, &body));
                future.call_method1(set_result, (reply,))?;
            }
            Due::Reply(status, headers, Payload::Stream(outlet)) => {
                let stream = Bound::new(py, Stream::new(outlet, slf.clone().unbind()))?;
                future.call_method1(set_result, ((status.as_u16(), exchange::py_headers(py, &headers)?, stream),))?;
            }
            Due::Woken => {
                future.call_method1(set_result, (py.None(),))?;
            }
            Due::Failed(error) => {
                future.call_method1(intern!(py, "set_exception"), (PyErr::from(error),))?;
            }
        }
        Ok(())
    }
}

#[pymethods]
impl Door {
    fn fileno(&self) -> RawFd {
        self.queue.fileno()
    }

    fn drain(slf: &Bound<'_, Self>) {
        let door = slf.get();
        for (id, due) in door.queue.take() {
            let Some(waiting) = door.waiting.lock().remove(&id) else { continue };
            // One future that cannot be settled (its loop is closing) must not keep the others waiting.
            if let Err(e) = Self::settle(slf, waiting.future.bind(slf.py()), due) {
                e.write_unraisable(slf.py(), Some(slf.as_any()));
            }
        }
    }

    #[pyo3(signature = (method, target, headers, body, *, trusted = false))]
    fn submit<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        target: &str,
        headers: &Bound<'py, PyAny>,
        body: Bound<'py, PyBytes>,
        trusted: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let handle = runtime::handle()?;
        let request = exchange::request(method, target, headers, body, trusted)?;
        let future = self.new_future(py)?;
        let id = self.next_id();
        let task = handle.spawn(carry(Arc::clone(&self.house), request, Ticket::new(Arc::clone(&self.queue), id), Arc::clone(&self.queue)));
        self.waiting.lock().insert(id, Waiting { future: future.clone().unbind(), task: Some(task.abort_handle()) });
        Ok(future)
    }

    fn abandon(&self, future: &Bound<'_, PyAny>) {
        let abandoned = {
            let mut waiting = self.waiting.lock();
            let id = waiting.iter().find(|(_, w)| w.future.is(future)).map(|(id, _)| *id);
            id.and_then(|id| waiting.remove(&id))
        };
        if let Some(Waiting { task: Some(task), .. }) = abandoned {
            task.abort();
        }
    }

    fn close(slf: &Bound<'_, Self>) {
        let door = slf.get();
        if door.closed.swap(true, Ordering::AcqRel) || runtime::forked_since(door.pid) {
            return;
        }
        let waiting = mem::take(&mut *door.waiting.lock());
        for Waiting { future, task } in waiting.into_values() {
            if let Some(task) = task {
                task.abort();
            }
            // A loop that is closed already refuses; then nobody waits.
            let _ = Self::settle(slf, future.bind(slf.py()), Due::Failed(exchange::closed()));
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if !runtime::forked_since(self.pid) {
            self.waiting.get_mut().values().filter_map(|w| w.task.as_ref()).for_each(AbortHandle::abort);
        }
    }
}

/// The whole exchange, on the runtime; cut short when the gateway closes.
async fn carry(house: Arc<House>, request: Request, ticket: Ticket, queue: Arc<Queue>) {
    let mut closing = house.closing.subscribe();
    tokio::select! {
        biased;
        () = exchange_and_relay(&house, request, ticket, queue) => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

async fn exchange_and_relay(house: &House, request: Request, ticket: Ticket, queue: Arc<Queue>) {
    let response = exchange::answer(house.router.clone(), request).await;
    let whole = exchange::is_whole(&response);
    let (head, body) = response.into_parts();
    if !whole {
        let (inlet, outlet) = stream::channel(queue);
        ticket.answer(Due::Reply(head.status, head.headers, Payload::Stream(outlet)));
        return inlet.pump(body).await;
    }
    let payload = match exchange::gather(body).await {
        Ok(bytes) => Payload::Whole(bytes),
        // Head and beginning go out, then the connection is cut: as the native door does it.
        Err((beginning, error)) => {
            let (inlet, outlet) = stream::channel(queue);
            inlet.push(beginning);
            inlet.end(Err(error));
            Payload::Stream(outlet)
        }
    };
    ticket.answer(Due::Reply(head.status, head.headers, payload));
}
