//! Owns: the hash maps of what is looked up at every call, under a fast hash. The standard one costs as much as the rest of a
//! look-up; it withstands keys chosen by an enemy, which ids that we make are not.

use std::collections::{HashMap, HashSet};

pub type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
pub type FastSet<K> = HashSet<K, foldhash::fast::RandomState>;
