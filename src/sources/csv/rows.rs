//! Splits CSV into rows and cells like the `csv` library, but faster, because it does not step through every byte.
//!
//! A quote opens a quoted cell only at its beginning. Two quotes inside are one. Text between the closing quote and the
//! next comma belongs to the cell. CR, LF and CRLF end a row. Empty lines are skipped.

use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::Range;

use crate::sources::MAX_ROW_LEN;

/// Bytes per read.
const CHUNK_SIZE: usize = 1 << 16;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Whether cells of the row begin with a quote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Absent,
    Closed,
    /// The text ends inside a quoted cell.
    Open,
}

/// Iterates over the rows of a text.
pub(super) struct Rows<R> {
    from: R,
    /// Bytes that were read: the current row, then what follows it.
    buffer: Vec<u8>,
    /// Start of the row in the buffer, and end of the bytes read.
    begin: usize,
    filled: usize,
    at_end: bool,
    /// End of each cell, relative to the start of the row.
    ends: Vec<u32>,
    /// Quotes of the current row.
    quotes: Quotes,
    /// Number of the line in which the row begins. A line ends with LF, CRLF or CR, as in an editor.
    line: u64,
    /// Whether the last byte was CR, so that a following LF ends no further line.
    after_cr: bool,
}

impl<R: Read> Rows<R> {
    /// Creates an iterator; the first line has the number `first_line`.
    pub(super) fn new(from: R, first_line: u64) -> Self {
        Self {
            from,
            buffer: vec![0; CHUNK_SIZE],
            begin: 0,
            filled: 0,
            at_end: false,
            ends: Vec::new(),
            quotes: Quotes::Absent,
            line: first_line,
            after_cr: false,
        }
    }

    /// Advances to the next row; returns false at the end.
    pub(super) fn next(&mut self) -> io::Result<bool> {
        if self.is_quoted() {
            self.line += line_ends(self.text());
        }
        self.begin += self.ends.last().map_or(0, |end| *end as usize);
        self.ends.clear();
        self.quotes = Quotes::Absent;
        let is_start = self.filled == 0 && !self.at_end;
        if is_start {
            self.skip_mark()?;
        }
        while !self.skip_line_ends() {
            if !self.fill()? {
                return Ok(false);
            }
        }
        let mut from = 0;
        loop {
            let end = self.cell_end(from)?;
            self.ends.push(u32::try_from(end).map_err(|_| too_long())?);
            if self.row().get(end) != Some(&b',') {
                break;
            }
            from = end + 1;
        }
        Ok(true)
    }

    /// Skips line ends and counts them; returns false if the buffer is used up.
    fn skip_line_ends(&mut self) -> bool {
        while self.begin < self.filled {
            match self.buffer[self.begin] {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' => self.line += 1,
                b'\r' => {
                    self.line += 1;
                    self.after_cr = true;
                }
                _ => {
                    self.after_cr = false;
                    return true;
                }
            }
            self.begin += 1;
        }
        false
    }

    /// The buffer from the start of the row.
    #[inline]
    fn row(&self) -> &[u8] {
        &self.buffer[self.begin..self.filled]
    }

    /// The end of the cell that starts at `begin`: a comma, a line end or the end of the text.
    fn cell_end(&mut self, begin: usize) -> io::Result<usize> {
        let mut from = begin;
        if from == self.row().len() && !self.fill()? {
            return Ok(from);
        }
        if self.row()[from] == b'"' {
            self.quotes = Quotes::Closed;
            from = self.closing(from + 1)?;
        }
        loop {
            let row = self.row();
            if let Some(end) = memchr::memchr3(b',', b'\n', b'\r', &row[from..]) {
                return Ok(from + end);
            }
            from = row.len();
            if !self.fill()? {
                return Ok(from);
            }
        }
    }

