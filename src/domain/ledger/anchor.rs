//! Owns: anchors: signed statements that the chain had this head at that time, each sealing the one before it; the key that
//! signs them; and the check that the chain still has every anchored head.
//! Refuses to know: where anchors and keys are kept, and when one is made.
//!
//! A chain alone shows accidents: who owns the file can compute it anew. An anchor kept outside shows that too, because a chain
//! that was computed anew does not have its head.

use super::chain::{Block, Hash, hex, sha256, unhex};
use crate::base::{Error, ErrorKind, Result, Secret, Timestamp};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Block `block`, whose last entry is `last_seq`, was the head of the chain, and its hash was `head`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub n: i64,
    pub ts: Timestamp,
    pub block: i64,
    pub last_seq: i64,
    pub head: Hash,
    /// Hash of the anchor before; zero for the first.
    pub prev: Hash,
    pub public_key: Hash,
    pub signature: [u8; 64],
}

impl Anchor {
    const DOMAIN: u8 = 0x03;
    const VERSION: u8 = 1;

    /// What is signed: 0x03, version, then n, block, `last_seq`, ts (big-endian), head, prev and the key's fingerprint.
    fn message(&self) -> Vec<u8> {
        let mut bytes = vec![Self::DOMAIN, Self::VERSION];
        for number in [self.n, self.block, self.last_seq, self.ts.0] {
            bytes.extend(number.to_be_bytes());
        }
        for hash in [self.head, self.prev, self.key_id()] {
            bytes.extend(hash);
        }
        bytes
    }

    /// Fingerprint of the key that signed it: SHA-256 of the public key.
    pub fn key_id(&self) -> Hash {
        sha256(&self.public_key)
    }

    /// SHA-256 of the message and the signature: what the next anchor seals.
    pub fn hash(&self) -> Hash {
        let mut bytes = self.message();
        bytes.extend(self.signature);
        sha256(&bytes)
    }

    pub fn is_signed(&self) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public_key).verify(&self.message(), &self.signature).is_ok()
    }

    /// One JSON object, the same in the file outside and in exports.
    pub fn to_json(&self) -> Value {
        json!({
            "n": self.n,
            "ts": self.ts.to_string(),
            "ts_ms": self.ts.0,
            "block": self.block,
            "last_seq": self.last_seq,
            "head": hex(&self.head),
            "prev": hex(&self.prev),
            "key_id": hex(&self.key_id()),
            "public_key": hex(&self.public_key),
            "signature": hex(&self.signature),
        })
    }

    /// Reads what `to_json` wrote; `None` if it is something else.
    pub fn from_json(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let number = |name: &str| value.get(name)?.as_i64();
        let bytes = |name: &str| unhex(value.get(name)?.as_str()?);
        let hash = |name: &str| Hash::try_from(bytes(name)?).ok();
        Some(Self {
            n: number("n")?,
            ts: Timestamp(number("ts_ms")?),
            block: number("block")?,
            last_seq: number("last_seq")?,
            head: hash("head")?,
            prev: hash("prev")?,
            public_key: hash("public_key")?,
            signature: bytes("signature")?.try_into().ok()?,
        })
    }
}

/// The key that signs anchors. It can be neither printed nor compared; its text leaves it once, when it is made.
pub struct AnchorKey {
    pair: Ed25519KeyPair,
    /// Public keys that signed before this one.
    former: Vec<Hash>,
}

impl AnchorKey {
    /// A new key, and the text that `parse` reads it from.
    pub fn generate() -> Result<(Self, Secret)> {
        let failed = |_: aws_lc_rs::error::Unspecified| {
            Error::new(ErrorKind::Internal, "no key for anchors can be made: the system gives no randomness")
        };
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(failed)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| failed(aws_lc_rs::error::Unspecified))?;
        Ok((Self { pair, former: Vec::new() }, Secret::new(format!("{}\n", hex(&seed)))))
    }

    /// A seed of 64 hexadecimal digits, or a private key in PEM (PKCS#8, as `openssl genpkey -algorithm ed25519` writes it);
    /// and beside it any number of lines `former HEX`, public keys whose anchors stay good. `None` if it is something else.
    pub fn parse(text: &Secret) -> Option<Self> {
        let mut former = Vec::new();
        let mut own = String::new();
        for line in text.expose().lines() {
            match line.strip_prefix("former ") {
                Some(key) => former.push(Hash::try_from(unhex(key.trim())?).ok()?),
                None => own.extend([line.trim(), "\n"]),
            }
        }
        let pair = if own.contains("-----BEGIN") {
            let der = PrivatePkcs8KeyDer::from_pem_slice(own.as_bytes()).ok()?;
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok()?
        } else {
            Ed25519KeyPair::from_seed_unchecked(&unhex(own.trim())?).ok()?
        };
        Some(Self { pair, former })
    }

    pub fn public_key(&self) -> Hash {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        key
    }

    /// The public keys whose anchors are taken for ours: this one and those before it.
    pub fn trusted(&self) -> Vec<Hash> {
        std::iter::once(self.public_key()).chain(self.former.iter().copied()).collect()
    }

    /// The anchor of a head, behind the `last` one.
    pub fn sign(&self, last: Option<&Anchor>, block: &Block, now: Timestamp) -> Anchor {
        let mut anchor = Anchor {
            n: last.map_or(1, |last| last.n + 1),
            ts: now,
            block: block.n,
            last_seq: block.last_seq,
            head: block.hash,
            prev: last.map_or([0; 32], Anchor::hash),
            public_key: self.public_key(),
            signature: [0; 64],
        };
        let signature = self.pair.sign(&anchor.message());
        anchor.signature.copy_from_slice(signature.as_ref());
        anchor
    }
}

