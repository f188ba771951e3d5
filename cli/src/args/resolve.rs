//! Opens the buckets that the flags of files name.

use std::path::{Path, PathBuf};

use url::Url;

use super::files::{InputArgs, OutputArgs};
use super::storage::{Bucket, FetchedTable, Remote, StorageArgs};
use crate::terminal::format::show_as;
use streetflow::{Error, ErrorKind, Result};

impl InputArgs {
    /// Copies the table from its bucket, if it is in one.
    pub(crate) async fn fetch(&mut self, storage: &StorageArgs) -> Result<()> {
        if let Some(input) = &self.input {
            self.fetched = storage.fetch(input, true).await?;
        }
        Ok(())
    }

    /// The local path of the table that the flags name.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.fetched.as_ref().map(FetchedTable::path).or(self.input.as_deref())
    }
}

impl OutputArgs {
    /// Opens the bucket if the output directory is in one, and sets the local directory for its state.
    pub(crate) fn resolve(&mut self) -> Result<()> {
        let Some(text) = self.output.to_str().map(str::to_owned) else { return Ok(()) };
        let Some((scheme, _)) = text.split_once("://") else { return Ok(()) };
        let reject = |why: &str| {
            Error::new(ErrorKind::Usage, "use the output directory")
                .with_subject(streetflow::client::without_credentials(&text))
                .with_source(why.to_owned())
                .with_hint("set a local directory, or a bucket with `s3://`, `gs://` or `az://`")
        };
        if scheme.eq_ignore_ascii_case("file") {
            let path = Url::parse(&text).ok().and_then(|url| url.to_file_path().ok());
            self.output = path.ok_or_else(|| reject("it is not the URL of a local directory"))?;
            return Ok(());
        }
        if !Bucket::is_url(&text) {
            return Err(reject(if cfg!(feature = "object-store") {
                "this kind of URL is not supported"
            } else {
                "this build has no buckets; it was built without the feature `object-store`"
            }));
        }
        let bucket = self.storage.open(&text)?;
        let url = bucket.url();
        self.output = self.storage.state_of(&url)?;
        show_as(&self.output, &url);
        self.remote = Some(Remote { bucket, url });
        Ok(())
    }

    /// The output directory as the flags name it.
    pub(crate) fn shown(&self) -> PathBuf {
        self.remote.as_ref().map_or_else(|| self.output.clone(), |remote| remote.url.clone().into())
    }
}
