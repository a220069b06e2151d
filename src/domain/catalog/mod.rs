//! Floor 2, catalog: what can be called and at what price.

mod book;
mod price;

pub use book::{Capability, DataSet, ModelFacts, ModelMode, PriceBook};
pub use price::{AmountTooLarge, Meter, PriceLine, PriceSheet, Usage};
