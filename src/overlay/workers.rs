//! Draws pictures on several threads, with a limit on the pixels in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::picture::MAX_PIXELS;
use crate::atomic_file::{commit, output_error, temporary_beside};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Detection, ImageId};
use crate::observe::{Observer, Step};
use crate::pictures::{
    DetectionTable, Failures, JpegHeader, PictureFile, PictureFolder, StepEvents, failed_picture,
};

/// Pixels for each permit of the semaphore.
const PIXELS_PER_PERMIT: u64 = 1 << 16;

/// Largest file that is read as a picture. A panorama in original size has up to 50 MB.
const MAX_FILE_LEN: u64 = 256 << 20;

/// What was done with the detections of a table.
///
/// ```
/// assert_eq!(streetflow::overlay::Report::default().written, 0);
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Pictures with detections.
    pub pictures: u64,
    /// Files written.
    pub written: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files that already existed and were not changed.
    pub already_exists: u64,
    /// Images of the table without a picture in the folder.
    pub without_picture: u64,
    /// Images of the table with other detections only than those that were selected.
    pub none_selected: u64,
    /// Detections without a shape. They are in no file.
    pub without_shape: u64,
    /// Detections left out because their box is smaller than the smallest size of a crop.
    pub too_small: u64,
    /// Pictures, crops and rows that failed.
    pub failures: Failures,
}

impl Report {
    pub(super) fn append(&mut self, other: Self) {
        self.pictures += other.pictures;
        self.written += other.written;
        self.bytes += other.bytes;
        self.already_exists += other.already_exists;
        self.without_picture += other.without_picture;
        self.none_selected += other.none_selected;
        self.without_shape += other.without_shape;
        self.too_small += other.too_small;
        self.failures.append(other.failures);
    }
}

/// Selects detections.
type Selects = Arc<dyn Fn(&Detection) -> bool + Send + Sync>;

/// Which detections take part in a step, and to whom it is reported.
#[derive(Clone)]
pub(super) struct Scope {
    selects: Option<Selects>,
    events: StepEvents,
}

impl Scope {
    /// All detections, without an observer.
    pub(super) fn of(step: Step) -> Self {
        Self { selects: None, events: StepEvents::of(step) }
    }

    pub(super) fn only(&mut self, selects: impl Fn(&Detection) -> bool + Send + Sync + 'static) {
        self.selects = Some(Arc::new(selects));
    }

    pub(super) fn observe(&mut self, observer: Arc<dyn Observer>) {
        self.events.observe(observer);
    }

    fn selects(&self, detection: &Detection) -> bool {
        self.selects.as_ref().is_none_or(|selects| selects(detection))
    }
}

/// What to do with a picture.
pub(super) trait Work: Send + Sync + 'static {
    /// What is done, for errors: `draw on the picture of image`.
    const DOING: &'static str;
    /// Whether a picture gives any number of files, not exactly one.
    const GIVES_MANY: bool;

    fn scope(&self) -> &Scope;

    /// The target files below `folder` that do not exist yet. Counts the others.
    fn plan(
        &self,
        folder: &Path,
        picture: &PictureFile,
        detections: Vec<Detection>,
        report: &mut Report,
    ) -> Result<Option<Plan>>;

    /// Decodes the picture and writes the files.
    fn execute(&self, jpeg: &[u8], plan: Plan, report: &mut Report) -> Result<()>;
}

/// Detections of a picture and their target files; an overlay has one file for all detections.
pub(super) struct Plan {
    pub(super) detections: Vec<Detection>,
    pub(super) targets: Vec<PathBuf>,
}

/// Does the work for each picture of a table, and writes files into a folder.
pub(super) async fn run(
    work: impl Work,
    table: &DetectionTable,
    pictures: &PictureFolder,
    folder: PathBuf,
) -> Result<Report> {
    let (work, folder) = (Arc::new(work), Arc::<Path>::from(folder));
    let events = &work.scope().events;
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let index = table.index().await?;
    events.expect(index.images);
    let mut images = table.images(index, events)?;
    let permits = MAX_PIXELS / PIXELS_PER_PERMIT + 1;
    let budget = Arc::new(Semaphore::new(usize::try_from(permits).unwrap_or(Semaphore::MAX_PERMITS)));
    let mut report = Report::default();
    let mut running = FuturesUnordered::new();
    while let Some(group) = images.next().await? {
        let detections: Vec<_> =
            group.detections.into_iter().filter(|detection| work.scope().selects(detection)).collect();
        events.input();
        if detections.is_empty() {
            count(&*work, Report { none_selected: 1, ..Report::default() }, &mut report);
            continue;
        }
        let Some(picture) = pictures.find(&group.image) else {
            count(&*work, Report { without_picture: 1, ..Report::default() }, &mut report);
            continue;
        };
        if running.len() >= threads {
            count(&*work, running.next().await.transpose()?.unwrap_or_default(), &mut report);
        }
        let target = (Arc::clone(&work), Arc::clone(&folder));
        running.push(one_picture(target, (group.image, picture), detections, Arc::clone(&budget)));
    }
    while let Some(done) = running.next().await {
        count(&*work, done?, &mut report);
    }
    report.failures.append(std::mem::take(&mut images.failures));
    Ok(report)
}

