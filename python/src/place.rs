//! Where tables and pictures go: to a path, or into a bucket, with credentials from the environment.

use std::path::{Path, PathBuf};

#[cfg(feature = "buckets")]
use streetflow::storage::Bucket;
use streetflow::storage::Target;
use streetflow::{Client, ImageSink, Result};

/// The destination of a table: a path, or the URL of an object.
pub(crate) fn target(path: &Path) -> Result<Target> {
    let Some(url) = url(path) else { return Ok(Target::from(path)) };
    #[cfg(feature = "buckets")]
    {
        let (folder, name) = url.rsplit_once('/').unwrap_or_default();
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

fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| ["s3://", "gs://", "az://"].iter().any(|scheme| text.starts_with(scheme)))
}

#[cfg(not(feature = "buckets"))]
fn absent(url: &str) -> streetflow::Error {
    crate::absent::error("open the bucket", "this build of streetflow has no buckets").with_subject(url)
}
