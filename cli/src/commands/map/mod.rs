//! `map`: writes a map page of a table.

mod args;
mod find;
mod load;
mod place;
mod serve;

use crate::args::DisplayArgs;
use crate::exit_code::Exit;
use crate::job::Signals;
use crate::terminal::format::{grouped, human_bytes, plural};
use crate::terminal::printer::Printer;
pub(crate) use args::MapArgs;
use find::{Found, FoundPictures};
pub(crate) use find::{TABLE, listed};
use load::Loaded;
pub(crate) use place::{PAGE_NAME, PagePlace};
pub(crate) use serve::{LiveMap, open};
use streetflow::map::{Basemap, MAX_IMAGES_IN_PAGE, MapImages, MapOptions, Page};
use streetflow::{Error, ErrorKind, Result};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow map
  streetflow map outputs/img_meta_dataset.parquet --out cyprus.html
  streetflow map images.geojson --pictures photos
  streetflow map s3://bucket/cyprus
  streetflow map --serve --open";

/// Writes the page and prints the result.
pub(crate) async fn run(args: &MapArgs, display: &DisplayArgs) -> Exit {
    let printer = display.printer();
    let mut signals = Signals::listen();
    let ended = tokio::select! {
        ended = show(args, &printer) => ended,
        _ = signals.next() => {
            if args.serve {
                // A server is stopped with a signal.
                return Exit::Done;
            }
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

async fn show(args: &MapArgs, printer: &Printer) -> Result<Exit> {
    if args.serve && serve::is_running(&args.table) {
        let title = std::fs::canonicalize(&args.table)
            .ok()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        serve::follow(args, options(args, title.unwrap_or_default())?, printer).await?;
        return Ok(Exit::Done);
    }
    let found = Found::resolve(args).await?;
    if !args.serve {
        found.page.check().await?;
    }
    let options = options(args, found.title.clone())?;
    let loaded = load::images(&found, args, MapImages::new(options.geometry)).await?;
    print_problems(&loaded, printer);
    let exit = if loaded.failed > 0 { Exit::SomeFailed } else { Exit::Done };
    if args.serve {
        let bucket = match &found.pictures {
            FoundPictures::Objects { bucket, .. } => Some(bucket.clone()),
            FoundPictures::Folder(_) => None,
        };
        serve::run(loaded.images, options, bucket, args, printer).await?;
        return Ok(exit);
    }
    let target = found.page.target();
    let count = loaded.images.len();
    let written = tokio::task::spawn_blocking(move || {
        Page::new(&loaded.images, &options).and_then(|made| made.write_to(&target))
    });
    let bytes =
        written.await.map_err(|panic| Error::new(ErrorKind::Io, "write the page").with_source(panic))??;
    print_page(count, bytes, &found, printer);
    if args.open
        && let PagePlace::File(page) = found.page
    {
        let path = std::fs::canonicalize(&page).unwrap_or(page);
        open(path.as_os_str(), printer);
    }
    Ok(exit)
}

fn options(args: &MapArgs, title: String) -> Result<MapOptions> {
    Ok(MapOptions {
        title,
        geometry: args.geometry.unwrap_or_default(),
        without_ids: args.no_ids,
        basemap: basemap(args)?,
    })
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

/// Prints what is not on the map.
fn print_problems(loaded: &Loaded, printer: &Printer) {
    for text in &loaded.warnings {
        printer.warn(text);
    }
    if let Some(error) = &loaded.first_failure {
        let (count, rows) = (grouped(loaded.failed), plural(loaded.failed, "row", "rows"));
        printer.warn(&format!("skipped {count} invalid {rows}; the first: {}", error.chain()));
    }
    let unplaced = loaded.images.unplaced();
    if unplaced > 0 {
        let (count, what) = (grouped(unplaced), plural(unplaced, "image has", "images have"));
        printer.note(&format!("{count} {what} no position on the map"));
    }
}

fn print_page(images: usize, bytes: u64, found: &Found, printer: &Printer) {
    if images > MAX_IMAGES_IN_PAGE {
        let most = grouped(MAX_IMAGES_IN_PAGE as u64);
        printer.warn(&format!("most browsers can't open a page of more than {most} images; use `--serve`"));
    }
    let (count, what) = (grouped(images as u64), plural(images as u64, "image", "images"));
    let (page, size) = (found.page.shown(), human_bytes(bytes));
    let advice = if found.page.folder().is_some() { "; open it in a browser" } else { "" };
    printer.note(&format!("wrote {page} with {count} {what}, {size}{advice}"));
}
