//! Owns: one streamed reply between the tokio task that fills it and the event loop that takes from it; bounded by bytes.

use super::door::Door;
use super::exchange;
use super::queue::{Due, Queue};
use crate::base::Result;
use axum::body::{Body, Bytes};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use tokio::sync::Notify;

/// The task stops reading from the gateway while this much waits to be taken.
const HIGH_WATER_BYTES: usize = 64 << 10;

struct Channel {
    state: Mutex<State>,
    /// Rung when there is room again, and when the taker has left.
    taken: Notify,
    queue: Arc<Queue>,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// `None` while it runs.
    end: Option<Result<()>>,
    /// The future to wake when something comes.
    waiter: Option<u64>,
    left: bool,
}

/// The end that is filled, held by the task. Dropped early, it says that the reply is incomplete.
pub(super) struct Inlet(Arc<Channel>);

/// The end that is taken from. Dropping it is a client that left.
pub(super) struct Outlet(Arc<Channel>);

pub(super) fn channel(queue: Arc<Queue>) -> (Inlet, Outlet) {
    let channel = Arc::new(Channel { state: Mutex::default(), taken: Notify::new(), queue });
    (Inlet(Arc::clone(&channel)), Outlet(channel))
}

impl Inlet {
    /// Moves `body` over until its end or until the taker leaves; either way the body is dropped here, inside the runtime.
    pub(super) async fn pump(self, mut body: Body) {
        loop {
            let next = tokio::select! {
                biased;
                next = exchange::next_bytes(&mut body) => next,
                () = self.0.taken.notified() => {
                    if self.0.state.lock().left {
                        return;
                    }
                    continue;
                }
            };
            let more = match next {
                Ok(Some(bytes)) => self.push(bytes),
                Ok(None) => return self.end(Ok(())),
                Err(error) => return self.end(Err(error)),
            };
            if !more || !self.has_room().await {
                return;
            }
        }
    }

    /// False when nobody takes any more.
    pub(super) fn push(&self, bytes: Bytes) -> bool {
        let waiter = {
            let mut state = self.0.state.lock();
            if state.left {
                return false;
            }
            state.bytes += bytes.len();
            state.frames.push_back(bytes);
            state.waiter.take()
        };
        self.0.wake(waiter);
        true
    }

    /// Waits for room; false when nobody takes any more.
    async fn has_room(&self) -> bool {
        loop {
            {
                let state = self.0.state.lock();
                if state.left {
                    return false;
                }
                if state.bytes < HIGH_WATER_BYTES {
                    return true;
                }
            }
            self.0.taken.notified().await; // a ring before this line is kept
        }
    }

    pub(super) fn end(&self, end: Result<()>) {
        let waiter = {
            let mut state = self.0.state.lock();
            state.end.get_or_insert(end);
            state.waiter.take()
        };
        self.0.wake(waiter);
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.end(Err(exchange::closed()));
    }
}

impl Channel {
    fn wake(&self, waiter: Option<u64>) {
        if let Some(id) = waiter {
            self.queue.post(id, Due::Woken);
        }
    }
}

enum Taken {
    Frames(VecDeque<Bytes>, usize),
    End(Result<()>),
    Nothing,
}

impl Outlet {
    fn take(&self) -> Taken {
        let (frames, bytes) = {
            let mut state = self.0.state.lock();
            if state.frames.is_empty() {
                return state.end.clone().map_or(Taken::Nothing, Taken::End);
            }
            (mem::take(&mut state.frames), mem::take(&mut state.bytes))
        };
        if bytes >= HIGH_WATER_BYTES {
            self.0.taken.notify_one();
        }
        Taken::Frames(frames, bytes)
    }

    /// Has future `id` woken when there is something to take; false when there is now.
    fn wake_later(&self, id: u64) -> bool {
        let replaced = {
            let mut state = self.0.state.lock();
            if !state.frames.is_empty() || state.end.is_some() {
                return false;
            }
            state.waiter.replace(id)
        };
        self.0.wake(replaced); // a waiter that was cancelled, or a second one: neither may hang
        true
    }

    fn leave(&self) {
        let waiter = {
            let mut state = self.0.state.lock();
            state.left = true;
            state.frames.clear();
            state.bytes = 0;
            state.end.get_or_insert(Ok(()));
            state.waiter.take()
        };
        self.0.taken.notify_one();
        self.0.wake(waiter);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A streamed reply body.
#[pyclass(frozen, module = "gotoai._core")]
pub(super) struct Stream {
    outlet: Outlet,
    door: Py<Door>,
}

impl Stream {
    pub(super) fn new(outlet: Outlet, door: Py<Door>) -> Self {
        Self { outlet, door }
    }
}

#[pymethods]
impl Stream {
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        match self.outlet.take() {
            Taken::Nothing => Ok(None),
            Taken::End(end) => {
                end?;
                Ok(Some(PyBytes::new(py, b"")))
            }
            Taken::Frames(frames, bytes) => join(py, &frames, bytes).map(Some),
        }
    }

    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.door.get().future_of(py, |id| self.outlet.wake_later(id))
    }

    fn close(&self) {
        self.outlet.leave();
    }
}

fn join<'py>(py: Python<'py>, frames: &VecDeque<Bytes>, bytes: usize) -> PyResult<Bound<'py, PyBytes>> {
    if let [only] = frames.as_slices().0
        && frames.len() == 1
    {
        return Ok(PyBytes::new(py, only));
    }
    PyBytes::new_with(py, bytes, |mut room| {
        for frame in frames {
            let (here, rest) = mem::take(&mut room).split_at_mut(frame.len());
            here.copy_from_slice(frame);
            room = rest;
        }
        Ok(())
    })
}
