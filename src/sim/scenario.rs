//! Owns: what a seed stands for: wallets, payments, calls, what providers and callers will do, which faults may happen, when
//! the process dies. Everything is drawn from the seed and a name, never from what happened before: a scenario that loses a
//! call or a fault keeps all the rest, which is what makes it shrink.
//! Refuses to know: how any of it is played (life, provider, client).

use std::fmt;

/// What may go wrong. Each seed allows some of them (swarm testing); `--faults` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fault {
    /// The process dies, at points of its own.
    Crash,
    /// The wall clock jumps, forwards or back, by up to a day.
    Clock,
    /// A commit is refused by the disk.
    DiskFull,
    /// The caller leaves: before the reply, or in the middle of a stream.
    Leave,
    /// The caller reads slowly.
    SlowReader,
    /// The same payment is reported twice.
    PaidTwice,
    /// The provider answers 400.
    Refused,
    /// The provider answers 429.
    Throttled,
    /// The provider answers 503, having done nothing.
    Unavailable,
    /// The provider answers 500, and bills.
    ErrorBilled,
    /// No connection.
    Unreachable,
    /// The connection breaks before the reply's head; the provider bills.
    Broken,
    /// No head in time; the provider bills.
    HeadTimeout,
    /// The body breaks in the middle.
    Cut,
    /// The body falls silent in the middle.
    Stall,
    /// An error event in the stream.
    ErrorEvent,
    /// A reply that is none.
    Garbage,
    /// A reply without usage.
    NoUsage,
    /// A usage of zero, said in so many words; nothing is billed.
    ZeroUsage,
    /// A usage whose parts do not fit its totals.
    WrongUsage,
    /// More output than was allowed.
    Overrun,
}

impl Fault {
    pub const ALL: [Self; 21] = [
        Self::Crash,
        Self::Clock,
        Self::DiskFull,
        Self::Leave,
        Self::SlowReader,
        Self::PaidTwice,
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
    /// What an exchange with a provider may meet.
    const OF_PROVIDER: &'static [Self] = Self::ALL.split_at(6).1;

    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Clock => "clock",
            Self::DiskFull => "disk_full",
            Self::Leave => "leave",
            Self::SlowReader => "slow_reader",
            Self::PaidTwice => "paid_twice",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::ErrorBilled => "error_billed",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::HeadTimeout => "head_timeout",
            Self::Cut => "cut",
            Self::Stall => "stall",
            Self::ErrorEvent => "error_event",
            Self::Garbage => "garbage",
            Self::NoUsage => "no_usage",
            Self::ZeroUsage => "zero_usage",
            Self::WrongUsage => "wrong_usage",
            Self::Overrun => "overrun",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u32);

impl Faults {
    pub fn all() -> Self {
        Fault::ALL.into_iter().collect()
    }

    pub const fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    #[must_use]
    pub const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u8))
    }

    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        Self(faults.into_iter().fold(0, |set, fault| set | 1 << fault as u8))
    }
}

/// A defect put into the ledger on purpose, to see that the checks find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Settlements are answered and forgotten.
    LostSettlement,
    /// The rest of a hold is kept as fee.
    KeptHold,
    /// What was settled is reserved and settled once more under another id.
    DoubleCharge,
    /// Settlements are answered before they are committed.
    EarlyAnswer,
}

impl Sabotage {
    pub const ALL: [Self; 4] = [Self::LostSettlement, Self::KeptHold, Self::DoubleCharge, Self::EarlyAnswer];

    pub const fn name(self) -> &'static str {
        match self {
            Self::LostSettlement => "lost_settlement",
            Self::KeptHold => "kept_hold",
            Self::DoubleCharge => "double_charge",
            Self::EarlyAnswer => "early_answer",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sabotage| sabotage.name() == name)
    }
}

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
    /// The process dies at these points, counted from the start over all its lives, ascending.
    pub crash_at: Vec<u64>,
    pub sabotage: Option<Sabotage>,
}

