//! Floor 1: what is said on the wire. Pure: bytes in, bytes out; no I/O, no policy.

pub mod billing;
pub mod openai;
mod operation;
pub mod sse;

pub use operation::Operation;
