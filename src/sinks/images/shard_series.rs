//! The shards of a folder: those of earlier runs, the one that is written, and the index.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::{Map, Value as Json};
use tempfile::NamedTempFile;

use super::panicked::panicked;
use crate::atomic_file::{output_error, sweep};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, Metadata};
use crate::record::{Record, Value};
use crate::sinks::Quality;
use crate::sinks::shards::{IndexRow, Position, Shard, ShardIndex, ShardWriter};
use crate::storage::Target;

/// Bytes of finished pictures that wait in memory for their turn. Others wait in temporary files.
const MAX_WAITING: usize = 64 << 20;

/// The member of a sidecar with the size of the picture, which the name of the picture does not tell.
const QUALITY: &str = "quality";

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
    Bucket(crate::storage::Bucket, Arc<HashSet<String>>),
}

/// A finished picture, until it is written into its shard.
pub(super) enum Content {
    Memory(Bytes, Arc<AtomicUsize>),
    File(fs::File),
}

/// A picture with its metadata.
pub(super) struct Sample {
    pub(super) id: ImageId,
    pub(super) json: Vec<u8>,
    pub(super) content: Content,
}

fn shard_name(shard: u64) -> String {
    format!("pictures-{shard:06}.tar")
}

fn is_shard_name(name: &str) -> bool {
    let digits = name.strip_prefix("pictures-").and_then(|rest| rest.strip_suffix(".tar"));
    digits.is_some_and(|digits| digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

impl ShardFolder {
    /// Creates a local folder, and removes the temporary files of killed runs.
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        let open = || {
            fs::create_dir_all(&folder)?;
            sweep(&folder, |name| is_shard_name(name) || name == ShardIndex::NAME)
        };
        open().map_err(|error| output_error("create the folder", &folder, error))?;
        Ok(Self { place: Place::Local(folder), waiting: Arc::default() })
    }

    /// Lists the shards of a folder in a bucket.
    #[cfg(feature = "object-store")]
    pub(super) async fn of_bucket(bucket: crate::storage::Bucket) -> Result<Self> {
        let names = bucket.list_folder().await?.into_iter().map(|object| object.name).collect();
        Ok(Self { place: Place::Bucket(bucket, Arc::new(names)), waiting: Arc::default() })
    }

    pub(super) fn path(&self) -> PathBuf {
        match &self.place {
            Place::Local(folder) => folder.clone(),
            #[cfg(feature = "object-store")]
            Place::Bucket(bucket, _) => bucket.url().into(),
        }
    }

    fn target(&self, name: &str) -> Target {
        match &self.place {
            Place::Local(folder) => folder.join(name).into(),
            #[cfg(feature = "object-store")]
            Place::Bucket(bucket, _) => bucket.target(name),
        }
    }

    /// The shard of an earlier run. One with pictures of another size is a usage error.
    pub(super) async fn earlier(&self, shard: u64, quality: Quality) -> Result<Option<Earlier>> {
        let name = shard_name(shard);
        let (path, copy) = match &self.place {
            Place::Local(folder) => (folder.join(&name), None),
            #[cfg(feature = "object-store")]
            Place::Bucket(_, names) if !names.contains(&name) => return Ok(None),
            #[cfg(feature = "object-store")]
            Place::Bucket(bucket, _) => {
                let failed = |error| Error::new(ErrorKind::Io, "create a temporary file").with_source(error);
                let copy = NamedTempFile::new().map_err(failed)?;
                bucket.download(&name, copy.path()).await?;
                (copy.path().to_owned(), Some(copy))
            }
        };
        if copy.is_none() && !path.exists() {
            return Ok(None);
        }
        let open = move || Earlier::open(path, copy, quality);
        tokio::task::spawn_blocking(open).await.map_err(panicked)?.map(Some)
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
            Place::Bucket(..) => tempfile::tempfile()?,
        };
        chunks.iter().try_for_each(|chunk| file.write_all(chunk))?;
        Ok(Content::File(file))
    }
}

