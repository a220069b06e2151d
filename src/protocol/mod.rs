//! Floor 1: what is said on the wire. Pure: bytes in, bytes out; no I/O, no policy.

pub mod anthropic;
pub mod billing;
mod decimal;
pub mod gemini;
pub mod openai;
mod operation;
mod pages;
mod signature;
pub mod sse;
pub mod stripe;
mod usage;

pub use operation::Operation;
pub use signature::{SigningKey, check_signature};
pub use usage::ReadUsage;
