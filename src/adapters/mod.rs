//! Floor 3: the outside world, one small adapter each. Never imports the pipeline, nor is imported by it.

pub mod alerts;
pub mod anchors;
pub mod export;
pub mod providers;
pub mod stores;
pub mod telemetry;
