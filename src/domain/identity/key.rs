//! Owns: a virtual key: what it may do, how its secret is made and recognised, and the store it needs.
//! Refuses to know: HTTP headers, SQL.

use super::{ModelPattern, UserPath};
use crate::base::{Error, ErrorKind, KeyId, Ratio, Result, Secret, Timestamp};
use crate::domain::catalog::Mode;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use serde::Serialize;
use std::fmt::Write;
use std::sync::Arc;

/// SHA-256 of a key's secret: the only form in which it is stored.
pub type SecretDigest = [u8; 32];

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Call models, read its own orders.
    Chat,
    /// See and administer its own wallet and keys below its user path.
    OrgAdmin,
    /// Administer everything.
    Platform,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Chat, Self::OrgAdmin, Self::Platform];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::OrgAdmin => "org_admin",
            Self::Platform => "platform",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    pub const fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    pub fn names(self) -> Vec<&'static str> {
        Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::name).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u8))
    }
}

/// A virtual key as stored: everything but its secret.
#[derive(Clone, Debug)]
pub struct VirtualKey {
    pub id: KeyId,
    pub name: String,
    pub digest: SecretDigest,
    /// The secret's last four characters, to tell keys apart.
    pub hint: String,
    pub scopes: Scopes,
    /// Empty: every model.
    pub models: Vec<ModelPattern>,
    pub user_path: UserPath,
    pub wallet: String,
    pub mode: Option<Mode>,
    /// Who made the application that uses it, and earns this share of the cost on top: name, and share.
    pub builder: Option<(Arc<str>, Ratio)>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl VirtualKey {
    pub const PREFIX: &'static str = "sk-goto-";

    /// A new secret: the prefix and 256 random bits in hexadecimal.
    pub fn new_secret() -> Result<Secret> {
        let mut bytes = [0_u8; 32];
        rand::fill(&mut bytes).map_err(|_| Error::new(ErrorKind::Internal, "the system's random generator failed; no key was made"))?;
        let mut text = String::with_capacity(Self::PREFIX.len() + 64);
        text.push_str(Self::PREFIX);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Secret::new(text))
    }

    pub fn digest_of(secret: &str) -> SecretDigest {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        out
    }

    /// The last four characters, to tell keys apart.
    pub fn hint_of(secret: &str) -> String {
        secret.chars().skip(secret.chars().count().saturating_sub(4)).collect()
    }

    pub fn status(&self, now: Timestamp) -> &'static str {
        if self.revoked_at.is_some() {
            "revoked"
        } else if self.expires_at.is_some_and(|at| at <= now) {
            "expired"
        } else {
            "active"
        }
    }
}

/// Keeps keys. Each method is one transaction.
pub trait KeyStore: Send + Sync {
    fn list_keys(&self) -> Result<Vec<VirtualKey>>;
    fn insert_key(&self, key: &VirtualKey) -> Result<()>;
    /// Sets `revoked_at` unless it is set; returns the key, or `None` if there is none.
    fn revoke_key(&self, id: KeyId, now: Timestamp) -> Result<Option<VirtualKey>>;
}
