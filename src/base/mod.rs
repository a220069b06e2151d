//! Floor 0: the words every floor uses. No I/O, no policy.

mod calendar;
mod clock;
mod error;
mod fast_map;
mod hex;
mod id;
mod money;
mod secret;

pub use calendar::{DAY_MS, Date};
pub use clock::{Clock, Timestamp};
pub use error::{Error, ErrorKind, Fault, Result, Retry};
pub use fast_map::{FastMap, FastSet};
pub use hex::{hex, unhex};
pub use id::{KeyId, OpId, OrderId};
pub use money::{Exact, Money, Ratio, Rounding};
pub use secret::Secret;
