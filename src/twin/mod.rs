//! The provider twin: a small scripted provider that speaks OpenAI's dialect over real HTTP/1.1 on loopback.
//! Owns: its own thread, runtime, listener, script and request log. Refuses to know: every floor of the house,
//! so that it can stand opposite to any of them. `gotoai demo`, the notebooks and all tests talk to it.
//!
//! # What it answers
//!
//! `POST /v1/chat/completions` (plain and SSE), `POST /v1/embeddings`, `GET /v1/models`, `GET /v1/models/{id}`; the same without
//! `/v1`. Replies are deterministic: the same requests in the same order give the same bytes, `created` and ids included.
//! A token is a word with the blanks before it, at most 12 characters; a message costs 4 more, a part that is not text 85.
//! Any model name works. Listed: `twin-small`, `twin-large`, `twin-reasoner` (reports reasoning tokens), `twin-embed`.
//! No bearer token, or the token `invalid`, is answered with 401.
//!
//! # Failing without a script: a suffix on the model name
//!
//! | suffix | as a step |
//! |---|---|
//! | `!400` .. `!599` | `{"status": N}` with OpenAI's envelope; 429 and 503 carry `retry-after: 1` |
//! | `!stall` | `{"stall": true}` |
//! | `!cut` | `{"cut_after_events": 3, "truncate": 64}` |
//! | `!garbage` | `{"garbage": true}` |
//! | `!no-usage` | `{"omit_usage": true}` |
//! | `!slow` | `{"delay_ms": 400, "gap_ms": 80}` |
//!
//! # Scripts
//!
//! A JSON array of steps, or `{"steps": [..], "append": true}`; without `append` the script replaces what was left of the last one.
//! A request takes the first step that matches; with none left, normal behaviour applies. All members are optional:
//!
//! | member | meaning |
//! |---|---|
//! | `match` | `{"path": "part of the path", "model": "exact name"}`; without `path` a step waits for a POST, so that model lists do not eat it |
//! | `times` | how many requests take this step (1); 0 = all that follow |
//! | `delay_ms` | wait before the headers |
//! | `status` | 200-599; from 400 up with OpenAI's envelope unless there is a `body` |
//! | `headers` | added to the reply, replacing what the twin would say |
//! | `body` | the reply: a string is sent raw, anything else as JSON |
//! | `reply_text`, `reply_base64` | the exact bytes of a recorded reply; an event stream is sent event by event |
//! | `content_type` | of `body`, `reply_text` or `reply_base64` |
//! | `close` | drop the connection before any reply |
//! | `stall` | never answer |
//! | `garbage` | 200 with a body (or an event) that is not JSON |
//! | `truncate` | plain replies: drop the connection after so many bytes of a body that was announced as longer |
//! | `cut_after_events` | streams: drop the connection mid-body after so many events |
//! | `end_after_events` | streams: end properly for HTTP, but without finish and `[DONE]` |
//! | `stall_after_events` | streams: hang until the peer leaves |
//! | `stream_error_after_events` | streams: send an error event, then end |
//! | `gap_ms` | streams: wait between events |
//! | `omit_usage`, `usage` | leave the usage out, or replace it |
//!
//! The same from another process, without a key: `POST /twin/script`, `GET /twin/requests`, `POST /twin/reset`.

mod api;
mod base64;
mod chat;
mod completion;
mod delivery;
mod embeddings;
mod log;
mod reply;
mod schema;
mod script;
mod server;
#[cfg(test)]
mod tests;
mod text;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::oneshot;

use self::server::State;

/// A running twin. Dropping it stops the server, drops its connections and joins its thread.
pub struct Twin {
    addr: SocketAddr,
    state: Arc<State>,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Twin {
    /// Returns once the twin is listening; port 0 picks a free one.
    ///
    /// # Errors
    /// `InvalidInput` for an address that is not loopback: the twin checks no key and must not face a network.
    pub fn start(addr: SocketAddr) -> io::Result<Self> {
        if !addr.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the twin listens on loopback only, not on {}", addr.ip())));
        }
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State::default());
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::sync_channel(1);
        let served = Arc::clone(&state);
        let thread = thread::Builder::new().name("gotoai-twin".into()).spawn(move || run(listener, served, stopped, &ready))?;
        // Built here, so that an error below joins the thread on its way out.
        let twin = Self { addr, state, running: Some(Running { stop, thread }) };
        started.recv().map_err(|_| io::Error::other("the twin's thread ended before it listened"))??;
        Ok(twin)
    }

    /// The base URL that clients of OpenAI's API want: `http://127.0.0.1:PORT/v1`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Sets the script; see the module's page.
    ///
    /// # Errors
    /// Which step is wrong, and why. The script in force stays as it was.
    pub fn script(&self, steps_json: &[u8]) -> Result<(), String> {
        self.state.load_script(steps_json).map(|_pending| ())
    }

    /// `{"counters": {..}, "requests": [..]}`: what was received, oldest first, the last 1000 requests.
    pub fn requests_json(&self) -> Vec<u8> {
        self.state.requests_json()
    }

    /// Stops listening, drops every connection and joins the thread. The log can still be read.
    pub fn stop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            // Either may fail only because the thread has ended, which is what is wanted.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(listener: TcpListener, state: Arc<State>, stopped: oneshot::Receiver<()>, ready: &mpsc::SyncSender<io::Result<()>>) {
    let built = runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(entered);
        Ok((runtime, listener))
    });
    match built {
        Ok((runtime, listener)) => {
            if ready.send(Ok(())).is_ok() {
                // The runtime is dropped here, and every connection with it.
                runtime.block_on(server::serve(listener, state, stopped));
            }
        }
        Err(error) => drop(ready.send(Err(error))),
    }
}
