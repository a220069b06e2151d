//! Owns: the hashes that make a silent change visible: a Merkle root over the leaves of a commit, blocks linked by hash.
//! Shape after RFC 6962: leaves, inner nodes and blocks are hashed under different first bytes.

use crate::base::Timestamp;
pub use crate::base::{hex, unhex};
use aws_lc_rs::digest::{SHA256, digest};

pub type Hash = [u8; 32];

pub(super) fn sha256(bytes: &[u8]) -> Hash {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Root over the leaves in order; an odd node is carried up unchanged. `None` without leaves.
pub(super) fn merkle_root(leaves: &[Hash]) -> Option<Hash> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => {
                    let mut bytes = [0x01; 65];
                    bytes[1..33].copy_from_slice(left);
                    bytes[33..].copy_from_slice(right);
                    sha256(&bytes)
                }
                odd => odd[0],
            })
            .collect();
    }
    level.first().copied()
}

/// The hashes that lead from the leaf at `index` to the root, lowest first; a level at which it has no neighbour adds none.
pub fn merkle_path(leaves: &[Hash], mut index: usize) -> Vec<Hash> {
    let mut path = Vec::new();
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        path.extend(level.get(index ^ 1));
        level = level.chunks(2).filter_map(merkle_root).collect();
        index /= 2;
    }
    path
}

/// One commit of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub n: i64,
    pub first_seq: i64,
    pub last_seq: i64,
    /// Hash of the block before; zero for the first.
    pub prev: Hash,
    pub root: Hash,
    pub hash: Hash,
    pub ts: Timestamp,
}

impl Block {
    /// The block that follows `prev` (its number and hash) and seals `leaves`, the first of which is `first_seq`.
    pub fn seal(prev: (i64, Hash), first_seq: i64, leaves: &[Hash], ts: Timestamp) -> Option<Self> {
        let root = merkle_root(leaves)?;
        let (n, last_seq) = (prev.0 + 1, first_seq + i64::try_from(leaves.len()).ok()? - 1);
        Some(Self { n, first_seq, last_seq, prev: prev.1, root, hash: block_hash(n, first_seq, last_seq, &prev.1, &root, ts), ts })
    }
}

/// SHA-256(0x02 | prev | root | n | first | last | ts).
pub(super) fn block_hash(n: i64, first_seq: i64, last_seq: i64, prev: &Hash, root: &Hash, ts: Timestamp) -> Hash {
    let mut bytes = Vec::with_capacity(97);
    bytes.push(0x02);
    bytes.extend(prev);
    bytes.extend(root);
    for number in [n, first_seq, last_seq, ts.0] {
        bytes.extend(number.to_be_bytes());
    }
    sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn roots_differ_by_content_order_and_number() {
        let leaf = |n: u8| sha256(&[n]);
        let root = |leaves: &[Hash]| merkle_root(leaves).unwrap();
        assert_eq!(merkle_root(&[]), None);
        assert_eq!(root(&[leaf(1)]), leaf(1));
        assert_ne!(root(&[leaf(1), leaf(2)]), root(&[leaf(2), leaf(1)]));
        assert_ne!(root(&[leaf(1), leaf(2)]), root(&[leaf(1), leaf(2), leaf(2)]));
    }

    /// As a verifier walks it: the position and the number of leaves tell at which side a neighbour stands.
    fn walk(leaf: Hash, path: &[Hash], mut index: usize, mut count: usize) -> Hash {
        let (mut hash, mut path) = (leaf, path.iter());
        while count > 1 {
            if index % 2 == 1 {
                hash = merkle_root(&[*path.next().unwrap(), hash]).unwrap();
            } else if index + 1 < count {
                hash = merkle_root(&[hash, *path.next().unwrap()]).unwrap();
            }
            (index, count) = (index / 2, count.div_ceil(2));
        }
        hash
    }

    proptest! {
        #[test]
        fn every_path_leads_to_the_root(count in 1..70_usize, at in 0..70_usize) {
            let leaves: Vec<Hash> = (0..count).map(|n| sha256(&n.to_be_bytes())).collect();
            let path = merkle_path(&leaves, at % count);
            prop_assert_eq!(Some(walk(leaves[at % count], &path, at % count, count)), merkle_root(&leaves));
        }

        #[test]
        fn any_changed_leaf_changes_the_root(count in 1..40_usize, at in 0..40_usize) {
            let mut leaves: Vec<Hash> = (0..count).map(|n| sha256(&n.to_be_bytes())).collect();
            let before = merkle_root(&leaves);
            leaves[at % count][0] ^= 1;
            prop_assert_ne!(before, merkle_root(&leaves));
        }
    }
}
