//! Counts the rows of a table without reading its cells.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::format::Format;

/// Estimates the number of rows of a table, for progress. Returns `None` if it is not a readable regular file.
///
/// Exact for Parquet. In text formats it counts lines, including line breaks inside cells.
pub fn count_rows(path: &Path, format: Format) -> Option<u64> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    match format {
        Format::Csv => Some(lines(path).ok()?.saturating_sub(1)),
        Format::GeoJson => Some(lines(path).ok()?.saturating_sub(2)),
        Format::GeoJsonSeq => lines(path).ok(),
        #[cfg(feature = "parquet")]
        Format::Parquet => super::parquet::rows(path),
    }
}

/// Whether a table has at least one row. Reads only as much as needed.
pub fn has_rows(path: &Path, format: Format) -> io::Result<bool> {
    if !fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    // Lines of a table without rows.
    let empty = match format {
        Format::Csv => 1,
        Format::GeoJsonSeq => 0,
        Format::GeoJson => 2,
        #[cfg(feature = "parquet")]
        Format::Parquet => return Ok(super::parquet::rows(path).is_some_and(|rows| rows > 0)),
    };
    let lines = BufReader::new(File::open(path)?).split(b'\n').take(empty + 1);
    let lines = lines.collect::<io::Result<Vec<_>>>()?;
    Ok(lines.iter().filter(|line| !line.trim_ascii().is_empty()).count() > empty)
}

fn lines(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let (mut buffer, mut lines) = (vec![0; 1 << 16], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(lines),
            read => lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_rows_if_there_is_more_than_its_header() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a");
        for (format, text, expected) in [
            (Format::Csv, "", false),
            (Format::Csv, "seq_id\n", false),
            (Format::Csv, "seq_id\n\n", false),
            (Format::Csv, "seq_id\na", true),
            (Format::GeoJsonSeq, "", false),
            (Format::GeoJsonSeq, "{}\n", true),
            (Format::GeoJson, "{\"type\":\"FeatureCollection\",\"features\":[\n]}\n", false),
            (Format::GeoJson, "{\"type\":\"FeatureCollection\",\"features\":[\n{}\n]}\n", true),
        ] {
            fs::write(&path, text).expect("written");
            assert_eq!(has_rows(&path, format).expect("read"), expected, "{format:?} {text:?}");
        }
        assert!(has_rows(&directory.path().join("none"), Format::Csv).is_err());
        assert!(!has_rows(directory.path(), Format::Csv).expect("a directory has none"));
    }
}
