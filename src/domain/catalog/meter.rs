//! Owns: what is counted, and the counts of one call.
//! Refuses to know: what a unit costs (price), and how a provider writes its counts (protocol).

use crate::protocol::ReadUsage;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is counted. Meters are a disjoint partition of a call's usage: no token is in two of them. The names in JSON are
/// stored in journals and price sheets: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(usize)]
pub enum Meter {
    InputUncached,
    CacheRead,
    /// Tokens written to the provider's cache for five minutes, or for as long as it keeps them by itself.
    CacheWrite,
    /// Tokens written to the provider's cache for an hour.
    #[serde(rename = "cache_write_1h")]
    CacheWrite1h,
    OutputText,
    OutputReasoning,
    AudioIn,
    AudioOut,
    /// Tokens of images in the input.
    ImageIn,
    /// Images made, each one unit.
    ImageOut,
    /// Seconds of audio.
    Seconds,
    /// Characters of text turned into speech.
    Characters,
    /// Web searches that the provider made for the call.
    Searches,
    Request,
}

impl Meter {
    pub const COUNT: usize = 14;
    pub const ALL: [Self; Self::COUNT] = [
        Self::InputUncached,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::OutputText,
        Self::OutputReasoning,
        Self::AudioIn,
        Self::AudioOut,
        Self::ImageIn,
        Self::ImageOut,
        Self::Seconds,
        Self::Characters,
        Self::Searches,
        Self::Request,
    ];

    /// Where a provider names no price of its own for this meter, it bills the meter as this one.
    pub const fn billed_as(self) -> Option<Self> {
        match self {
            Self::CacheWrite1h => Some(Self::CacheWrite),
            Self::CacheRead | Self::CacheWrite | Self::AudioIn | Self::ImageIn => Some(Self::InputUncached),
            Self::OutputReasoning | Self::AudioOut => Some(Self::OutputText),
            Self::InputUncached | Self::OutputText => None,
            Self::ImageOut | Self::Seconds | Self::Characters | Self::Searches | Self::Request => None,
        }
    }

    /// Tokens that go in.
    pub const fn is_input(self) -> bool {
        match self {
            Self::InputUncached | Self::CacheRead | Self::CacheWrite | Self::CacheWrite1h | Self::AudioIn | Self::ImageIn => true,
            Self::OutputText | Self::OutputReasoning | Self::AudioOut => false,
            Self::ImageOut | Self::Seconds | Self::Characters | Self::Searches | Self::Request => false,
        }
    }

    /// Tokens that come out.
    pub const fn is_output(self) -> bool {
        match self {
            Self::OutputText | Self::OutputReasoning | Self::AudioOut => true,
            Self::InputUncached | Self::CacheRead | Self::CacheWrite | Self::CacheWrite1h | Self::AudioIn | Self::ImageIn => false,
            Self::ImageOut | Self::Seconds | Self::Characters | Self::Searches | Self::Request => false,
        }
    }
}

/// Counts per meter of one call, disjoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage([u64; Meter::COUNT]);

impl Usage {
    pub const fn get(&self, meter: Meter) -> u64 {
        self.0[meter as usize]
    }

    pub const fn set(&mut self, meter: Meter, count: u64) {
        self.0[meter as usize] = count;
    }

    #[must_use]
    pub const fn with(mut self, meter: Meter, count: u64) -> Self {
        self.set(meter, count);
        self
    }

    /// All input tokens, cached or not.
    pub fn input_tokens(&self) -> u64 {
        self.sum(Meter::is_input)
    }

    /// All output tokens, visible or not.
    pub fn output_tokens(&self) -> u64 {
        self.sum(Meter::is_output)
    }

    fn sum(&self, wanted: fn(Meter) -> bool) -> u64 {
        Meter::ALL.iter().filter(|meter| wanted(**meter)).fold(0, |sum, meter| sum.saturating_add(self.get(*meter)))
    }
}

impl From<ReadUsage> for Usage {
    fn from(read: ReadUsage) -> Self {
        Self::default()
            .with(Meter::InputUncached, read.input_uncached)
            .with(Meter::CacheRead, read.cache_read)
            .with(Meter::CacheWrite, read.cache_write)
            .with(Meter::CacheWrite1h, read.cache_write_1h)
            .with(Meter::AudioIn, read.audio_in)
            .with(Meter::ImageIn, read.image_in)
            .with(Meter::OutputText, read.output_text)
            .with(Meter::OutputReasoning, read.output_reasoning)
            .with(Meter::AudioOut, read.audio_out)
            .with(Meter::Seconds, read.seconds)
            .with(Meter::Searches, read.searches)
    }
}

impl Serialize for Usage {
    /// A map of the meters that are not zero.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Meter::ALL.iter().filter(|m| self.get(**m) > 0).map(|m| (m, self.get(*m))))
    }
}

impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counts;

        impl<'de> Visitor<'de> for Counts {
            type Value = Usage;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of meters to counts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut counts: A) -> Result<Usage, A::Error> {
                let mut usage = Usage::default();
                while let Some((meter, count)) = counts.next_entry()? {
                    usage.set(meter, count);
                }
                Ok(usage)
            }
        }

        deserializer.deserialize_map(Counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stored_names_never_change() {
        let names = serde_json::to_string(&Meter::ALL).unwrap();
        let stored = r#"["input_uncached","cache_read","cache_write","cache_write_1h","output_text","output_reasoning","audio_in","audio_out","image_in","image_out","seconds","characters","searches","request"]"#;
        assert_eq!(names, stored);
    }

    #[test]
    fn every_meter_has_its_own_place() {
        for (place, meter) in Meter::ALL.into_iter().enumerate() {
            assert_eq!(meter as usize, place);
            assert!(!(meter.is_input() && meter.is_output()));
        }
    }

    proptest! {
        #[test]
        fn usage_round_trips_as_json(counts in proptest::array::uniform14(any::<u64>())) {
            let mut usage = Usage::default();
            for (meter, count) in Meter::ALL.iter().zip(counts) { usage.set(*meter, count); }
            let text = serde_json::to_string(&usage).unwrap();
            prop_assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), usage);
        }
    }
}
