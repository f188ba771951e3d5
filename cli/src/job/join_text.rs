//! Joins tables of text formats byte by byte.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use streetflow::atomic_file::output_error;
use streetflow::storage::{Destination, PendingFile, Target};
use streetflow::{Format, Result};

/// The longest header line, in bytes.
const MAX_HEADER_LEN: u64 = 1 << 20;

/// How a feature collection begins and ends.
const COLLECTION: [&[u8]; 2] = [b"{\"type\":\"FeatureCollection\",\"features\":[", b"\n]}\n"];

/// A table in progress. Dropping it discards it. Its methods block.
pub(super) struct JoinedText {
    path: PathBuf,
    out: Box<dyn PendingFile>,
    form: Form,
}

enum Form {
    /// CSV, with the header of the first table.
    Header(Option<Vec<u8>>),
    Lines,
    Collection {
        is_empty: bool,
    },
}

impl JoinedText {
    pub(super) fn create(target: &Target, format: Format) -> Result<Self> {
        let path = target.path().to_owned();
        let form = match format {
            Format::Csv => Form::Header(None),
            Format::GeoJson => Form::Collection { is_empty: true },
            _ => Form::Lines,
        };
        let create = || {
            let mut out = target.create()?;
            if let Form::Collection { .. } = form {
                out.write_all(COLLECTION[0])?;
            }
            Ok(out)
        };
        let out = create().map_err(|error| output_error("write the table", &path, error))?;
        Ok(Self { path, out, form })
    }

    /// Appends the rows of a table.
    pub(super) fn append(mut self, source: &Path) -> Result<Self> {
        let appended = File::open(source).and_then(|file| match &mut self.form {
            Form::Header(first) => append_rows(file, first, &mut self.out),
            Form::Lines => io::copy(&mut BufReader::new(file), &mut self.out).map(drop),
            Form::Collection { is_empty } => append_features(file, is_empty, &mut self.out),
        });
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => output_error("join the table", source, error)
                .with_hint("run its partition again with `--restart`"),
            _ => output_error("write the table", &self.path, error),
        };
        appended.map_err(failed)?;
        Ok(self)
    }

    /// Makes the table visible.
    pub(super) fn commit(self) -> Result<()> {
        let Self { path, mut out, form } = self;
        let end = if let Form::Collection { .. } = form { COLLECTION[1] } else { b"" };
        let committed = out.write_all(end).and_then(|()| out.commit());
        committed.map_err(|error| output_error("write the table", &path, error))
    }
}

/// Appends the rows of a CSV file. All files must have the same header.
fn append_rows(file: File, first: &mut Option<Vec<u8>>, out: &mut impl Write) -> io::Result<()> {
    let (mut rows, mut header) = (BufReader::new(file), Vec::new());
    rows.by_ref().take(MAX_HEADER_LEN).read_until(b'\n', &mut header)?;
    match first {
        None => {
            out.write_all(&header)?;
            *first = Some(header);
        }
        Some(first) if *first != header => {
            return Err(invalid("it has other columns than the partitions before it"));
        }
        Some(_) => {}
    }
    io::copy(&mut rows, out).map(drop)
}

/// Appends the features of a collection.
fn append_features(mut file: File, is_empty: &mut bool, out: &mut impl Write) -> io::Result<()> {
    let invalid = || invalid("it is not a feature collection of streetflow");
    let [start, end] = COLLECTION;
    let len = file.metadata()?.len();
    let features = len.checked_sub((start.len() + end.len()) as u64).ok_or_else(invalid)?;
    let (mut head, mut tail) = (vec![0; start.len()], vec![0; end.len()]);
    file.seek(SeekFrom::Start(len - end.len() as u64))?;
    file.read_exact(&mut tail)?;
    file.rewind()?;
    file.read_exact(&mut head)?;
    if head != start || tail != end {
        return Err(invalid());
    }
    if features == 0 {
        return Ok(());
    }
    if !*is_empty {
        out.write_all(b",")?;
    }
    *is_empty = false;
    io::copy(&mut BufReader::new(file).take(features), out).map(drop)
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(format: Format, tables: &[&str]) -> Result<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("joined");
        let mut joined = JoinedText::create(&Target::from(&path), format)?;
        for table in tables {
            let source = folder.path().join("part");
            std::fs::write(&source, table).expect("written");
            joined = joined.append(&source)?;
        }
        assert!(!path.exists());
        joined.commit()?;
        Ok(std::fs::read_to_string(path).expect("a file"))
    }

    #[test]
    fn the_joined_file_is_that_of_a_single_table() {
        let table =
            |features: &str| format!("{{\"type\":\"FeatureCollection\",\"features\":[{features}\n]}}\n");
        let parts = ["", "\n{1},\n{2}", "", "\n{3}"].map(table);
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        assert_eq!(join(Format::GeoJson, &parts).expect("joined"), table("\n{1},\n{2},\n{3}"));
        assert_eq!(join(Format::GeoJson, &parts[..1]).expect("joined"), table(""));
        assert_eq!(
            join(Format::Csv, &["a,b\n1,2\n", "a,b\n", "a,b\n3,4\n"]).expect("joined"),
            "a,b\n1,2\n3,4\n"
        );
        assert_eq!(join(Format::GeoJsonSeq, &["{1}\n", "", "{2}\n"]).expect("joined"), "{1}\n{2}\n");
    }

    #[test]
    fn other_columns_and_other_files_are_errors() {
        assert!(join(Format::Csv, &["a,b\n1,2\n", "a,c\n3,4\n"]).is_err());
        for text in ["", "{}", "{\"type\":\"FeatureCollection\",\"features\":[]}\n"] {
            assert!(join(Format::GeoJson, &[text]).is_err(), "{text}");
        }
    }
}
