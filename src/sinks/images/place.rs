//! Where pictures go: a local folder, or a folder of a bucket.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

#[cfg(feature = "object-store")]
use super::bucket_folder::BucketFolder;
use super::download::panicked;
use super::options::Options;
use super::target_folder;
use crate::error::{Error, Result};
use crate::sinks::durable::DurableFolder;
use crate::sinks::warnings::TooSmall;

/// Where pictures go.
pub(super) enum Place {
    Folder(Arc<DurableFolder>),
    #[cfg(feature = "object-store")]
    Bucket(BucketFolder),
}

impl Place {
    /// Opens the place, and returns warnings about it.
    pub(super) async fn open(options: &Options) -> Result<(Self, Vec<Error>)> {
        #[cfg(feature = "object-store")]
        if let Some(bucket) = &options.bucket {
            return Ok((Self::Bucket(BucketFolder::open(bucket.clone()).await?), Vec::new()));
        }
        let (folder, file_time) = (options.folder.clone(), options.file_time);
        let opening = spawn_blocking(move || target_folder::open(&folder, file_time));
        let mut durable = opening.await.map_err(panicked)??;
        let warnings = std::mem::take(&mut durable.warnings);
        Ok((Self::Folder(Arc::new(durable)), warnings))
    }

    /// The path or URL of the place.
    pub(super) fn path(&self, options: &Options) -> PathBuf {
        match self {
            Self::Folder(_) => options.folder.clone(),
            #[cfg(feature = "object-store")]
            Self::Bucket(folder) => folder.url(),
        }
    }

    /// Syncs pictures periodically, until the handle is dropped.
    #[cfg_attr(
        not(feature = "object-store"),
        expect(clippy::unnecessary_wraps, reason = "buckets need none")
    )]
    pub(super) fn sync_periodically(&self) -> Option<AbortOnDropHandle<()>> {
        match self {
            Self::Folder(durable) => Some(durable.sync_periodically()),
            #[cfg(feature = "object-store")]
            Self::Bucket(_) => None,
        }
    }

    /// Whether a picture exists.
    pub(super) fn exists(&self, target: &Path, check: bool, too_small: &Mutex<TooSmall>) -> Result<bool> {
        match self {
            Self::Folder(_) => target_folder::exists(target, check, too_small),
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
            #[cfg(feature = "object-store")]
            Self::Bucket(_) => Ok(()),
        }
    }
}
