//! Owns: the exchange for callers that block (scripts, notebooks, threads). The reply is driven by the thread that reads it.

use super::exchange::{self, House};
use super::runtime;
use crate::base::{Error, ErrorKind, Result};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::response::Parts;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::mem;
use std::process;
use std::sync::Arc;
use tokio::sync::Notify;

pub(super) enum Reply {
    Whole(Bytes),
    Stream(BlockingStream),
}

/// A reply's status and headers with its body, whole or still to be read.
pub(super) async fn call(house: Arc<House>, request: Request) -> Result<(Parts, Reply)> {
    let mut closing = house.closing.subscribe();
    let response = tokio::select! {
        biased;
        response = exchange::answer(house.router.clone(), request) => response,
        _ = closing.wait_for(|closing| *closing) => return Err(exchange::closed()),
    };
    let whole = exchange::is_whole(&response);
    let (head, body) = response.into_parts();
    if !whole {
        return Ok((head, Reply::Stream(BlockingStream::new(body, house))));
    }
    let bytes = exchange::gather(body).await.map_err(|(_, error)| error)?;
    Ok((head, Reply::Whole(bytes)))
}

enum State {
    Idle(Body),
    /// A thread is waiting for the next bytes and has the body.
    Reading,
    Ended,
}

/// A streamed reply body, for one reading thread. `close()` from another thread ends the wait.
#[pyclass(frozen, module = "gotoai._core")]
pub(super) struct BlockingStream {
    state: Mutex<State>,
    house: Arc<House>,
    left: Arc<Notify>,
    pid: u32,
}

impl BlockingStream {
    fn new(body: Body, house: Arc<House>) -> Self {
        Self { state: Mutex::new(State::Idle(body)), house, left: Arc::new(Notify::new()), pid: process::id() }
    }

    fn leave(&self) {
        let before = mem::replace(&mut *self.state.lock(), State::Ended);
        match before {
            State::Idle(body) => self.discard(body),
            State::Reading => self.left.notify_one(),
            State::Ended => {}
        }
    }

    #[expect(clippy::mem_forget, reason = "after a fork the body belongs to the parent, and so does the runtime that could end it")]
    /// A body is dropped inside the runtime: its end may settle an order.
    fn discard(&self, body: Body) {
        if runtime::forked_since(self.pid) {
            mem::forget(body);
        } else if let Ok(handle) = runtime::handle() {
            handle.spawn(async move { drop(body) });
        }
    }
}

/// One step of reading: the next bytes, and the body for the step after it.
async fn step(mut body: Body, house: Arc<House>, left: Arc<Notify>) -> Result<Option<(Bytes, Body)>> {
    let mut closing = house.closing.subscribe();
    let next = tokio::select! {
        biased;
        next = exchange::next_bytes(&mut body) => next?,
        () = left.notified() => None,
        _ = closing.wait_for(|closing| *closing) => return Err(exchange::closed()),
    };
    Ok(next.map(|bytes| (bytes, body)))
}

#[pymethods]
impl BlockingStream {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// The next bytes; Ctrl-C while it waits is a client that left.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let before = mem::replace(&mut *self.state.lock(), State::Reading);
        let State::Idle(body) = before else {
            let reading = matches!(before, State::Reading);
            *self.state.lock() = before;
            return if reading { Err(Error::new(ErrorKind::Conflict, "Another thread is reading this stream.").into()) } else { Ok(None) };
        };
        let next = runtime::wait(py, step(body, Arc::clone(&self.house), Arc::clone(&self.left)));
        let mut state = self.state.lock();
        let Ok(Ok(Some((bytes, body)))) = next else {
            *state = State::Ended;
            drop(state);
            next??;
            return Ok(None);
        };
        if matches!(*state, State::Ended) {
            drop(state);
            self.discard(body);
            return Ok(None);
        }
        *state = State::Idle(body);
        drop(state);
        Ok(Some(PyBytes::new(py, &bytes)))
    }

    fn close(&self) {
        self.leave();
    }
}

impl Drop for BlockingStream {
    fn drop(&mut self) {
        self.leave();
    }
}