    /// The position of the closing quote, or the end of the text.
    fn closing(&mut self, mut from: usize) -> io::Result<usize> {
        loop {
            let row = self.row();
            let Some(quote) = memchr::memchr(b'"', &row[from..]) else {
                from = row.len();
                if !self.fill()? {
                    self.quotes = Quotes::Open;
                    return Ok(from);
                }
                continue;
            };
            let quote = from + quote;
            if quote + 1 == row.len() && !self.fill()? || self.row()[quote + 1] != b'"' {
                return Ok(quote);
            }
            from = quote + 2;
        }
    }

    /// Reads the next chunk; returns false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.filled - self.begin > MAX_ROW_LEN {
            return Err(too_long());
        }
        if self.at_end {
            return Ok(false);
        }
        if self.filled == self.buffer.len() {
            self.buffer.copy_within(self.begin..self.filled, 0);
            self.filled -= self.begin;
            self.begin = 0;
            if self.filled > self.buffer.len() / 2 {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        let read = loop {
            match self.from.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.filled += read;
        self.at_end = read == 0;
        Ok(read > 0)
    }

    /// Skips a byte order mark, so that a quote behind it opens a cell.
    fn skip_mark(&mut self) -> io::Result<()> {
        while BOM.starts_with(self.row()) && self.row() != BOM {
            if !self.fill()? {
                return Ok(());
            }
        }
        if self.row().starts_with(BOM) {
            self.begin += BOM.len();
        }
        Ok(())
    }

    /// The text of the row without its line end.
    pub(super) fn text(&self) -> &[u8] {
        &self.row()[..self.ends.last().map_or(0, |end| *end as usize)]
    }

    /// Number of cells.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The ranges of the cells in the text of the row.
    pub(super) fn cells(&self) -> impl Iterator<Item = Range<usize>> + Clone {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            let cell = begin..end;
            begin = end + 1;
            cell
        })
    }

    /// Whether a cell begins with a quote. Without quotes, cells need no unquoting and end on the same line.
    pub(super) fn is_quoted(&self) -> bool {
        self.quotes != Quotes::Absent
    }

    /// Whether the text ends inside a quoted cell of this row.
    pub(super) fn is_unclosed(&self) -> bool {
        self.quotes == Quotes::Open
    }

    /// Whether all cells are empty, as in the rows of commas that spreadsheets append.
    pub(super) fn is_blank(&self) -> bool {
        let text = self.text();
        // A quick check of the first byte, because most rows are not blank.
        matches!(text.first(), None | Some(b',' | b'"' | b' ' | b'\t'))
            && self.cells().all(|cell| unquoted(&text[cell]).trim_ascii().is_empty())
    }

    /// The line in which the row begins.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The line in which the row ends.
    pub(super) fn last_line(&self) -> u64 {
        self.line + if self.is_quoted() { line_ends(self.text()) } else { 0 }
    }
}

/// Number of line ends in a text.
fn line_ends(text: &[u8]) -> u64 {
    let ends = memchr::memchr2_iter(b'\r', b'\n', text);
    ends.filter(|end| text[*end] == b'\r' || *end == 0 || text[end - 1] != b'\r').count() as u64
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a row is longer than 16 MiB: is a quote not closed?")
}

/// Removes the quotes of a cell.
pub(super) fn unquoted(cell: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = cell.strip_prefix(b"\"") else { return Cow::Borrowed(cell) };
    let Some(first) = memchr::memchr(b'"', inner) else { return Cow::Borrowed(inner) };
    if first + 1 == inner.len() {
        return Cow::Borrowed(&inner[..first]);
    }
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        text.extend_from_slice(&rest[..quote]);
        rest = &rest[quote + 1..];
        if rest.first() != Some(&b'"') {
            break;
        }
        text.push(b'"');
        rest = &rest[1..];
    }
    text.extend_from_slice(rest);
    Cow::Owned(text)
}

