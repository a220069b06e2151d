//! Floor 5: how a call comes in. Translate and hand over; no policy.

pub mod http;
pub mod native;
#[cfg(feature = "python")]
mod python;
