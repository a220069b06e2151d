//! Floor 2, catalog: what can be called and at what price.

mod book;
mod endpoint;
mod index;
mod markup;
mod mode;
mod price;

pub use book::{Capability, DataSet, ModelFacts, ModelMode, PriceBook};
pub use endpoint::{DataPolicy, Endpoint};
pub use index::{Catalog, MakeEndpoint, ProviderEntry, Selection};
pub use markup::MarkupRule;
pub use mode::Mode;
pub use price::{AmountTooLarge, Meter, PinnedPrice, PriceLine, PriceSheet, Usage};