/// What is known of anchors besides the stored ones, for the proof.
#[derive(Clone, Debug, Default)]
pub struct AnchorEvidence {
    /// Keys whose anchors count; empty when no key is at hand: then any key's, if its signature is good.
    pub trusted: Vec<Hash>,
    /// The lines of the file outside, where it can be read: an anchor, or the number of a line that is none.
    pub outside: Option<Vec<Result<Anchor, usize>>>,
}

/// Checks anchors first, then, block by block, that the chain has their heads.
#[derive(Debug, Default)]
pub(super) struct AnchorCheck {
    last: Option<Anchor>,
    /// Heads still to come, by block: hash, last entry, and the anchor as it is named in a finding.
    expected: HashMap<i64, Vec<(Hash, i64, String)>>,
}

impl AnchorCheck {
    /// The stored anchors in order, then those outside. Returns what is wrong with them.
    pub(super) fn begin(&mut self, stored: &[Anchor], evidence: &AnchorEvidence) -> Vec<String> {
        let mut wrong = Vec::new();
        for anchor in stored {
            let name = format!("anchor {} of {}", anchor.n, anchor.ts);
            let (n, prev) = self.last.as_ref().map_or((1, [0; 32]), |last| (last.n + 1, last.hash()));
            if anchor.n != n || anchor.prev != prev {
                wrong.push(format!("{name} does not follow from the anchor before it"));
            }
            self.one(anchor, name, evidence, &mut wrong);
            self.last = Some(anchor.clone());
        }
        for line in evidence.outside.iter().flatten() {
            match line {
                Ok(anchor) => self.one(anchor, format!("anchor {} of {} in the anchor file", anchor.n, anchor.ts), evidence, &mut wrong),
                Err(line) => wrong.push(format!("line {line} of the anchor file is no anchor")),
            }
        }
        wrong
    }

    fn one(&mut self, anchor: &Anchor, name: String, evidence: &AnchorEvidence, wrong: &mut Vec<String>) {
        if !anchor.is_signed() {
            wrong.push(format!("{name}: its signature does not match its content"));
        } else if !evidence.trusted.is_empty() && !evidence.trusted.contains(&anchor.public_key) {
            wrong.push(format!("{name} is signed by key {}, which is not ours", hex(&anchor.key_id())));
        }
        let expected = self.expected.entry(anchor.block).or_default();
        if !expected.iter().any(|(head, last_seq, _)| (*head, *last_seq) == (anchor.head, anchor.last_seq)) {
            expected.push((anchor.head, anchor.last_seq, name));
        }
    }

    /// The next block of the chain.
    pub(super) fn block(&mut self, block: &Block) -> Vec<String> {
        let anchored = self.expected.remove(&block.n).unwrap_or_default();
        let other = anchored.into_iter().filter(|(head, last_seq, _)| (*head, *last_seq) != (block.hash, block.last_seq));
        other.map(|(.., name)| format!("{name}: block {} is not the one it vouches for; the chain was rewritten", block.n)).collect()
    }

