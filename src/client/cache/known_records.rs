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

    /// Returns the records of an image, in the order of the table. A group that can't be read is left out.
    pub(crate) fn get(&self, id: &ImageId) -> Vec<T> {
        let groups = self.0.candidates(id).filter_map(|entry| self.0.read(entry).ok());
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
#[allow(clippy::unwrap_used, reason = "tests panic to fail")]
mod tests {
    use super::*;

    #[test]
    fn the_index_takes_sixteen_bytes_per_record() {
        assert_eq!(size_of::<Entry>(), 16);
        let folder = tempfile::tempdir().unwrap();
        let known = write(&folder.path().join("known"), 1000);
        assert_eq!((known.len(), known.0.entries.capacity()), (1000, 1000));
    }

    #[test]
    fn records_are_found_by_id_and_marked_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        write(&path, 100);
        let known = KnownMetadata::open(path).unwrap();
        for n in 0..100 {
            let records = known.get(&id(n));
            assert!(records.len() == 1 && same(&records[0], &image(n)), "{records:?}");
        }
        assert!(known.get(&id(100)).is_empty());
        assert_eq!(known.mark(&id(100), Mark::Listed).unwrap(), None);
        assert_eq!(known.mark(&id(7), Mark::Listed).unwrap(), Some(false));
        assert_eq!(known.mark(&id(7), Mark::Listed).unwrap(), Some(true));
        let mut rest = 0;
        known
            .for_each_without(Mark::Listed, |other| {
                rest += 1;
                assert_ne!(other, id(7));
                Ok(())
            })
            .unwrap();
        assert_eq!(rest, 99);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        write(&path, 10);
        let bytes = std::fs::read(&path).unwrap();
        for damaged in [&bytes[..bytes.len() - 1], b"something else\n", b""] {
            std::fs::write(&path, damaged).unwrap();
            assert!(KnownMetadata::open(&path).is_err());
        }
        std::fs::write(&path, &bytes).unwrap();
        assert!(KnownDetections::open(&path).is_err(), "it has other records");
    }

    #[test]
    fn all_detections_of_an_image_are_found_in_the_order_of_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let fields = "value,area,polygons".parse().unwrap();
        let mut writer = KnownRecordsWriter::create(folder.path().join("known"), &fields).unwrap();
        let corners = vec![[0.25, 0.5], [0.5, 0.5], [0.5, 1.0]];
        let detection = |image: u64, number: u64| {
            let shape = (number % 2 == 0).then(|| vec![vec![corners.clone()]].into());
            let value = Some(format!("object--{number}"));
            Detection { img_id: id(image), detection_id: id(number), value, ..Detection::default() }
                .with_polygons(shape)
        };
        // Image 1 has rows in two places, and image 2 has many.
        for (image, numbers) in [(1, 0..3), (2, 0..20_000), (1, 3..5)] {
            numbers.for_each(|number| writer.add(&detection(image, number)).unwrap());
        }
        let known = writer.finish().unwrap();
        assert!(known.len() > 3 && known.len() < 10, "{}", known.len());
        let expected = |image, count| (0..count).map(|number| detection(image, number)).collect::<Vec<_>>();
        for (image, count) in [(1, 5), (2, 20_000), (3, 0)] {
            let found = known.get(&id(image));
            assert_eq!(found.len(), expected(image, count).len());
            for (found, expected) in found.iter().zip(expected(image, count)) {
                assert_eq!((&found.detection_id, &found.value), (&expected.detection_id, &expected.value));
                assert_eq!((&found.polygons, found.area), (&expected.polygons, expected.area));
            }
        }
    }

    fn id(n: u64) -> ImageId {
        ImageId::new(&(1_000_000 + n).to_string()).unwrap()
    }

    fn image(n: u64) -> Metadata {
        let mut image = Metadata { img_id: id(n), width: Some(640), ..Metadata::default() };
        image.altitude = Some(0.1 + f64::from(u32::try_from(n).unwrap()));
        image.computed_rotation = Some([0.1, 0.2, 0.3].into());
        image.make = n.is_multiple_of(2).then(|| "maker".to_owned());
        image
    }

    fn same(a: &Metadata, b: &Metadata) -> bool {
        Metadata::COLUMNS.iter().all(|column| (column.get)(a) == (column.get)(b))
    }

    fn write(path: &Path, rows: u64) -> KnownMetadata {
        let fields = "width,altitude,computed_rotation,make".parse().unwrap();
        let mut writer = KnownRecordsWriter::create(path, &fields).unwrap();
        (0..rows).for_each(|n| writer.add(&image(n)).unwrap());
        writer.finish().unwrap()
    }
}
