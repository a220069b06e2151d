//! The open loop's schedule: moments at even distances, each taken by whichever connection is free first.

use rustix::thread::set_current_timer_slack;
use std::io;
use std::num::NonZeroU64;
use std::thread;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

pub struct Pace(Mutex<UnboundedReceiver<Instant>>);

impl Pace {
    /// From `start` until `end`. A thread keeps the time, because tokio's own timer ticks once a millisecond.
    pub fn begin(start: Instant, end: Instant, rate: f64) -> io::Result<Self> {
        let (sender, receiver) = unbounded_channel();
        thread::Builder::new().name("pace".into()).spawn(move || keep(start, end, rate, &sender))?;
        Ok(Self(Mutex::new(receiver)))
    }

    /// Comes when it is due, late when no connection was free then; `None` at the end.
    pub async fn next(&self) -> Option<Instant> {
        self.0.lock().await.recv().await
    }
}

fn keep(start: Instant, end: Instant, rate: f64, sender: &UnboundedSender<Instant>) {
    // The kernel may wake a thread 50 us late, to save power, unless it is told not to.
    set_current_timer_slack(Some(NonZeroU64::MIN)).ok();
    for n in 0_u32.. {
        let due = start + Duration::from_secs_f64(f64::from(n) / rate);
        if due >= end {
            return;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if sender.send(due).is_err() {
            return; // nobody waits any more
        }
    }
}
