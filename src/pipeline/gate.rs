//! Step 4: may this call proceed now: kill switch, sound books, then access to the model.

use super::Pipeline;
use super::context::Context;
use crate::base::{Error, ErrorKind, Result};

impl Pipeline {
    pub(super) fn gate(&self, cx: &mut Context) -> Result<()> {
        if cx.snapshot.kill_switch {
            return Err(Error::new(ErrorKind::KillSwitch, "an operator has stopped this gateway; no call is served for now"));
        }
        if let Some(reason) = &*self.frozen.load() {
            return Err(Error::new(
                ErrorKind::LedgerFrozen,
                format!("the books do not add up, so no new call is taken ({reason}); what is under way is settled"),
            ));
        }
        let (Some(principal), Some(facts), Some(selection)) = (&cx.principal, &cx.facts, &mut cx.selection) else {
            return Err(Error::new(ErrorKind::Internal, "the gateway failed on this request").with_cause("gate before resolve"));
        };
        // Failover stays within what the caller may use.
        selection
            .candidates
            .retain(|endpoint| principal.may_use(&facts.model, &endpoint.id) || principal.may_use(&endpoint.model, &endpoint.id));
        if selection.candidates.is_empty() {
            return Err(
                Error::new(ErrorKind::ModelDenied, format!("this API key may not use the model '{}'", facts.model)).with_param("model")
            );
        }
        Ok(())
    }
}
