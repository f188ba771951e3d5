//! `changes.csv`: the images that an update found to be new or gone.

use std::path::Path;

use super::csv_file::CsvFile;

/// The file `changes.csv` of an output directory.
pub(crate) fn change_file(output: &Path) -> CsvFile {
    CsvFile::new(output.join("changes.csv"), &["img_id", "change"], "write the changes")
}
