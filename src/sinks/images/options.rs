//! Options of the image sink.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::shard_folder::Content;
use crate::client::Client;
use crate::model::Metadata;
use crate::sinks::exif::PictureMetadata;
use crate::sinks::{Exif, FileTime, PictureLayout, Quality, ShardPictures};

/// What to download, from where and to where.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) client: Client,
    /// The target folder; empty for a bucket.
    pub(super) folder: PathBuf,
    #[cfg(feature = "object-store")]
    pub(super) bucket: Option<crate::storage::Bucket>,
    pub(super) quality: Quality,
    pub(super) exif: Exif,
    pub(super) layout: PictureLayout,
    pub(super) check_existing: bool,
    pub(super) file_time: FileTime,
    /// Pictures that are taken from shards instead of requested.
    pub(super) source: Option<Arc<ShardPictures>>,
    /// Table rows of a shard; `None` for files.
    pub(super) shard_rows: Option<NonZeroU32>,
}

/// A picture to write.
pub(super) struct Picture {
    pub(super) target: PathBuf,
    pub(super) metadata: Option<PictureMetadata>,
    pub(super) modified: Option<SystemTime>,
    /// The picture, if it goes into a shard.
    pub(super) content: Mutex<Option<Content>>,
}

impl Options {
    /// The file of an image's picture.
    pub(super) fn target(&self, image: &Metadata) -> PathBuf {
        let folder = self.folder.join(self.layout.folder(image));
        folder.join(format!("{}_{}.jpg", image.img_id, self.quality))
    }

    /// The picture of an image, to be written to `target`.
    pub(super) fn picture(&self, image: &Metadata, target: PathBuf) -> Picture {
        let has_metadata = self.exif.applies_to(self.quality);
        Picture {
            target,
            metadata: has_metadata.then(|| PictureMetadata::new(image, self.quality)),
            modified: self.file_time.modified_time(image),
            content: Mutex::default(),
        }
    }
}