impl Content {
    fn into_bytes(self) -> io::Result<Bytes> {
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

/// A shard of an earlier run.
pub(super) struct Earlier {
    shard: Shard,
    /// Indices of sidecar and picture by image.
    samples: HashMap<ImageId, [usize; 2]>,
    /// The images, in the order of the shard.
    order: Vec<ImageId>,
    /// The local copy of a shard in a bucket.
    _copy: Option<NamedTempFile>,
}

impl Earlier {
    fn open(path: PathBuf, copy: Option<NamedTempFile>, quality: Quality) -> Result<Self> {
        let mut shard = Shard::open(path)?;
        let shown = shard.path().display().to_string();
        let reject = |why: String| {
            Error::new(ErrorKind::Usage, "use the shard")
                .with_subject(&*shown)
                .with_source(why)
                .with_hint("choose another directory with `--output` or `--image-downloads-folder`, or move the shards away")
        };
        let mut samples: HashMap<ImageId, [usize; 2]> = HashMap::new();
        let mut order = Vec::new();
        let names: Vec<_> = shard.names().collect();
        for (index, pair) in names.chunks(2).enumerate() {
            let id = match *pair {
                [json, jpg] => json.strip_suffix(".json").filter(|id| jpg.strip_suffix(".jpg") == Some(*id)),
                _ => None,
            };
            let Some(id) = id.and_then(|id| ImageId::new(id).ok()) else {
                return Err(reject(
                    "it was not written by streetflow, or has other samples than pictures".to_owned(),
                ));
            };
            samples.insert(id.clone(), [2 * index, 2 * index + 1]);
            order.push(id);
        }
        if !order.is_empty() {
            let json: Map<String, Json> = serde_json::from_slice(&shard.read_entry(0)?).unwrap_or_default();
            let found = json.get(QUALITY).and_then(Json::as_str).unwrap_or("unknown");
            if found != quality.name() {
                return Err(reject(format!(
                    "its pictures have the quality {found}, this run downloads {quality}"
                )));
            }
        }
        Ok(Self { shard, samples, order, _copy: copy })
    }

    pub(super) fn ids(&self) -> HashSet<ImageId> {
        self.order.iter().cloned().collect()
    }
}

/// Writes the shards of a run one after the other.
pub(super) struct ShardSeries {
    folder: ShardFolder,
    index: ShardIndex,
    current: Option<Current>,
}

/// The shard of the current rows.
struct Current {
    name: String,
    earlier: Option<Earlier>,
    /// Images of the earlier shard that the rows named so far.
    kept: Vec<ImageId>,
    /// `None` until the first picture that the earlier shard lacks.
    writer: Option<ShardWriter>,
    index: Vec<IndexRow>,
}

impl ShardSeries {
    pub(super) fn begin(folder: ShardFolder) -> Result<Self> {
        let index = ShardIndex::create(folder.target(ShardIndex::NAME))?;
        Ok(Self { folder, index, current: None })
    }

    /// Ends the current shard and begins the next one.
    pub(super) fn begin_shard(mut self, shard: u64, earlier: Option<Earlier>) -> Result<Self> {
        self.end_shard(true)?;
        let name = shard_name(shard);
        self.current = Some(Current { name, earlier, kept: Vec::new(), writer: None, index: Vec::new() });
        Ok(self)
    }

    /// Keeps a sample of the earlier shard.
    pub(super) fn keep(mut self, id: &ImageId) -> Result<Self> {
        if let Some(current) = &mut self.current {
            current.kept.push(id.clone());
            if current.writer.is_some() {
                current.copy(id)?;
            }
        }
        Ok(self)
    }

    /// Adds a new sample. The first one of a shard begins the new file, with the samples kept so far.
    pub(super) fn add(mut self, sample: Sample) -> Result<Self> {
        let folder = self.folder.clone();
        let Some(current) = &mut self.current else { return Ok(self) };
        if current.writer.is_none() {
            current.writer = Some(ShardWriter::create(folder.target(&current.name))?);
            for id in current.kept.clone() {
                current.copy(&id)?;
            }
        }
        let failed = |error| Error::new(ErrorKind::Io, "read a temporary picture").with_source(error);
        let picture = sample.content.into_bytes().map_err(failed)?;
        current.write(&sample.id, &sample.json, &picture)?;
        Ok(self)
    }

    /// Ends the last shard and writes the index.
    pub(super) fn finish(mut self) -> Result<()> {
        // A stopped run has not seen all rows of its last shard.
        self.end_shard(false)?;
        self.index.commit()
    }

    /// Commits the current shard if it has new samples. `is_full`: all its rows were seen.
    fn end_shard(&mut self, is_full: bool) -> Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let kept: HashSet<_> = current.kept.iter().collect();
        let order = current.earlier.as_ref().map(|earlier| earlier.order.clone()).unwrap_or_default();
        let others: Vec<_> = order.iter().filter(|id| !kept.contains(id)).cloned().collect();
        if current.writer.is_some() && !others.is_empty() {
            if is_full {
                return Err(Error::new(ErrorKind::Usage, "replace the shard")
                    .with_subject(self.folder.path().join(&current.name).display().to_string())
                    .with_source(format!("it has {} pictures of other rows, such as image {}: it belongs to another table or another `--shard-rows`", others.len(), others[0]))
                    .with_hint("choose another directory with `--output` or `--image-downloads-folder`, or move the shards away"));
            }
            for id in &others {
                current.copy(id)?;
            }
        }
        match current.writer.take() {
            Some(writer) => drop(writer.commit()?),
            None => current.index_earlier(),
        }
        self.index.add(&current.index)
    }
}

impl Current {
    /// Copies a sample of the earlier shard as it is.
    fn copy(&mut self, id: &ImageId) -> Result<()> {
        let Some(earlier) = &mut self.earlier else { return Ok(()) };
        let Some(&[json, picture]) = earlier.samples.get(id) else { return Ok(()) };
        let (json, picture) = (earlier.shard.read_entry(json)?, earlier.shard.read_entry(picture)?);
        self.write(id, &json, &picture)
    }

