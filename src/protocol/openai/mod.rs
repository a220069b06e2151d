//! The OpenAI dialect: requests read just enough to route and price them, replies just enough to settle them, and errors.
//! Bodies stay bytes; only the members that must change are spliced.

mod cost;
mod error;
mod models;
mod plain;
mod reply;
mod request;
mod search;
mod stream;
mod usage;

pub use cost::{CostForm, ReportedCost};
pub use error::error_envelope;
pub use models::{ModelObject, model_list, model_object};
pub use reply::ReplyFacts;
pub use request::{Edits, RequestFacts};
pub use stream::{StreamEnd, StreamScan};
pub use usage::{UsageReport, read_usage};
