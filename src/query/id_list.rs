//! Ids of sequences or images to start a crawl from: in a file, on standard input, or in the query.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::Format;
use crate::model::{ImageId, MapFeature, Metadata, Sequence, SequenceId};
use crate::record::Record;
use crate::sources::TableSource;

/// Maximum length of the first line of a table or a list, in bytes.
const MAX_LINE_LEN: u64 = 1 << 20;

/// Opens a list of sequences: a table, a file with one id per line, ids separated by commas, or `-` for standard input.
///
/// `name` is the name of the list in messages. Blocks while a pipe has no data.
///
/// ```
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// use futures::TryStreamExt;
/// use streetflow::{Sequence, Source};
///
/// let rows: Vec<Sequence> = streetflow::query::open_sequences("abc,def", "ids")?.stream().try_collect().await?;
/// assert_eq!(rows.len(), 2);
/// # Ok(()) }
/// ```
pub fn open_sequences(list: &str, name: &'static str) -> Result<TableSource<Sequence>> {
    open(list, "seq_id", name, |id| SequenceId::new(id).map(drop))
}

/// Opens a list of images, given in the same ways. Only a table contains their sequences.
pub fn open_images(list: &str, name: &'static str) -> Result<TableSource<Metadata>> {
    open(list, "img_id", name, |id| ImageId::new(id).map(drop))
}

/// Opens a table of map features; `-` is CSV on standard input, and so is a file without an extension.
pub fn open_features(table: &str) -> Result<TableSource<MapFeature>> {
    if table == "-" {
        return TableSource::read("standard input", io::stdin(), Format::Csv);
    }
    TableSource::open_as(Path::new(table), table_format(table)?)
}

/// The format of a table by its name; CSV without an extension.
pub(super) fn table_format(table: &str) -> Result<Format> {
    let path = Path::new(table);
    path.extension().map_or(Ok(Format::Csv), |_| Format::from_path(path))
}

fn open<T: Record>(
    text: &str,
    column: &'static str,
    flag: &'static str,
    check: impl Fn(&str) -> Result<()>,
) -> Result<TableSource<T>> {
    if text == "-" {
        return read("standard input", io::stdin(), column);
    }
    let path = Path::new(text);
    if path.exists() {
        return match Format::from_path(path) {
            Ok(format) if format != Format::Csv => TableSource::open_as(path, format),
            _ => {
                let reject = |error: io::Error| {
                    Error::new(ErrorKind::Usage, "open the list of ids").with_subject(text).with_source(error)
                };
                // A directory opens like a file and fails only at the first read.
                if path.is_dir() {
                    return Err(reject(io::Error::from(io::ErrorKind::IsADirectory)));
                }
                read(text, std::fs::File::open(path).map_err(reject)?, column)
            }
        };
    }
    let ids: Vec<_> = text.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "use the ids")
            .with_subject(flag)
            .with_source("the list is empty"));
    }
    for id in &ids {
        check(id).map_err(|error| {
            error.with_hint(format!(
                "`{flag}` takes ids separated by commas, or a file name; the file `{text}` does not exist"
            ))
        })?;
    }
    let lines = format!("{column}\n{}\n", ids.join("\n"));
    TableSource::csv_at(flag, Cursor::new(lines), 0)
}

/// Reads a table with the column, or a list with one id per line, which is a table of one column without a header.
fn read<T: Record>(name: &str, from: impl Read + Send + 'static, column: &str) -> Result<TableSource<T>> {
    let reject = |error: io::Error| {
        Error::new(ErrorKind::Usage, "read the list of ids").with_subject(name).with_source(error)
    };
    let (mut from, mut first) = (BufReader::new(from), Vec::new());
    // Skips blank lines and lines of commas.
    let (mut line_number, is_blank) = (0, |byte: &u8| *byte == b',' || byte.is_ascii_whitespace());
    while first.iter().all(is_blank) {
        first.clear();
        line_number += 1;
        if from.by_ref().take(MAX_LINE_LEN).read_until(b'\n', &mut first).map_err(reject)? == 0 {
            break;
        }
    }
    let line = first.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&first);
    let is_column =
        |cell: &[u8]| cell.trim_ascii().trim_ascii_start() == column.as_bytes() || is_quoted(cell, column);
    let is_gzip = line.starts_with(&[0x1f, 0x8b]);
    let is_table = is_gzip || line.split(|byte| *byte == b',').any(is_column);
    let is_id = !is_table && !line.contains(&b',');
    let header = if is_id { format!("{column}\n").into_bytes() } else { Vec::new() };
    let line = if is_id { line.to_vec() } else { first.clone() };
    // The header that is put before a list is no line of the file.
    let first_line = if is_id { line_number - 1 } else { line_number };
    TableSource::csv_at(name, Cursor::new(header).chain(Cursor::new(line)).chain(from), first_line)
}

fn is_quoted(cell: &[u8], column: &str) -> bool {
    let inner = cell.trim_ascii().strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner == Some(column.as_bytes())
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::sources::Source;

    async fn ids(text: &'static str) -> Result<Vec<String>> {
        let rows: Vec<Sequence> = read("a text", text.as_bytes(), "seq_id")?.stream().try_collect().await?;
        Ok(rows.into_iter().map(|row| row.seq_id.to_string()).collect())
    }

    #[tokio::test]
    async fn a_list_and_a_table_give_the_same_ids() {
        for text in [
            "abc\n-de\n",
            "\u{feff}abc\r\n-de",
            "\n\nabc\n\n-de\n\n",
            "seq_id\nabc\n-de\n",
            "org_id,seq_id\n7,abc\n,-de\n",
            "\"seq_id\",note\nabc,x\n-de,y\n",
        ] {
            assert_eq!(ids(text).await.expect(text), ["abc", "-de"], "{text:?}");
        }
        assert_eq!(ids("").await.expect("no ids"), [""; 0]);
    }

    #[tokio::test]
    async fn an_error_names_the_line_of_the_invalid_id() {
        for (text, line) in [
            ("abc\na b\n", "line 2"),
            ("\n\nabc\r\n\r\na b\r\n", "line 5"),
            ("seq_id\nabc\n\na b\n", "line 4"),
            ("\n,\nseq_id,org_id\nabc,\n,\na b,\n", "line 6"),
            ("seq_id,note\nabc,\"two\nlines\"\na b,\n", "line 4"),
        ] {
            let source = read::<Sequence>("a text", text.as_bytes(), "seq_id").expect(text);
            let error = source.stream().try_collect::<Vec<_>>().await.expect_err(text);
            assert!(error.chain().contains(&format!(": {line}, column `seq_id`")), "{}", error.chain());
        }
    }

    #[tokio::test]
    async fn other_content_is_rejected() {
        for (text, why) in
            [("a b\n", "a b"), ("id,name\n1,2\n", "no column `seq_id`"), ("{\"type\":\"Feature\"}\n", "{")]
        {
            let error = ids(text).await.expect_err(text);
            assert!(error.is_fatal() && error.chain().contains(why), "{}", error.chain());
        }
    }
}
