//! What anchors need outside the database: the file that their key is in, and the file that a copy of each goes to.

mod copies;
mod key;

pub use copies::{append, read};
pub use key::{load, load_or_make};
