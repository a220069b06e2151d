//! Owns: how far work on the whole ledger has come, for whoever waits: entries looked at, of how many.
//! Refuses to know: which work it is (an export, a proof, a rebuild) and who shows it.

use std::sync::atomic::{AtomicI64, Ordering};

/// Two numbers without an order between them: a reader may see one from before and one from after, which is only for people.
#[derive(Debug, Default)]
pub struct Progress {
    entries: AtomicI64,
    of: AtomicI64,
}

impl Progress {
    pub fn note(&self, entries: i64, of: i64) {
        self.of.store(of, Ordering::Relaxed);
        self.entries.store(entries, Ordering::Relaxed);
    }

    /// Entries looked at, and of how many.
    pub fn told(&self) -> (i64, i64) {
        (self.entries.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed))
    }
}
