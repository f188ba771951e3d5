//! `crawl --update`: takes metadata from the earlier table, and finds out which images are new, unchanged or gone.
//!
//! The earlier table is copied into the state directory when the update starts. The copy stays until a run finishes, so
//! a killed update compares with the same table when it runs again, even if it was killed after it replaced the table.
//! Memory holds 16 bytes per row of the earlier table (see [`KnownMetadata`]).

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use serde_json::{Value, json};

use super::monitor::Monitor;
use super::outputs::table_path;
use super::state_dir::EARLIER_DETECTIONS;
use crate::artifacts::changes::{ChangeFile, ChangeWriter};
use crate::sync::lock;
use crate::terminal::format::{grouped, path_text};
use crate::terminal::printer::Printer;
use streetflow::client::{KnownDetections, KnownMetadata, KnownRecords, KnownRecordsWriter, Mark, OfImage};
use streetflow::sources::IdCheck;
use streetflow::{
    Detection, Error, ErrorKind, FieldList, Format, Image, Metadata, Report, Result, Source, Step,
    TableSource,
};

/// The columns that are derived from the shape of a detection.
const DECODED: [&str; 10] =
    ["kind", "x", "y", "w", "h", "area", "parts", "holes", "touches_edge", "polygons"];

/// An update of an earlier table.
pub(crate) struct Update {
    pub(crate) known: KnownMetadata,
    /// The detections of the earlier table, if the run fetches detections and they have all its fields.
    pub(crate) detections: Option<KnownDetections>,
    changes: ChangeFile,
    writer: Mutex<Option<ChangeWriter>>,
    /// The first error of the copy or of the changes, which makes the result useless.
    failure: Mutex<Option<Error>>,
    new: AtomicU64,
    unchanged: AtomicU64,
    gone: AtomicU64,
    is_complete: std::sync::atomic::AtomicBool,
}

impl Update {
    /// Opens the copies of an unfinished update, else copies the tables.
    pub(super) async fn open(
        tables: EarlierTables,
        copy: PathBuf,
        output: &Path,
        printer: &Printer,
    ) -> Result<Self> {
        let of_detections = copy.with_extension(EARLIER_DETECTIONS);
        let mut detections = None;
        if let Some(table) = tables.detections {
            match table.open_copy(of_detections).await {
                Ok(known) => detections = Some(known),
                // A row that can't be read may be one of several of its image.
                Err(error) if !error.is_fatal() => {
                    printer.warn(&format!("{}; the detections of all images are requested", error.chain()));
                }
                Err(error) => return Err(error),
            }
        }
        let known = tables.metadata.open_copy(copy).await?;
        let changes = ChangeFile::new(output);
        let writer = Mutex::new(Some(changes.writer()?));
        Ok(Self {
            known,
            detections,
            changes,
            writer,
            failure: Mutex::default(),
            new: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            is_complete: false.into(),
        })
    }

    /// Marks an image that is listed.
    pub(crate) fn observe_listed(&self, image: &Result<Image>) {
        if let Ok(image) = image {
            self.check(self.known.mark(&image.img_id, Mark::Listed));
        }
    }

    /// Counts an image of the new table. An image that turns out to be deleted is no longer listed.
    pub(crate) fn observe_metadata(&self, image: &Result<Metadata>) {
        match image {
            Ok(image) => match self.check(self.known.mark(&image.img_id, Mark::Counted)).flatten() {
                None => {
                    self.new.fetch_add(1, Ordering::Relaxed);
                    self.add(image.img_id.as_str(), "new");
                }
                Some(false) => drop(self.unchanged.fetch_add(1, Ordering::Relaxed)),
                Some(true) => {}
            },
            Err(error) if error.kind() == ErrorKind::Gone => {
                let id = error.id();
                let id = id.split_once(" of sequence ").map_or(&*id, |(id, _)| id);
                if let Ok(id) = streetflow::ImageId::new(id) {
                    self.check(self.known.unmark(&id, Mark::Listed));
                }
            }
            Err(_) => {}
        }
    }

    fn check<T>(&self, result: std::io::Result<T>) -> Option<T> {
        let fail = |error| {
            let error = Error::new(ErrorKind::Io, "read the copy of the earlier table").with_source(error);
            lock(&self.failure).get_or_insert(error);
        };
        result.map_err(fail).ok()
    }

    fn add(&self, id: &str, change: &str) {
        if let Some(writer) = &mut *lock(&self.writer)
            && let Err(error) = self.changes.add(writer, id, change)
        {
            lock(&self.failure).get_or_insert(error);
        }
    }

    /// Lists what is gone and writes `changes.csv`, if the run listed everything.
    pub(crate) fn finish(&self, monitor: &Monitor, report: &mut Report) -> Result<()> {
        if let Some(error) = lock(&self.failure).take() {
            return Err(error);
        }
        if report.stopped || has_failures(monitor) {
            return Ok(());
        }
        self.known.for_each_without(Mark::Listed, |id| {
            if self.check(self.known.mark(&id, Mark::Counted)).flatten() == Some(false) {
                self.gone.fetch_add(1, Ordering::Relaxed);
                self.add(id.as_str(), "gone");
                let error = Error::new(ErrorKind::Gone, "find image")
                    .with_subject(id.as_str())
                    .with_source("no longer listed");
                monitor.failure_log.add(Step::METADATA, &error)?;
            }
            Ok(())
        })?;
        if let Some(error) = lock(&self.failure).take() {
            return Err(error);
        }
        if let Some(writer) = lock(&self.writer).take() {
            report.taps.push(self.changes.commit(writer)?);
        }
        self.is_complete.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The counts for `report.json`; null if the run is incomplete.
    pub(super) fn json(&self) -> Value {
        if !self.is_complete.load(Ordering::Relaxed) {
            return Value::Null;
        }
        let [new, unchanged, gone] = self.counts();
        json!({ "new": new, "unchanged": unchanged, "gone": gone })
    }

    fn counts(&self) -> [u64; 3] {
        [&self.new, &self.unchanged, &self.gone].map(|count| count.load(Ordering::Relaxed))
    }

    /// Prints the counts.
    pub(super) fn print(&self, monitor: &Monitor) {
        if !self.is_complete.load(Ordering::Relaxed) {
            monitor.printer.note(
                "update: not complete, so `changes.csv` is not written; run the same command again to complete it",
            );
            return;
        }
        let [new, unchanged, gone] = self.counts().map(grouped);
        monitor.printer.note(&format!("update: {new} new, {unchanged} unchanged, {gone} gone"));
        if self.gone.load(Ordering::Relaxed) > 0 {
            monitor.printer.note(&format!(
                "images that are gone are listed in {}; their pictures stay",
                path_text(monitor.failure_log.gone.path())
            ));
        }
    }
}

/// Whether a failure may have hidden images or left their metadata out.
fn has_failures(monitor: &Monitor) -> bool {
    let steps = [Step::SEQUENCES, Step::IMAGES, Step::METADATA];
    steps.iter().filter_map(|step| monitor.stats.step(*step)).any(|step| step.counts().failed > 0)
}

/// The tables of an earlier run.
pub(super) struct EarlierTables {
    pub(super) metadata: EarlierTable<Metadata>,
    pub(super) detections: Option<EarlierTable<Detection>>,
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
        fields.names().iter().copied().find(|field| !self.fields.names().contains(field))
    }

    /// Opens the copy of an unfinished update, else copies the table.
    async fn open_copy(self, copy: PathBuf) -> Result<KnownRecords<T>> {
        match KnownRecords::open(&copy) {
            Ok(known) => Ok(known),
            Err(_) => self.copy_to(copy).await,
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
