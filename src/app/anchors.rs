//! Owns: when the head of the chain is signed and with which key, the copy outside, and what the proof may look at besides
//! the database.
//! Refuses to know: what an anchor says (domain) and how it is stored.

use super::gateway::Gateway;
use crate::adapters::anchors;
use crate::base::{Error, ErrorKind, Result};
use crate::domain::ledger::{Anchor, AnchorEvidence, AnchorKey, Report, hex};

impl Gateway {
    /// Signs the head if it has moved since, and brings the file outside up to date. The last anchor, and whether it is new.
    pub(super) fn anchor(&self) -> Result<(Option<Anchor>, bool)> {
        let made = self.database.make_anchor(&self.anchor_key()?, self.clock.now())?;
        let is_new = made.is_some();
        self.copy_anchors()?;
        Ok((made.map_or_else(|| self.database.last_anchor(), |made| Ok(Some(made)))?, is_new))
    }

    /// Not while the ledger is ill: what it wrote last may not be on the disk, and nothing that may be lost is vouched for.
    pub(super) fn anchor_if_moved(&self) -> Result<()> {
        if self.ledger.health().is_err() {
            return Ok(());
        }
        match (self.database.head_moved()?, self.database.last_anchor()?) {
            (true, _) => self.anchor().map(drop),
            // The file may have been out of reach when the last one was made.
            (false, Some(_)) => self.copy_anchors(),
            (false, None) => Ok(()),
        }
    }

    /// The key that signs; made when none ever signed here. A ledger that has anchors is never given a second key in silence.
    fn anchor_key(&self) -> Result<AnchorKey> {
        let path = &self.settings.ledger.anchor_key;
        match (anchors::load(path)?, self.database.last_anchor()?) {
            (Some(key), _) => Ok(key),
            (None, None) => anchors::load_or_make(path),
            (None, Some(last)) => {
                let (id, path) = (hex(&last.key_id()), path.display());
                let why =
                    format!("key {id} signed this ledger's anchors, and there is no key at '{path}'; set ledger.anchor_key to its file");
                Err(Error::new(ErrorKind::Configuration, why))
            }
        }
    }

    /// Gives the file outside what it does not have. A file that is ahead of the ledger is evidence: it is left alone.
    fn copy_anchors(&self) -> Result<()> {
        let path = &self.settings.ledger.anchor_file;
        let copied = anchors::append(path, |last| {
            let Some(last) = last else { return self.database.anchors_after(0) };
            let mut rest = self.database.anchors_after(last.n - 1)?.into_iter();
            if rest.next().as_ref() == Some(last) {
                return Ok(rest.collect());
            }
            let why = format!(
                "the anchor file '{}' ends with anchor {} of block {}, which this ledger does not have: it was cut or replaced; run \
                 `gotoai ledger verify`, and move the file away only if you know why",
                path.display(),
                last.n,
                last.block
            );
            Err(Error::new(ErrorKind::Storage, why))
        })?;
        if copied > 0 {
            tracing::info!(anchors = copied, file = %path.display(), "anchored the ledger");
        }
        Ok(())
    }

    /// The proof, with the key and the file outside where they can be read.
    pub(super) fn verify_ledger(&self) -> Result<Report> {
        self.ledger.verify_with(&self.anchor_evidence()?)
    }

    /// What is known of anchors besides the database.
    pub(super) fn anchor_evidence(&self) -> Result<AnchorEvidence> {
        let settings = &self.settings.ledger;
        let trusted = anchors::load(&settings.anchor_key)?.map_or_else(Vec::new, |key| key.trusted());
        let outside = anchors::read(&settings.anchor_file).unwrap_or_else(|error| {
            tracing::warn!(%error, "the proof goes without the anchor file");
            None
        });
        Ok(AnchorEvidence { trusted, outside })
    }
}
