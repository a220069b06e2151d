//! Floor 4: composition. The only place that knows everything below; knows no HTTP and no SQL.

pub mod settings;
