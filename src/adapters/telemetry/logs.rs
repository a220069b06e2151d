//! Owns: the process's log: structured lines on standard error, written by a thread of its own.
//! Refuses to know: what is logged. Never a body, never a secret: those have no way into a line.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::SystemTime;

/// Lines waiting to be written; more are dropped rather than slowing a request down. The queue takes memory as it fills.
const QUEUE_LINES: usize = 16_384;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts the log. Only the first call of a process does anything.
pub fn init(level: LogLevel, format: LogFormat) {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| start(level, format));
}

fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warn => Level::WARN,
        LogLevel::Error => Level::ERROR,
    };
    let (sender, lines) = channel(QUEUE_LINES);
    if std::thread::Builder::new().name("gotoai-log".into()).spawn(move || write_lines(lines)).is_err() {
        return;
    }
    let base = tracing_subscriber::fmt().with_max_level(level).with_timer(SystemTime).with_target(false).with_writer(Lines(sender));
    // A host that has its own subscriber keeps it.
    let _ = match format {
        LogFormat::Json => base.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        LogFormat::Text => base.with_ansi(io::stderr().is_terminal()).try_init(),
    };
}

fn write_lines(mut lines: Receiver<Vec<u8>>) {
    while let Some(line) = lines.blocking_recv() {
        let mut out = io::stderr().lock();
        // A closed standard error must not take the gateway down.
        let _ = out.write_all(&line);
        for _ in 0..256 {
            match lines.try_recv() {
                Ok(line) => drop(out.write_all(&line)),
                Err(_) => break,
            }
        }
        let _ = out.flush();
    }
}

struct Lines(Sender<Vec<u8>>);

/// One line being made; sent when it is whole.
struct Line<'a>(Vec<u8>, &'a Sender<Vec<u8>>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(Vec::with_capacity(256), &self.0)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let _ = self.1.try_send(std::mem::take(&mut self.0));
    }
}