/// Adds the outcome for an image to the report, and reports it as events.
fn count<W: Work>(work: &W, image: Report, report: &mut Report) {
    let events = &work.scope().events;
    (0..image.written).for_each(|_| events.record());
    events.finding("no_shape", image.without_shape);
    events.finding("too_small", image.too_small);
    if W::GIVES_MANY {
        events.finding("already_exists", image.already_exists);
        events.finding("no_picture", image.without_picture);
        events.finding("none_selected", image.none_selected);
    }
    match image.failures.errors.first() {
        Some(error) => events.failed(error),
        None if W::GIVES_MANY => events.done(),
        None if image.already_exists > 0 => events.already_exists(),
        None if image.without_picture > 0 => events.left_out("no_picture"),
        None if image.none_selected > 0 => events.left_out("none_selected"),
        // The record is the end of the image.
        None => {}
    }
    report.append(image);
}

/// Does the work for one picture. Its failure is part of the report; only fatal errors are returned.
async fn one_picture<W: Work>(
    (work, folder): (Arc<W>, Arc<Path>),
    (image, picture): (ImageId, PictureFile),
    detections: Vec<Detection>,
    budget: Arc<Semaphore>,
) -> Result<Report> {
    let mut report = Report { pictures: 1, ..Report::default() };
    let path = picture.path.clone();
    let planned = spawn_blocking({
        let work = Arc::clone(&work);
        move || {
            let plan = work.plan(&folder, &picture, detections, &mut report);
            let header = match plan {
                Ok(Some(_)) => JpegHeader::of_file(&picture.path).map(Some),
                _ => Ok(None),
            };
            (plan, header, report)
        }
    });
    let (plan, header, mut report) = planned.await.map_err(panicked)?;
    let (plan, header) = match (plan, header) {
        (Ok(Some(plan)), Ok(Some(header))) => (plan, header),
        (Ok(_), Ok(_)) => return Ok(report),
        (Err(error), _) | (_, Err(error)) => {
            fail::<W>(&mut report, error, &image)?;
            return Ok(report);
        }
    };
    let pixels = (u64::from(header.width) * u64::from(header.height)).min(MAX_PIXELS);
    let permits = u32::try_from(pixels / PIXELS_PER_PERMIT + 1).unwrap_or(u32::MAX);
    let permit = budget.acquire_many_owned(permits).await;
    let done = spawn_blocking(move || {
        let _permit = permit;
        let executed = read(&path).and_then(|jpeg| {
            let executed = work.execute(&jpeg, plan, &mut report);
            // An error about the content does not know the file.
            executed.map_err(|error| match error.subject() {
                Some(_) => error,
                None => error.with_subject(path.display().to_string()),
            })
        });
        if let Err(error) = executed {
            fail::<W>(&mut report, error, &image)?;
        }
        Ok(report)
    });
    done.await.map_err(panicked)?
}

/// Adds a failure to the report. Returns fatal errors.
fn fail<W: Work>(report: &mut Report, error: Error, image: &ImageId) -> Result<()> {
    if error.is_fatal() {
        return Err(error);
    }
    report.failures.add(failed_picture(W::DOING, image, &error));
    Ok(())
}

fn panicked(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Io, "draw a picture").with_source(error)
}

/// Reads a picture. A file that was removed meanwhile costs only itself.
fn read(path: &Path) -> Result<Vec<u8>> {
    let read = || {
        let len = std::fs::metadata(path)?.len();
        if len > MAX_FILE_LEN {
            return Err(std::io::Error::other(format!("the file has {len} bytes, more than {MAX_FILE_LEN}")));
        }
        std::fs::read(path)
    };
    read().map_err(|error| {
        Error::new(ErrorKind::Malformed, "read the picture")
            .with_subject(path.display().to_string())
            .with_source(error)
    })
}

/// Writes a file that is complete or absent.
pub(super) fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let write = || {
        let mut file = temporary_beside(path)?;
        std::io::Write::write_all(&mut file, content)?;
        commit(file, path)
    };
    write().map_err(|error| output_error("write the picture", path, error))
}
