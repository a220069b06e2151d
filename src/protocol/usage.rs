//! Owns: what a provider's count comes to in every dialect: disjoint meters, and whether they add up.
//! Refuses to know: how a provider writes its count (the dialects), and prices.

/// A provider's count, taken apart: every token is in exactly one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadUsage {
    pub input_uncached: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub cache_write_1h: u64,
    pub audio_in: u64,
    pub image_in: u64,
    pub output_text: u64,
    pub output_reasoning: u64,
    pub audio_out: u64,
    /// Seconds of audio, where the provider bills by time.
    pub seconds: u64,
    /// Web searches that the provider made.
    pub searches: u64,
    /// The parts fit the totals. If not, the count is taken as far as it goes and the order stays provisional.
    pub consistent: bool,
}

/// More tokens than this are a mistake of the provider, not a count.
const MAX_COUNT: u64 = 1 << 40;

/// One of the counts is a mistake.
pub(super) fn absurd(counts: &[Option<u64>]) -> bool {
    counts.iter().flatten().any(|count| *count > MAX_COUNT)
}

/// A total from which parts are taken.
pub(super) struct Rest {
    left: u64,
    total: u64,
    fits: bool,
}

impl Rest {
    pub(super) fn of(total: u64) -> Self {
        Self { left: total, total, fits: true }
    }

    /// A part that no other part overlaps: what does not fit makes the count inconsistent, never negative.
    pub(super) fn take(&mut self, part: u64) -> u64 {
        self.fits &= part <= self.left;
        self.overlay(part)
    }

    /// A part that may overlap those taken before it (cached tokens may be audio): only the total bounds it.
    pub(super) fn overlay(&mut self, part: u64) -> u64 {
        self.fits &= part <= self.total;
        let taken = part.min(self.left);
        self.left -= taken;
        taken
    }

    /// What nobody took, and whether all that was taken fitted.
    pub(super) fn end(self) -> (u64, bool) {
        (self.left, self.fits)
    }
}
