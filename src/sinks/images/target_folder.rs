//! The target folder of pictures: prepares it for a run, and finds existing pictures.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::atomic_file::{file_len, output_error, sweep, temporary};
use crate::error::{Error, ErrorKind, Result};
use crate::file_system::set_time;
use crate::sinks::durable::{DurableFolder, shows_write_time};
use crate::sinks::folders::{picture_folders, picture_quality};
use crate::sinks::warnings::{TooSmall, unreadable};
use crate::sinks::{FileTime, JpegCheck};
use crate::sync::lock;

/// Target name of the probe file. It looks like a picture (of an image that does not exist), so the next run removes
/// the temporary file if this run is killed.
const PROBE: &str = "0_256.jpg";

/// The smallest JPEG that common decoders read, one grey pixel, has 125 bytes.
pub(super) const MIN_JPEG_LEN: u64 = 125;

/// Prepares the folder for a run.
///
/// Creates it if necessary, removes temporary files of killed runs, checks that it is writable, and checks the
/// pictures that a power cut may have damaged.
pub(super) fn open(folder: &Path, file_time: FileTime) -> Result<DurableFolder> {
    let failed = |error| output_error("write to the folder", folder, error);
    fs::create_dir_all(folder).map_err(|error| output_error("create the folder", folder, error))?;
    let mut found = picture_folders(folder);
    for below in &found.folders {
        // Errors of the folder itself are reported below. A folder that is listed twice, because a year of a date also
        // looks like the id of a sequence, is reported once.
        if let Err(error) = sweep(below, |name| picture_quality(name).is_some())
            && error.kind() != io::ErrorKind::NotFound
            && below != folder
            && found.unreadable.iter().all(|(path, _)| path != below)
        {
            found.unreadable.push((below.clone(), error));
        }
    }
    // Fails here instead of after a day of crawling.
    let probe = temporary(folder, PROBE).map_err(failed)?;
    let sets_times = file_time == FileTime::Capture;
    if sets_times {
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        set_time(probe.as_file(), folder, long_ago);
    }
    let hides_write_times =
        sets_times && fs::metadata(probe.path()).is_ok_and(|found| !shows_write_time(&found));
    let mut durable = DurableFolder::open(folder)?;
    durable.warnings.extend(unreadable(&found.unreadable));
    Ok(if hides_write_times { durable.without_write_times() } else { durable })
}

/// Whether a picture exists; with `check`, whether it is a complete JPEG. Files that are too small are recorded.
///
/// A folder or a device with that name is an error of this picture only.
pub(super) fn exists(path: &Path, check: bool, too_small: &Mutex<TooSmall>) -> Result<bool> {
    let found = file_len(path).map_err(|why| {
        Error::new(ErrorKind::Rejected, "download image")
            .with_source(format!("its file `{}` can't be written: {why}", path.display()))
            .with_hint("move away what has that name, and run the same command again")
    })?;
    match found {
        None => Ok(false),
        Some(len) if len < MIN_JPEG_LEN => {
            lock(too_small).add(path);
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
