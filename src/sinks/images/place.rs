//! Where pictures go: a local folder, or a folder of a bucket.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

#[cfg(feature = "object-store")]
use super::bucket_folder::BucketFolder;
use super::options::Options;
use super::panicked::panicked;
use super::shard_folder::ShardFolder;
use super::target_folder;
use crate::error::{Error, ErrorKind, Result};
use crate::sinks::durable::DurableFolder;
use crate::sinks::warnings::TooSmall;

/// Maximum length of a picture that is in memory as a whole, in bytes.
const MAX_PICTURE_LEN: usize = 256 << 20;

/// Where pictures go.
pub(super) enum Place {
    Folder(Arc<DurableFolder>),
    Shards(ShardFolder),
    #[cfg(feature = "object-store")]
    Bucket(BucketFolder),
}

impl Place {
    /// Opens the place, and returns warnings about it.
    pub(super) async fn open(options: &Options) -> Result<(Self, Vec<Error>)> {
        #[cfg(feature = "object-store")]
        if let Some(bucket) = &options.bucket {
            if options.shard_rows.is_some() {
                return Ok((Self::Shards(ShardFolder::of_bucket(bucket.clone()).await?), Vec::new()));
            }
            return Ok((Self::Bucket(BucketFolder::open(bucket.clone()).await?), Vec::new()));
        }
        let (folder, file_time) = (options.folder.clone(), options.file_time);
        if options.shard_rows.is_some() {
            let opened = spawn_blocking(move || ShardFolder::open(folder)).await.map_err(panicked)??;
            return Ok((Self::Shards(opened), Vec::new()));
        }
        let opening = spawn_blocking(move || target_folder::open(&folder, file_time));
        let mut durable = opening.await.map_err(panicked)??;
        let warnings = std::mem::take(&mut durable.warnings);
        Ok((Self::Folder(Arc::new(durable)), warnings))
    }

    /// The path or URL of the place.
    pub(super) fn path(&self, options: &Options) -> PathBuf {
        match self {
            Self::Folder(_) => options.folder.clone(),
            Self::Shards(folder) => folder.path(),
            #[cfg(feature = "object-store")]
            Self::Bucket(folder) => folder.url(),
        }
    }

    /// Syncs pictures periodically, until the handle is dropped.
    pub(super) fn sync_periodically(&self) -> Option<AbortOnDropHandle<()>> {
        match self {
            Self::Folder(durable) => Some(durable.sync_periodically()),
            Self::Shards(_) => None,
            #[cfg(feature = "object-store")]
            Self::Bucket(_) => None,
        }
    }

    /// Whether a picture exists.
    pub(super) fn exists(&self, target: &Path, check: bool, too_small: &Mutex<TooSmall>) -> Result<bool> {
        match self {
            Self::Folder(_) => target_folder::exists(target, check, too_small),
            Self::Shards(_) => Ok(false),
            #[cfg(feature = "object-store")]
            Self::Bucket(folder) => Ok(folder.exists(target)),
        }
    }

    /// Makes all pictures durable.
    pub(super) async fn finish(&self) -> Result<()> {
        match self {
            Self::Folder(durable) => {
                let durable = Arc::clone(durable);
                spawn_blocking(move || durable.finish()).await.map_err(panicked)?
            }
            Self::Shards(_) => Ok(()),
            #[cfg(feature = "object-store")]
            Self::Bucket(_) => Ok(()),
        }
    }
}

/// Rejects a picture that would take too much memory.
pub(super) fn check_len(len: usize) -> Result<()> {
    if len <= MAX_PICTURE_LEN {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Malformed, "").with_source("the picture has more than 256 MiB"))
}