    /// After the last block: anchored heads that never came.
    pub(super) fn finish(&mut self) -> Vec<String> {
        let mut missing: Vec<_> = self.expected.drain().collect();
        missing.sort_unstable_by_key(|(block, _)| *block);
        let each = missing.into_iter().flat_map(|(block, anchors)| anchors.into_iter().map(move |(.., name)| (block, name)));
        each.map(|(block, name)| format!("{name} vouches for block {block}, which the chain does not have; its tail was cut off")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AnchorKey {
        AnchorKey::parse(&Secret::new("01".repeat(32))).unwrap()
    }

    fn chain(blocks: u8, salt: u8) -> Vec<Block> {
        let mut chain: Vec<Block> = Vec::new();
        for n in 0..blocks {
            let head = chain.last().map_or((0, [0; 32]), |block| (block.n, block.hash));
            chain.push(Block::seal(head, i64::from(n) + 1, &[sha256(&[n, salt])], Timestamp(n.into())).unwrap());
        }
        chain
    }

    fn anchors(key: &AnchorKey, blocks: &[Block]) -> Vec<Anchor> {
        let mut anchors: Vec<Anchor> = Vec::new();
        for block in blocks {
            anchors.push(key.sign(anchors.last(), block, block.ts));
        }
        anchors
    }

    fn findings(stored: &[Anchor], evidence: &AnchorEvidence, blocks: &[Block]) -> Vec<String> {
        let mut check = AnchorCheck::default();
        let mut wrong = check.begin(stored, evidence);
        wrong.extend(blocks.iter().flat_map(|block| check.block(block)));
        wrong.extend(check.finish());
        wrong
    }

    #[test]
    fn a_key_is_read_back_and_pem_is_read_as_well() {
        let (made, text) = AnchorKey::generate().unwrap();
        assert_eq!(AnchorKey::parse(&text).unwrap().public_key(), made.public_key());
        // RFC 8032, test 1: seed and public key.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = AnchorKey::parse(&Secret::new(format!("{seed}\nformer {public}\n"))).unwrap();
        assert_eq!((hex(&key.public_key()).as_str(), key.trusted().len()), (public, 2));
        // The same seed as PKCS#8.
        let pem =
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        assert_eq!(hex(&AnchorKey::parse(&Secret::new(pem)).unwrap().public_key()), public);
        for bad in ["", "01", "zz", "-----BEGIN PRIVATE KEY-----\n"] {
            assert!(AnchorKey::parse(&Secret::new(bad)).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_anchor_is_written_and_read_back() {
        let anchor = key().sign(None, &chain(1, 0)[0], Timestamp(7));
        assert_eq!(Anchor::from_json(&anchor.to_json().to_string()), Some(anchor.clone()));
        assert!(anchor.is_signed());
        assert_eq!(Anchor::from_json("{}"), None);
    }

    #[test]
    fn every_changed_member_breaks_the_signature() {
        let anchor = key().sign(None, &chain(1, 0)[0], Timestamp(7));
        let changes: [fn(&mut Anchor); 8] = [
            |a| a.n += 1,
            |a| a.ts.0 += 1,
            |a| a.block += 1,
            |a| a.last_seq += 1,
            |a| a.head[0] ^= 1,
            |a| a.prev[0] ^= 1,
            |a| a.public_key[0] ^= 1,
            |a| a.signature[0] ^= 1,
        ];
        for change in changes {
            let mut other = anchor.clone();
            change(&mut other);
            assert!(!other.is_signed(), "{other:?}");
        }
    }

    #[test]
    fn cut_rewritten_and_forged_are_named() {
        let (key, blocks) = (key(), chain(4, 0));
        let stored = anchors(&key, &blocks);
        let ours = AnchorEvidence { trusted: key.trusted(), outside: Some(stored.iter().cloned().map(Ok).collect()) };
        assert_eq!(findings(&stored, &ours, &blocks), Vec::<String>::new());
        let cut = findings(&stored, &ours, &blocks[..2]);
        assert_eq!(cut.len(), 2);
        assert!(cut[0].starts_with("anchor 3 ") && cut[0].contains("block 3") && cut[0].contains("cut off"), "{cut:?}");
        assert!(findings(&stored, &ours, &chain(4, 1))[0].contains("rewritten"));
        // Everything was rewritten, stored anchors too, with another key: our key and the file outside both tell.
        let other = AnchorKey::generate().unwrap().0;
        let forged = anchors(&other, &chain(4, 1));
        assert!(findings(&forged, &AnchorEvidence::default(), &chain(4, 1)).is_empty());
        let trusted = AnchorEvidence { outside: None, ..ours.clone() };
        assert!(findings(&forged, &trusted, &chain(4, 1))[0].contains("not ours"));
        let outside = AnchorEvidence { trusted: Vec::new(), ..ours };
        assert!(findings(&forged, &outside, &chain(4, 1))[0].contains("in the anchor file: block 1 is not the one"));
        // One taken out, and a line that is no anchor.
        assert!(findings(&[stored[0].clone(), stored[2].clone()], &trusted, &blocks)[0].contains("does not follow"));
        let torn = AnchorEvidence { outside: Some(vec![Err(3)]), ..trusted };
        assert_eq!(findings(&stored, &torn, &blocks), ["line 3 of the anchor file is no anchor"]);
    }
}
