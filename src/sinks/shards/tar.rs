//! The ustar format of POSIX: a header of 512 bytes, the content, and zeros up to the next multiple of 512.
//!
//! Headers contain nothing of the time and the machine, so the same content gives the same bytes.

use std::io::{self, Read, Seek, SeekFrom};

/// Length of a header, and the unit of the content.
pub(super) const BLOCK_LEN: usize = 512;

/// Two blocks of zeros end an archive.
pub(super) const END: [u8; 2 * BLOCK_LEN] = [0; 2 * BLOCK_LEN];

/// Maximum length of a name in bytes.
pub(super) const MAX_NAME_LEN: usize = 100;

/// Maximum length of a file: eleven octal digits.
pub(super) const MAX_FILE_LEN: u64 = (1 << 33) - 1;

/// Position and length of the checksum field.
const CHECKSUM: std::ops::Range<usize> = 148..156;

const REGULAR: u8 = b'0';

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Position of the content.
    pub(crate) offset: u64,
    /// Length of the content.
    pub(crate) len: u64,
}

/// The header of a file. Name and length are within their bounds.
pub(super) fn header(name: &str, len: u64) -> [u8; BLOCK_LEN] {
    let mut header = [0; BLOCK_LEN];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{len:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(156, &[REGULAR]);
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum = checksum(&header);
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Zeros after a content of this length.
pub(super) fn padding(len: u64) -> u64 {
    len.next_multiple_of(BLOCK_LEN as u64) - len
}

/// The sum of all bytes, with the checksum field as spaces.
fn checksum(header: &[u8; BLOCK_LEN]) -> u64 {
    let byte =
        |(at, byte): (usize, &u8)| if CHECKSUM.contains(&at) { u64::from(b' ') } else { (*byte).into() };
    header.iter().enumerate().map(byte).sum()
}

/// Reads the entries of an archive that [`header`] wrote, and seeks over their content.
///
/// Another or a truncated archive is an error.
pub(super) fn entries(mut archive: impl Read + Seek) -> io::Result<Vec<Entry>> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let end = archive.seek(SeekFrom::End(0))?;
    let mut entries = Vec::new();
    let mut at = archive.seek(SeekFrom::Start(0))?;
    loop {
        let mut block = [0; BLOCK_LEN];
        archive.read_exact(&mut block).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => invalid("the archive is truncated"),
            _ => error,
        })?;
        at += BLOCK_LEN as u64;
        if block == [0; BLOCK_LEN] {
            return Ok(entries);
        }
        let (name, len) = parse(&block).ok_or_else(|| invalid("it was not written by streetflow"))?;
        let after = at + len + padding(len);
        if after > end {
            return Err(invalid("the archive is truncated"));
        }
        entries.push(Entry { name, offset: at, len });
        at = archive.seek(SeekFrom::Start(after))?;
    }
}

/// Name and length of a header; `None` for headers that [`header`] does not write.
fn parse(block: &[u8; BLOCK_LEN]) -> Option<(String, u64)> {
    let name = std::str::from_utf8(&block[..MAX_NAME_LEN]).ok()?.trim_end_matches('\0');
    let digits = std::str::from_utf8(&block[124..135]).ok()?;
    let len = u64::from_str_radix(digits, 8).ok()?;
    (*block == header(name, len)).then(|| (name.to_owned(), len))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, content) in files {
            archive.extend(header(name, content.len() as u64));
            archive.extend(*content);
            archive.resize(archive.len().next_multiple_of(BLOCK_LEN), 0);
        }
        archive.extend(END);
        archive
    }

    #[test]
    fn entries_are_found_where_they_were_written() {
        let long = "a".repeat(MAX_NAME_LEN);
        let files: [(&str, &[u8]); 4] =
            [("1.json", b"{}"), ("1.jpg", &[7; 513]), ("2.txt", b""), (&long, &[1; 512])];
        let bytes = archive(&files);
        let found = entries(Cursor::new(&bytes)).expect("an archive");
        assert_eq!(found.len(), files.len());
        for (entry, (name, content)) in found.iter().zip(files) {
            let from = usize::try_from(entry.offset).expect("small");
            assert_eq!((entry.name.as_str(), &bytes[from..from + content.len()]), (name, content));
            assert_eq!(entry.len, content.len() as u64);
        }
    }

    #[test]
    fn the_largest_length_fits() {
        let block = header("1.jpg", MAX_FILE_LEN);
        assert_eq!(parse(&block), Some(("1.jpg".to_owned(), MAX_FILE_LEN)));
    }

    #[test]
    fn truncated_and_damaged_archives_are_errors() {
        let bytes = archive(&[("1.json", b"{}"), ("1.jpg", &[7; 700])]);
        // Of the two blocks of zeros at the end, one is enough.
        for len in 0..bytes.len() - BLOCK_LEN {
            assert!(entries(Cursor::new(&bytes[..len])).is_err(), "{len} bytes");
        }
        for at in 0..BLOCK_LEN {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            assert!(entries(Cursor::new(&damaged)).is_err(), "byte {at}");
        }
    }
}
