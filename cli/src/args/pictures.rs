//! Which pictures are downloaded, and how their files are written.

use clap::Args;

use super::values::parsed;
use streetflow::Quality;
use streetflow::sinks::{Exif, FileTime, PictureLayout};

#[derive(Debug, Args)]
#[command(next_help_heading = "Pictures")]
pub(crate) struct PictureArgs {
    /// Width in pixels: 256, 1024, 2048 or original
    #[arg(long, value_name = "Q", default_value_t = Quality::Q256, value_parser = parsed::<Quality>)]
    pub(crate) quality: Quality,
    /// Write coordinates, time, camera, author and licence into pictures: auto, always, never
    ///
    /// auto applies to originals only; thumbnails stay byte for byte as received and need no additional fields. Pixels
    /// and existing pictures stay unchanged.
    #[arg(long, value_name = "WHEN", default_value_t = Exif::Auto, value_parser = parsed::<Exif>)]
    pub(crate) exif: Exif,
    /// Directories of pictures: flat, sequence, date, prefix
    ///
    /// flat is one directory, sequence one per sequence, date YYYY/MM/DD of the capture, prefix the last three digits
    /// of the image id. Existing pictures are found only in the selected layout.
    #[arg(long, value_name = "HOW", default_value_t = PictureLayout::Flat, value_parser = parsed::<PictureLayout>)]
    pub(crate) layout: PictureLayout,
    /// Modification time of picture files: capture, download
    ///
    /// capture is the time the picture was taken, as on a camera's card, if it is known and in the past. Choose
    /// download for backup tools and for `make`.
    #[arg(long, value_name = "WHICH", default_value_t = FileTime::Capture, value_parser = parsed::<FileTime>, hide_short_help = true)]
    pub(crate) file_time: FileTime,
    /// Check existing pictures, and download damaged ones again
    #[arg(long, hide_short_help = true)]
    pub(crate) check_existing: bool,
}

impl PictureArgs {
    /// The fields that a download needs besides the URL: those for EXIF, and the one that names the directory.
    pub(crate) fn required_fields(&self) -> Vec<&'static str> {
        let exif = if self.exif.applies_to(self.quality) { &Exif::FIELDS[..] } else { &[] };
        let layout = self.layout.needs().filter(|column| *column != "seq_id");
        exif.iter().copied().chain(layout).collect()
    }
}
