//! Owns: recognising a presented secret. Lookups go by digest, so that timing tells nothing about the secret.

use super::{Principal, SecretDigest, VirtualKey};
use crate::base::{Error, ErrorKind, Result, Secret, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;

struct Entry {
    principal: Arc<Principal>,
    expires_at: Option<Timestamp>,
    revoked: bool,
}

/// All keys of one snapshot, by digest of the secret.
#[derive(Default)]
pub struct KeyRing {
    keys: HashMap<SecretDigest, Entry>,
    platform: Option<(SecretDigest, Arc<Principal>)>,
}

impl KeyRing {
    /// `platform_key`: the key that administers everything (`GOTOAI_MASTER_KEY`), if one is set outside the store.
    pub fn new(keys: &[VirtualKey], platform_key: Option<&Secret>) -> Self {
        let entry =
            |key: &VirtualKey| Entry { principal: Principal::of_key(key), expires_at: key.expires_at, revoked: key.revoked_at.is_some() };
        Self {
            keys: keys.iter().map(|key| (key.digest, entry(key))).collect(),
            platform: platform_key.map(|secret| (VirtualKey::digest_of(secret.expose()), Principal::platform("platform"))),
        }
    }

    pub fn authenticate(&self, secret: &str, now: Timestamp) -> Result<Arc<Principal>> {
        let digest = VirtualKey::digest_of(secret);
        if let Some((platform, principal)) = &self.platform
            && *platform == digest
        {
            return Ok(Arc::clone(principal));
        }
        let Some(entry) = self.keys.get(&digest) else {
            return Err(Error::new(
                ErrorKind::InvalidKey,
                "the API key is not known here; check it, or make one with `gotoai keys create`",
            ));
        };
        if entry.revoked {
            return Err(Error::new(ErrorKind::KeyRevoked, "this API key has been revoked"));
        }
        if entry.expires_at.is_some_and(|at| at <= now) {
            return Err(Error::new(ErrorKind::KeyExpired, "this API key has expired"));
        }
        Ok(Arc::clone(&entry.principal))
    }
}
