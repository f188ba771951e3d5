//! Which pictures are downloaded, and how their files are written.

use std::num::NonZeroU32;

use clap::{Args, value_parser};

use super::values::parsed;
use streetflow::sinks::{Exif, FileTime, PictureLayout, PictureStorage};
use streetflow::{Error, ErrorKind, Quality, Result};

#[derive(Debug, Args)]
#[command(next_help_heading = "Pictures")]
pub(crate) struct PictureArgs {
    /// Width: 256, 1024, 2048 or original
    ///
    /// The width is in pixels.
    #[arg(long, value_name = "Q", default_value_t = Quality::Q256, value_parser = parsed::<Quality>)]
    pub(crate) quality: Quality,
    /// Write coordinates, time, camera, author and licence into pictures: auto, always, never
    ///
    /// auto applies to originals only; thumbnails stay byte for byte as received and need no additional fields. Pixels
    /// and existing pictures stay unchanged.
    #[arg(long, value_name = "WHEN", default_value_t = Exif::Auto, value_parser = parsed::<Exif>)]
    pub(crate) exif: Exif,
    /// How pictures are stored: files or tar
    ///
    /// tar writes pictures-000000.tar and so on, each with the pictures of --shard-rows table rows as <img_id>.jpg beside
    /// <img_id>.json, and the index shards.parquet. A repeated run makes only shards that are missing or incomplete.
    #[arg(long, value_name = "HOW", default_value_t = PictureStorage::Files, value_parser = parsed::<PictureStorage>, hide_short_help = true)]
    pub(crate) pictures: PictureStorage,
    /// Table rows of a shard
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=1_000_000), hide_short_help = true)]
    pub(crate) shard_rows: u32,
    /// Directories: flat, sequence, date, prefix
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
    /// The rows of a shard, if pictures go into shards. A flag that applies only to files is a usage error.
    pub(crate) fn shards(&self) -> Result<Option<NonZeroU32>> {
        if self.pictures == PictureStorage::Files {
            return Ok(None);
        }
        if self.layout != PictureLayout::Flat {
            return Err(Error::new(ErrorKind::Usage, "use the flag")
                .with_subject("--layout")
                .with_source("shards have no directories")
                .with_hint("omit it, or choose `--pictures files`"));
        }
        Ok(NonZeroU32::new(self.shard_rows))
    }

    /// The fields that a download needs besides the URL: those for EXIF, and the one that names the directory.
    pub(crate) fn required_fields(&self) -> Vec<&'static str> {
        let exif = if self.exif.applies_to(self.quality) { &Exif::FIELDS[..] } else { &[] };
        let layout = self.layout.needs().filter(|column| *column != "seq_id");
        exif.iter().copied().chain(layout).collect()
    }
}