    fn write(&mut self, id: &ImageId, json: &[u8], picture: &[u8]) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let positions = writer.add(id.as_str(), [("json", json), ("jpg", picture)])?;
        self.index.push(IndexRow { id: id.clone(), shard: self.name.clone(), position: positions[1] });
        Ok(())
    }

    /// Lists the samples of an earlier shard that stays as it is.
    fn index_earlier(&mut self) {
        let Some(earlier) = &self.earlier else { return };
        let row = |id: &ImageId| {
            let [_, picture] = *earlier.samples.get(id)?;
            let position: Position = earlier.shard.position(picture)?;
            Some(IndexRow { id: id.clone(), shard: self.name.clone(), position })
        };
        self.index = earlier.order.iter().filter_map(row).collect();
    }
}

/// The metadata of a picture as JSON: all values of the row but signed URLs, which expire, and the size of the picture.
pub(super) fn sidecar(image: &Metadata, quality: Quality) -> Vec<u8> {
    let mut json = Map::new();
    for column in Metadata::COLUMNS {
        let is_signed = column.name.ends_with("_url") && column.name != "page_url";
        let value = (column.get)(image);
        if !is_signed && let Some(value) = json_value(&value) {
            json.insert(column.name.to_owned(), value);
        }
    }
    json.insert(QUALITY.to_owned(), quality.name().into());
    serde_json::to_vec(&json).unwrap_or_default()
}

fn json_value(value: &Value<'_>) -> Option<Json> {
    Some(match value {
        Value::Null => return None,
        Value::Text(text) if text.is_empty() => return None,
        Value::Text(text) => text.as_ref().into(),
        Value::Integer(number) => (*number).into(),
        Value::Time(time) => (*time).into(),
        Value::Float(number) => Json::Number(serde_json::Number::from_f64(*number)?),
        Value::Bool(flag) => (*flag).into(),
        Value::Floats(numbers) => numbers.iter().copied().map(Json::from).collect(),
        Value::Texts(texts) => texts.iter().cloned().map(Json::from).collect(),
        #[allow(unreachable_patterns, reason = "kinds may be added")]
        _ => return None,
    })
}
