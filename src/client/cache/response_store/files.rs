//! The files of a response store, and the folder for set aside ones.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub(super) const RESPONSES: &str = "answers";
pub(super) const INDEX: &str = "index";
pub(super) const QUERY: &str = "question";

/// The file names of a response store, in the order of deletion: without an index there are no responses.
pub const STORE_FILES: [&str; 3] = [INDEX, RESPONSES, QUERY];

/// The start of the query file in every version.
const QUERY_START: &str = "streetflow answers ";

/// The first line of the query file. The number is the version of the file formats and of the keys.
pub(super) const VERSION: &str = "streetflow answers 2";

/// Returns why the files in a folder do not belong to a query; `None` if they do or there are none.
pub(super) fn foreign_reason(folder: &Path, query: &str) -> Option<String> {
    let found = fs::read_to_string(folder.join(QUERY));
    if found.as_ref().is_ok_and(|found| found == query) {
        return None;
    }
    let has_content =
        |name| fs::metadata(folder.join(name)).is_ok_and(|file| !file.is_file() || file.len() > 0);
    let why = match found {
        // A run that ended before its first response.
        Ok(found) if found.starts_with(QUERY_START) && !has_content(INDEX) => return None,
        Ok(found) if found.starts_with(&format!("{VERSION}\n")) => "they belong to another run",
        Ok(found) if found.starts_with(QUERY_START) => "another version of streetflow wrote them",
        // Another program may use the same file names.
        _ if STORE_FILES.into_iter().any(has_content) => "the query that they belong to is unknown",
        _ => return None,
    };
    Some(format!("{why}; they were moved to `{}`", aside(folder).display()))
}

/// Returns the folder for files that are set aside.
pub(super) fn aside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().map(OsString::from).unwrap_or_default();
    name.push(".aside");
    folder.with_file_name(name)
}

/// Renames a folder to its `.aside` folder. A store of an earlier run there is deleted.
pub(super) fn set_aside(folder: &Path) -> io::Result<()> {
    let aside = aside(folder);
    remove_store(&aside)?;
    fs::rename(folder, &aside).map_err(|error| {
        let why = format!("its content can't be moved to `{}`: {error}", aside.display());
        io::Error::new(error.kind(), why)
    })
}

/// Deletes the files of a store, and the folder if it becomes empty. Files of other programs stay.
pub(super) fn remove_store(folder: &Path) -> io::Result<()> {
    let mut start = String::new();
    let read = File::open(folder.join(QUERY))
        .and_then(|file| file.take(QUERY_START.len() as u64).read_to_string(&mut start));
    // The query file goes last, so that the rest of an interrupted deletion still counts as ours.
    if read.is_ok() && start == QUERY_START {
        for name in STORE_FILES {
            match fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    fs::remove_dir(folder).ok();
    Ok(())
}
