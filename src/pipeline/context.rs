//! Owns: what one call carries through the steps before its order is reserved.

use super::replay::Marked;
use super::{Call, Pipeline, Reply, Snapshot};
use crate::base::{Error, OrderId, Timestamp};
use crate::domain::catalog::Mode;
use crate::domain::catalog::{Endpoint, Selection, Usage};
use crate::domain::identity::Principal;
use crate::domain::ledger::WalletTerms;
use crate::domain::usage::CallRecord;
use crate::protocol::openai::RequestFacts;
use std::sync::Arc;
use tokio::time::Instant;

/// One call on its way. Steps fill it in order. It travels in a box: futures are moved, and copied, with all that they hold.
pub(super) struct Context {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) call: Call,
    pub(super) began: Instant,
    pub(super) began_at: Timestamp,
    pub(super) order: OrderId,
    /// By authenticate.
    pub(super) principal: Option<Arc<Principal>>,
    /// By authenticate: those of the caller's wallet as the call begins. What is changed later is for later calls. `None`: the usual
    /// ones.
    pub(super) terms: Option<WalletTerms>,
    /// By replay.
    pub(super) marked: Option<Marked>,
    /// By resolve.
    pub(super) facts: Option<RequestFacts>,
    pub(super) selection: Option<Selection>,
    pub(super) mode: Option<Mode>,
    /// By route: what to try, in order.
    pub(super) plan: Vec<Arc<Endpoint>>,
}

impl Context {
    pub(super) fn begin(pipeline: Arc<Pipeline>, call: Call) -> Self {
        Self {
            snapshot: pipeline.snapshot.load_full(),
            began: Instant::now(),
            began_at: pipeline.clock.now(),
            order: OrderId::new(),
            principal: None,
            terms: None,
            marked: None,
            facts: None,
            selection: None,
            mode: None,
            plan: Vec::new(),
            pipeline,
            call,
        }
    }

    /// The end of a call that never became an order: recorded like every other.
    pub(super) fn refuse(&self, error: Error) -> Reply {
        let mut record = self.record();
        record.status = error.kind.status();
        record.error = Some(error.kind);
        record.finish = "refused";
        record.duration = self.began.elapsed();
        self.pipeline.record(&record, error.cause.as_deref());
        Reply::error(&error)
    }

    /// The end of a call whose answer was known.
    pub(super) fn recalled(&self, reply: Reply) -> Reply {
        let mut record = self.record();
        record.status = reply.status;
        record.finish = "recalled";
        self.pipeline.record(&record, None);
        reply
    }

    /// What is known of the call so far.
    pub(super) fn record(&self) -> CallRecord {
        CallRecord {
            request_id: Arc::clone(&self.call.request_id),
            operation: self.call.operation,
            order: None,
            key_id: self.principal.as_ref().and_then(|principal| principal.key_id),
            user_path: self.principal.as_ref().map(|principal| principal.user_path.shared()),
            model: self.facts.as_ref().map(|facts| Arc::clone(&facts.model)),
            endpoint: None,
            stream: self.facts.as_ref().is_some_and(|facts| facts.stream),
            status: 0,
            error: None,
            attempts: 0,
            usage: Usage::default(),
            charge: None,
            cost: None,
            cost_reported: false,
            finish: "",
            duration: self.began.elapsed(),
            first_byte: None,
        }
    }
}
