//! Floor 2, identity: who calls and what they may do.

mod key;
mod pattern;
mod principal;
mod ring;
mod user_path;

pub use key::{KeyStore, Scope, Scopes, SecretDigest, VirtualKey};
pub use pattern::ModelPattern;
pub use principal::Principal;
pub use ring::KeyRing;
pub use user_path::UserPath;
