//! Step 2: what is asked, and what it may stand for.

use super::Pipeline;
use super::context::Context;
use crate::base::Result;
use crate::domain::catalog::Mode;
use crate::protocol::openai::RequestFacts;

impl Pipeline {
    pub(super) fn resolve(&self, cx: &mut Context) -> Result<()> {
        let facts = RequestFacts::read(cx.call.operation, &cx.call.body)?;
        let asked: Option<Mode> = cx.call.mode.as_deref().map(str::parse).transpose()?;
        let selection = cx.snapshot.catalog.resolve(&facts.model, cx.began_at);
        cx.facts = Some(facts);
        let selection = selection?;
        let default = cx.principal.as_ref().and_then(|principal| principal.mode);
        // Header before suffix before the key's default.
        cx.mode = asked.or(selection.mode).or(default);
        cx.selection = Some(selection);
        Ok(())
    }
}
