//! Owns: SIGINT and SIGTERM while `serve` blocks the main thread. Python's own machinery is used, and put back afterwards:
//! a handler of ours would outlive the server in a process that is not ours.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Wakes the thread that serves.
pub(super) struct Bell {
    rope: UnixStream,
    ear: Mutex<UnixStream>,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let (rope, ear) = UnixStream::pair()?;
        rope.set_nonblocking(true)?; // Python demands it of a wake-up descriptor
        Ok(Self { rope, ear: Mutex::new(ear) })
    }

    pub(super) fn ring(&self) {
        // Full means that it has been rung.
        let _ = (&self.rope).write(&[0]);
    }

    /// Blocks until it is rung; the GIL is released. Python's signal handlers have run when this returns.
    pub(super) fn wait(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let mut rings = [0; 64];
            // Interrupted: a signal came, which is what we wait for.
            let _ = self.ear.lock().read(&mut rings);
        });
        py.check_signals()
    }
}

/// Counts the wish to stop, in place of the default action, until dropped.
pub(super) struct Signals<'py> {
    count: Arc<AtomicUsize>,
    /// What to put back: number and handler, and the wake-up descriptor.
    before: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    wakeup_before: Option<Bound<'py, PyAny>>,
    module: Bound<'py, PyModule>,
}

impl<'py> Signals<'py> {
    pub(super) fn watch(py: Python<'py>, bell: &Bell) -> PyResult<Self> {
        let module = py.import("signal")?;
        let count = Arc::new(AtomicUsize::new(0));
        let mut signals = Self { count: Arc::clone(&count), before: Vec::new(), wakeup_before: None, module };
        let threading = py.import("threading")?;
        if !threading.call_method0("current_thread")?.is(&threading.call_method0("main_thread")?) {
            return Ok(signals); // signals are the main thread's; here `close()` ends the server
        }
        let handler = PyCFunction::new_closure(py, None, None, move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            count.fetch_add(1, Ordering::AcqRel);
        })?;
        signals.wakeup_before = Some(signals.module.call_method1("set_wakeup_fd", (bell.rope.as_raw_fd(),))?);
        for name in ["SIGINT", "SIGTERM"] {
            let number = signals.module.getattr(name)?;
            let before = signals.module.call_method1("signal", (&number, &handler))?;
            signals.before.push((number, before));
        }
        Ok(signals)
    }

    /// How often someone asked to stop.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    fn put_back(&mut self) -> PyResult<()> {
        for (number, before) in self.before.drain(..) {
            if !before.is_none() {
                self.module.call_method1("signal", (number, before))?;
            }
        }
        if let Some(wakeup) = self.wakeup_before.take() {
            self.module.call_method1("set_wakeup_fd", (wakeup,))?;
        }
        Ok(())
    }
}

impl Drop for Signals<'_> {
    fn drop(&mut self) {
        if let Err(e) = self.put_back() {
            e.write_unraisable(self.module.py(), None);
        }
    }
}
