//! The folder of pictures: takes it for a run, and says which pictures are there.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::durable::{Durable, shows_writing};
use super::folders::{picture_folders, picture_quality};
use super::warnings::{TooSmall, unreadable};
use super::{FileTime, JpegCheck};
use crate::atomic_file::{file_len, output_error, sweep, temporary};
use crate::error::{Error, ErrorKind, Result};
use crate::file_system::set_time;

/// The name of a picture that no image has, so that the next run removes its temporary file, should this one be killed.
const PROBE: &str = "0_256.jpg";

/// A file of fewer bytes is no picture: the smallest JPEG that common decoders read, one grey pixel, has 125.
pub(super) const SMALLEST_JPEG: u64 = 125;

/// Makes the folder if need be, removes what killed runs left of their pictures, tries whether it can be written to, and
/// looks into pictures that a power cut may have spoilt.
pub(super) fn take(folder: &Path, file_time: FileTime) -> Result<Durable> {
    let failed = |error| output_error("write to the folder", folder, error);
    fs::create_dir_all(folder).map_err(|error| output_error("make the folder", folder, error))?;
    let mut found = picture_folders(folder);
    for below in &found.folders {
        // Whether the folder itself can be read is told below. A year of a date may also be the id of a sequence, so it
        // may have been tried before.
        if let Err(error) = sweep(below, |name| picture_quality(name).is_some())
            && error.kind() != io::ErrorKind::NotFound
            && below != folder
            && found.unreadable.iter().all(|(path, _)| path != below)
        {
            found.unreadable.push((below.clone(), error));
        }
    }
    // Better to learn it now than after a day of crawling.
    let probe = temporary(folder, PROBE).map_err(failed)?;
    let sets_times = file_time == FileTime::Capture;
    if sets_times {
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        set_time(probe.as_file(), folder, long_ago);
    }
    let timeless = sets_times && fs::metadata(probe.path()).is_ok_and(|found| !shows_writing(&found));
    let mut durable = Durable::open(folder)?;
    durable.warnings.extend(unreadable(&found.unreadable));
    Ok(if timeless { durable.timeless() } else { durable })
}

/// Whether a picture is there; with `check`, whether it is a whole JPEG. A file too small for one is noted.
///
/// Something else of that name is a failure of that one picture, and neither the picture nor the end of the run.
pub(super) fn is_there(path: &Path, check: bool, too_small: &Mutex<TooSmall>) -> Result<bool> {
    let found = file_len(path).map_err(|why| {
        Error::new(ErrorKind::Rejected, "download image")
            .with_source(format!("its file `{}` can't be written: {why}", path.display()))
            .with_hint("move away what stands there, and run the same command again")
    })?;
    match found {
        None => Ok(false),
        Some(len) if len < SMALLEST_JPEG => {
            too_small.lock().unwrap_or_else(PoisonError::into_inner).note(path);
            Ok(false)
        }
        Some(_) if !check => Ok(true),
        Some(_) => Ok(fs::read(path).is_ok_and(|bytes| {
            let mut check = JpegCheck::default();
            check.push(&bytes);
            check.finish().is_ok()
        })),
    }
}
