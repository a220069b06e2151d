//! Owns: the caller of one request, as the pipeline carries it.

use super::{ModelPattern, Scope, Scopes, UserPath, VirtualKey};
use crate::base::{Error, ErrorKind, KeyId, Ratio, Result};
use crate::domain::catalog::Mode;
use std::sync::Arc;

/// Who calls, and what they may do.
#[derive(Clone, Debug)]
pub struct Principal {
    /// `None`: the platform key, the process itself, or an open gateway on loopback.
    pub key_id: Option<KeyId>,
    pub name: Arc<str>,
    pub scopes: Scopes,
    pub models: Vec<ModelPattern>,
    pub user_path: UserPath,
    /// The wallet that pays.
    pub wallet: Arc<str>,
    pub mode: Option<Mode>,
    /// Who earns a share on this caller's calls: name, and share of the cost on top.
    pub builder: Option<(Arc<str>, Ratio)>,
}

impl Principal {
    pub const DEFAULT_WALLET: &'static str = "default";

    /// A caller with every scope: the platform key (`platform`), the process itself (`local`), or anyone on an open
    /// gateway (`open`).
    pub fn platform(name: &str) -> Arc<Self> {
        Arc::new(Self {
            key_id: None,
            name: name.into(),
            scopes: Scopes::all(),
            models: Vec::new(),
            user_path: UserPath::root(),
            wallet: Self::DEFAULT_WALLET.into(),
            mode: None,
            builder: None,
        })
    }

    pub fn of_key(key: &VirtualKey) -> Arc<Self> {
        Arc::new(Self {
            key_id: Some(key.id),
            name: key.name.as_str().into(),
            scopes: key.scopes,
            models: key.models.clone(),
            user_path: key.user_path.clone(),
            wallet: key.wallet.as_str().into(),
            mode: key.mode,
            builder: key.builder.clone(),
        })
    }

    pub fn require(&self, scope: Scope) -> Result<()> {
        if self.scopes.has(scope) || self.scopes.has(Scope::Platform) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ScopeMissing, format!("this key lacks the scope '{}'", scope.name())))
    }

    /// May this caller use the model, by its name or as `provider/model`?
    pub fn may_use(&self, model: &str, endpoint_id: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| pattern.matches(model) || pattern.matches(endpoint_id))
    }
}
