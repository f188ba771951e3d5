//! Records of images from an earlier table, on disk, with an index in memory.
//!
//! The first line of the file is its version and the fields of the table. Groups of adjacent records of an image follow:
//! the length in 4 bytes, then the value of each column of each record, with a byte for its kind. All numbers are
//! little-endian.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::NamedTempFile;

use super::known_values::{read_records, write_record};
use super::response_store::read_exact_at;
use crate::atomic_file::{commit, temporary_beside};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Detection, FieldList, ImageId, Metadata};
use crate::record::Record;

/// The version of the format.
const VERSION: u32 = 2;

/// The longest group of records, in bytes.
const MAX_GROUP_LEN: u32 = 64 << 20;

/// Records of an image are a new group from this length on, in bytes.
const GROUP_LEN: usize = 1 << 20;

/// A record that belongs to an image.
pub trait OfImage: Record {
    /// The id of the image.
    fn img_id(&self) -> &ImageId;
}

impl OfImage for Metadata {
    fn img_id(&self) -> &ImageId {
        &self.img_id
    }
}

impl OfImage for Detection {
    fn img_id(&self) -> &ImageId {
        &self.img_id
    }
}

/// The marks of an image are the highest bits of its offset.
const MARK_BITS: u64 = 3 << 62;

/// What a run found out about an image of the earlier table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The image is listed again.
    Listed,
    /// The image is reported, so that an image with several rows counts once.
    Counted,
}

impl Mark {
    fn bit(self) -> u64 {
        match self {
            Self::Listed => 1 << 62,
            Self::Counted => 1 << 63,
        }
    }
}

/// The position of a group of records, by the hash of its image id.
struct Entry {
    hash: u64,
    /// The offset in the file, and the marks.
    offset: AtomicU64,
}

/// The metadata of an earlier table, for [`FetchMetadata::known`](crate::FetchMetadata::known).
pub type KnownMetadata = KnownRecords<Metadata>;

/// The detections of an earlier table, for [`FetchDetections::known`](crate::FetchDetections::known).
pub type KnownDetections = KnownRecords<Detection>;

/// The records of an earlier table, by image.
///
/// The records are in a file. Memory holds 16 bytes for each image, or for each place where an image has rows: a hash of
/// the image id, the position and the marks.
pub struct KnownRecords<T>(Arc<Inner<T>>);

impl<T> Clone for KnownRecords<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<T> {
    path: PathBuf,
    file: File,
    fields: FieldList<T>,
    /// Sorted by hash.
    entries: Vec<Entry>,
}

/// Writes the file of [`KnownRecords`]. The file appears under its name when [`KnownRecordsWriter::finish`] succeeds.
pub struct KnownRecordsWriter<T> {
    path: PathBuf,
    fields: FieldList<T>,
    file: NamedTempFile,
    writer: BufWriter<File>,
    /// The group that is not written yet, and its image.
    group: Vec<u8>,
    image: ImageId,
}

impl<T: OfImage> KnownRecordsWriter<T> {
    /// Creates a file for records with these fields. Errors are of kind [`ErrorKind::Io`].
    pub fn create(path: impl Into<PathBuf>, fields: &FieldList<T>) -> Result<Self> {
        let path = path.into();
        let create = || {
            let file = temporary_beside(&path)?;
            let mut writer = BufWriter::new(file.as_file().try_clone()?);
            writeln!(writer, "{}{}", start::<T>(), fields.names().join(","))?;
            Ok((file, writer))
        };
        let (file, writer) = create().map_err(|error| known_error(&path, error))?;
        let fields = fields.clone();
        Ok(Self { path, fields, file, writer, group: Vec::new(), image: ImageId::default() })
    }

    /// Adds a record.
    pub fn add(&mut self, record: &T) -> Result<()> {
        if *record.img_id() != self.image || self.group.len() >= GROUP_LEN {
            self.write_group()?;
            self.image = record.img_id().clone();
        }
        write_record(record, &self.fields, &mut self.group);
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let write = |writer: &mut BufWriter<File>, bytes: &[u8]| {
            let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= MAX_GROUP_LEN);
            let len = len.ok_or_else(|| io::Error::other("a record is too long"))?;
            writer.write_all(&len.to_le_bytes())?;
            writer.write_all(bytes)
        };
        write(&mut self.writer, &self.group).map_err(|error| known_error(&self.path, error))?;
        self.group.clear();
        Ok(())
    }

    /// Gives the file its name, and opens it.
    pub fn finish(mut self) -> Result<KnownRecords<T>> {
        self.write_group()?;
        let Self { path, file, writer, .. } = self;
        let finish = || {
            writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            commit(file, &path)
        };
        finish().map_err(|error| known_error(&path, error))?;
        KnownRecords::open(path)
    }
}

