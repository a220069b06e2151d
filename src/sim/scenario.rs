//! Owns: what a seed stands for: which faults and features it has, when the process dies, what the disk and the clock do.
//! Everything is drawn from the seed and a name, never from what happened before: a scenario that loses a call, a fault or a
//! feature keeps all the rest, which is what makes it shrink.
//! Refuses to know: calls and exchanges (`plan`), wallets and their terms (`wallet`), and how any of it is played.

use super::fault::{Fault, Faults};
use super::feature::{Feature, Features};
use super::named::Named;
use super::sabotage::Sabotage;
use std::fmt;

/// A generator for one purpose: seed and name in, the same numbers out.
pub(super) fn draw(seed: u64, purpose: &str, n: u64) -> fastrand::Rng {
    let mut hash = seed ^ 0x9e37_79b9_7f4a_7c15;
    for byte in purpose.bytes().chain(n.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }
    fastrand::Rng::with_seed(hash)
}

/// Everything that determines a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub seed: u64,
    /// Numbers of the calls that are made; a call's number says all about it.
    pub calls: Vec<u32>,
    pub faults: Faults,
    pub features: Features,
    /// The process dies at these points, counted from the start over all its lives, ascending.
    pub crash_at: Vec<u64>,
    pub sabotage: Option<Sabotage>,
}

impl Scenario {
    /// What the seed itself says, with this many calls: half of the faults and features, and some crashes if they are among them.
    pub fn of_seed(seed: u64, calls: u32) -> Self {
        let mut rng = draw(seed, "faults", 0);
        let faults: Faults = Fault::ALL.iter().copied().filter(|_| rng.bool()).collect();
        let mut chance = draw(seed, "features", 0);
        let features: Features = Feature::ALL.iter().copied().filter(|_| chance.bool()).collect();
        let mut crash_at: Vec<u64> = Vec::new();
        if faults.has(Fault::Crash) {
            let points = u64::from(calls) * 30;
            crash_at = (0..rng.u32(1..=3)).map(|_| rng.u64(0..points.max(1))).collect();
            crash_at.sort_unstable();
            crash_at.dedup();
        }
        Self { seed, calls: (0..calls).collect(), faults, features, crash_at, sabotage: None }
    }

    /// The commits that the disk refuses, by number.
    pub(super) fn refuses_commit(&self, n: u64) -> bool {
        self.faults.has(Fault::DiskFull) && draw(self.seed, "commit", n).u32(0..12) == 0
    }

    /// How long a commit takes.
    pub(super) fn commit_ms(&self, n: u64) -> u64 {
        let mut rng = draw(self.seed, "fsync", n);
        let usual = rng.u64(0..8);
        if self.faults.has(Fault::SlowDisk) && rng.u32(0..10) == 0 { rng.u64(1_000..20_000) } else { usual }
    }

    /// What a failed sync leaves on the disk: the commit or nothing; `None`: the sync of this commit does not fail.
    pub(super) fn fails_sync(&self, n: u64) -> Option<bool> {
        let mut rng = draw(self.seed, "sync", n);
        (self.faults.has(Fault::SyncError) && rng.u32(0..150) == 0).then(|| rng.bool())
    }

    /// When the wall clock jumps, and by how much.
    pub(super) fn jumps(&self) -> Vec<(u64, i64)> {
        if !self.faults.has(Fault::Clock) {
            return Vec::new();
        }
        let mut rng = draw(self.seed, "clock", 0);
        let mut jump = || {
            let most = *[2_000, 120_000, 86_400_000].get(rng.usize(0..3)).unwrap_or(&2_000);
            (rng.u64(0..LAST_CALL_MS), rng.i64(-most..=most))
        };
        let mut jumps = vec![jump(), jump()];
        jumps.sort_unstable();
        jumps
    }
}

/// Calls begin and clocks jump within this time.
pub(super) const LAST_CALL_MS: u64 = 20_000;

impl fmt::Display for Scenario {
    /// The command line that plays it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, option: &str, values: Vec<String>| {
            let text = if values.is_empty() { "none".to_owned() } else { values.join(",") };
            write!(f, " --{option} {text}")
        };
        write!(f, "gotoai sim --seed {}", self.seed)?;
        list(f, "calls", self.calls.iter().map(ToString::to_string).collect())?;
        list(f, "faults", self.faults.names().into_iter().map(str::to_owned).collect())?;
        list(f, "features", self.features.names().into_iter().map(str::to_owned).collect())?;
        list(f, "crash-at", self.crash_at.iter().map(ToString::to_string).collect())?;
        match self.sabotage {
            Some(sabotage) => write!(f, " --sabotage {}", sabotage.name()),
            None => Ok(()),
        }
    }
}
