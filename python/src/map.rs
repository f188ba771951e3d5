//! `streetflow.MapPage`: images on a map, as one HTML page.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::client::Client;
use crate::counts::Counts;
use crate::errors::{Failure, usage};
use crate::input::Input;
use crate::place::TableFile;
use crate::query::counted;
use crate::records::images;
use crate::report::Report;
use crate::task::run_to_end;
use streetflow::map::{
    Basemap, COLUMNS, MAX_IMAGES_IN_PAGE, MapImages, MapOptions, Page, Pictures, fields, is_page,
};
use streetflow::{Error, ErrorKind, Flow, GeometryChoice, Metadata, Result};

/// Height of the frame in a notebook, in pixels.
const FRAME_HEIGHT: u32 = 560;

/// Images on a map: one HTML page that works offline and contacts no host.
///
/// A notebook shows it in a frame. `write` makes a file that opens with a double click.
///
/// >>> import streetflow as sf
/// >>> page = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), sandbox=True).map()
/// >>> len(page), page.unplaced
/// (611, 0)
/// >>> page.html[:15]
/// '<!doctype html>'
#[pyclass(frozen, module = "streetflow")]
pub(crate) struct MapPage {
    images: Mutex<MapImages>,
    options: MapOptions,
}

impl MapPage {
    fn images(&self) -> MutexGuard<'_, MapImages> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Encodes the page, without the interpreter: a million images take a second.
    fn encode(&self) -> Result<String> {
        let failed = |error: &dyn std::fmt::Display| usage("encode the page", error.to_string());
        let mut html = Vec::new();
        let page = Page::new(&self.images(), &self.options)?;
        page.write(&mut html).map_err(|error| failed(&error))?;
        String::from_utf8(html).map_err(|error| failed(&error))
    }

    fn write_file(&self, path: &Path, pictures: Option<&Path>) -> Result<()> {
        check_output(path)?;
        let mut images = self.images();
        if let Some(folder) = pictures {
            images.set_pictures(Pictures::find(folder, path.parent().unwrap_or(Path::new(""))));
        }
        let page = Page::new(&images, &self.options);
        // In another folder, the page would refer to other pictures.
        images.set_pictures(Pictures::default());
        page?.write_file(path).map(drop)
    }
}

#[pymethods]
impl MapPage {
    /// The page as HTML.
    #[getter]
    fn html(&self, py: Python<'_>) -> PyResult<String> {
        Ok(py.detach(|| self.encode()).map_err(Failure::from)?)
    }

    /// The number of images without coordinates, which the map does not show.
    #[getter]
    fn unplaced(&self) -> u64 {
        self.images().unplaced()
    }

    /// Writes the page to a file and returns its path. The file is complete or absent.
    ///
    /// It replaces another page, but no other file. `pictures` is a folder of downloaded pictures, which the page shows by
    /// their paths relative to it.
    #[pyo3(signature = (path, *, pictures=None))]
    fn write(&self, py: Python<'_>, path: PathBuf, pictures: Option<PathBuf>) -> PyResult<PathBuf> {
        py.detach(|| self.write_file(&path, pictures.as_deref())).map_err(Failure::from)?;
        Ok(path)
    }

    /// A frame with the page. The page is in it, so a saved notebook needs no other file.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let html = self.html(py)?.replace('&', "&amp;").replace('"', "&quot;");
        Ok(format!(
            "<iframe title=\"Map of images\" style=\"width: 100%; height: {FRAME_HEIGHT}px; border: 0\" \
             allow=\"fullscreen\" srcdoc=\"{html}\"></iframe>"
        ))
    }

    fn __len__(&self) -> usize {
        self.images().len()
    }

    fn __repr__(&self) -> String {
        let images = self.images();
        let unplaced = match images.unplaced() {
            0 => String::new(),
            count => format!(", {count} without coordinates"),
        };
        format!(
            "<streetflow.MapPage of {} images{unplaced}: .write(\"map.html\") makes a file>",
            images.len()
        )
    }
}

