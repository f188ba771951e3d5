//! Stands for buckets in a build without the feature `object-store`. Its types have no values.

#![allow(dead_code, reason = "no value of these types is ever created")]
#![allow(clippy::unused_self, clippy::unused_async, reason = "the same methods as those of a bucket")]

use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use futures::Stream;
use streetflow::storage::Target;
use streetflow::{Error, ErrorKind, Result};

#[derive(Debug, Clone)]
pub(crate) struct Bucket(());

#[derive(Debug)]
pub(crate) struct ObjectInfo {
    pub(crate) name: String,
    pub(crate) modified: SystemTime,
}

/// The content of an object.
#[derive(Debug)]
pub(crate) struct Content;

impl From<Vec<u8>> for Content {
    fn from(_: Vec<u8>) -> Self {
        Self
    }
}

#[derive(Debug)]
pub(crate) struct BucketLock(());

#[derive(Debug)]
pub(crate) struct LockOwner {
    pub(crate) host: String,
    pub(crate) process: u32,
    pub(crate) state_dir: String,
}

fn unsupported<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Usage, "open the bucket")
        .with_source("this build has no buckets; it was built without the feature `object-store`"))
}

impl Bucket {
    pub(crate) fn is_url(text: &str) -> bool {
        ["s3://", "gs://", "az://"].iter().any(|scheme| text.starts_with(scheme))
    }

    pub(crate) fn open(_: &str, _: &[(String, String)]) -> Result<Self> {
        unsupported()
    }

    pub(crate) fn uploaded(&self) -> u64 {
        0
    }

    pub(crate) fn url(&self) -> String {
        String::new()
    }

    pub(crate) fn join(&self, _: &str) -> Self {
        self.clone()
    }

    pub(crate) fn target(&self, name: &str) -> Target {
        name.into()
    }

    pub(crate) async fn download(&self, _: &str, _: &Path) -> Result<Option<ObjectInfo>> {
        unsupported()
    }

    pub(crate) async fn get(&self, _: &str, _: u64) -> Result<Option<Bytes>> {
        unsupported()
    }

    pub(crate) async fn has_objects(&self) -> bool {
        false
    }

    pub(crate) fn list(&self) -> impl Stream<Item = Result<ObjectInfo>> + Send + 'static {
        futures::stream::once(async { unsupported() })
    }

    pub(crate) async fn list_folder(&self) -> Result<Vec<ObjectInfo>> {
        unsupported()
    }

    pub(crate) async fn list_folders(&self) -> Result<Vec<String>> {
        unsupported()
    }

    pub(crate) async fn size(&self, _: &str) -> Result<Option<u64>> {
        unsupported()
    }

    pub(crate) async fn put(&self, _: &str, _: Content) -> Result<()> {
        unsupported()
    }

    pub(crate) async fn delete(&self, _: &str) -> Result<()> {
        unsupported()
    }
}

impl BucketLock {
    pub(crate) async fn take(
        _: &Bucket,
        _: LockOwner,
        _: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Self> {
        unsupported()
    }

    pub(crate) fn earlier(&self) -> Option<&LockOwner> {
        None
    }

    pub(crate) async fn release(self, _: bool) -> Result<()> {
        unsupported()
    }
}
