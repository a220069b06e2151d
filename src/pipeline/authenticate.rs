//! Step 1: who calls, and on what terms. Never open by default: an absent key is refused unless the operator opened the gateway on loopback.

use super::context::Context;
use super::{Credential, Pipeline};
use crate::base::{Error, ErrorKind, Result};
use crate::domain::identity::{Principal, Scope};

impl Pipeline {
    pub(super) fn authenticate(&self, cx: &mut Context) -> Result<()> {
        let principal = self.principal(&cx.call.credential, cx.snapshot.open)?;
        principal.require(Scope::Chat)?;
        cx.terms = self.terms.load().get(&principal.wallet).cloned();
        cx.principal = Some(principal);
        Ok(())
    }

    /// The caller behind a credential; also for what is asked beside the path (model list, orders, administration).
    pub fn principal(&self, credential: &Credential, open: bool) -> Result<std::sync::Arc<Principal>> {
        match credential {
            Credential::Trusted => Ok(Principal::platform("local")),
            Credential::Key(_) | Credential::None if open => Ok(Principal::platform("open")),
            Credential::Key(secret) => self.keys.load().authenticate(secret.expose(), self.clock.now()),
            Credential::None => Err(Error::new(
                ErrorKind::MissingKey,
                "no API key was sent; send the header 'Authorization: Bearer <key>' with a key made by `gotoai keys create`",
            )),
        }
    }
}
