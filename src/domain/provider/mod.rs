//! Floor 2, provider: what an upstream must be able to do, and the families of them as rows of data.

mod call;
mod family;

pub use call::{FaultKind, Pending, Provider, ProviderBody, ProviderCall, ProviderFault, ProviderReply};
pub use family::{Disconnect, Family, Quirk};
