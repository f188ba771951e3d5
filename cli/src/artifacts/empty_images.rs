//! `<table of detections>_none.csv`: the images without rows in the table of detections, and why.
//!
//! The table alone does not tell an image without detections from one that was never requested. An update reads this
//! file, so that it requests only the latter.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use csv::StringRecord;

use super::csv_file::{CsvFile, CsvRows};
use crate::args::empty_images_stem;
use crate::sync::lock;
use crate::terminal::format::iso_time;
use streetflow::client::{EmptyImage, KnownEmpty};
use streetflow::model::NoDetections;
use streetflow::stages::Dates;
use streetflow::{ImageId, Result, Written};

const COLUMNS: &[&str] = &["img_id", "reason", "requested_at"];

/// The name of the file, by that of the table of detections.
pub(crate) fn name(table: &str) -> String {
    format!("{}.csv", empty_images_stem(table))
}

/// The file of an output directory.
pub(crate) fn file(output: &Path, table: &str) -> CsvFile {
    CsvFile::new(output.join(name(table)), COLUMNS, "write the images without detections")
}

/// Reads the images that need not be requested again: not those that were not processed, and with `max_age` none that
/// was requested longer ago. A row that can't be read is left out.
pub(crate) fn read(file: &CsvFile, max_age: Option<Duration>) -> Result<KnownEmpty> {
    let Some(opened) = file.open()? else { return Ok(KnownEmpty::default()) };
    let now = SystemTime::now();
    let is_fresh = |at: u64| {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        max_age.is_none_or(|max| now.duration_since(at).unwrap_or_default() < max)
    };
    let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(opened);
    let mut images = Vec::new();
    for row in rows.records() {
        match row {
            Ok(row) => images.extend(image(&row)),
            Err(error) if error.is_io_error() => return Err(file.error(error.into())),
            Err(_) => {}
        }
    }
    let is_settled = |image: &EmptyImage| image.why != NoDetections::NotProcessed;
    Ok(images.into_iter().filter(|image| is_settled(image) && is_fresh(image.requested_at)).collect())
}

fn image(row: &StringRecord) -> Option<EmptyImage> {
    let img_id = ImageId::new(row.get(0)?).ok()?;
    let why = row.get(1)?.parse().ok()?;
    let requested_at = u64::try_from(Dates::first(row.get(2)?).ok()?).ok()? / 1000;
    Some(EmptyImage { img_id, why, requested_at })
}

/// Writes the file while a run requests detections.
pub(crate) struct EmptyImageLog {
    file: CsvFile,
    /// Images that are not requested, which keep their time.
    known: KnownEmpty,
    /// `None` before the first row; the first error makes the file useless.
    rows: Mutex<Option<Result<CsvRows>>>,
}

impl EmptyImageLog {
    pub(crate) fn new(file: CsvFile, known: KnownEmpty) -> Self {
        Self { file, known, rows: Mutex::default() }
    }

    /// Adds an image.
    pub(crate) fn add(&self, img_id: &ImageId, why: NoDetections) {
        let known = self.known.get(img_id).map(|(_, at)| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        let requested_at = iso_time(known.unwrap_or_else(SystemTime::now));
        let mut state = lock(&self.rows);
        let rows = state.get_or_insert_with(|| self.file.rows());
        if let Ok(open) = rows
            && let Err(error) = self.file.add(open, &[img_id.as_str(), why.name(), &requested_at])
        {
            *rows = Err(error);
        }
    }

    /// Replaces the file, or removes it if there are no rows.
    pub(crate) fn finish(&self) -> Result<Option<Written>> {
        match lock(&self.rows).take() {
            Some(rows) => self.file.commit(rows?).map(Some),
            None => self.file.remove().map(|()| None),
        }
    }
}
