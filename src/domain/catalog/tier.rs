//! Owns: what a price depends on besides the meter: the service tier and the time of day.
//! Refuses to know: the prices themselves (price), and where a request or a reply says the tier (protocol).

use crate::base::Timestamp;
use serde::{Deserialize, Serialize};

/// The class of service a call is sold in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// Whatever the provider chooses: bounded by the dearest, billed as standard when nobody says what it was.
    Auto,
    #[default]
    Standard,
    Flex,
    Priority,
    Batch,
    Ultrafast,
}

impl ServiceTier {
    /// The tiers that have prices.
    pub const PRICED: [Self; 5] = [Self::Standard, Self::Flex, Self::Priority, Self::Batch, Self::Ultrafast];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Batch => "batch",
            Self::Ultrafast => "ultrafast",
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "default" | "standard" | "standard_only" | "on_demand" => Some(Self::Standard),
            "flex" => Some(Self::Flex),
            // OpenAI's priority processing has been called fast mode since July 2026 (guides/fast-mode): requests and replies
            // use either name.
            "priority" | "fast" => Some(Self::Priority),
            "batch" => Some(Self::Batch),
            "ultrafast" => Some(Self::Ultrafast),
            _ => None,
        }
    }

    /// The tier of a call, by the name that the caller wrote. Without a name the provider chooses (by the project's
    /// settings there), as it does under a name that nobody here knows. A call is no batch, whatever its caller writes: a
    /// provider that does not look would else be paid half.
    pub fn asked(name: Option<&str>) -> Self {
        match name.and_then(Self::named) {
            Some(Self::Batch) | None => Self::Auto,
            Some(tier @ (Self::Auto | Self::Standard | Self::Flex | Self::Priority | Self::Ultrafast)) => tier,
        }
    }

    /// The tier that served, by the name in the reply. A reply that says nothing was served as asked; a name that nobody
    /// here knows is one without a price of its own.
    #[must_use]
    pub fn served(name: Option<&str>, asked: Self) -> Self {
        match (name.map(Self::named), asked) {
            (Some(Some(Self::Batch)), Self::Auto | Self::Standard | Self::Flex | Self::Priority | Self::Ultrafast) => Self::Standard,
            (Some(named), _) => named.unwrap_or(Self::Standard),
            (None, Self::Auto) => Self::Standard,
            (None, Self::Standard | Self::Flex | Self::Priority | Self::Batch | Self::Ultrafast) => asked,
        }
    }

    /// Can a call that asks for this tier be billed in `other`? A provider may serve flex, priority and ultrafast calls in a
    /// lesser tier and says so in the reply only; a batch never runs as anything else, and nobody is served ultrafast who has
    /// not asked for it (OpenAI, guides/ultrafast-mode: standard is the default).
    pub fn may_become(self, other: Self) -> bool {
        match self {
            Self::Auto => !matches!(other, Self::Batch | Self::Ultrafast),
            Self::Standard | Self::Batch => other == self,
            Self::Flex | Self::Priority => other == self || other == Self::Standard,
            Self::Ultrafast => other != Self::Batch,
        }
    }
}

/// A part of every day, in minutes since midnight UTC: from `from_minute` until before `to_minute`, over midnight where
/// the end is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
pub struct DayWindow {
    from_minute: u16,
    to_minute: u16,
}

impl DayWindow {
    const DAY_MINUTES: u16 = 1440;

    /// `None` if a minute is not of the day, or if the window is empty.
    pub const fn new(from_minute: u16, to_minute: u16) -> Option<Self> {
        if from_minute >= Self::DAY_MINUTES || to_minute >= Self::DAY_MINUTES || from_minute == to_minute {
            return None;
        }
        Some(Self { from_minute, to_minute })
    }

    /// From two times of day as `16:30`.
    pub fn between(from: &str, to: &str) -> Option<Self> {
        Self::new(minute_of(from)?, minute_of(to)?)
    }

    pub fn contains(self, at: Timestamp) -> bool {
        let minute = at.0.rem_euclid(86_400_000) / 60_000;
        let (from, to) = (i64::from(self.from_minute), i64::from(self.to_minute));
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }

    /// Beginning and end as `16:30`.
    pub fn times(self) -> (String, String) {
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        (time(self.from_minute), time(self.to_minute))
    }
}

fn minute_of(time: &str) -> Option<u16> {
    let (hours, minutes) = time.split_once(':')?;
    let number = |text: &str, limit: u16| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|value| digits && *value < limit)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

