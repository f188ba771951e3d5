//! Where a crawl starts: ids of sequences or images, from a file, from standard input, or from the command line.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::args::CrawlArgs;
use streetflow::{
    Error, ErrorKind, Format, Image, ImageId, Metadata, Record, Result, Sequence, SequenceId, TableSource,
};

/// The first line of a table or a list is no longer.
const LONGEST_LINE: u64 = 1 << 20;

/// The ids that a crawl starts from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    Sequences(&'a str),
    Images(&'a str),
}

impl<'a> Start<'a> {
    /// None where an area or a user is crawled.
    pub(crate) fn of(args: &'a CrawlArgs) -> Option<Self> {
        let sequences = args.sequences.as_deref().map(Start::Sequences);
        sequences.or(args.images.as_deref().map(Start::Images))
    }

    /// As one would say it again.
    pub(crate) fn words(self) -> String {
        match self {
            Start::Sequences(text) => format!("--sequences {text}"),
            Start::Images(text) => format!("--images {text}"),
        }
    }
}

/// The sequences that a text names.
pub(crate) async fn sequences(text: &str, stop: &CancellationToken) -> Result<TableSource<Sequence>> {
    let check = |id: &str| SequenceId::new(id).map(drop);
    open(text, "seq_id", "--sequences", check, stop).await
}

/// The images that a text names; only a table knows their sequences.
pub(crate) async fn images(text: &str, stop: &CancellationToken) -> Result<TableSource<Metadata>> {
    let check = |id: &str| ImageId::new(id).map(drop);
    open(text, "img_id", "--images", check, stop).await
}

/// An image of a table, of which more may be known there.
pub(crate) fn image_of(row: Metadata) -> Image {
    Image { seq_id: row.seq_id, img_id: row.img_id }
}

/// Puts the sequence in that the API names, where the ids came without.
pub(crate) fn with_sequence(mut image: Metadata) -> Metadata {
    if image.seq_id.as_str().is_empty()
        && let Some(sequence) = image.sequence.as_deref().and_then(|id| SequenceId::new(id).ok())
    {
        image.seq_id = sequence;
    }
    image
}

/// Opens ids; a pipe may keep one waiting, so it is done beside.
async fn open<T: Record>(
    text: &str,
    column: &'static str,
    flag: &'static str,
    check: impl Fn(&str) -> Result<()> + Send + 'static,
    stop: &CancellationToken,
) -> Result<TableSource<T>> {
    let text = text.to_owned();
    let opened = tokio::task::spawn_blocking(move || open_now(&text, column, flag, check));
    let opening = || Error::new(ErrorKind::Interrupted, "open the list of ids");
    tokio::select! {
        opened = opened => opened.unwrap_or_else(|panic| Err(opening().with_source(panic))),
        () = stop.cancelled() => Err(opening().with_source("the run was stopped")),
    }
}

fn open_now<T: Record>(
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
                let refuse = |error: io::Error| {
                    Error::new(ErrorKind::Usage, "open the list of ids").with_subject(text).with_source(error)
                };
                // A folder opens like a file and fails at the first read.
                if path.is_dir() {
                    return Err(refuse(io::Error::from(io::ErrorKind::IsADirectory)));
                }
                read(text, std::fs::File::open(path).map_err(refuse)?, column)
            }
        };
    }
    let ids: Vec<_> = text.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "use the ids")
            .with_subject(flag)
            .with_source("there are none"));
    }
    for id in &ids {
        check(id).map_err(|error| {
            error.with_hint(format!("`{flag}` takes ids with commas between them, or the name of a file; there is no file `{text}`"))
        })?;
    }
    let lines = format!("{column}\n{}\n", ids.join("\n"));
    TableSource::csv_at(flag, Cursor::new(lines), 0)
}

/// A table with the column, or a list with an id a line, which is a table of that column without its header.
fn read<T: Record>(name: &str, from: impl Read + Send + 'static, column: &str) -> Result<TableSource<T>> {
    let refuse = |error: io::Error| {
        Error::new(ErrorKind::Usage, "read the list of ids").with_subject(name).with_source(error)
    };
    let (mut from, mut first) = (BufReader::new(from), Vec::new());
    // Blank lines say nothing, and neither do lines of commas.
    let (mut line_number, is_blank) = (0, |byte: &u8| *byte == b',' || byte.is_ascii_whitespace());
    while first.iter().all(is_blank) {
        first.clear();
        line_number += 1;
        if from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut first).map_err(refuse)? == 0 {
            break;
        }
    }
    let line = first.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&first);
    let cell =
        |cell: &[u8]| cell.trim_ascii().trim_ascii_start() == column.as_bytes() || is_quoted(cell, column);
    let is_table = line.starts_with(&[0x1f, 0x8b]) || line.split(|byte| *byte == b',').any(cell);
    let is_id = !is_table && !line.contains(&b',');
    let header = if is_id { format!("{column}\n").into_bytes() } else { Vec::new() };
    let line = if is_id { line.to_vec() } else { first.clone() };
    // The header that a list lacks takes no line.
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
    use streetflow::Source;

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
    async fn a_bad_id_is_named_by_its_line_in_the_file() {
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
    async fn what_is_neither_is_refused() {
        for (text, why) in
            [("a b\n", "a b"), ("id,name\n1,2\n", "no column `seq_id`"), ("{\"type\":\"Feature\"}\n", "{")]
        {
            let error = ids(text).await.expect_err(text);
            assert!(error.is_fatal() && error.chain().contains(why), "{}", error.chain());
        }
    }
}
