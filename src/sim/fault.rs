//! Owns: what may go wrong, by name, and sets of it.
//! Refuses to know: when it happens (scenario) and how it is played (client, provider, store, life).

use super::named::{Set, named};

named! {
    /// What may go wrong. Each seed allows some of it (swarm testing); `--faults` names it.
    enum Fault, "fault" {
        /// The process dies, at points of its own.
        Crash = "crash";
        /// The wall clock jumps, forwards or back, by up to a day.
        Clock = "clock";
        /// A commit is refused by the disk.
        DiskFull = "disk_full";
        /// The caller leaves: before the reply, or in the middle of a stream.
        Leave = "leave";
        /// The caller reads slowly.
        SlowReader = "slow_reader";
        /// The same payment is reported twice.
        PaidTwice = "paid_twice";
        /// Reports of payments come late, in another order, and once more long after.
        PaidLate = "paid_late";
        /// Now and then a commit takes seconds.
        SlowDisk = "slow_disk";
        /// A sync fails: nobody knows what is on the disk, and the ledger stops until the next start.
        SyncError = "sync_error";
        /// Holds are answered at the commit, everything else after the sync; when the process dies, what was not synced is lost.
        PowerCut = "power_cut";
        /// A process that was given up for dead writes what it had queued, after its successor has started.
        Zombie = "zombie";
        /// The provider answers 400.
        Refused = "refused";
        /// The provider answers 429.
        Throttled = "throttled";
        /// The provider answers 503, having done nothing.
        Unavailable = "unavailable";
        /// The provider answers 500, and bills.
        ErrorBilled = "error_billed";
        /// No connection.
        Unreachable = "unreachable";
        /// The connection breaks before the reply's head; the provider bills.
        Broken = "broken";
        /// No head in time; the provider bills.
        HeadTimeout = "head_timeout";
        /// The body breaks in the middle.
        Cut = "cut";
        /// The body falls silent in the middle.
        Stall = "stall";
        /// An error event in the stream.
        ErrorEvent = "error_event";
        /// A reply that is none.
        Garbage = "garbage";
        /// A reply without usage.
        NoUsage = "no_usage";
        /// A usage of zero, said in so many words; nothing is billed.
        ZeroUsage = "zero_usage";
        /// A usage whose parts do not fit its totals.
        WrongUsage = "wrong_usage";
        /// More output than was allowed.
        Overrun = "overrun";
    }
}

impl Fault {
    /// What an exchange with a provider may meet.
    pub(super) const OF_PROVIDER: [Self; 15] = [
        Self::Refused,
        Self::Throttled,
        Self::Unavailable,
        Self::ErrorBilled,
        Self::Unreachable,
        Self::Broken,
        Self::HeadTimeout,
        Self::Cut,
        Self::Stall,
        Self::ErrorEvent,
        Self::Garbage,
        Self::NoUsage,
        Self::ZeroUsage,
        Self::WrongUsage,
        Self::Overrun,
    ];
}

/// A set of faults.
pub type Faults = Set<Fault>;
