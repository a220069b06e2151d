//! Owns: the completion queue, over which tokio tells an event loop what is done.
//! The tokio side never takes the GIL: it pushes, and rings a bell that the loop watches. Under load many completions share a ring.

use super::exchange;
use super::stream::Outlet;
use crate::base::{Error, ErrorKind};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

/// What became of something that a future waits for.
pub(super) enum Due {
    Reply(StatusCode, HeaderMap, Payload),
    Failed(Error),
    /// A stream has something to take.
    Woken,
}

pub(super) enum Payload {
    Whole(Bytes),
    Stream(Outlet),
}

pub(super) struct Queue {
    due: Mutex<Vec<(u64, Due)>>,
    bell: UnixStream,
    ear: UnixStream,
}

impl Queue {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Arc::new(Self { due: Mutex::default(), bell, ear }))
    }

    /// Readable when something is due.
    pub(super) fn fileno(&self) -> RawFd {
        self.ear.as_raw_fd()
    }

    pub(super) fn post(&self, id: u64, due: Due) {
        let first = {
            let mut queue = self.due.lock();
            queue.push((id, due));
            queue.len() == 1
        };
        if first {
            // It fails only when rings are unread (then the loop is awake already) or nobody listens any more.
            let _ = (&self.bell).write(&[1]);
        }
    }

    /// All that is due. Hears the bell first: what is posted after that rings again.
    pub(super) fn take(&self) -> Vec<(u64, Due)> {
        let mut rings = [0; 64];
        let _ = (&self.ear).read(&mut rings);
        mem::take(&mut *self.due.lock())
    }
}

/// The duty to answer one future. Dropped unanswered (the task was aborted or panicked), it answers that.
pub(super) struct Ticket {
    queue: Arc<Queue>,
    id: u64,
    answered: bool,
}

impl Ticket {
    pub(super) fn new(queue: Arc<Queue>, id: u64) -> Self {
        Self { queue, id, answered: false }
    }

    pub(super) fn answer(mut self, due: Due) {
        self.answered = true;
        self.queue.post(self.id, due);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            let error = if thread::panicking() {
                Error::new(ErrorKind::Internal, "The gateway failed on this call; its log says where.")
            } else {
                exchange::closed()
            };
            self.queue.post(self.id, Due::Failed(error));
        }
    }
}
