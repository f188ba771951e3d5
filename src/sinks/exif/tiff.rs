//! The directories of an EXIF block, which is a small TIFF file.
//!
//! An existing block is extended, never moved: maker notes and thumbnails are found by their offset, and only the maker
//! knows which other offsets a block contains. So new directories with old and new entries are appended, and the header
//! points to them.
//!
//! A block has to fit into one segment. If it does not, the thumbnail is removed. If that is not enough, conflicting
//! values are overwritten in place or removed.

use std::collections::BTreeMap;
use std::ops::Range;

/// A directory of an EXIF block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directory {
    /// IFD0, about the picture.
    Image,
    /// The Exif IFD: camera settings and time.
    Exif,
    /// The GPS IFD.
    Gps,
}

/// The value of a tag.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Text. The standard says ASCII; readers accept UTF-8.
    Text(String),
    Bytes(Vec<u8>),
    Short(u16),
    Long(u32),
    /// Pairs of numerator and denominator.
    Rationals(Vec<(u32, u32)>),
    Undefined(Vec<u8>),
}

/// A tag to write.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tag {
    pub(super) directory: Directory,
    pub(super) number: u16,
    pub(super) value: Value,
    /// Whether an existing value stays.
    pub(super) keeps_existing: bool,
}

/// Offset of the header field with the offset of IFD0.
const FIRST: usize = 4;
const EXIF_POINTER: u16 = 0x8769;
const GPS_POINTER: u16 = 0x8825;

const THUMBNAIL: u16 = 0x0201;
const THUMBNAIL_LENGTH: u16 = 0x0202;

const TEXT: u16 = 2;
const LONG: u16 = 4;
const POINTER: u16 = 13;

/// A directory entry without its tag: type, count, and the value or its offset.
type Entry = [u8; 10];

#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    big_endian: bool,
    image: BTreeMap<u16, Entry>,
    exif: BTreeMap<u16, Entry>,
    gps: BTreeMap<u16, Entry>,
    /// Offset of the thumbnail's directory; 0 if there is none.
    thumbnail: u32,
    /// Range that may be overwritten.
    free: Range<usize>,
}

/// Adds tags to an existing block, or to an empty one if it can't be parsed; `None` if the result is longer than
/// `room`.
pub(super) fn with_tags(found: Option<&[u8]>, tags: &[Tag], room: usize) -> Option<Vec<u8>> {
    let put = |mut block: Block| {
        for tag in tags {
            block.set(tag);
        }
        Some(block.finish()).filter(|block| block.len() <= room)
    };
    let there = || found.and_then(Block::read);
    put(there().unwrap_or_else(Block::empty)).or_else(|| put(there()?.without_thumbnail()?))
}

/// An existing block of the same length without values that conflict with the tags: they are overwritten in place or
/// removed. `None` if the block can't be parsed.
pub(super) fn corrected(found: &[u8], tags: &[Tag]) -> Option<Vec<u8>> {
    let mut block = Block::read(found)?;
    // A coordinate without its hemisphere is wrong, so these are all overwritten or all removed.
    let group = |tag: &Tag| match (tag.directory, tag.number) {
        (Directory::Gps, 1..=4) => 1,
        (Directory::Gps, 5 | 6) => 5,
        (Directory::Gps, 7 | 29) => 7,
        (Directory::Gps, 16 | 17) => 16,
        (_, number) => number,
    };
    let tags: Vec<&Tag> = tags.iter().filter(|tag| !tag.keeps_existing).collect();
    for tag in &tags {
        let fits = |other: &&Tag| block.value_range(other).is_some();
        let same = |other: &&&Tag| other.directory == tag.directory && group(other) == group(tag);
        if tags.iter().filter(same).all(fits) {
            block.overwrite(tag);
        } else {
            block.remove(tag);
        }
    }
    Some(block.bytes)
}

impl Block {
    fn empty() -> Self {
        Self { bytes: b"II*\0\0\0\0\0".to_vec(), ..Self::default() }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let big_endian = match bytes.get(..4)? {
            b"II*\0" => false,
            b"MM\0*" => true,
            _ => return None,
        };
        let mut block = Self { bytes: bytes.to_vec(), big_endian, ..Self::default() };
        let (image, thumbnail) = block.directory(block.long(bytes.get(FIRST..FIRST + 4)?))?;
        let below = |pointer| {
            let entry: &Entry = image.get(&pointer)?;
            let is_pointer = [LONG, POINTER].contains(&block.short(&entry[..2]));
            block.directory(block.long(&entry[6..])).filter(|_| is_pointer).map(|(entries, _)| entries)
        };
        let (exif, gps) = (below(EXIF_POINTER).unwrap_or_default(), below(GPS_POINTER).unwrap_or_default());
        (block.image, block.exif, block.gps, block.thumbnail) = (image, exif, gps, thumbnail);
        Some(block)
    }

