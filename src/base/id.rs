//! Owns: identifiers made by the gateway. Time-ordered (UUID version 7), so that indexes grow at their right end.
//! Refuses to know: identifiers made by providers; those are plain text.

use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A new id; later ids sort after earlier ones.
            pub fn new() -> Self {
                Self(*Uuid::now_v7().as_bytes())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(Uuid::from_bytes(self.0).as_simple().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ();

            /// Accepts the printed form, with or without its prefix.
            fn from_str(text: &str) -> Result<Self, ()> {
                let bare = text.strip_prefix($prefix).unwrap_or(text);
                Uuid::try_parse(bare).map(|id| Self(*id.as_bytes())).map_err(|_| ())
            }
        }
    };
}

id!(
    /// One settled call. Made before the reserve and never reused.
    OrderId,
    "ord_"
);
id!(
    /// One virtual key (its handle, not its secret).
    KeyId,
    "key_"
);
id!(
    /// One cold ledger command (top-up, adjustment): made from the business fact, so that the same fact counts once.
    OpId,
    "op_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_back_in_time_order() {
        let (a, b) = (OrderId::new(), OrderId::new());
        assert!(a < b || a.0[..6] == b.0[..6]);
        assert_eq!(a.to_string().parse::<OrderId>(), Ok(a));
        assert!("ord_zz".parse::<OrderId>().is_err());
    }
}
