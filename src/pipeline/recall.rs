//! Step 5: an answer that is already known. A hit costs nothing and ends here; nothing is configured until caches are.

use super::context::Context;
use super::{Call, Pipeline, Reply};
use crate::domain::identity::Principal;

/// Answers known calls. Entries belong to the principal's tenant.
pub trait ResponseCache: Send + Sync {
    fn lookup(&self, principal: &Principal, call: &Call) -> Option<Reply>;
}

impl Pipeline {
    pub(super) fn recall(&self, cx: &Context) -> Option<Reply> {
        self.cache.as_ref()?.lookup(cx.principal.as_ref()?, &cx.call)
    }
}
