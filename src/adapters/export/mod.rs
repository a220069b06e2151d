//! Exports of the ledger as files.

mod folder;

pub use folder::{ExportFolder, WrittenFile};
