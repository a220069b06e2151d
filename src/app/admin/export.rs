//! Owns: the export of the ledger as a folder: the tables, a manifest with the anchors, and the program that proves both.

use super::read;
use crate::adapters::export::{ExportFolder, WrittenFile};
use crate::app::Gateway;
use crate::base::{Error, ErrorKind, Result};
use crate::domain::ledger::{Anchor, ColumnKind, EventKind, ExportQuery, Exported, PostingCode, hex};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The verifier goes with every export, so that whoever has the folder needs nothing else.
const VERIFIER: &str = include_str!("../../../python/gotoai/verify_export.py");
/// Of the manifest and the tables; grows when a reader has to know.
const FORMAT: i64 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    dir: String,
    wallet: Option<String>,
    from: Option<i64>,
}

pub(super) fn export(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Arguments { dir, wallet, from } = read(arguments)?;
    if dir.trim().is_empty() {
        return Err(Error::new(ErrorKind::InvalidRequest, "an export needs a folder to go to").with_param("dir"));
    }
    let mut folder = ExportFolder::begin(&PathBuf::from(&dir), |entries, all| gateway.database.progress().note(entries, all))?;
    // So that the anchors reach to the end; one that cannot be made is said, and the export goes on without it.
    let unanchored = gateway.settings.ledger.anchor_every.and_then(|_| gateway.anchor_if_moved().err()).map(|error| error.message);
    let query = ExportQuery { wallet, from_seq: from.unwrap_or(0) };
    let exported = gateway.ledger.export(&query, &mut folder)?;
    let files = folder.tables()?;
    let manifest = manifest(gateway, &query, &exported, &files);
    folder.add("verify.py", VERIFIER)?;
    folder.add("manifest.json", &format!("{manifest:#}\n"))?;
    folder.finish()?;
    Ok(json!({
        "dir": dir,
        "wallet": query.wallet,
        "counts": files.iter().map(|file| (file.table.name().to_owned(), file.rows.into())).collect::<Map<String, Value>>(),
        "entries": manifest["entries"],
        "head": manifest["head"],
        "anchors": exported.anchors.len(),
        "anchored_to": exported.anchors.last().map(|anchor| anchor.last_seq),
        "unanchored": unanchored,
    }))
}

fn manifest(gateway: &Gateway, query: &ExportQuery, exported: &Exported, files: &[WrittenFile]) -> Value {
    let listed: Map<String, Value> = files.iter().map(|file| (file.name.clone(), listed(file))).collect();
    let head = &exported.head;
    json!({
        "format": FORMAT,
        "gotoai": env!("CARGO_PKG_VERSION"),
        "made_at": gateway.clock.now().to_string(),
        "currency": "USD",
        "wallet": query.wallet,
        "entries": { "from": exported.from_seq, "complete_from": exported.complete_from, "last": head.last_seq },
        "head": { "block": head.n, "hash": hex(&head.hash), "last_seq": head.last_seq },
        // What the numbers in the journal and the postings mean; in the rows they would be in no hash.
        "names": {
            "kind": EventKind::ALL.map(|kind| (kind as u8, kind.name())).into_iter().collect::<BTreeMap<_, _>>(),
            "code": PostingCode::ALL.map(|code| (code as u8, code.name())).into_iter().collect::<BTreeMap<_, _>>(),
        },
        "files": listed,
        "anchors": exported.anchors.iter().map(Anchor::to_json).collect::<Vec<_>>(),
    })
}

/// The columns by their kinds, for readers that want types.
fn listed(file: &WrittenFile) -> Value {
    let columns: Map<String, Value> =
        file.table.columns().iter().map(|(name, kind)| ((*name).to_owned(), kind_name(*kind).into())).collect();
    json!({ "rows": file.rows, "sha256": file.sha256, "columns": columns })
}

const fn kind_name(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Number => "number",
        ColumnKind::Text => "text",
        ColumnKind::Amount => "amount",
        ColumnKind::Time => "time",
    }
}
