//! Where a page is written: a file, or an object of a bucket.

use std::path::{Path, PathBuf};

use crate::args::{Bucket, StorageArgs, split_url};
use crate::terminal::format::path_text;
use streetflow::map::{PAGE_MARK, is_page};
use streetflow::storage::Target;
use streetflow::{Error, ErrorKind, Result};

/// Name of the page.
pub(crate) const PAGE_NAME: &str = "map.html";

/// Largest object that is read to find out whether it is a page, in bytes: more than a page of a browser's size.
const MAX_PAGE_LEN: u64 = 64 << 20;

/// Where a page is written.
pub(crate) enum PagePlace {
    File(PathBuf),
    Object { bucket: Bucket, name: String },
}

impl PagePlace {
    /// The file or the object that a flag names.
    pub(super) fn named(path: &Path, storage: &StorageArgs) -> Result<Self> {
        let Some(url) = path.to_str().filter(|url| Bucket::is_url(url)) else {
            return Ok(Self::File(path.to_owned()));
        };
        let (folder, name) = split_url(url)?;
        Ok(Self::Object { bucket: storage.open(folder)?, name: name.to_owned() })
    }

    /// The page in a folder of a bucket.
    pub(crate) fn in_bucket(bucket: &Bucket) -> Self {
        Self::Object { bucket: bucket.clone(), name: PAGE_NAME.to_owned() }
    }

    /// The folder of a file, to which the URLs of pictures are relative; `None` for an object.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path.parent().unwrap_or(Path::new(""))),
            Self::Object { .. } => None,
        }
    }

    pub(crate) fn target(&self) -> Target {
        match self {
            Self::File(path) => path.into(),
            Self::Object { bucket, name } => bucket.target(name),
        }
    }

    /// The name to print.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::File(path) => path_text(path),
            Self::Object { bucket, name } => format!("{}/{name}", bucket.url()),
        }
    }

    /// Rejects a page that would replace a file or an object that `map` did not write.
    pub(crate) async fn check(&self) -> Result<()> {
        let problem = |why: &str, hint: &'static str| {
            Err(Error::new(ErrorKind::Usage, "write the page")
                .with_subject(self.shown())
                .with_source(why.to_owned())
                .with_hint(hint))
        };
        let is_ours = match self {
            Self::File(path) => match std::fs::metadata(path) {
                Err(_) => true, // If it can't be created, writing it fails with the reason.
                Ok(found) if !found.is_file() => {
                    return problem("it is not a file", "choose a file with `--out`");
                }
                Ok(_) => is_page(path).unwrap_or(false),
            },
            Self::Object { bucket, name } => match bucket.get(name, MAX_PAGE_LEN).await? {
                None => true,
                Some(object) => object.starts_with(PAGE_MARK.as_bytes()),
            },
        };
        if is_ours {
            return Ok(());
        }
        problem(
            "the file exists and is not a page of `streetflow map`",
            "choose another file with `--out`, or remove it",
        )
    }
}