impl TryFrom<(u16, u16)> for DayWindow {
    type Error = &'static str;

    fn try_from((from, to): (u16, u16)) -> Result<Self, Self::Error> {
        Self::new(from, to).ok_or("a window is two different minutes of the day, 0 to 1439")
    }
}

impl From<DayWindow> for (u16, u16) {
    fn from(window: DayWindow) -> Self {
        (window.from_minute, window.to_minute)
    }
}

/// What a call is rated by, beside its usage: the tier and when it began. In JSON `["flex", 1795247999123]`, so that whoever
/// proves a settlement can compute it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(ServiceTier, i64)", into = "(ServiceTier, i64)")]
pub struct Rating {
    pub tier: ServiceTier,
    pub at: Timestamp,
}

impl Rating {
    /// An ordinary call at this time.
    pub const fn standard(at: Timestamp) -> Self {
        Self { tier: ServiceTier::Standard, at }
    }
}

impl From<(ServiceTier, i64)> for Rating {
    fn from((tier, at_ms): (ServiceTier, i64)) -> Self {
        Self { tier, at: Timestamp(at_ms) }
    }
}

impl From<Rating> for (ServiceTier, i64) {
    fn from(rating: Rating) -> Self {
        (rating.tier, rating.at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_and_served() {
        assert_eq!(ServiceTier::asked(None), ServiceTier::Auto);
        assert_eq!(ServiceTier::asked(Some("default")), ServiceTier::Standard);
        assert_eq!(ServiceTier::asked(Some("galaxy")), ServiceTier::Auto);
        assert_eq!(ServiceTier::asked(Some("batch")), ServiceTier::Auto, "a caller makes no batch of a call");
        assert_eq!(ServiceTier::asked(Some("fast")), ServiceTier::Priority);
        let served = ServiceTier::served;
        assert_eq!(served(Some("default"), ServiceTier::Priority), ServiceTier::Standard, "downgraded: what served is billed");
        assert_eq!(served(Some("fast"), ServiceTier::Auto), ServiceTier::Priority);
        assert_eq!(served(Some("batch"), ServiceTier::Auto), ServiceTier::Standard);
        assert_eq!(served(Some("batch"), ServiceTier::Batch), ServiceTier::Batch);
        assert_eq!(served(None, ServiceTier::Flex), ServiceTier::Flex);
        assert_eq!(served(None, ServiceTier::Auto), ServiceTier::Standard);
        assert_eq!(served(Some("scale"), ServiceTier::Flex), ServiceTier::Standard);
    }

    #[test]
    fn what_serves_is_within_what_the_hold_covers() {
        for asked in [None, Some("auto"), Some("default"), Some("flex"), Some("priority"), Some("fast"), Some("ultrafast"), Some("batch")] {
            let asked = ServiceTier::asked(asked);
            for reply in [None, Some("default"), Some("scale"), Some("batch")] {
                assert!(asked.may_become(ServiceTier::served(reply, asked)), "{asked:?} {reply:?}");
            }
        }
    }

    #[test]
    fn a_rating_is_stored_in_short() {
        let rating = Rating { tier: ServiceTier::Flex, at: Timestamp(7) };
        assert_eq!(serde_json::to_string(&rating).unwrap(), r#"["flex",7]"#);
        assert_eq!(serde_json::from_str::<Rating>(r#"["flex",7]"#).unwrap(), rating);
    }

    #[test]
    fn windows_wrap_midnight() {
        let window = DayWindow::between("16:30", "00:30").unwrap();
        let at = |hour: i64, minute: i64| Timestamp(((40 * 24 + hour) * 60 + minute) * 60_000);
        assert!(window.contains(at(16, 30)) && window.contains(at(23, 59)) && window.contains(at(0, 29)));
        assert!(!window.contains(at(16, 29)) && !window.contains(at(0, 30)) && !window.contains(at(12, 0)));
        assert!(window.contains(Timestamp(-1)));
        assert_eq!(window.times(), ("16:30".to_owned(), "00:30".to_owned()));
        assert_eq!(serde_json::to_string(&window).unwrap(), "[990,30]");
        for (from, to) in
            [("24:00", "1:00"), ("1:60", "2:00"), ("1:00", "1:00"), ("+1:00", "2:00"), ("1", "2:00"), ("", ""), ("001:00", "2:00")]
        {
            assert_eq!(DayWindow::between(from, to), None, "{from} {to}");
        }
        assert!(serde_json::from_str::<DayWindow>("[0,1440]").is_err());
    }
}