impl Scenario {
    /// What the seed itself says, with this many calls: half of the faults, and some crashes if they are among them.
    pub fn of_seed(seed: u64, calls: u32) -> Self {
        let mut rng = draw(seed, "faults", 0);
        let faults: Faults = Fault::ALL.into_iter().filter(|_| rng.bool()).collect();
        let mut crash_at: Vec<u64> = Vec::new();
        if faults.has(Fault::Crash) {
            let points = u64::from(calls) * 30;
            crash_at = (0..rng.u32(1..=3)).map(|_| rng.u64(0..points.max(1))).collect();
            crash_at.sort_unstable();
            crash_at.dedup();
        }
        Self { seed, calls: (0..calls).collect(), faults, crash_at, sabotage: None }
    }

    /// The commits that the disk refuses, by number.
    pub(super) fn refuses_commit(&self, n: u64) -> bool {
        self.faults.has(Fault::DiskFull) && draw(self.seed, "commit", n).u32(0..12) == 0
    }

    /// How long a commit takes.
    pub(super) fn commit_ms(&self, n: u64) -> u64 {
        draw(self.seed, "fsync", n).u64(0..8)
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

    pub(super) fn call(&self, n: u32) -> CallPlan {
        let mut rng = draw(self.seed, "call", n.into());
        let wallet = rng.usize(0..WALLETS.len());
        let asks: &[Ask] = if WALLETS[wallet].postpaid { &Ask::ALL } else { &Ask::PRICED };
        let stream = rng.bool();
        let patience = if rng.u32(0..3) > 0 {
            Patience::Endless
        } else if rng.bool() || !stream {
            Patience::UntilMs(rng.u64(0..4_000))
        } else {
            Patience::Frames(rng.u32(0..8))
        };
        let slow = rng.u32(0..4) == 0;
        CallPlan {
            n,
            at_ms: rng.u64(0..LAST_CALL_MS),
            wallet,
            ask: asks[rng.usize(0..asks.len())],
            stream,
            wants_usage: rng.bool(),
            prompt_bytes: *[8, 40, 400, 4_000].get(rng.usize(0..4)).unwrap_or(&40),
            max_tokens: rng.bool().then(|| rng.u64(1..=200)),
            patience: if self.faults.has(Fault::Leave) { patience } else { Patience::Endless },
            read_pause_ms: if slow && self.faults.has(Fault::SlowReader) { rng.u64(100..5_000) } else { 0 },
        }
    }

    /// What the `attempt`-th exchange of a call meets.
    pub(super) fn act(&self, call: u32, attempt: u32) -> Act {
        let mut rng = draw(self.seed, "act", u64::from(call) << 8 | u64::from(attempt));
        let fault = Some(Fault::OF_PROVIDER[rng.usize(0..Fault::OF_PROVIDER.len())]).filter(|_| rng.u32(0..10) < 7);
        Act {
            fault: fault.filter(|fault| self.faults.has(*fault)),
            head_ms: rng.u64(1..1_500),
            gap_ms: rng.u64(0..400),
            pieces: rng.u32(1..5),
            breaks_after: rng.u32(0..7),
            bytes_per_token: rng.u64(3..8),
            cached_percent: rng.u64(0..=100),
            reasoning_percent: rng.u64(0..=60),
            output_percent: rng.u64(0..=100),
            retry_after_ms: rng.bool().then(|| rng.u64(0..3_000)),
        }
    }
}

/// Calls begin and clocks jump within this time.
pub(super) const LAST_CALL_MS: u64 = 20_000;

/// A payer.
#[derive(Debug)]
pub(super) struct WalletPlan {
    pub(super) name: &'static str,
    pub(super) postpaid: bool,
    pub(super) credit_limit_nano: Option<i64>,
    /// Paid in before the first call, then again and again.
    pub(super) top_up_nano: i64,
}

const fn prepaid(name: &'static str, top_up_nano: i64, credit_limit_nano: Option<i64>) -> WalletPlan {
    WalletPlan { name, postpaid: false, credit_limit_nano, top_up_nano }
}

/// One poor, one rich, one that may overdraw, one that pays later up to a limit, one that pays later without one.
pub(super) const WALLETS: [WalletPlan; 5] = [
    prepaid("poor", 900_000, None),
    prepaid("rich", 50_000_000_000, None),
    prepaid("overdraft", 700_000, Some(60_000)),
    WalletPlan { name: "limited", postpaid: true, credit_limit_nano: Some(2_000_000), top_up_nano: 150_000 },
    WalletPlan { name: "trusted", postpaid: true, credit_limit_nano: None, top_up_nano: 40_000 },
];

/// What a call asks for: which endpoints may serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Two providers offer it: failover.
    Shared,
    OfAlpha,
    OfBeta,
    OfGamma,
    /// Nobody knows what it costs.
    Unpriced,
}

