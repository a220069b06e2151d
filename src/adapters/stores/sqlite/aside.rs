//! Owns: a verifier on a thread of its own, so that rows are read while others are proved: each side takes about half the time.
//! Refuses to know: which rows there are, and what is proved of them.

use crate::base::{Error, ErrorKind, Result};
use crate::domain::ledger::{Event, Hash, Report, Verifier};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;

/// Entries, of which there are most, travel without a box.
enum Step {
    /// With the leaf that follows from it, and the one that is stored.
    Entry(Event, Hash, Hash),
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

    pub(super) fn show(&mut self, step: impl FnOnce(&mut Verifier) + Send + 'static) {
        self.push(Step::Other(Box::new(step)));
    }

    fn push(&mut self, step: Step) {
        self.batch.push(step);
        if self.batch.len() == Self::BATCH {
            self.hand_over();
        }
    }

    /// A verifier that is gone has panicked: `verify_aside` tells it.
    fn hand_over(&mut self) {
        let _ = self.to.send(std::mem::replace(&mut self.batch, Vec::with_capacity(Self::BATCH)));
    }
}

/// Runs `read`, which shows everything, beside the verifier; then what it found.
pub(super) fn verify_aside(read: impl FnOnce(&mut Shown) -> Result<()>) -> Result<Report> {
    let failed = |cause: String| Error::new(ErrorKind::Internal, "the verification stopped").with_cause(cause);
    std::thread::scope(|scope| {
        let (to, from) = sync_channel::<Vec<Step>>(Shown::WAITING);
        let proving = Builder::new()
            .name("gotoai-verify".into())
            .spawn_scoped(scope, move || {
                let mut verifier = Verifier::new();
                for step in from.into_iter().flatten() {
                    match step {
                        Step::Entry(event, leaf, stored_leaf) => verifier.event(&event, leaf, &stored_leaf),
                        Step::Other(step) => step(&mut verifier),
                    }
                }
                verifier.finish()
            })
            .map_err(|error| failed(error.to_string()))?;
        let mut shown = Shown { to, batch: Vec::with_capacity(Shown::BATCH) };
        let read = read(&mut shown);
        shown.hand_over();
        drop(shown);
        let report = proving.join().map_err(|_| failed("its thread panicked".to_owned()))?;
        read.map(|()| report)
    })
}
