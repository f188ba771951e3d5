//! Where tables and pictures are: at a path, or in a bucket, with credentials from the environment.

use std::path::{Path, PathBuf};

use pyo3::Python;
#[cfg(feature = "buckets")]
use tempfile::TempDir;

use crate::errors::Attempt;
#[cfg(feature = "buckets")]
use crate::errors::usage;
#[cfg(feature = "buckets")]
use crate::runtime::wait;
#[cfg(feature = "buckets")]
use streetflow::storage::Bucket;
use streetflow::storage::Target;
use streetflow::{Client, ImageSink, Result};
#[cfg(feature = "buckets")]
use streetflow::{Error, ErrorKind};

/// A table to read: a file, or a copy of an object in a bucket. The copy ends with this value.
pub(crate) struct TableFile {
    pub(crate) path: PathBuf,
    #[cfg(feature = "buckets")]
    _copy: Option<TempDir>,
}

impl TableFile {
    /// Copies the table if the path is the URL of one.
    #[cfg(feature = "buckets")]
    pub(crate) fn fetch(py: Python<'_>, path: PathBuf) -> Attempt<Self> {
        let Some(url) = url(&path) else { return Ok(Self { path, _copy: None }) };
        let (folder, name) = object(url)?;
        let failed = |why| Error::new(ErrorKind::Io, "create a temporary directory").with_source(why);
        let copy = tempfile::tempdir().map_err(failed)?;
        let path = copy.path().join(name);
        let found = wait(py, async { Bucket::open(folder, &[])?.download(name, &path).await }, |_| Ok(()))?;
        if found?.is_none() {
            return Err(usage("open the table", "the object does not exist")
                .with_subject(url)
                .with_hint("check the name of the bucket and of the table")
                .into());
        }
        Ok(Self { path, _copy: Some(copy) })
    }

    /// Takes the path, which may not be the URL of a bucket.
    #[cfg(not(feature = "buckets"))]
    pub(crate) fn fetch(_py: Python<'_>, path: PathBuf) -> Attempt<Self> {
        if let Some(url) = url(&path) {
            return Err(absent(url).into());
        }
        Ok(Self { path })
    }
}

/// The destination of a table: a path, or the URL of an object.
pub(crate) fn target(path: &Path) -> Result<Target> {
    let Some(url) = url(path) else { return Ok(Target::from(path)) };
    #[cfg(feature = "buckets")]
    {
        let (folder, name) = object(url)?;
        Ok(Bucket::open(folder, &[])?.target(name))
    }
    #[cfg(not(feature = "buckets"))]
    Err(absent(url))
}

/// The sink of pictures: a folder, or the URL of one.
pub(crate) fn picture_sink(client: &Client, folder: PathBuf) -> Result<ImageSink> {
    let Some(url) = url(&folder) else { return Ok(ImageSink::new(client, folder)) };
    #[cfg(feature = "buckets")]
    {
        Ok(ImageSink::to_bucket(client, &Bucket::open(url, &[])?))
    }
    #[cfg(not(feature = "buckets"))]
    Err(absent(url))
}

/// The folder and the name of an object.
#[cfg(feature = "buckets")]
fn object(url: &str) -> Result<(&str, &str)> {
    let parts = url.rsplit_once('/').filter(|(folder, name)| !name.is_empty() && !folder.ends_with('/'));
    parts.ok_or_else(|| {
        usage("use the table", "the URL names no object in a bucket")
            .with_subject(streetflow::client::without_credentials(url))
    })
}

fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| ["s3://", "gs://", "az://"].iter().any(|scheme| text.starts_with(scheme)))
}

#[cfg(not(feature = "buckets"))]
fn absent(url: &str) -> streetflow::Error {
    crate::absent::error("open the bucket", "this build of streetflow has no buckets").with_subject(url)
}
