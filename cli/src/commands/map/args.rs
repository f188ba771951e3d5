//! The arguments of `map`.

use std::path::PathBuf;

use clap::Args;

use crate::args::{StorageArgs, parsed};
use streetflow::map::Basemap;
use streetflow::{Format, GeometryChoice};

#[derive(Debug, Args)]
pub(crate) struct MapArgs {
    /// Table of images, or the folder of a crawl [default: outputs]
    ///
    /// May be in a bucket: s3://…, gs://… or az://….
    #[arg(value_name = "TABLE|FOLDER", default_value = "outputs", hide_default_value = true)]
    pub(super) table: PathBuf,
    /// Page to write [default: map.html beside the table]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Folder of downloaded pictures [default: downloaded_images beside the table]
    ///
    /// The page refers to the pictures by their paths relative to the page. All layouts and qualities are found.
    #[arg(long, value_name = "FOLDER")]
    pub(super) pictures: Option<PathBuf>,
    /// Leave out the ids of images, which are half of the page
    ///
    /// Such a page has no links to Mapillary and shows no pictures.
    #[arg(long, conflicts_with = "pictures")]
    pub(super) no_ids: bool,
    /// Position of an image: original, computed or best [default: original]
    ///
    /// original is as recorded. computed is the result of reconstruction, which only some images have. best is
    /// computed if it exists, else original.
    #[arg(long, value_name = "WHICH", value_parser = parsed::<GeometryChoice>)]
    pub(super) geometry: Option<GeometryChoice>,
    /// Offer a background map in the page: openfreemap, or a URL
    ///
    /// The page loads nothing before the reader switches the background on. NAME is openfreemap, positron, bright or
    /// liberty, styles of OpenFreeMap. URL is that of a MapLibre style, or of raster tiles with {z}, {x} and {y}.
    /// Everything that a style refers to must come from its host.
    #[arg(long, value_name = "NAME|URL", value_parser = parsed::<Basemap>)]
    pub(super) basemap: Option<Basemap>,
    /// Credit of the raster tiles of --basemap
    #[arg(long, value_name = "TEXT", requires = "basemap", hide_short_help = true)]
    pub(super) basemap_credit: Option<String>,
    /// Serve the page on this computer until Ctrl-C instead of writing it
    ///
    /// For more than two million images, and for pictures that are not on the disk: with a token in MAPILLARY_TOKEN they
    /// are fetched when they are looked at. Only this computer can open the page.
    #[arg(long, conflicts_with_all = ["out", "no_ids"])]
    pub(super) serve: bool,
    /// Open the page in the browser
    #[arg(long)]
    pub(super) open: bool,
    /// Port of --serve [default: any free port]
    #[arg(long, value_name = "N", requires = "serve", hide_short_help = true)]
    pub(super) port: Option<u16>,
    /// Format of the table, if its file name does not tell
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Format>, hide_short_help = true)]
    pub(super) input_format: Option<Format>,
    #[command(flatten)]
    pub(super) storage: StorageArgs,
}
