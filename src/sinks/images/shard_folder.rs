//! A folder of shards: a local one, or one in a bucket.

#[cfg(feature = "object-store")]
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::earlier_shard::Earlier;
use super::panicked::panicked;
use crate::atomic_file::{output_error, sweep};
use crate::error::Result;
#[cfg(feature = "object-store")]
use crate::error::{Error, ErrorKind};
use crate::sinks::Quality;
#[cfg(feature = "object-store")]
use crate::sinks::shards::{EarlierIndex, archive_len};
use crate::sinks::shards::{ShardIndex, shard_name, shard_number};
use crate::storage::Target;
#[cfg(feature = "object-store")]
use crate::storage::{Bucket, ObjectInfo};
#[cfg(feature = "object-store")]
use crate::sync::lock;

/// Bytes of finished pictures that wait in memory for their turn. Others wait in temporary files.
const MAX_WAITING: usize = 64 << 20;

/// A folder of shards.
#[derive(Clone)]
pub(super) struct ShardFolder {
    place: Place,
    /// Bytes of finished pictures in memory.
    waiting: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Place {
    Local(PathBuf),
    #[cfg(feature = "object-store")]
    Bucket(Arc<BucketShards>),
}

#[cfg(feature = "object-store")]
struct BucketShards {
    bucket: Bucket,
    /// The shards, by number.
    shards: BTreeMap<u64, ObjectInfo>,
    /// The index of the earlier run, and when it was written.
    index: std::sync::Mutex<Option<(EarlierIndex, std::time::SystemTime)>>,
}

/// A finished picture, until it is written into its shard.
pub(super) enum Content {
    Memory(Bytes, Arc<AtomicUsize>),
    File(fs::File),
}

impl ShardFolder {
    /// Creates a local folder, and removes the temporary files of killed runs.
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        let open = || {
            fs::create_dir_all(&folder)?;
            sweep(&folder, |name| shard_number(name).is_some() || name == ShardIndex::NAME)
        };
        open().map_err(|error| output_error("create the folder", &folder, error))?;
        Ok(Self { place: Place::Local(folder), waiting: Arc::default() })
    }

    /// Lists the shards of a folder in a bucket, and reads their index.
    #[cfg(feature = "object-store")]
    pub(super) async fn of_bucket(bucket: Bucket) -> Result<Self> {
        let objects = bucket.list_folder().await?;
        let mut index = None;
        if let Some(object) = objects.iter().find(|object| object.name == ShardIndex::NAME) {
            let failed = |error| Error::new(ErrorKind::Io, "create a temporary file").with_source(error);
            let copy = tempfile::NamedTempFile::new().map_err(failed)?;
            bucket.download(&object.name, copy.path()).await?;
            index = EarlierIndex::open(copy.path()).map(|index| (index, object.modified));
        }
        let shards = objects.into_iter().filter_map(|object| Some((shard_number(&object.name)?, object)));
        let shards = BucketShards { shards: shards.collect(), bucket, index: std::sync::Mutex::new(index) };
        Ok(Self { place: Place::Bucket(Arc::new(shards)), waiting: Arc::default() })
    }

    pub(super) fn path(&self) -> PathBuf {
        match &self.place {
            Place::Local(folder) => folder.clone(),
            #[cfg(feature = "object-store")]
            Place::Bucket(shards) => shards.bucket.url().into(),
        }
    }

    pub(super) fn target(&self, name: &str) -> Target {
        match &self.place {
            Place::Local(folder) => folder.join(name).into(),
            #[cfg(feature = "object-store")]
            Place::Bucket(shards) => shards.bucket.target(name),
        }
    }

    /// The shard of an earlier run, to be called in the order of the shards. One with pictures of another size is a
    /// usage error. One in a bucket is copied, unless the index of that run says what it contains.
    pub(super) async fn earlier(&self, shard: u64, quality: Quality) -> Result<Option<Earlier>> {
        let (path, copy) = match &self.place {
            Place::Local(folder) => (folder.join(shard_name(shard)), None),
            #[cfg(feature = "object-store")]
            Place::Bucket(shards) => {
                let Some(object) = shards.shards.get(&shard) else { return Ok(None) };
                if let Some(earlier) = shards.indexed(shard, object, quality) {
                    return Ok(Some(earlier));
                }
                let failed = |error| Error::new(ErrorKind::Io, "create a temporary file").with_source(error);
                let copy = tempfile::NamedTempFile::new().map_err(failed)?;
                shards.bucket.download(&object.name, copy.path()).await?;
                (copy.path().to_owned(), Some(copy))
            }
        };
        if copy.is_none() && !path.exists() {
            return Ok(None);
        }
        let open = move || Earlier::open(path, copy, quality);
        tokio::task::spawn_blocking(open).await.map_err(panicked)?.map(Some)
    }

    /// The shards from a number on, with `None` for those that would have to be copied or can't be read. Blocks.
    pub(super) fn later(&self, first: u64, quality: Quality) -> Vec<(String, Option<Earlier>)> {
        match &self.place {
            Place::Local(folder) => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                let numbers = entries.filter_map(|entry| shard_number(entry.file_name().to_str()?));
                let mut numbers: Vec<_> = numbers.filter(|number| *number >= first).collect();
                numbers.sort_unstable();
                let names = numbers.into_iter().map(shard_name);
                let open = |name: String| {
                    let earlier = Earlier::open(folder.join(&name), None, quality).ok();
                    (name, earlier)
                };
                names.map(open).collect()
            }
            #[cfg(feature = "object-store")]
            Place::Bucket(shards) => {
                let later = shards.shards.range(first..);
                let open = |(number, object): (&u64, &ObjectInfo)| {
                    (object.name.clone(), shards.indexed(*number, object, quality))
                };
                later.map(open).collect()
            }
        }
    }

    /// Keeps a finished picture until its turn, in memory if there is room.
    pub(super) fn hold(&self, chunks: &[Bytes]) -> io::Result<Content> {
        let len = chunks.iter().map(Bytes::len).sum();
        if self.waiting.fetch_add(len, Ordering::AcqRel) + len <= MAX_WAITING {
            return Ok(Content::Memory(chunks.concat().into(), Arc::clone(&self.waiting)));
        }
        self.waiting.fetch_sub(len, Ordering::AcqRel);
        let mut file = match &self.place {
            Place::Local(folder) => tempfile::tempfile_in(folder)?,
            #[cfg(feature = "object-store")]
            Place::Bucket(_) => tempfile::tempfile()?,
        };
        chunks.iter().try_for_each(|chunk| file.write_all(chunk))?;
        Ok(Content::File(file))
    }
}

#[cfg(feature = "object-store")]
impl BucketShards {
    /// The shard as the index describes it. `None` if it may have changed after the index was written.
    fn indexed(&self, shard: u64, object: &ObjectInfo, quality: Quality) -> Option<Earlier> {
        let mut index = lock(&self.index);
        let (index, written) = index.as_mut()?;
        let rows = index.take(shard).filter(|_| index.quality() == Some(quality))?;
        let is_same = archive_len(&rows) == Some(object.len) && object.modified <= *written;
        is_same.then(|| Earlier::indexed(rows, self.bucket.clone(), object.name.clone(), quality))
    }
}

impl Content {
    pub(super) fn into_bytes(self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes, waiting) => {
                waiting.fetch_sub(bytes.len(), Ordering::AcqRel);
                Ok(bytes)
            }
            Self::File(mut file) => {
                let mut bytes = Vec::new();
                file.rewind()?;
                file.read_to_end(&mut bytes)?;
                Ok(bytes.into())
            }
        }
    }
}
