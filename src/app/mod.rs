//! Floor 4: composition. The only place that knows everything below; knows no HTTP and no SQL.

mod gateway;
pub mod settings;

pub use gateway::Gateway;
