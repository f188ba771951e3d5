//! Reads the images of a table.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::MapArgs;
use super::find::Found;
use crate::sync::lock;
use streetflow::map::{COLUMNS, MapImages, Pictures};
use streetflow::sources::{HeaderOnly, IdCheck};
use streetflow::{Error, ErrorKind, GeometryChoice, Metadata, Result, Source, TableSource};

/// The images of a table.
pub(super) struct Loaded {
    pub(super) images: MapImages,
    /// Rows that could not be read.
    pub(super) failed: u64,
    pub(super) first_failure: Option<Error>,
    pub(super) warnings: Vec<String>,
}

/// Reads the table and finds its pictures. An invalid row costs itself only, but a table without a valid row is an error.
pub(super) async fn images(found: &Found, args: &MapArgs) -> Result<Loaded> {
    let geometry = args.geometry.unwrap_or_default();
    let header = found.input.open::<HeaderOnly>(&CancellationToken::new()).await?;
    check_coordinates(&header, geometry)?;
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let warn = Arc::clone(&warnings);
    // No request is sent, so rounded ids are only a warning.
    let check = IdCheck::warn(move |text| lock(&warn).push(text.to_owned()));
    let table = header.retype::<Metadata>()?.only(&COLUMNS).on_rounded_ids(check.keep());
    let mut images = MapImages::new(geometry);
    let (mut failed, mut first_failure) = (0, None);
    let mut rows = table.stream();
    while let Some(row) = rows.next().await {
        match row {
            Ok(image) => images.push(&image),
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                failed += 1;
                first_failure.get_or_insert(error);
            }
        }
    }
    if images.is_empty()
        && images.unplaced() == 0
        && let Some(error) = first_failure
    {
        return Err(Error::new(ErrorKind::Usage, "read the images")
            .with_source(error)
            .with_hint("no row of the table is valid; pass a table of images with coordinates"));
    }
    if !args.no_ids {
        let page = found.page.parent().unwrap_or(std::path::Path::new(""));
        images.set_pictures(Pictures::find(&found.pictures, page));
    }
    let warnings = std::mem::take(&mut *lock(&warnings));
    Ok(Loaded { images, failed, first_failure, warnings })
}

/// Rejects a table without columns of coordinates: no image would be on the map.
fn check_coordinates(table: &TableSource<HeaderOnly>, geometry: GeometryChoice) -> Result<()> {
    let has = |name: &str| table.header().iter().any(|column| column == name);
    let has_original = table.geometry().is_some() || (has("lon") && has("lat"));
    let has_computed = has("computed_lon") && has("computed_lat");
    let is_enough = match geometry {
        GeometryChoice::Original => has_original,
        GeometryChoice::Computed => has_computed,
        GeometryChoice::Best => has_original || has_computed,
    };
    // GeoJSON without features has no columns.
    if is_enough || table.header().is_empty() {
        return Ok(());
    }
    let columns = if geometry == GeometryChoice::Computed {
        "computed_lon` and `computed_lat"
    } else {
        "lon` and `lat"
    };
    let field = if geometry == GeometryChoice::Computed { "computed_geometry" } else { "geometry" };
    Err(Error::new(ErrorKind::Usage, "draw the map")
        .with_source(format!("the table has no columns `{columns}`"))
        .with_hint(format!(
            "crawl with `--map`, or fetch the coordinates with `streetflow metadata --fields {field},captured_at,creator`"
        )))
}
