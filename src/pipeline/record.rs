//! The last step: the record, on every exit.

use super::Pipeline;
use crate::base::Result;
use crate::domain::ledger::{Reply, Ticket};
use crate::domain::usage::CallRecord;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

impl Pipeline {
    pub(super) fn record(&self, record: &CallRecord, cause: Option<&str>) {
        if let Some(cause) = cause {
            tracing::warn!(request_id = &*record.request_id, cause, "call failed");
        }
        self.recorder.record(record);
    }
}

/// A settlement on its way. Its record is made when the ledger has said what was charged; where nobody waits for that, at once,
/// with what was asked of it.
pub(super) struct Settling {
    ticket: Ticket,
    record: Option<CallRecord>,
    pipeline: Arc<Pipeline>,
}

impl Settling {
    pub(super) fn new(ticket: Ticket, record: CallRecord, pipeline: &Arc<Pipeline>) -> Self {
        Self { ticket, record: Some(record), pipeline: Arc::clone(pipeline) }
    }

    fn write(&mut self) {
        if let Some(record) = self.record.take() {
            self.pipeline.record(&record, None);
        }
    }
}

impl Future for Settling {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Reply>> {
        let settled = ready!(Pin::new(&mut self.ticket).poll(cx));
        if let (Ok(Reply::Settled { charge, .. }), Some(record)) = (&settled, &mut self.record) {
            record.charge = *charge;
        }
        self.write();
        Poll::Ready(settled)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.write();
    }
}
