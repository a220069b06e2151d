//! Owns: the verifier on a thread of its own, so that rows are read while others are proved: each side takes about half the time.
//! Refuses to know: which rows there are, and what is proved of them.

use crate::base::Timestamp;
use crate::domain::ledger::{Event, Hash, Order, Verifier};
use rusqlite::ffi;
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;

/// Entries and orders, of which there are most, travel without a box.
enum Step {
    /// With the leaf that follows from it, and the one that is stored.
    Entry(Event, Hash, Hash),
    /// The stored row of an order that has ended.
    Ended(Order, Timestamp),
    Other(Box<dyn FnOnce(&mut Verifier) + Send>),
}

/// What the verifier is shown, in order.
pub(super) struct Shown {
    to: SyncSender<Vec<Step>>,
    batch: Vec<Step>,
}

impl Shown {
    /// Steps that travel together: a hand-over costs more than a step.
    const BATCH: usize = 512;
    /// Batches that may wait; whoever reads faster than the proof goes waits for it.
    const WAITING: usize = 8;

    pub(super) fn entry(&mut self, event: Event, stored_leaf: Hash) {
        let leaf = event.leaf();
        self.push(Step::Entry(event, leaf, stored_leaf));
    }

    pub(super) fn ended(&mut self, order: Order, now: Timestamp) {
        self.push(Step::Ended(order, now));
    }

    pub(super) fn show(&mut self, step: impl FnOnce(&mut Verifier) + Send + 'static) {
        self.push(Step::Other(Box::new(step)));
    }

    fn push(&mut self, step: Step) {
        self.batch.push(step);
        if self.batch.len() == Self::BATCH {
            self.hand_over();
        }
    }

    /// A verifier that is gone has panicked: `aside` tells it.
    fn hand_over(&mut self) {
        let _ = self.to.send(std::mem::replace(&mut self.batch, Vec::with_capacity(Self::BATCH)));
    }
}

fn prove(verifier: &mut Verifier, step: Step) {
    match step {
        Step::Entry(event, leaf, stored_leaf) => verifier.event(&event, leaf, &stored_leaf),
        Step::Ended(order, now) => verifier.settle(&order, now),
        Step::Other(step) => step(verifier),
    }
}

/// Runs `read` beside the verifier, which has seen all that was shown when this returns. Panics where the verifier does.
pub(super) fn aside<T>(verifier: &mut Verifier, read: impl FnOnce(&mut Shown) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let out_of_threads =
        |error: std::io::Error| rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_NOMEM), Some(error.to_string()));
    std::thread::scope(|scope| {
        let (to, from) = sync_channel::<Vec<Step>>(Shown::WAITING);
        let proving = Builder::new()
            .name("gotoai-verify".into())
            .spawn_scoped(scope, move || from.into_iter().flatten().for_each(|step| prove(verifier, step)))
            .map_err(out_of_threads)?;
        let mut shown = Shown { to, batch: Vec::with_capacity(Shown::BATCH) };
        let read = read(&mut shown);
        shown.hand_over();
        drop(shown);
        proving.join().unwrap_or_else(|panic| resume_unwind(panic));
        read
    })
}
