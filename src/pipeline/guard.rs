//! Step 3: checks on what goes in, in order. Nothing is configured until guardrails are; a guardrail that cannot decide
//! refuses (fail closed).

use super::context::Context;
use super::{Call, Pipeline};
use crate::base::Result;

/// Looks at a call before it is served. `Err` refuses it.
pub trait Guardrail: Send + Sync {
    fn check(&self, call: &Call) -> Result<()>;
}

impl Pipeline {
    pub(super) fn guard(&self, cx: &Context) -> Result<()> {
        cx.snapshot.guardrails.iter().try_for_each(|guardrail| guardrail.check(&cx.call))
    }
}
