//! Step 6: the candidates in the order in which to try them.

use super::Pipeline;
use super::context::Context;
use crate::base::Result;
use crate::domain::routing::plan;

impl Pipeline {
    pub(super) fn route(&self, cx: &mut Context) -> Result<()> {
        let mut candidates = cx.selection.take().map(|selection| selection.candidates).unwrap_or_default();
        // A hold is taken on prices: what has one is not failed over to what has none.
        if self.ledger.is_some() && candidates.iter().any(|endpoint| endpoint.price_at(cx.began_at).is_some()) {
            candidates.retain(|endpoint| endpoint.price_at(cx.began_at).is_some());
        }
        cx.plan = plan(candidates, cx.mode, cx.began_at)?;
        Ok(())
    }
}
