//! Copies single files of a bucket to the local directory.

use std::io;
use std::path::Path;

use crate::args::Remote;
use streetflow::Result;
use streetflow::atomic_file::output_error;

/// Copies an object to the local directory, and removes the local file if there is no object.
pub(super) async fn pull(remote: &Remote, output: &Path, name: &str) -> Result<()> {
    let path = output.join(name);
    let failed = |error| output_error("write the file", &path, error);
    std::fs::create_dir_all(output).map_err(failed)?;
    let file = tempfile::NamedTempFile::new_in(output).map_err(failed)?;
    match remote.bucket.download(name, file.path()).await? {
        Some(object) => {
            file.as_file().set_modified(object.modified).ok();
            file.persist(&path).map_err(|error| failed(error.error)).map(drop)
        }
        None => match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        },
    }
}
