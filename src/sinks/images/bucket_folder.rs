//! A folder of pictures in a bucket.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;

use super::target_folder::MIN_JPEG_LEN;
use crate::error::Result;
use crate::sinks::folders::picture_quality;
use crate::storage::Bucket;

/// The pictures of a bucket, as listed when the run began. Each takes 16 bytes of memory, and about as much again.
pub(super) struct BucketFolder {
    bucket: Bucket,
    existing: HashSet<u128>,
    hashers: [RandomState; 2],
}

impl BucketFolder {
    /// Lists the pictures that exist.
    pub(super) async fn open(bucket: Bucket) -> Result<Self> {
        let mut folder = Self { bucket, existing: HashSet::new(), hashers: Default::default() };
        let mut objects = std::pin::pin!(folder.bucket.list());
        while let Some(object) = objects.try_next().await? {
            let name = object.name.rsplit('/').next().unwrap_or_default();
            if picture_quality(name).is_some() && object.len >= MIN_JPEG_LEN {
                let hash = folder.hash(&object.name);
                folder.existing.insert(hash);
            }
        }
        Ok(folder)
    }

    pub(super) fn url(&self) -> PathBuf {
        self.bucket.url().into()
    }

    pub(super) fn exists(&self, target: &Path) -> bool {
        self.existing.contains(&self.hash(&key(target)))
    }

    /// Writes a picture by a single request.
    pub(super) async fn put(&self, target: &Path, chunks: Vec<Bytes>) -> Result<()> {
        let len = chunks.iter().map(Bytes::len).sum();
        let mut content = BytesMut::with_capacity(len);
        for chunk in &chunks {
            content.extend_from_slice(chunk);
        }
        self.bucket.put(&key(target), content.freeze()).await
    }

    fn hash(&self, name: &str) -> u128 {
        let [high, low] =
            [&self.hashers[0], &self.hashers[1]].map(|hasher| u128::from(hasher.hash_one(name)));
        high << 64 | low
    }
}

/// The name of a picture in the folder. Its parts are ids, dates and digits.
fn key(target: &Path) -> String {
    let parts = target.iter().map(|part| part.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}
