//! Floor 2, catalog: what can be called and at what price.

mod endpoint;
mod index;
mod price;

pub use endpoint::{DataPolicy, Endpoint};
pub use index::{Catalog, MakeEndpoint, ProviderEntry, Selection};
pub use price::{AmountTooLarge, Meter, PinnedPrice, PriceLine, PriceSheet, Usage};
