//! Owns: the runtime behind the ASGI and in-process doors, one a process, and the knowledge of which process that is.

use crate::base::{Error, ErrorKind, Result};
use pyo3::{PyResult, Python};
use std::process;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

/// Python hands calls over on one thread at a time and costs several times what they cost here, so one worker keeps up; a second
/// one spends two to three times the CPU on waking when calls come singly.
const WORKERS: usize = 1;
/// How long a Ctrl-C may wait while a thread is blocked here.
const SIGNAL_LATENCY: Duration = Duration::from_millis(200);

static RUNTIME: OnceLock<std::result::Result<(u32, Runtime), String>> = OnceLock::new();

/// The runtime, started at the first use. After a fork its threads do not exist: using it would wait for ever.
pub(super) fn handle() -> Result<&'static Handle> {
    let started = RUNTIME.get_or_init(|| {
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).thread_name("gotoai").enable_all().build();
        runtime.map(|runtime| (process::id(), runtime)).map_err(|e| e.to_string())
    });
    match started {
        Ok((pid, runtime)) if *pid == process::id() => Ok(runtime.handle()),
        Ok(_) => Err(Error::new(
            ErrorKind::Configuration,
            "This process was forked from one in which gotoai was already running, and threads do not survive a fork. Open the \
             gateway after the fork (in each worker, e.g. in the lifespan of the app), or start workers with the 'spawn' method.",
        )),
        Err(cause) => Err(Error::new(ErrorKind::Internal, "The runtime of gotoai could not start.").with_cause(cause)),
    }
}

/// Does what was started in process `pid` live in another process now?
pub(super) fn forked_since(pid: u32) -> bool {
    pid != process::id()
}

/// Blocks on `future` with the GIL released; a Python signal handler that raises (Ctrl-C) ends the wait and drops the future.
pub(super) fn wait<F>(py: Python<'_>, future: F) -> PyResult<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let handle = handle()?;
    // Dropping what is half done may spawn its clean-up.
    let _inside = handle.enter();
    let mut future = std::pin::pin!(future);
    loop {
        match py.detach(|| handle.block_on(async { timeout(SIGNAL_LATENCY, future.as_mut()).await })) {
            Ok(output) => return Ok(output),
            Err(_) => py.check_signals()?,
        }
    }
}
