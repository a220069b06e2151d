//! Owns: the file outside the database with a copy of every anchor, one JSON line each, synced. It may lie on another machine.
//! Refuses to know: the database. What is missing in the file is given to it.

use crate::base::{Error, ErrorKind, Result};
use crate::domain::ledger::Anchor;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind as IoErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// No line is longer, by far.
const LINE_LIMIT_BYTES: u64 = 16 << 10;
/// So many lines are on the disk before more are written: what a power cut tears lies within the last of the file.
const LINES_PER_SYNC: usize = 8;
/// An anchor every minute for some years.
const LINES_MAX: usize = 4_000_000;

fn failed(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Storage, format!("the anchor file '{}' {why}", path.display()))
}

/// Every line: an anchor, or the number of a line that is none. `None` if there is no such file.
pub fn read(path: &Path) -> Result<Option<Vec<Result<Anchor, usize>>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, format!("cannot be read: {error}"))),
    };
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    for number in 1..=LINES_MAX {
        let mut line = Vec::new();
        reader
            .by_ref()
            .take(LINE_LIMIT_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(|error| failed(path, format!("cannot be read: {error}")))?;
        if line.is_empty() {
            break;
        }
        lines.push(std::str::from_utf8(&line).ok().and_then(Anchor::from_json).ok_or(number));
    }
    Ok(Some(lines))
}

/// Appends what the file does not have yet. `missing` tells, for the last anchor of the file, those that follow; an error of
/// it leaves the file as it is. Returns how many were written; another process that writes at this moment does it for us.
pub fn append(path: &Path, missing: impl FnOnce(Option<&Anchor>) -> Result<Vec<Anchor>>) -> Result<usize> {
    let cannot = |error: std::io::Error| failed(path, format!("cannot be written: {error}"));
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(cannot)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(0),
        // A file system without locks: then nobody else shares the file either, or lines come twice, which does no harm.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    let last = last_line(&mut file).map_err(cannot)?;
    let last = match last.as_deref() {
        None => None,
        Some(line) => Some(Anchor::from_json(line).ok_or_else(|| failed(path, "ends in a line that is no anchor; move the file away"))?),
    };
    let lines = missing(last.as_ref())?;
    for part in lines.chunks(LINES_PER_SYNC) {
        let text = part.iter().fold(String::new(), |text, anchor| text + &anchor.to_json().to_string() + "\n");
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)?;
    }
    Ok(lines.len())
}

/// The last whole line. What a power cut left behind it is taken away: a line without its end, or one with zeros where a part of the
/// disk was never written, and what came after that.
fn last_line(file: &mut File) -> std::io::Result<Option<String>> {
    let end = file.seek(SeekFrom::End(0))?;
    let start = end.saturating_sub(2 * LINE_LIMIT_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let written = tail.iter().position(|byte| *byte == 0).unwrap_or(tail.len());
    let whole = tail[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < tail.len() {
        file.set_len(start + u64::try_from(whole).unwrap_or(0))?;
    }
    let lines = String::from_utf8_lossy(&tail[..whole]);
    Ok(lines.lines().next_back().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Secret, Timestamp};
    use crate::domain::ledger::{AnchorKey, Block};

    #[test]
    fn a_torn_line_is_taken_away_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors.jsonl");
        let key = AnchorKey::parse(&Secret::new("02".repeat(32))).unwrap();
        let block = Block::seal((0, [0; 32]), 1, &[[1; 32]], Timestamp(1)).unwrap();
        let first = key.sign(None, &block, Timestamp(1));
        let second = key.sign(Some(&first), &block, Timestamp(2));
        assert!(read(&path).unwrap().is_none());
        append(&path, |last| {
            assert!(last.is_none());
            Ok(vec![first.clone()])
        })
        .unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"n\":2,\"ts")).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), [Ok(first.clone()), Err(2)]);
        let written = append(&path, |last| {
            assert_eq!(last, Some(&first));
            Ok(vec![second.clone()])
        });
        assert_eq!(written, Ok(1));
        assert_eq!(read(&path).unwrap().unwrap(), [Ok(first.clone()), Ok(second.clone())]);
        // The size of a file may be on the disk before its content is, some sectors before others.
        let torn = |len: usize, rest: &str| format!("{whole}{}{rest}", "\0".repeat(len));
        for torn in [torn(700, ""), torn(512, "0\"}\n"), torn(100, "0\"}\n") + &whole] {
            std::fs::write(&path, torn).unwrap();
            let written = append(&path, |last| {
                assert_eq!(last, Some(&first));
                Ok(vec![second.clone()])
            });
            assert_eq!(written, Ok(1));
            assert_eq!(read(&path).unwrap().unwrap(), [Ok(first.clone()), Ok(second.clone())]);
        }
        std::fs::write(&path, "\0\0\"}\n").unwrap();
        append(&path, |last| {
            assert!(last.is_none());
            Ok(vec![first.clone()])
        })
        .unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), [Ok(first.clone())]);
        std::fs::write(&path, "text\n").unwrap();
        assert!(append(&path, |_| Ok(Vec::new())).unwrap_err().message.contains("no anchor"));
    }
}
