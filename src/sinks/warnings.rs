//! Warnings about a folder of pictures.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// Paths named in a warning.
const MAX_NAMES: usize = 5;

/// Lists the first paths and the number of others.
pub(super) fn names<'a>(paths: impl ExactSizeIterator<Item = &'a Path>) -> String {
    let more = paths.len().saturating_sub(MAX_NAMES);
    let names: Vec<_> = paths.take(MAX_NAMES).map(|path| format!("`{}`", path.display())).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// A count with its noun: `1 picture`, `7 pictures`.
pub(super) fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// Warns about folders that can't be read.
pub(super) fn unreadable(folders: &[(PathBuf, io::Error)]) -> Option<Error> {
    let (_, first) = folders.first()?;
    let why = format!("{}: {first}", names(folders.iter().map(|(path, _)| path.as_path())));
    Some(
        Error::new(ErrorKind::Io, format!("read {}", count(folders.len(), "folder")))
            .with_source(why)
            .with_hint(
                "skipped: temporary files of killed runs stay there, and pictures there are not checked",
            ),
    )
}

/// Files with a picture's name that are too small for a JPEG.
#[derive(Debug, Default)]
pub(super) struct TooSmall {
    count: usize,
    first: Option<PathBuf>,
}

impl TooSmall {
    pub(super) fn add(&mut self, path: &Path) {
        self.count += 1;
        self.first.get_or_insert_with(|| path.to_owned());
    }

    pub(super) fn warning(&self) -> Option<Error> {
        let first = self.first.as_ref()?.display();
        let which = if self.count == 1 { format!("`{first}`") } else { format!("`{first}` and others") };
        Some(
            Error::new(ErrorKind::Io, format!("use {}", count(self.count, "picture file")))
                .with_source(format!(
                    "too small for a JPEG, maybe truncated by a full disk or another tool: {which}"
                ))
                .with_hint("they do not count as existing, and were downloaded again where possible"),
        )
    }
}