    /// The entries of a directory, and the offset of the next one; `None` if it is truncated.
    fn directory(&self, at: u32) -> Option<(BTreeMap<u16, Entry>, u32)> {
        let from = self.bytes.get(usize::try_from(at).ok()?..)?;
        let count = usize::from(self.short(from.get(..2)?));
        let rows = from.get(2..2 + 12 * count)?;
        let next = from.get(2 + 12 * count..6 + 12 * count).map_or(0, |next| self.long(next));
        let mut entries = BTreeMap::new();
        for row in rows.chunks_exact(12) {
            let entry = row[2..].try_into().ok()?;
            entries.entry(self.short(&row[..2])).or_insert(entry);
        }
        Some((entries, next))
    }

    fn short(&self, bytes: &[u8]) -> u16 {
        let bytes = [bytes[0], bytes[1]];
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn long(&self, bytes: &[u8]) -> u32 {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn short_bytes(&self, number: u16) -> [u8; 2] {
        if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn long_bytes(&self, number: u32) -> [u8; 4] {
        if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn set(&mut self, tag: &Tag) {
        if tag.keeps_existing && self.has_value(tag) {
            return;
        }
        let (kind, count, bytes) = self.encoded(&tag.value);
        let entry = self.entry(kind, count, &bytes);
        self.entries(tag.directory).insert(tag.number, entry);
    }

    fn entries(&mut self, directory: Directory) -> &mut BTreeMap<u16, Entry> {
        match directory {
            Directory::Image => &mut self.image,
            Directory::Exif => &mut self.exif,
            Directory::Gps => &mut self.gps,
        }
    }

    /// Whether the tag exists with a value. Cameras write blanks if their owner has set nothing.
    fn has_value(&mut self, tag: &Tag) -> bool {
        let Some(entry) = self.entries(tag.directory).get(&tag.number).copied() else { return false };
        if self.short(&entry[..2]) != TEXT {
            return true;
        }
        let length = self.long(&entry[2..6]) as usize;
        let at = self.long(&entry[6..]) as usize;
        let text = if length <= 4 {
            entry.get(6..6 + length)
        } else {
            self.bytes.get(at..at.saturating_add(length))
        };
        text.is_some_and(|text| text.iter().any(|byte| !matches!(byte, 0 | b' ')))
    }

    /// Type, count and bytes of a value.
    fn encoded(&self, value: &Value) -> (u16, usize, Vec<u8>) {
        match value {
            Value::Text(text) => (TEXT, text.len() + 1, [text.as_bytes(), b"\0"].concat()),
            Value::Bytes(bytes) => (1, bytes.len(), bytes.clone()),
            Value::Short(number) => (3, 1, self.short_bytes(*number).to_vec()),
            Value::Long(number) => (LONG, 1, self.long_bytes(*number).to_vec()),
            Value::Undefined(bytes) => (7, bytes.len(), bytes.clone()),
            Value::Rationals(numbers) => {
                let each = numbers.iter().flat_map(|(above, below)| [*above, *below]);
                (5, numbers.len(), each.flat_map(|number| self.long_bytes(number)).collect())
            }
        }
    }

    /// Removes the thumbnail and frees its bytes; `None` if there is none.
    fn without_thumbnail(mut self) -> Option<Self> {
        let (entries, _) = self.directory(self.thumbnail).filter(|_| self.thumbnail > 0)?;
        let number = |tag: u16| {
            let entry = entries.get(&tag)?;
            usize::try_from(self.long(&entry[6..])).ok()
        };
        let (from, length) = (number(THUMBNAIL)?, number(THUMBNAIL_LENGTH)?);
        let free = from..from.checked_add(length)?;
        if !self.bytes.get(free.clone())?.starts_with(&[0xff, 0xd8, 0xff]) {
            return None;
        }
        self.bytes[free.clone()].fill(0);
        self.thumbnail = 0;
        if free.end == self.bytes.len() {
            self.bytes.truncate(free.start);
        } else {
            self.free = free;
        }
        Some(self)
    }

    /// Offset of the directory of a tag; `None` if it points into the header.
    fn directory_at(&self, directory: Directory) -> Option<usize> {
        let at = match directory {
            Directory::Image => self.long(self.bytes.get(FIRST..FIRST + 4)?),
            Directory::Exif => self.long(self.image.get(&EXIF_POINTER)?.get(6..)?),
            Directory::Gps => self.long(self.image.get(&GPS_POINTER)?.get(6..)?),
        };
        usize::try_from(at).ok().filter(|at| *at >= FIRST + 4)
    }

    /// Offset of the entry of a tag, after the tag number.
    fn entry_at(&self, tag: &Tag) -> Option<usize> {
        let at = self.directory_at(tag.directory)?;
        let count = usize::from(self.short(self.bytes.get(at..at.checked_add(2)?)?));
        let rows = self.bytes.get(at + 2..at + 2 + 12 * count)?;
        let row = rows.chunks_exact(12).position(|row| self.short(row) == tag.number)?;
        Some(at + 2 + 12 * row + 2)
    }

    /// The range of an existing value that the tag can overwrite, because type and length are the same.
    fn value_range(&self, tag: &Tag) -> Option<Range<usize>> {
        let at = self.entry_at(tag)?;
        let entry = self.bytes.get(at..at + 10)?;
        let (kind, count, bytes) = self.encoded(&tag.value);
        if self.short(entry) != kind || self.long(&entry[2..]) as usize != count {
            return None;
        }
        let from = if bytes.len() <= 4 { at + 6 } else { self.long(&entry[6..]) as usize };
        // No value is inside the header.
        let range = from..from.checked_add(bytes.len())?;
        (from >= FIRST + 4 && range.end <= self.bytes.len()).then_some(range)
    }

    fn overwrite(&mut self, tag: &Tag) {
        if let Some(range) = self.value_range(tag) {
            let (_, _, bytes) = self.encoded(&tag.value);
            self.bytes[range].copy_from_slice(&bytes);
        }
    }

    /// Removes a tag from its directory; later entries move up.
    fn remove(&mut self, tag: &Tag) {
        while let (Some(entry), Some(at)) = (self.entry_at(tag), self.directory_at(tag.directory)) {
            let count = self.short(&self.bytes[at..]);
            // The offset of the next directory follows the last entry.
            let end = (at + 2 + 12 * usize::from(count) + 4).min(self.bytes.len());
            self.bytes.copy_within(entry - 2 + 12..end, entry - 2);
            let count = self.short_bytes(count - 1);
            self.bytes[at..at + 2].copy_from_slice(&count);
        }
    }

    /// Creates an entry. A value longer than four bytes is appended at an even offset.
    fn entry(&mut self, kind: u16, count: usize, value: &[u8]) -> Entry {
        let mut entry = [0; 10];
        entry[..2].copy_from_slice(&self.short_bytes(kind));
        entry[2..6].copy_from_slice(&self.long_bytes(u32::try_from(count).unwrap_or(u32::MAX)));
        if value.len() <= 4 {
            entry[6..6 + value.len()].copy_from_slice(value);
        } else {
            let at = self.append(value);
            entry[6..].copy_from_slice(&self.long_bytes(at));
        }
        entry
    }

    fn append(&mut self, bytes: &[u8]) -> u32 {
        let from = self.free.start.next_multiple_of(2);
        if from + bytes.len() <= self.free.end {
            self.bytes[from..from + bytes.len()].copy_from_slice(bytes);
            self.free.start = from + bytes.len();
            return u32::try_from(from).unwrap_or(u32::MAX);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(2), 0);
        let at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(bytes);
        at
    }

    fn append_directory(&mut self, entries: &BTreeMap<u16, Entry>, next: u32) -> u32 {
        let mut bytes = self.short_bytes(u16::try_from(entries.len()).unwrap_or(u16::MAX)).to_vec();
        for (number, entry) in entries {
            bytes.extend(self.short_bytes(*number));
            bytes.extend(entry);
        }
        bytes.extend(self.long_bytes(next));
        self.append(&bytes)
    }

    fn finish(mut self) -> Vec<u8> {
        let mut image = std::mem::take(&mut self.image);
        for (pointer, directory) in [(EXIF_POINTER, Directory::Exif), (GPS_POINTER, Directory::Gps)] {
            let entries = std::mem::take(self.entries(directory));
            if !entries.is_empty() {
                let at = self.append_directory(&entries, 0);
                let at = self.long_bytes(at);
                image.insert(pointer, self.entry(LONG, 1, &at));
            }
        }
        let at = self.append_directory(&image, self.thumbnail);
        let at = self.long_bytes(at);
        self.bytes[FIRST..FIRST + 4].copy_from_slice(&at);
        self.bytes
    }
}