/// Like [`unquoted`]. Quotes are whole characters, so the text stays valid.
pub(super) fn unquoted_text(cell: &str) -> Cow<'_, str> {
    match unquoted(cell.as_bytes()) {
        // Borrowed from the cell behind the quote, if there is one.
        Cow::Borrowed(inner) => {
            let begin = usize::from(cell.starts_with('"'));
            Cow::Borrowed(&cell[begin..begin + inner.len()])
        }
        Cow::Owned(inner) => Cow::Owned(String::from_utf8(inner).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reader that returns a few bytes at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            Read::read(&mut self.0, &mut buffer[..most])
        }
    }

    fn ours(text: &[u8], size: usize) -> Vec<Vec<Vec<u8>>> {
        let mut rows = Rows::new(Pieces(text, size), 1);
        let mut all = Vec::new();
        while rows.next().expect("memory is read") {
            let cells: Vec<_> = rows.cells().map(|cell| unquoted(&rows.text()[cell]).into_owned()).collect();
            assert_eq!(cells.len(), rows.len());
            assert!(rows.is_quoted() || cells.iter().all(|cell| !cell.contains(&b'\n')));
            all.push(cells);
        }
        all
    }

    /// The line of each row, and the same computed by searching for the row in the text.
    fn lines(text: &[u8], size: usize) -> Vec<(u64, u64)> {
        let mut rows = Rows::new(Pieces(text, size), 1);
        let (mut lines, mut at) = (Vec::new(), 0);
        while rows.next().expect("memory is read") {
            let begins = |at: &usize| text[*at..].starts_with(rows.text());
            let blank = |at: usize| matches!(text[at], b'\r' | b'\n') || (at < 3 && BOM.contains(&text[at]));
            while blank(at) {
                at += 1;
            }
            assert!(begins(&at));
            lines.push((rows.line(), line_ends(&text[..at]) + 1));
            at += rows.text().len();
        }
        lines
    }

    fn theirs(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let rows = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text);
        let rows = rows.into_byte_records().map(|row| row.expect("a row"));
        rows.map(|row| row.iter().map(<[u8]>::to_vec).collect()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn rows_are_split_like_the_csv_library_does(
            text in prop_oneof!["[a,\"\r\n]{0,40}", "(\u{feff})?([ab]{0,3}|\"[a\",\n]{0,4}\")(,|\r\n|\n)?.{0,20}"],
            size in 1_usize..50,
        ) {
            prop_assert_eq!(ours(text.as_bytes(), size), theirs(text.as_bytes()));
        }

        #[test]
        fn a_row_has_the_line_number_that_an_editor_shows(
            text in prop_oneof!["[a,\"\r\n]{0,40}", "\u{feff}?(a|\"[a\r\n]{0,3}\"|,|\r\n|\n|\r){0,20}"],
            size in 1_usize..50,
        ) {
            for (line, counted) in lines(text.as_bytes(), size) {
                prop_assert_eq!(line, counted);
            }
        }
    }

    #[test]
    fn a_row_is_blank_if_all_cells_are() {
        let blank = |text: &str| {
            let mut rows = Rows::new(text.as_bytes(), 1);
            assert!(rows.next().expect("a row"));
            rows.is_blank()
        };
        for text in [",", ",,,", " , ", "\"\"", "\"\",\" \",", " \t,"] {
            assert!(blank(text), "{text:?}");
        }
        for text in ["a", ",a", "\",\"", ",\"\"\"\"", "\"\"x,", "0,"] {
            assert!(!blank(text), "{text:?}");
        }
    }

    #[test]
    fn rows_longer_than_the_buffer_are_complete() {
        let cell = "x".repeat(CHUNK_SIZE / 3);
        let text = format!("{cell},\"{cell}\n\"\"\",{cell},{cell}\n").repeat(7);
        for size in [1000, CHUNK_SIZE, usize::MAX] {
            assert_eq!(ours(text.as_bytes(), size), theirs(text.as_bytes()));
        }
    }

    #[test]
    fn an_unclosed_quote_ends_at_the_maximum_row_length() {
        let endless = [b"a,\"".to_vec(), vec![b'x'; MAX_ROW_LEN + CHUNK_SIZE]].concat();
        let mut rows = Rows::new(&endless[..], 1);
        let error = rows.next().expect_err("too long");
        assert!(error.to_string().contains("16 MiB"), "{error}");
    }
}
