//! Reads the images of a table.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::args::MapArgs;
use super::find::{Found, FoundPictures};
use crate::job::Input;
use crate::sync::lock;
use crate::terminal::format::{grouped, path_text, plural};
use streetflow::map::{COLUMNS, DETECTION_COLUMNS, FEATURE_COLUMNS, MapImages, Pictures};
use streetflow::sources::{HeaderOnly, IdCheck};
use streetflow::{
    Detection, Error, ErrorKind, GeometryChoice, Metadata, Record, Result, Source, TableSource,
};

/// The images of a table.
pub(super) struct Loaded {
    pub(super) images: MapImages,
    /// Rows that could not be read.
    pub(super) failed: u64,
    pub(super) first_failure: Option<Error>,
    pub(super) warnings: Vec<String>,
}

/// Reads the table and finds its pictures. An invalid row costs itself only, but a table without a valid row is an error.
///
/// The images are added to `images`.
pub(super) async fn images(found: &Found, args: &MapArgs, mut images: MapImages) -> Result<Loaded> {
    let geometry = args.geometry.unwrap_or_default();
    let header = found.input.open::<HeaderOnly>(&CancellationToken::new()).await?;
    check_coordinates(&header, geometry)?;
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let warn = Arc::clone(&warnings);
    // No request is sent, so rounded ids are only a warning.
    let check = IdCheck::warn(move |text| lock(&warn).push(text.to_owned()));
    let table = header.retype::<Metadata>()?.only(&COLUMNS).on_rounded_ids(check.keep());
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
    match &found.pictures {
        FoundPictures::Folder(folder) if !args.no_ids => {
            if let Some(page) = found.page.folder() {
                images.set_pictures(Pictures::find(folder, page));
            }
        }
        FoundPictures::Objects { pictures, .. } => images.set_pictures(pictures.clone()),
        FoundPictures::Folder(_) => {}
    }
    let mut warnings = std::mem::take(&mut *lock(&warnings));
    let detections = found.detections.as_ref().filter(|_| !args.no_ids);
    add(detections, detection_columns, &mut warnings, |detection| images.push_detection(detection)).await?;
    let features = found.features.as_ref();
    add(features, |_| &FEATURE_COLUMNS, &mut warnings, |feature| images.push_feature(feature)).await?;
    Ok(Loaded { images, failed, first_failure, warnings })
}

/// The columns to read of a table of detections. The one of the Python toolset has only shapes, from which the boxes
/// follow.
fn detection_columns(table: &TableSource<Detection>) -> &'static [&'static str] {
    if table.header().iter().any(|name| name == "x") { &DETECTION_COLUMNS } else { &["value", "geometry"] }
}

/// Reads a further table. The map is useful without it, so its problems are warnings.
async fn add<T: Record>(
    path: Option<&PathBuf>,
    columns: impl Fn(&TableSource<T>) -> &'static [&'static str],
    warnings: &mut Vec<String>,
    mut push: impl FnMut(&T),
) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let input = Input::named(path, None)?;
    let table = match input.open::<T>(&CancellationToken::new()).await {
        Ok(table) => {
            let columns = columns(&table);
            table.only(columns).on_rounded_ids(IdCheck::warn(|_| ()))
        }
        Err(error) => {
            warnings.push(format!("left out {}: {}", path_text(path), error.chain()));
            return Ok(());
        }
    };
    let mut rows = table.stream();
    let (mut failed, mut first) = (0_u64, None);
    while let Some(row) = rows.next().await {
        match row {
            Ok(row) => push(&row),
            Err(error) => {
                failed += 1;
                first.get_or_insert(error);
            }
        }
    }
    if let Some(error) = first {
        let what = plural(failed, "row", "rows");
        warnings.push(format!("skipped {} invalid {what}; the first: {}", grouped(failed), error.chain()));
    }
    Ok(())
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
