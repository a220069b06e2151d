//! Owns: what one call is and what its provider will do: drawn from the seed and the call's number.
//! Refuses to know: how it is played (client, provider).

use super::fault::Fault;
use super::feature::Feature;
use super::scenario::{LAST_CALL_MS, Scenario, draw};
use super::wallet::WALLETS;
use std::fmt;

/// Labels that budgets may count by.
pub(super) const BATCH: &str = "batch";

/// One request of a caller: the call, and which repetition of it; 0 is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ask {
    pub(super) call: u32,
    pub(super) again: u32,
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.again {
            0 => write!(f, "{}", self.call),
            again => write!(f, "{}.{again}", self.call),
        }
    }
}

impl Ask {
    /// Of its printed form, which is the request's id and the first label of its order.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (call, again) = text.split_once('.').unwrap_or((text, "0"));
        Some(Self { call: call.parse().ok()?, again: again.parse().ok()? })
    }
}

/// What a call asks for: which endpoints may serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Two providers offer it: failover.
    Shared,
    OfAlpha,
    OfBeta,
    OfGamma,
    /// On the caller's own key.
    OfOwn,
    /// Nobody knows what it costs.
    Unpriced,
}

impl Target {
    const ALL: [Self; 7] = [Self::Shared, Self::Shared, Self::OfAlpha, Self::OfBeta, Self::OfGamma, Self::OfOwn, Self::Unpriced];
    const PRICED: [Self; 6] = [Self::Shared, Self::Shared, Self::OfAlpha, Self::OfBeta, Self::OfGamma, Self::OfOwn];

    pub(super) const fn selector(self) -> &'static str {
        match self {
            Self::Shared => "m",
            Self::OfAlpha => "alpha/m",
            Self::OfBeta => "beta/m",
            Self::OfGamma => "gamma/g",
            Self::OfOwn => "own/o",
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
    pub(super) target: Target,
    pub(super) stream: bool,
    pub(super) wants_usage: bool,
    pub(super) prompt_bytes: usize,
    pub(super) max_tokens: Option<u64>,
    pub(super) patience: Patience,
    pub(super) read_pause_ms: u64,
    pub(super) label: Option<&'static str>,
    /// Sent with an `Idempotency-Key` of its own.
    pub(super) marked: bool,
    pub(super) agains: Vec<Again>,
}

/// The same mark once more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    pub(super) after_ms: u64,
    /// Another request under the same mark.
    pub(super) other: bool,
    /// The same request in other words: members in another order, blanks between them.
    pub(super) respelled: bool,
}

impl CallPlan {
    /// What becomes input tokens, as it stands in the body.
    pub(super) fn messages(&self) -> String {
        format!(r#"[{{"role":"user","content":"{}"}}]"#, "x".repeat(self.prompt_bytes))
    }

    /// The body of one of its asks.
    pub(super) fn body(&self, again: u32) -> String {
        let again = again.checked_sub(1).and_then(|at| self.agains.get(usize::try_from(at).ok()?));
        let bound = self.max_tokens.map_or_else(String::new, |most| format!(r#","max_tokens":{most}"#));
        let stream = match (self.stream, self.wants_usage) {
            (false, _) => "",
            (true, false) => r#","stream":true"#,
            (true, true) => r#","stream":true,"stream_options":{"include_usage":true}"#,
        };
        let other = if again.is_some_and(|again| again.other) { r#","user":"other""# } else { "" };
        let (model, messages) = (self.target.selector(), self.messages());
        if again.is_some_and(|again| again.respelled) {
            return format!(r#"{{ "messages" : {messages} {bound}{stream}{other} , "model":"{model}" }}"#);
        }
        format!(r#"{{"model":"{model}","messages":{messages}{bound}{stream}{other}}}"#)
    }

    /// May this ask get the answer of the first one?
    pub(super) fn is_other(&self, again: u32) -> bool {
        again.checked_sub(1).and_then(|at| self.agains.get(usize::try_from(at).ok()?)).is_some_and(|again| again.other)
    }
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

impl Scenario {
    pub(super) fn call(&self, n: u32) -> CallPlan {
        let mut rng = draw(self.seed, "call", n.into());
        let wallet = rng.usize(0..WALLETS.len());
        let asks: &[Target] = if WALLETS[wallet].postpaid { &Target::ALL } else { &Target::PRICED };
        let stream = rng.bool();
        let patience = if rng.u32(0..3) > 0 {
            Patience::Endless
        } else if rng.bool() || !stream {
            Patience::UntilMs(rng.u64(0..4_000))
        } else {
            Patience::Frames(rng.u32(0..8))
        };
        let slow = rng.u32(0..4) == 0;
        let target = asks[rng.usize(0..asks.len())];
        let pause_ms = *[300, 1_000, 5_000, 400_000].get(rng.usize(0..4)).unwrap_or(&300);
        CallPlan {
            n,
            at_ms: rng.u64(0..LAST_CALL_MS),
            wallet,
            target: if target == Target::OfOwn && !self.features.has(Feature::OwnKeys) { Target::OfAlpha } else { target },
            stream,
            wants_usage: rng.bool(),
            prompt_bytes: *[8, 40, 400, 4_000].get(rng.usize(0..4)).unwrap_or(&40),
            max_tokens: rng.bool().then(|| rng.u64(1..=200)),
            patience: if self.faults.has(Fault::Leave) { patience } else { Patience::Endless },
            read_pause_ms: if slow && self.faults.has(Fault::SlowReader) { pause_ms } else { 0 },
            label: rng.bool().then_some(BATCH),
            agains: self.agains(n),
            marked: self.is_marked(n),
        }
    }

    fn is_marked(&self, call: u32) -> bool {
        self.features.has(Feature::Marks) && draw(self.seed, "mark", call.into()).u32(0..4) == 0
    }

    /// The repetitions of a marked call: at once, while it runs, after its answer, after a crash.
    fn agains(&self, call: u32) -> Vec<Again> {
        if !self.is_marked(call) {
            return Vec::new();
        }
        let mut rng = draw(self.seed, "again", call.into());
        let mut again = || Again {
            after_ms: *[0, rng.u64(0..1_000), rng.u64(0..5_000), rng.u64(5_000..60_000)].get(rng.usize(0..4)).unwrap_or(&0),
            other: rng.u32(0..5) == 0,
            respelled: rng.bool(),
        };
        let first = again();
        [first, again(), again()].into_iter().take(1 + draw(self.seed, "agains", call.into()).usize(0..3)).collect()
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
