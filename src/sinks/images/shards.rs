//! Pictures in shards: tar archives with a fixed number of table rows.
//!
//! Row `n` of the table belongs to shard `n / rows`, whatever happens to its picture. So a repeated run makes the shards
//! of the run before, and only those that are missing or incomplete.

use std::collections::HashSet;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use tokio::task::spawn_blocking;

use super::earlier_shard::Earlier;
use super::options::Picture;
use super::panicked::panicked;
use super::run::{Run, warn};
use super::shard_folder::{Content, ShardFolder};
use super::shard_series::{Sample, ShardSeries};
use super::sidecar::sidecar;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, Metadata};
use crate::sinks::Written;
use crate::sources::RecordStream;

/// Pictures in progress or waiting for their turn, for each request that the client allows.
const PICTURES_PER_REQUEST: usize = 4;

/// Upper limit of that number.
const MAX_PICTURES: usize = 1024;

/// A row of the table, on its way to its shard.
struct Row {
    shard: u64,
    image: Metadata,
    /// Set for the first row of a shard.
    begins: Option<Begin>,
    state: RowState,
}

/// The begin of a shard, with that of an earlier run.
struct Begin(Option<Earlier>);

#[derive(Clone, Copy, PartialEq)]
enum RowState {
    Missing,
    /// In the shard of an earlier run.
    Exists,
    /// An earlier row of this shard has the same image.
    Repeated,
}

/// What is known about the shard of the next row.
#[derive(Default)]
struct Look {
    next_row: u64,
    existing: HashSet<ImageId>,
    seen: HashSet<ImageId>,
}

impl Run {
    /// Downloads the pictures of all images into shards of `rows` table rows.
    pub(super) async fn drain_to_shards(
        self: Arc<Self>,
        images: RecordStream<Metadata>,
        folder: ShardFolder,
        rows: u64,
    ) -> Result<Written> {
        let options = &self.downloader.options;
        let mut written = Written { paths: vec![folder.path()], ..Written::default() };
        let in_progress = options.client.concurrency().saturating_mul(PICTURES_PER_REQUEST).min(MAX_PICTURES);
        let mut series = ShardSeries::begin(folder.clone(), options.quality)?;
        let mut results =
            self.rows(images, folder, rows).map(|row| Arc::clone(&self).fetch_row(row)).buffered(in_progress);
        while let Some(result) = results.next().await {
            let (mut row, fetched) = result?;
            if let Some(Begin(earlier)) = row.begins.take() {
                let shard = row.shard;
                series = blocking(move || series.begin_shard(shard, earlier)).await?;
            }
            let Metadata { img_id, .. } = &row.image;
            match fetched {
                Fetched::Exists => {
                    let id = img_id.clone();
                    if row.state == RowState::Exists {
                        series = blocking(move || series.keep(&id)).await?;
                    }
                    self.count(&mut written, Ok(None))?;
                }
                Fetched::Picture(len, content) => {
                    let json = sidecar(&row.image, options.quality);
                    let sample = Sample { id: img_id.clone(), json, content };
                    series = blocking(move || series.add(sample)).await?;
                    self.count(&mut written, Ok(Some(len)))?;
                }
                Fetched::Failed(error) => self.count(&mut written, Err(error))?,
            }
        }
        drop(results);
        let unknown = blocking(move || series.finish()).await?;
        let missing = unknown.first().map(|first| {
            Error::new(ErrorKind::Io, "list all shards in the index")
                .with_source(format!("{} shards were not read, such as `{first}`", unknown.len()))
                .with_hint("run the same command again to its end")
        });
        warn(&options.client, missing.as_slice());
        Ok(written)
    }

    /// The rows with their shards, in order. Reads the shard of an earlier run at its first row.
    fn rows(&self, images: RecordStream<Metadata>, folder: ShardFolder, rows: u64) -> RecordStream<Row> {
        let quality = self.downloader.options.quality;
        let state = (images, folder, Look::default());
        stream::unfold(state, move |(mut images, folder, mut look)| async move {
            let image = match images.next().await? {
                Ok(image) => image,
                Err(error) => return Some((Err(error), (images, folder, look))),
            };
            let shard = look.next_row / rows;
            let mut begins = None;
            if look.next_row.is_multiple_of(rows) {
                match folder.earlier(shard, quality).await {
                    Ok(earlier) => {
                        look.existing = earlier.as_ref().map(Earlier::ids).unwrap_or_default();
                        begins = Some(Begin(earlier));
                    }
                    Err(error) => return Some((Err(error), (images, folder, look))),
                }
                look.seen.clear();
            }
            look.next_row += 1;
            let state = if !look.seen.insert(image.img_id.clone()) {
                RowState::Repeated
            } else if look.existing.contains(&image.img_id) {
                RowState::Exists
            } else {
                RowState::Missing
            };
            Some((Ok(Row { shard, image, begins, state }), (images, folder, look)))
        })
        .boxed()
    }

    /// Downloads the picture of a row, unless it exists.
    async fn fetch_row(self: Arc<Self>, row: Result<Row>) -> Result<(Row, Fetched)> {
        let row = row?;
        if row.state != RowState::Missing {
            return Ok((row, Fetched::Exists));
        }
        let downloader = Arc::clone(&self.downloader);
        let target = downloader.options.target(&row.image);
        let picture = Arc::new(downloader.options.picture(&row.image, target));
        let client = downloader.options.client.clone();
        let result = downloader.fetch(row.image.clone(), Arc::clone(&picture), client).await;
        let fetched = match (result, take_content(&picture)) {
            (Ok(len), Some(content)) => Fetched::Picture(len, content),
            (Ok(_), None) => Fetched::Failed(Error::thread_refused(std::io::ErrorKind::Other.into())),
            (Err(error), _) => Fetched::Failed(error),
        };
        Ok((row, fetched))
    }
}

enum Fetched {
    Exists,
    Picture(u64, Content),
    Failed(Error),
}

fn take_content(picture: &Picture) -> Option<Content> {
    crate::sync::lock(&picture.content).take()
}

/// Runs work on shards, which blocks, on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(panicked)?
}
