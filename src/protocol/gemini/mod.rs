//! The Gemini dialect: so far only the count of a reply.

mod usage;

pub use usage::read_usage;
