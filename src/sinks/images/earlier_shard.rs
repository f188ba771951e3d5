//! A shard of an earlier run: which pictures it has, and their bytes.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde_json::{Map, Value as Json};
use tempfile::NamedTempFile;

use super::sidecar::QUALITY;
use crate::error::{Error, ErrorKind, Result};
use crate::model::ImageId;
use crate::sinks::Quality;
use crate::sinks::shards::{IndexRow, Shard};

/// A shard of an earlier run.
pub(super) struct Earlier {
    /// The images, in the order of the shard.
    order: Vec<ImageId>,
    content: ShardContent,
}

enum ShardContent {
    Open(OpenShard),
    /// The index of the earlier run says what the shard contains, so it is copied only if its bytes are needed.
    #[cfg(feature = "object-store")]
    Indexed {
        rows: Vec<IndexRow>,
        bucket: crate::storage::Bucket,
        name: String,
        quality: Quality,
    },
}

struct OpenShard {
    shard: Shard,
    /// Indices of sidecar and picture by image.
    samples: HashMap<ImageId, [usize; 2]>,
    /// The local copy of a shard in a bucket.
    _copy: Option<NamedTempFile>,
}

impl Earlier {
    /// Opens a shard. One with pictures of another size is a usage error.
    pub(super) fn open(path: PathBuf, copy: Option<NamedTempFile>, quality: Quality) -> Result<Self> {
        let (order, shard) = OpenShard::open(path, copy, quality)?;
        Ok(Self { order, content: ShardContent::Open(shard) })
    }

    /// A shard in a bucket whose rows in the index are known.
    #[cfg(feature = "object-store")]
    pub(super) fn indexed(
        rows: Vec<IndexRow>,
        bucket: crate::storage::Bucket,
        name: String,
        quality: Quality,
    ) -> Self {
        let order = rows.iter().map(|row| row.id.clone()).collect();
        Self { order, content: ShardContent::Indexed { rows, bucket, name, quality } }
    }

    pub(super) fn ids(&self) -> HashSet<ImageId> {
        self.order.iter().cloned().collect()
    }

    pub(super) fn order(&self) -> &[ImageId] {
        &self.order
    }

    /// The bytes of sidecar and picture of an image. Blocks.
    pub(super) fn read(&mut self, id: &ImageId) -> Result<Option<[Vec<u8>; 2]>> {
        let shard = self.opened()?;
        let Some(&[json, picture]) = shard.samples.get(id) else { return Ok(None) };
        Ok(Some([shard.shard.read_entry(json)?, shard.shard.read_entry(picture)?]))
    }

    /// The rows of the index.
    pub(super) fn index_rows(&self, name: &str) -> Vec<IndexRow> {
        match &self.content {
            ShardContent::Open(shard) => {
                let row = |id: &ImageId| {
                    let [_, picture] = *shard.samples.get(id)?;
                    let position = shard.shard.position(picture)?;
                    Some(IndexRow { id: id.clone(), shard: name.to_owned(), position })
                };
                self.order.iter().filter_map(row).collect()
            }
            #[cfg(feature = "object-store")]
            ShardContent::Indexed { rows, .. } => rows.clone(),
        }
    }

    #[cfg_attr(
        not(feature = "object-store"),
        expect(clippy::unnecessary_wraps, reason = "only buckets can fail")
    )]
    fn opened(&mut self) -> Result<&mut OpenShard> {
        #[cfg(feature = "object-store")]
        if let ShardContent::Indexed { bucket, name, quality, .. } = &self.content {
            let failed = |error| Error::new(ErrorKind::Io, "create a temporary file").with_source(error);
            let copy = NamedTempFile::new().map_err(failed)?;
            let runtime = tokio::runtime::Handle::try_current();
            let runtime =
                runtime.map_err(|error| Error::new(ErrorKind::Io, "read the shard").with_source(error))?;
            runtime.block_on(bucket.download(name, copy.path()))?;
            let (order, shard) = OpenShard::open(copy.path().to_owned(), Some(copy), *quality)?;
            *self = Self { order, content: ShardContent::Open(shard) };
        }
        match &mut self.content {
            ShardContent::Open(shard) => Ok(shard),
            #[cfg(feature = "object-store")]
            ShardContent::Indexed { .. } => Err(Error::new(ErrorKind::Io, "read the shard")),
        }
    }
}

impl OpenShard {
    /// Opens a shard; returns its images in order.
    fn open(path: PathBuf, copy: Option<NamedTempFile>, quality: Quality) -> Result<(Vec<ImageId>, Self)> {
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
        Ok((order, Self { shard, samples, _copy: copy }))
    }
}
