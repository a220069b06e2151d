//! Owns: an export as a folder of CSV files: written aside, hashed on the way, and put at its place by one rename, so that a
//! folder that is there is whole.
//! Refuses to know: what the rows mean and where they come from.

use crate::base::{Error, ErrorKind, Money, Result, Timestamp};
use crate::domain::ledger::{Cell, ColumnKind, ExportSink, Table, hex};
use aws_lc_rs::digest::{Context, SHA256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a finished file holds.
#[derive(Clone, Debug)]
pub struct WrittenFile {
    pub name: String,
    pub table: Table,
    pub rows: u64,
    pub sha256: String,
}

struct Output {
    file: BufWriter<File>,
    digest: Context,
    rows: u64,
}

/// An export on its way. Dropped before `finish`, it leaves nothing.
pub struct ExportFolder<F: FnMut(i64, i64)> {
    target: PathBuf,
    aside: PathBuf,
    outputs: Vec<(Table, Output)>,
    line: String,
    progress: F,
}

fn cannot(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("the export '{}' cannot be written: {error}", path.display()))
}

impl<F: FnMut(i64, i64)> ExportFolder<F> {
    /// Refuses a target that holds anything.
    pub fn begin(target: &Path, progress: F) -> Result<Self> {
        let refuse = |why: &str| Error::new(ErrorKind::InvalidRequest, format!("'{}' {why}", target.display())).with_param("dir");
        let name = target.file_name().ok_or_else(|| refuse("is no name for a folder"))?;
        match fs::read_dir(target).map(|mut entries| entries.next().is_some()) {
            Ok(false) => {}
            Ok(true) => return Err(refuse("is not empty; an export goes to a new folder")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return Err(refuse("is there and is no folder that can be read")),
        }
        let aside = format!(".{}.partial-{}-{:08x}", name.to_string_lossy(), std::process::id(), fastrand::u32(..));
        let aside = target.with_file_name(aside);
        fs::create_dir_all(&aside).map_err(|error| cannot(target, &error))?;
        restrict(&aside);
        let mut folder = Self { target: target.to_owned(), aside, outputs: Vec::new(), line: String::new(), progress };
        for table in Table::ALL {
            let file = File::create(folder.aside.join(file_name(table))).map_err(|error| cannot(target, &error))?;
            folder.outputs.push((table, Output { file: BufWriter::new(file), digest: Context::new(&SHA256), rows: 0 }));
            folder.line.clear();
            heads(table).for_each(|head| field(&mut folder.line, &head));
            folder.write(table)?;
        }
        Ok(folder)
    }

    /// Ends the line and writes it.
    fn write(&mut self, table: Table) -> Result<()> {
        self.line.pop();
        self.line.push('\n');
        let output = self.outputs.iter_mut().find_map(|(own, output)| (*own == table).then_some(output));
        let Some(output) = output else { return Ok(()) };
        output.digest.update(self.line.as_bytes());
        output.file.write_all(self.line.as_bytes()).map_err(|error| cannot(&self.target, &error))
    }

    /// Ends the tables.
    pub fn tables(&mut self) -> Result<Vec<WrittenFile>> {
        let mut written = Vec::new();
        for (table, output) in std::mem::take(&mut self.outputs) {
            let Output { file, digest, rows } = output;
            let file = file.into_inner().map_err(|error| cannot(&self.target, error.error()))?;
            file.sync_all().map_err(|error| cannot(&self.target, &error))?;
            written.push(WrittenFile { name: file_name(table), table, rows, sha256: hex(digest.finish().as_ref()) });
        }
        Ok(written)
    }

    /// A file besides the tables.
    pub fn add(&mut self, name: &str, text: &str) -> Result<()> {
        let run = || {
            let mut file = File::create(self.aside.join(name))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        run().map_err(|error| cannot(&self.target, &error))
    }

    /// Puts everything at its place.
    pub fn finish(self) -> Result<()> {
        let sync = |path: &Path| File::open(path).and_then(|folder| folder.sync_all());
        let moved = sync(&self.aside).and_then(|()| fs::rename(&self.aside, &self.target));
        moved.map_err(|error| cannot(&self.target, &error))?;
        // The name itself is then on the disk as well; where a folder cannot be synced, nothing is lost but time.
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = sync(parent);
        Ok(())
    }
}

impl<F: FnMut(i64, i64)> Drop for ExportFolder<F> {
    fn drop(&mut self) {
        // Nothing is there after `finish`.
        let _ = fs::remove_dir_all(&self.aside);
    }
}

impl<F: FnMut(i64, i64)> ExportSink for ExportFolder<F> {
    fn row(&mut self, table: Table, cells: &[Cell<'_>]) -> Result<()> {
        let kinds = table.columns().iter().map(|(_, kind)| *kind);
        if !kinds.eq(cells.iter().map(Cell::kind)) {
            return Err(Error::new(ErrorKind::Internal, format!("a row of {} has other columns than its table", table.name())));
        }
        self.line.clear();
        for cell in cells {
            match cell {
                Cell::Number(number) => self.number(*number),
                Cell::Text(text) => field(&mut self.line, text.unwrap_or_default()),
                Cell::Amount(nano) => {
                    let text = nano.map_or_else(String::new, |nano| Money::nano(nano).to_string());
                    field(&mut self.line, &text);
                    self.number(*nano);
                }
                Cell::Time(ms) => {
                    let text = ms.map_or_else(String::new, |ms| Timestamp(ms).to_string());
                    field(&mut self.line, &text);
                    self.number(*ms);
                }
            }
        }
        if let Some((_, output)) = self.outputs.iter_mut().find(|(own, _)| *own == table) {
            output.rows += 1;
        }
        self.write(table)
    }

    fn progress(&mut self, entries: i64, of: i64) {
        (self.progress)(entries, of);
    }
}

impl<F: FnMut(i64, i64)> ExportFolder<F> {
    fn number(&mut self, number: Option<i64>) {
        if let Some(number) = number {
            // Writing to a string does not fail.
            let _ = write!(self.line, "{number}");
        }
        self.line.push(',');
    }
}

fn file_name(table: Table) -> String {
    format!("{}.csv", table.name())
}

/// The names of the columns as they are written: an amount and a time take two.
fn heads(table: Table) -> impl Iterator<Item = String> {
    table.columns().iter().flat_map(|(name, kind)| match kind {
        ColumnKind::Number | ColumnKind::Text => vec![(*name).to_owned()],
        ColumnKind::Amount => vec![(*name).to_owned(), format!("{name}_nano")],
        ColumnKind::Time => vec![(*name).to_owned(), format!("{name}_ms")],
    })
}

/// One field after RFC 4180, with the comma behind it.
fn field(line: &mut String, text: &str) {
    if text.contains(['"', ',', '\n', '\r']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
    line.push(',');
}

/// Who may read the ledger may read its export, and nobody else.
#[cfg(unix)]
fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
}

#[cfg(not(unix))]
fn restrict(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("out");
        let mut folder = ExportFolder::begin(&target, |_, _| ()).unwrap();
        let cells = [Cell::Text(Some("h")), Cell::Text(Some("a \"b\", c"))];
        folder.row(Table::PriceSheets, &cells).unwrap();
        assert!(folder.row(Table::Blocks, &cells).is_err(), "cells of another table");
        assert!(!target.exists());
        drop(folder);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);

        fs::create_dir(&target).unwrap();
        let mut folder = ExportFolder::begin(&target, |_, _| ()).unwrap();
        folder.row(Table::PriceSheets, &cells).unwrap();
        folder
            .row(
                Table::Accounts,
                &[
                    Cell::Number(Some(1)),
                    Cell::Text(None),
                    Cell::Amount(None),
                    Cell::Amount(Some(0)),
                    Cell::Amount(Some(1_500_000_000)),
                    Cell::Amount(Some(-1)),
                    Cell::Amount(Some(7)),
                ],
            )
            .unwrap();
        let written = folder.tables().unwrap();
        folder.add("manifest.json", "{}").unwrap();
        folder.finish().unwrap();
        let read = |name: &str| fs::read_to_string(target.join(name)).unwrap();
        assert_eq!(read("price_sheets.csv"), "hash,sheet\nh,\"a \"\"b\"\", c\"\n");
        assert_eq!(read("accounts.csv").lines().nth(1).unwrap(), "1,,,,0.00,0,1.50,1500000000,-0.000000001,-1,0.000000007,7");
        assert!(read("blocks.csv").ends_with("hash,ts,ts_ms\n"));
        assert_eq!(written.iter().find(|file| file.table == Table::PriceSheets).map(|file| file.rows), Some(1));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        assert!(ExportFolder::begin(&target, |_, _| ()).err().unwrap().message.contains("not empty"));
    }
}
