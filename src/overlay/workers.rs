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
use crate::model::Detection;
use crate::pictures::{DetectionTable, Failures, JpegHeader, PictureFile, PictureFolder};

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
    /// Files that already existed and were not changed.
    pub already_exists: u64,
    /// Images of the table without a picture in the folder.
    pub without_picture: u64,
    /// Detections without a shape. They are in no file.
    pub without_shape: u64,
    /// Pictures, crops and rows that failed.
    pub failures: Failures,
}

impl Report {
    pub(super) fn append(&mut self, other: Self) {
        self.pictures += other.pictures;
        self.written += other.written;
        self.already_exists += other.already_exists;
        self.without_picture += other.without_picture;
        self.without_shape += other.without_shape;
        self.failures.append(other.failures);
    }
}

/// Selects detections.
pub(super) type Selects = Arc<dyn Fn(&Detection) -> bool + Send + Sync>;

/// What to do with a picture.
pub(super) trait Work: Send + Sync + 'static {
    /// Whether a detection takes part.
    fn selects(&self, detection: &Detection) -> bool;

    /// The target files that do not exist yet. Counts the others.
    fn plan(
        &self,
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

/// Does the work for each picture of a table.
pub(super) async fn run(
    work: Arc<impl Work>,
    table: &DetectionTable,
    pictures: &PictureFolder,
) -> Result<Report> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut images = table.images(table.index().await?)?;
    let permits = MAX_PIXELS / PIXELS_PER_PERMIT + 1;
    let budget = Arc::new(Semaphore::new(usize::try_from(permits).unwrap_or(Semaphore::MAX_PERMITS)));
    let mut report = Report::default();
    let mut running = FuturesUnordered::new();
    while let Some(group) = images.next().await? {
        let detections: Vec<_> =
            group.detections.into_iter().filter(|detection| work.selects(detection)).collect();
        if detections.is_empty() {
            continue;
        }
        let Some(picture) = pictures.find(&group.image) else {
            report.without_picture += 1;
            continue;
        };
        if running.len() >= threads {
            report.append(running.next().await.transpose()?.unwrap_or_default());
        }
        running.push(one_picture(Arc::clone(&work), picture, detections, Arc::clone(&budget)));
    }
    while let Some(done) = running.next().await {
        report.append(done?);
    }
    report.failures.append(std::mem::take(&mut images.failures));
    Ok(report)
}

/// Does the work for one picture. Its failure is part of the report; only fatal errors are returned.
async fn one_picture(
    work: Arc<impl Work>,
    picture: PictureFile,
    detections: Vec<Detection>,
    budget: Arc<Semaphore>,
) -> Result<Report> {
    let mut report = Report { pictures: 1, ..Report::default() };
    let path = picture.path.clone();
    let planned = spawn_blocking({
        let work = Arc::clone(&work);
        move || {
            let plan = work.plan(&picture, detections, &mut report);
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
            fail(&mut report, error, &path)?;
            return Ok(report);
        }
    };
    let pixels = (u64::from(header.width) * u64::from(header.height)).min(MAX_PIXELS);
    let permits = u32::try_from(pixels / PIXELS_PER_PERMIT + 1).unwrap_or(u32::MAX);
    let permit = budget.acquire_many_owned(permits).await;
    let done = spawn_blocking(move || {
        let _permit = permit;
        let executed = read(&path).and_then(|jpeg| work.execute(&jpeg, plan, &mut report));
        if let Err(error) = executed {
            fail(&mut report, error, &path)?;
        }
        Ok(report)
    });
    done.await.map_err(panicked)?
}

/// Adds a failure to the report. Returns fatal errors.
fn fail(report: &mut Report, error: Error, path: &Path) -> Result<()> {
    if error.is_fatal() {
        return Err(error);
    }
    let error =
        if error.subject().is_some() { error } else { error.with_subject(path.display().to_string()) };
    report.failures.add(error);
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
