//! The tables of an earlier run, for an update.
//!
//! They are copied into the state directory when the update starts. The copies stay until a run finishes, so a killed
//! update compares with the same tables when it runs again, even if it was killed after it replaced them.

use std::path::{Path, PathBuf};

use futures::StreamExt;

use super::outputs::table_path;
use crate::terminal::printer::Printer;
use streetflow::client::{KnownDetections, KnownEmpty, KnownRecords, KnownRecordsWriter, OfImage};
use streetflow::sources::IdCheck;
use streetflow::{
    Detection, FetchDetections, FieldList, Format, Metadata, Record, Result, Source, TableSource,
};

/// The columns that are derived from the shape of a detection.
const DECODED: [&str; 10] =
    ["kind", "x", "y", "w", "h", "area", "parts", "holes", "touches_edge", "polygons"];

/// The tables of an earlier run that serve this one.
#[derive(Default)]
pub(super) struct EarlierTables {
    pub(super) metadata: Option<EarlierTable<Metadata>>,
    pub(super) detections: Option<EarlierTable<Detection>>,
}

impl EarlierTables {
    pub(super) fn exist(&self) -> bool {
        self.metadata.is_some() || self.detections.is_some()
    }
}

/// What an earlier run found out about detections.
pub(crate) struct EarlierDetections {
    known: KnownDetections,
    pub(super) empty: KnownEmpty,
}

impl EarlierDetections {
    /// Opens the copy of an unfinished update if it has the fields of this run, else copies the table, which has them.
    /// `None` if a row of the table can't be read.
    pub(super) async fn open(
        table: EarlierTable<Detection>,
        fields: &FieldList<Detection>,
        empty: KnownEmpty,
        copy: PathBuf,
        printer: &Printer,
    ) -> Result<Option<Self>> {
        match table.open_copy(copy, fields).await {
            Ok(known) => Ok(Some(Self { known, empty })),
            // A row that can't be read may be one of several of its image.
            Err(error) if !error.is_fatal() => {
                printer.warn(&format!("{}; the detections of all images are requested", error.chain()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes from the earlier run what it has.
    pub(crate) fn apply(&self, stage: FetchDetections) -> FetchDetections {
        stage.known(&self.known).known_empty(&self.empty)
    }
}

/// A table of an earlier run.
pub(super) struct EarlierTable<T> {
    pub(super) path: PathBuf,
    format: Format,
    /// The fields of the table.
    fields: FieldList<T>,
}

impl<T: OfImage> EarlierTable<T> {
    /// Finds the newest table; of several of the same age, the one with most fields.
    pub(super) fn find(output: &Path, table: &str) -> Result<Option<Self>> {
        let mut found = Vec::new();
        for &format in Format::ALL {
            let path = table_path(output, table, format);
            let Ok(modified) = std::fs::metadata(&path).and_then(|file| file.modified()) else { continue };
            let source = TableSource::<T>::open_as(&path, format)?;
            let fields = fields_of(&source);
            found.push((modified, fields.names().len(), Self { path, format, fields }));
        }
        // The first of equals: CSV is read faster than GeoJSON.
        found.reverse();
        Ok(found
            .into_iter()
            .max_by_key(|(modified, fields, _)| (*modified, *fields))
            .map(|(_, _, table)| table))
    }

    /// The first of some fields that the table does not have.
    pub(super) fn lacks(&self, fields: &FieldList<T>) -> Option<&'static str> {
        first_lacking(fields, &self.fields)
    }

    /// Opens the copy of an unfinished update if it has these fields, else copies the table.
    pub(super) async fn open_copy(self, copy: PathBuf, needed: &FieldList<T>) -> Result<KnownRecords<T>> {
        match KnownRecords::open(&copy) {
            Ok(known) if first_lacking(needed, known.fields()).is_none() => Ok(known),
            _ => self.copy_to(copy).await,
        }
    }

    async fn copy_to(self, copy: PathBuf) -> Result<KnownRecords<T>> {
        let keys = T::COLUMNS.iter().filter(|column| column.field.is_none()).map(|column| column.name);
        let columns: Vec<_> = keys.chain(self.fields.columns()).collect();
        // An image with a rounded id is not listed, so it counts as gone.
        let source = TableSource::<T>::open_as(&self.path, self.format)?
            .only(&columns)
            .on_rounded_ids(IdCheck::warn(|_| {}));
        let mut writer = KnownRecordsWriter::create(copy, &self.fields)?;
        let mut rows = source.stream();
        while let Some(row) = rows.next().await {
            writer.add(&row?)?;
        }
        writer.finish()
    }
}

/// The first of the needed fields that is not among those of a table.
fn first_lacking<T: Record>(needed: &FieldList<T>, has: &FieldList<T>) -> Option<&'static str> {
    needed.names().iter().copied().find(|field| !has.names().contains(field))
}

/// The fields of a table. A column that is named `geometry`, but is none, does not count.
fn fields_of<T: OfImage>(table: &TableSource<T>) -> FieldList<T> {
    let geometry = table.geometry();
    // Detections have a column `geometry` of their own, the shape.
    let is_shape = T::GEOMETRY_COLUMN != "geometry";
    let names = table.header().iter().filter_map(|name| match name.as_str() {
        "geometry" if is_shape => Some("geometry"),
        name if Some(name) == geometry => Some("geometry"),
        "geometry" => None,
        name => Some(name),
    });
    let place = geometry.filter(|_| is_shape).map(|_| T::GEOMETRY_COLUMN);
    let has = |wanted: &str| names.clone().any(|name| name == wanted);
    // Without the decoded shapes, as in the table of the Python toolset, they are decoded on reading.
    let is_decoded = is_shape && has("geometry") && !has("polygons");
    let decoded: &[&str] = if is_decoded { &DECODED } else { &[] };
    FieldList::from_columns(names.chain(place).chain(decoded.iter().copied()))
}
