//! Floor 2, catalog: what can be called and at what price.

mod book;
mod endpoint;
mod history;
mod index;
mod markup;
mod meter;
mod mode;
mod price;
mod tier;

pub use book::{Capability, DataSet, ModelFacts, ModelMode, PriceBook};
pub use endpoint::{DataPolicy, Endpoint};
pub use history::PriceHistory;
pub use index::{Catalog, MakeEndpoint, ProviderEntry, Selection};
pub use markup::{MarkupRule, Sell, sell_for};
pub use meter::{Meter, Usage};
pub use mode::Mode;
pub use price::{AmountTooLarge, PinnedPrice, PriceLine, PriceSheet};
pub use tier::{DayWindow, Rating, ServiceTier};
