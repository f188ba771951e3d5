//! `crawl --update`: takes metadata from the earlier table, and finds out which images are new, unchanged or gone.
//!
//! The earlier table is copied into the state directory when the update starts. The copy stays until a run finishes, so
//! a killed update compares with the same table when it runs again, even if it was killed after it replaced the table.
//! Memory holds 16 bytes per row of the earlier table (see [`KnownMetadata`]).

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use super::earlier::EarlierTable;
use super::monitor::Monitor;
use crate::artifacts::changes::change_file;
use crate::artifacts::csv_file::{CsvFile, CsvRows};
use crate::artifacts::failure_log::id_of_gone;
use crate::sync::lock;
use crate::terminal::format::{grouped, path_text};
use streetflow::client::{KnownMetadata, Mark};
use streetflow::{Error, ErrorKind, FieldList, Image, Metadata, Report, Result, Step};

/// An update of an earlier table.
pub(crate) struct Update {
    pub(crate) known: KnownMetadata,
    changes: CsvFile,
    writer: Mutex<Option<CsvRows>>,
    /// The first error of the copy or of the changes, which makes the result useless.
    failure: Mutex<Option<Error>>,
    new: AtomicU64,
    unchanged: AtomicU64,
    gone: AtomicU64,
    is_complete: AtomicBool,
}

impl Update {
    /// Opens the copy of an unfinished update, else copies the table.
    pub(super) async fn open(table: EarlierTable<Metadata>, copy: PathBuf, output: &Path) -> Result<Self> {
        // Fields that the copy lacks are requested.
        let known = table.open_copy(copy, &FieldList::from_columns([])).await?;
        let changes = change_file(output);
        let writer = Mutex::new(Some(changes.rows()?));
        Ok(Self {
            known,
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
                if let Ok(id) = streetflow::ImageId::new(&id_of_gone(error)) {
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
            && let Err(error) = self.changes.add(writer, &[id, change])
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
