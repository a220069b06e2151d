//! Floor 1: what is said on the wire. Pure: bytes in, bytes out; no I/O, no policy.

mod dialect;
pub mod openai;
pub mod sse;

pub use dialect::{Dialect, Operation};
