//! Looks into pictures that may not have reached the disk before a power cut.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::holes::{BLOCK, HoleCheck};
use super::marker::write_time;
use crate::error::{Error, ErrorKind};
use crate::sinks::JpegCheck;
use crate::sinks::folders::{picture_folders, picture_quality};
use crate::sinks::warnings::{count, names};

/// Pictures are read in pieces of so many bytes.
const CHUNK_SIZE: usize = 64 * BLOCK;

/// What a suspicious picture has behind its name: no picture's name ends so, and nothing removes such a file.
const ASIDE_SUFFIX: &str = ".aside";

/// What became of pictures that were looked into.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Not whole: removed, so that they are downloaded again.
    removed: Vec<PathBuf>,
    /// Whole by their structure, but with blocks that look unwritten, or not readable to their end: renamed.
    aside: Vec<PathBuf>,
    /// Not looked into, removed or renamed.
    failed: Vec<(PathBuf, io::Error)>,
}

/// Looks into the pictures of ours in a folder and in those of its layouts that were written since a time.
pub(super) fn check_since(folder: &Path, since: u64) -> Checked {
    let mut checked = Checked::default();
    for folder in picture_folders(folder).folders {
        // Whoever sweeps the folders tells of those that can't be read.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_str().and_then(picture_quality).is_some();
            // Of a link itself, so none is followed.
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
            // Somebody has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.failed.push((path, error)),
        }
    }

    /// What a person should know of it.
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
        // Some file systems notice themselves that a part of it is damagt. It may also be the network.
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

/// A name beside a picture that nothing has yet.
fn free_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let names = (1_u32..).map(|number| match number {
        1 => format!("{name}{ASIDE_SUFFIX}"),
        _ => format!("{name}{ASIDE_SUFFIX}-{number}"),
    });
    let mut paths = names.map(|name| path.with_file_name(name));
    paths.find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| path.to_owned())
}
