//! Owns: the names of what a caller may want most.
//! Refuses to know: how each is scored (plan).

use crate::base::{Error, ErrorKind};
use serde::Serialize;
use std::str::FromStr;

/// What matters most to the caller, chosen by header, by model suffix or by the key's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Cheap,
    Quality,
    Latency,
    Privacy,
    Code,
}

impl Mode {
    pub const ALL: [Self; 5] = [Self::Cheap, Self::Quality, Self::Latency, Self::Privacy, Self::Code];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Cheap => "cheap",
            Self::Quality => "quality",
            Self::Latency => "latency",
            Self::Privacy => "privacy",
            Self::Code => "code",
        }
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Error::new(ErrorKind::InvalidRequest, format!("unknown mode '{shown}': use cheap, quality, latency, privacy or code"))
        })
    }
}
