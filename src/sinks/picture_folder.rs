//! Takes a folder for pictures: sweeps it, tries whether it can be written to, and looks at what a power cut left.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::durable::{Durable, shows_writing};
use super::file::{output_error, sweep, temporary};
use super::folders::{picture_folders, picture_quality};
use super::{FileTime, warnings};
use crate::error::Result;
use crate::file_system::set_time;

/// The name of a picture that no image has, so that the next run removes its temporary file, should this one be killed.
const PROBE: &str = "0_256.jpg";

/// Makes the folder if need be.
pub(super) fn take(folder: &Path, file_time: FileTime) -> Result<Durable> {
    let failed = |error| output_error("write to the folder", folder, error);
    fs::create_dir_all(folder).map_err(|error| output_error("make the folder", folder, error))?;
    let mut found = picture_folders(folder);
    for below in &found.folders {
        match sweep(below, |name| picture_quality(name).is_some()) {
            // Whether the folder itself can be read is told below.
            Err(error) if error.kind() != io::ErrorKind::NotFound && below != folder => {
                // A year of a date may also be the id of a sequence, so it may have been tried before.
                if found.unreadable.iter().all(|(path, _)| path != below) {
                    found.unreadable.push((below.clone(), error));
                }
            }
            _ => {}
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
    durable.warnings.extend(warnings::unreadable(&found.unreadable));
    Ok(if timeless { durable.timeless() } else { durable })
}