impl Ask {
    const ALL: [Self; 6] = [Self::Shared, Self::Shared, Self::OfAlpha, Self::OfBeta, Self::OfGamma, Self::Unpriced];
    const PRICED: [Self; 5] = [Self::Shared, Self::Shared, Self::OfAlpha, Self::OfBeta, Self::OfGamma];

    pub(super) const fn selector(self) -> &'static str {
        match self {
            Self::Shared => "m",
            Self::OfAlpha => "alpha/m",
            Self::OfBeta => "beta/m",
            Self::OfGamma => "gamma/g",
            Self::Unpriced => "dark/d",
        }
    }
}

/// How long a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Endless,
    /// Leaves this long after asking, wherever the reply is then.
    UntilMs(u64),
    /// Leaves after so many pieces of a stream.
    Frames(u32),
}

#[derive(Clone, Debug)]
pub(super) struct CallPlan {
    pub(super) n: u32,
    pub(super) at_ms: u64,
    pub(super) wallet: usize,
    pub(super) ask: Ask,
    pub(super) stream: bool,
    pub(super) wants_usage: bool,
    pub(super) prompt_bytes: usize,
    pub(super) max_tokens: Option<u64>,
    pub(super) patience: Patience,
    pub(super) read_pause_ms: u64,
}

impl CallPlan {
    /// What becomes input tokens, as it stands in the body.
    pub(super) fn messages(&self) -> String {
        format!(r#"[{{"role":"user","content":"{}"}}]"#, "x".repeat(self.prompt_bytes))
    }

    pub(super) fn body(&self) -> String {
        let bound = self.max_tokens.map_or_else(String::new, |most| format!(r#","max_tokens":{most}"#));
        let stream = match (self.stream, self.wants_usage) {
            (false, _) => "",
            (true, false) => r#","stream":true"#,
            (true, true) => r#","stream":true,"stream_options":{"include_usage":true}"#,
        };
        format!(r#"{{"model":"{}","messages":{}{bound}{stream}}}"#, model_of(self.n), self.messages())
    }
}

/// Every call asks for a name of its own, an alias of what it means: so its order says whose it is.
pub(super) fn model_of(call: u32) -> String {
    format!("call-{call}")
}

pub(super) fn call_of(model: &str) -> Option<u32> {
    model.strip_prefix("call-")?.parse().ok()
}

/// One exchange as its provider will play it.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) fault: Option<Fault>,
    pub(super) head_ms: u64,
    pub(super) gap_ms: u64,
    pub(super) pieces: u32,
    /// Pieces that pass before a cut, a stall or an error event.
    pub(super) breaks_after: u32,
    pub(super) bytes_per_token: u64,
    pub(super) cached_percent: u64,
    pub(super) reasoning_percent: u64,
    pub(super) output_percent: u64,
    pub(super) retry_after_ms: Option<u64>,
}

impl fmt::Display for Scenario {
    /// The command line that plays it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, option: &str, values: Vec<String>| {
            let text = if values.is_empty() { "none".to_owned() } else { values.join(",") };
            write!(f, " --{option} {text}")
        };
        write!(f, "gotoai sim --seed {}", self.seed)?;
        list(f, "calls", self.calls.iter().map(ToString::to_string).collect())?;
        list(f, "faults", self.faults.iter().map(|fault| fault.name().to_owned()).collect())?;
        list(f, "crash-at", self.crash_at.iter().map(ToString::to_string).collect())?;
        match self.sabotage {
            Some(sabotage) => write!(f, " --sabotage {}", sabotage.name()),
            None => Ok(()),
        }
    }
}