/// Refuses to replace a file that is no page.
fn check_output(path: &Path) -> Result<()> {
    let why = match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => "it is no file",
        Ok(_) if !is_page(path).unwrap_or(false) => "the file exists and is no map page",
        // If it cannot be created, writing it fails with the reason.
        _ => return Ok(()),
    };
    let error = Error::new(ErrorKind::Usage, "write the page").with_subject(path.display().to_string());
    Err(error.with_source(why).with_hint("choose another path"))
}

/// Reads images onto a map page.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "only the package calls it")]
pub(crate) fn map_page(
    py: Python<'_>,
    query: Option<&str>,
    table: Option<PathBuf>,
    stream: Option<&Bound<'_, PyCapsule>>,
    client: Option<&Client>,
    title: &str,
    geometry: Option<&str>,
    ids: bool,
    basemap: Option<&str>,
    basemap_credit: Option<&str>,
    skip: bool,
    report: Py<Report>,
    run: Py<PyAny>,
) -> PyResult<MapPage> {
    let table = table.map(|path| TableFile::fetch(py, path)).transpose()?;
    let input = Input::new("make the map", query, table.as_ref(), stream)?;
    let of_query = match &input {
        Input::Query(query) => query.geometry,
        _ => None,
    };
    let geometry = match geometry {
        Some(name) => name.parse().map_err(Failure::from)?,
        None => of_query.unwrap_or_default(),
    };
    let basemap = background(basemap, basemap_credit).map_err(Failure::from)?;
    let options = MapOptions { title: title.to_owned(), geometry, without_ids: !ids, basemap };
    let client = client.map(Client::get).transpose()?.cloned();
    let counts = Arc::clone(&report.get().counts);
    let work = async move { collect(open(input, geometry, client).await?, geometry, counts, skip).await };
    let images = run_to_end(py, work, &report, &run)?;
    Ok(MapPage { images: Mutex::new(images), options })
}

fn background(name: Option<&str>, credit: Option<&str>) -> Result<Option<Basemap>> {
    let Some(name) = name else { return Ok(None) };
    let basemap: Basemap = name.parse()?;
    let basemap = credit.into_iter().fold(basemap, Basemap::credit);
    if basemap.needs_credit() {
        return Err(usage("use the background map", "raster tiles do not contain their credit")
            .with_hint("set `basemap_credit`, such as \"© OpenStreetMap contributors\""));
    }
    Ok(Some(basemap))
}

/// Opens the images. A query requests what the page shows, whatever its fields are.
async fn open(
    input: Input,
    geometry: GeometryChoice,
    client: Option<streetflow::Client>,
) -> Result<Flow<Metadata>> {
    match input {
        Input::Query(mut query) => {
            query.fields = fields(geometry);
            let client = client.ok_or_else(|| usage("make the map", "there is no client"))?;
            images(*query, client).await
        }
        Input::Table(table) => Ok(Flow::from(table.only(&COLUMNS))),
        Input::Arrow(source) => Ok(Flow::from(source.only(&COLUMNS))),
    }
}

async fn collect(
    flow: Flow<Metadata>,
    geometry: GeometryChoice,
    counts: Arc<Counts>,
    skip: bool,
) -> Result<MapImages> {
    let mut rows = counted(flow, &counts, skip);
    let mut images = MapImages::new(geometry);
    while let Some(row) = rows.next().await {
        images.push(&row?);
        counts.add_records(1);
        if images.len() > MAX_IMAGES_IN_PAGE {
            let why = format!("it has more than {MAX_IMAGES_IN_PAGE} images, which browsers cannot open");
            return Err(usage("make the map", why)
                .with_hint("use filters or `limit`, or write a table and run `streetflow map --serve`"));
        }
    }
    if images.is_empty() && images.unplaced() > 0 {
        let why = format!("none of the {} images has coordinates", images.unplaced());
        return Err(usage("make the map", why).with_hint(
            "a table needs a geometry, or the columns `lon` and `lat`; `geometry` chooses the point",
        ));
    }
    Ok(images)
}
