//! `map`: writes a map page of a table.

mod find;

mod load;

use std::path::PathBuf;

use clap::Args;

use crate::args::{DisplayArgs, parsed};
use crate::exit_code::Exit;
use crate::job::Signals;
use crate::terminal::format::{grouped, human_bytes, path_text, plural};
use crate::terminal::printer::Printer;
use find::{Found, check_output};
use load::Loaded;
use streetflow::map::{Basemap, MAX_IMAGES_IN_PAGE, MapOptions, Page};
use streetflow::{Error, ErrorKind, Format, GeometryChoice, Result};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow map
  streetflow map outputs/img_meta_dataset.parquet --out cyprus.html
  streetflow map images.geojson --pictures photos";

#[derive(Debug, Args)]
pub(crate) struct MapArgs {
    /// Table of images, or the folder of a crawl [default: outputs]
    #[arg(value_name = "TABLE|FOLDER", default_value = "outputs", hide_default_value = true)]
    table: PathBuf,
    /// Page to write [default: map.html beside the table]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Folder of downloaded pictures [default: downloaded_images beside the table]
    ///
    /// The page refers to the pictures by their paths relative to the page. All layouts and qualities are found.
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Leave out the ids of images, which are half of the page
    ///
    /// Such a page has no links to Mapillary and shows no pictures.
    #[arg(long, conflicts_with = "pictures")]
    no_ids: bool,
    /// Position of an image: original, computed or best [default: original]
    ///
    /// original is as recorded. computed is the result of reconstruction, which only some images have. best is
    /// computed if it exists, else original.
    #[arg(long, value_name = "WHICH", value_parser = parsed::<GeometryChoice>)]
    geometry: Option<GeometryChoice>,
    /// Offer a background map in the page: openfreemap, or a URL
    ///
    /// The page loads nothing before the reader switches the background on. NAME is openfreemap, positron, bright or
    /// liberty, styles of OpenFreeMap. URL is that of a MapLibre style, or of raster tiles with {z}, {x} and {y}.
    /// Everything that a style refers to must come from its host.
    #[arg(long, value_name = "NAME|URL", value_parser = parsed::<Basemap>)]
    basemap: Option<Basemap>,
    /// Credit of the raster tiles of --basemap
    #[arg(long, value_name = "TEXT", requires = "basemap", hide_short_help = true)]
    basemap_credit: Option<String>,
    /// Format of the table, if its file name does not tell
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Format>, hide_short_help = true)]
    input_format: Option<Format>,
}

/// Writes the page and prints the result.
pub(crate) async fn run(args: &MapArgs, display: &DisplayArgs) -> Exit {
    let printer = display.printer();
    let mut signals = Signals::listen();
    let ended = tokio::select! {
        ended = write_page(args, &printer) => ended,
        _ = signals.next() => {
            Err(Error::new(ErrorKind::Interrupted, "finish").with_source("the run was abandoned; no file was written"))
        }
    };
    let exit = ended.unwrap_or_else(|error| {
        printer.error(&error);
        Exit::from(&error)
    });
    printer.end(exit as u8, None, None);
    exit
}

async fn write_page(args: &MapArgs, printer: &Printer) -> Result<Exit> {
    let found = Found::resolve(args)?;
    check_output(&found.page)?;
    let loaded = load::images(&found, args).await?;
    let options = MapOptions {
        title: found.title.clone(),
        geometry: args.geometry.unwrap_or_default(),
        without_ids: args.no_ids,
        basemap: basemap(args)?,
    };
    let page = found.page.clone();
    let written = tokio::task::spawn_blocking(move || {
        let written = Page::new(&loaded.images, &options).and_then(|made| made.write_file(&page));
        (loaded, written)
    });
    let (loaded, bytes) = match written.await {
        Ok((loaded, bytes)) => (loaded, bytes?),
        Err(panic) => return Err(Error::new(ErrorKind::Io, "write the page").with_source(panic)),
    };
    print_result(&loaded, bytes, &found, printer);
    Ok(if loaded.failed > 0 { Exit::SomeFailed } else { Exit::Done })
}

/// The background with its credit.
fn basemap(args: &MapArgs) -> Result<Option<Basemap>> {
    let Some(basemap) = args.basemap.clone() else { return Ok(None) };
    let basemap = match &args.basemap_credit {
        Some(text) => basemap.credit(text),
        None => basemap,
    };
    if basemap.needs_credit() {
        return Err(Error::new(ErrorKind::Usage, "use `--basemap`")
            .with_source("tiles do not contain the credit that their licence requires")
            .with_hint("set it with `--basemap-credit`, such as '© OpenStreetMap contributors'"));
    }
    Ok(Some(basemap))
}

fn print_result(loaded: &Loaded, bytes: u64, found: &Found, printer: &Printer) {
    for text in &loaded.warnings {
        printer.warn(text);
    }
    if let Some(error) = &loaded.first_failure {
        let (count, rows) = (grouped(loaded.failed), plural(loaded.failed, "row", "rows"));
        printer.warn(&format!("skipped {count} invalid {rows}; the first: {}", error.chain()));
    }
    let images = &loaded.images;
    if images.unplaced() > 0 {
        let (count, what) =
            (grouped(images.unplaced()), plural(images.unplaced(), "image has", "images have"));
        printer.note(&format!("{count} {what} no position on the map"));
    }
    if images.len() > MAX_IMAGES_IN_PAGE {
        printer.warn(&format!(
            "the page has more than {} images, which is too many for most browsers",
            grouped(MAX_IMAGES_IN_PAGE as u64)
        ));
    }
    let (count, what) = (grouped(images.len() as u64), plural(images.len() as u64, "image", "images"));
    let size = human_bytes(bytes);
    printer
        .note(&format!("wrote {} with {count} {what}, {size}; open it in a browser", path_text(&found.page)));
}
