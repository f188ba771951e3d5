//! Checks pictures that may not have reached the disk before a power cut.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::holes::{BLOCK, HoleCheck};
use super::marker::write_time;
use crate::error::{Error, ErrorKind};
use crate::sinks::JpegCheck;
use crate::sinks::folders::{picture_folders, picture_quality};
use crate::sinks::warnings::{count, names};

/// Bytes per read.
const CHUNK_SIZE: usize = 64 * BLOCK;

/// Suffix of suspicious pictures. No picture's name ends with it, and nothing removes such a file.
const ASIDE_SUFFIX: &str = ".aside";

/// Results of the check.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Incomplete and removed, so that they are downloaded again.
    removed: Vec<PathBuf>,
    /// Complete structure, but with blocks that look unwritten, or unreadable: renamed.
    aside: Vec<PathBuf>,
    /// Could not be checked, removed or renamed.
    failed: Vec<(PathBuf, io::Error)>,
}

/// Checks the pictures in a folder and its layouts that were written since a time.
pub(super) fn check_since(folder: &Path, since: u64) -> Checked {
    let mut checked = Checked::default();
    for folder in picture_folders(folder).folders {
        // Unreadable folders are reported elsewhere.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_str().and_then(picture_quality).is_some();
            // Metadata of the link itself, so that links are not followed.
            let is_young = |entry: &fs::DirEntry| {
                entry.metadata().is_ok_and(|found| found.is_file() && write_time(&found) >= since)
            };
            if is_ours && is_young(&entry) {
                checked.check(entry.path());
            }
        }
    }
    checked
}

impl Checked {
    fn check(&mut self, path: PathBuf) {
        match classify(&path).and_then(|state| resolve(&path, state)) {
            Ok(State::Whole) => {}
            Ok(State::Broken) => self.removed.push(path),
            Ok(State::Suspicious) => self.aside.push(path),
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.failed.push((path, error)),
        }
    }

    /// The results as warnings.
    pub(super) fn warnings(&self) -> Vec<Error> {
        let warn = |paths: &[PathBuf], doing: &str, why: &str, hint: &'static str| {
            let error = Error::new(ErrorKind::Io, format!("{doing} {}", count(paths.len(), "picture")));
            let names = names(paths.iter().map(PathBuf::as_path));
            (!paths.is_empty()).then(|| error.with_source(format!("{why}: {names}")).with_hint(hint))
        };
        let removed = warn(
            &self.removed,
            "keep",
            "an earlier run ended in a power cut and left them incomplete",
            "they were removed, and are downloaded again where this run wants them",
        );
        let aside = warn(
            &self.aside,
            "trust",
            "an earlier run ended in a power cut, and parts of them look unwritten",
            "they were renamed to `<name>.aside`, and are downloaded again where this run wants them; look at them and delete them",
        );
        let failed = self.failed.first().map(|(path, error)| {
            let what = count(self.failed.len(), "picture");
            Error::new(ErrorKind::Io, format!("check {what} after a power cut"))
                .with_source(format!("`{}`: {error}", path.display()))
                .with_hint("they stay as they are; `--check-existing` looks into them again")
        });
        [removed, aside, failed].into_iter().flatten().collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Whole,
    Broken,
    Suspicious,
}

fn classify(path: &Path) -> io::Result<State> {
    let mut file = File::open(path)?;
    let (mut jpeg, mut holes) = (JpegCheck::default(), HoleCheck::default());
    let mut chunk = Vec::with_capacity(CHUNK_SIZE);
    loop {
        chunk.clear();
        // Some file systems detect damage themselves. It may also be a network error.
        if (&mut file).take(CHUNK_SIZE as u64).read_to_end(&mut chunk).is_err() {
            return Ok(State::Suspicious);
        }
        if chunk.is_empty() {
            return Ok(match (jpeg.finish(), holes.found()) {
                (Err(_), _) => State::Broken,
                (Ok(()), true) => State::Suspicious,
                (Ok(()), false) => State::Whole,
            });
        }
        jpeg.push(&chunk);
        holes.push(&chunk);
    }
}

fn resolve(path: &Path, state: State) -> io::Result<State> {
    match state {
        State::Whole => {}
        State::Broken => fs::remove_file(path)?,
        State::Suspicious => fs::rename(path, free_name(path))?,
    }
    Ok(state)
}

/// A name beside the picture that is not used yet.
fn free_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let names = (1_u32..).map(|number| match number {
        1 => format!("{name}{ASIDE_SUFFIX}"),
        _ => format!("{name}{ASIDE_SUFFIX}-{number}"),
    });
    let mut paths = names.map(|name| path.with_file_name(name));
    paths.find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| path.to_owned())
}