impl<T: OfImage> KnownRecords<T> {
    /// Opens a file of [`KnownRecordsWriter`]. Errors are of kind [`ErrorKind::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        match Inner::open(&path) {
            Ok(inner) => Ok(Self(Arc::new(inner))),
            Err(error) => Err(known_error(&path, error)),
        }
    }

    /// Returns the number of images; an image with rows in several places counts for each.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the fields that are known, including those without a value in a record.
    pub fn fields(&self) -> &FieldList<T> {
        &self.0.fields
    }

    /// Marks an image. Returns `None` for an unknown image, else whether it had the mark already.
    pub fn mark(&self, id: &ImageId, mark: Mark) -> io::Result<Option<bool>> {
        let mut marked = None;
        for entry in self.0.candidates(id) {
            if self.0.is_of(entry, id)? {
                let before = entry.offset.fetch_or(mark.bit(), Ordering::Relaxed) & mark.bit() != 0;
                marked = Some(marked.unwrap_or(before));
            }
        }
        Ok(marked)
    }

    /// Removes a mark of an image.
    pub fn unmark(&self, id: &ImageId, mark: Mark) -> io::Result<()> {
        for entry in self.0.candidates(id) {
            if self.0.is_of(entry, id)? {
                entry.offset.fetch_and(!mark.bit(), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Calls `take` for each image without a mark, once for each place where it has rows.
    pub fn for_each_without(&self, mark: Mark, mut take: impl FnMut(ImageId) -> Result<()>) -> Result<()> {
        for entry in &self.0.entries {
            if entry.offset.load(Ordering::Relaxed) & mark.bit() == 0 {
                let records = self.0.read(entry).map_err(|error| known_error(&self.0.path, error))?;
                records.first().map_or(Ok(()), |record| take(record.img_id().clone()))?;
            }
        }
        Ok(())
    }

    /// Whether there are records of an image, by the index in memory, in which two ids may share an entry.
    pub(crate) fn has_probably(&self, id: &ImageId) -> bool {
        self.0.candidates(id).next().is_some()
    }

    /// Returns the records of an image, in the order of the table. None if some can't be read, as for an unknown image.
    pub(crate) fn get(&self, id: &ImageId) -> Vec<T> {
        let groups: io::Result<Vec<_>> = self.0.candidates(id).map(|entry| self.0.read(entry)).collect();
        let groups = groups.unwrap_or_default().into_iter();
        groups.filter(|group| group.first().is_some_and(|record| record.img_id() == id)).flatten().collect()
    }
}

impl<T: OfImage> Inner<T> {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut reader = BufReader::new(file.try_clone()?);
        let mut line = String::new();
        reader.by_ref().take(64 << 10).read_line(&mut line)?;
        let fields = line.strip_prefix(&*start::<T>()).and_then(|names| names.strip_suffix('\n'));
        let fields = fields.ok_or_else(|| io::Error::other("another version of streetflow wrote it"))?;
        let fields = fields.split(',').filter(|name| !name.is_empty());
        let fields = fields
            .map(str::to_owned)
            .try_fold(FieldList::from_columns([]), |fields: FieldList<T>, name| {
                fields.with(&name).map_err(io::Error::other)
            })?;
        let start = line.len() as u64;
        // Two passes, so that the index is allocated in its final size.
        let rows = {
            let mut rows = 0;
            for_each_group(&mut reader, start, |_, _| {
                rows += 1;
                Ok(())
            })?;
            rows
        };
        let mut entries = Vec::with_capacity(rows);
        let mut reader = BufReader::new(File::open(path)?);
        reader.read_line(&mut String::new())?;
        for_each_group(&mut reader, start, |offset, bytes| {
            let records = read_records(bytes, &fields)?;
            let first: &T = records.first().ok_or_else(|| io::Error::other("it is damaged"))?;
            entries.push(Entry { hash: hash(first.img_id()), offset: AtomicU64::new(offset) });
            Ok(())
        })?;
        // The groups of an image stay in order.
        entries.sort_unstable_by_key(|entry| (entry.hash, entry.offset.load(Ordering::Relaxed)));
        Ok(Self { path: path.to_owned(), file, fields, entries })
    }

    /// The entries with the hash of an id.
    fn candidates(&self, id: &ImageId) -> impl Iterator<Item = &Entry> + use<'_, T> {
        let hash = hash(id);
        let start = self.entries.partition_point(|entry| entry.hash < hash);
        self.entries[start..].iter().take_while(move |entry| entry.hash == hash)
    }

    fn is_of(&self, entry: &Entry, id: &ImageId) -> io::Result<bool> {
        Ok(self.read(entry)?.first().is_some_and(|record| record.img_id() == id))
    }

    fn read(&self, entry: &Entry) -> io::Result<Vec<T>> {
        let offset = entry.offset.load(Ordering::Relaxed) & !MARK_BITS;
        let mut len = [0; 4];
        read_exact_at(&self.file, &mut len, offset)?;
        let mut bytes = vec![0; u32::from_le_bytes(len).min(MAX_GROUP_LEN) as usize];
        read_exact_at(&self.file, &mut bytes, offset + 4)?;
        read_records(&bytes, &self.fields)
    }
}

/// The start of the first line.
fn start<T: Record>() -> String {
    format!("streetflow known {} {VERSION} ", T::NAME)
}

/// Calls `take` with the offset and the bytes of each group.
fn for_each_group(
    reader: &mut impl BufRead,
    mut offset: u64,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    while !reader.fill_buf()?.is_empty() {
        let mut len = [0; 4];
        reader.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len);
        if len > MAX_GROUP_LEN {
            return Err(io::Error::other("it is damaged"));
        }
        bytes.resize(len as usize, 0);
        reader.read_exact(&mut bytes)?;
        take(offset, &bytes)?;
        offset += 4 + u64::from(len);
    }
    Ok(())
}

fn hash(id: &ImageId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.as_str().hash(&mut hasher);
    hasher.finish()
}

fn known_error(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Io, "use the copy of the earlier table")
        .with_subject(path.display().to_string())
        .with_source(error)
}

#[cfg(test)]
mod tests;
