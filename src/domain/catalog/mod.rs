//! Floor 2, catalog: what can be called and at what price.

mod price;

pub use price::{AmountTooLarge, Meter, PriceLine, PriceSheet, Usage};
