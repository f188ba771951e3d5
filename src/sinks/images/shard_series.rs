//! The shards of a folder: those of earlier runs, the one that is written, and the index.

use std::collections::HashSet;

use super::earlier_shard::Earlier;
use super::shard_folder::{Content, ShardFolder};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ImageId;
use crate::sinks::Quality;
use crate::sinks::shards::{IndexRow, ShardIndex, ShardWriter, shard_name};

/// A picture with its metadata.
pub(super) struct Sample {
    pub(super) id: ImageId,
    pub(super) json: Vec<u8>,
    pub(super) content: Content,
}

/// Writes the shards of a run one after the other.
pub(super) struct ShardSeries {
    folder: ShardFolder,
    index: ShardIndex,
    quality: Quality,
    current: Option<Current>,
    /// The shard after the last one that was begun.
    next: u64,
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
    pub(super) fn begin(folder: ShardFolder, quality: Quality) -> Result<Self> {
        let index = ShardIndex::create(folder.target(ShardIndex::NAME), quality)?;
        Ok(Self { folder, index, quality, current: None, next: 0 })
    }

    /// Ends the current shard and begins the next one.
    pub(super) fn begin_shard(mut self, shard: u64, earlier: Option<Earlier>) -> Result<Self> {
        self.end_shard(true)?;
        self.next = shard + 1;
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

    /// Ends the last shard and writes the index of all shards. Returns the names of shards that it lacks: a run that
    /// was stopped before them does not copy them from a bucket.
    pub(super) fn finish(mut self) -> Result<Vec<String>> {
        // A stopped run has not seen all rows of its last shard.
        self.end_shard(false)?;
        let mut unknown = Vec::new();
        for (name, earlier) in self.folder.later(self.next, self.quality) {
            match earlier {
                Some(earlier) => self.index.add(&earlier.index_rows(&name))?,
                None => unknown.push(name),
            }
        }
        self.index.commit()?;
        Ok(unknown)
    }

    /// Commits the current shard if it has new samples. `is_full`: all its rows were seen.
    fn end_shard(&mut self, is_full: bool) -> Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let kept: HashSet<_> = current.kept.iter().collect();
        let order = current.earlier.as_ref().map(|earlier| earlier.order().to_vec()).unwrap_or_default();
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
        let Some([json, picture]) = earlier.read(id)? else { return Ok(()) };
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
        self.index = self.earlier.as_ref().map(|earlier| earlier.index_rows(&self.name)).unwrap_or_default();
    }
}
