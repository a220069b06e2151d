//! The last step: the record, on every exit.

use super::Pipeline;
use crate::domain::usage::CallRecord;

impl Pipeline {
    pub(super) fn record(&self, record: &CallRecord, cause: Option<&str>) {
        if let Some(cause) = cause {
            tracing::warn!(request_id = &*record.request_id, cause, "call failed");
        }
        self.recorder.record(record);
    }
}
