//! Pictures to a folder.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};
use tempfile::{NamedTempFile, PersistError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};

use super::durable::{Durable, milliseconds};
use super::exif::{Facts, Stamper};
use super::fresh::FreshUrls;
use super::in_flight::{Claim, InFlight};
use super::picture_folder::{self, SMALLEST_JPEG};
use super::warnings::TooSmall;
use super::{Exif, FileTime, JpegCheck, PictureLayout, Quality, Sink, Written};
use crate::atomic_file::{output_error, temporary};
use crate::client::{Class, Client, ResponseBody, is_expired};
use crate::error::{Error, ErrorKind, Result};
use crate::file_system::{or_here, parent, set_time, tell_refusals};
use crate::model::Metadata;
use crate::observe::{Event, Step, report_failure};
use crate::sources::RecordStream;

/// A picture larger than this goes to the disk in pieces, so that many at once do not fill the memory.
const PIECE: usize = 1 << 20;

/// Pictures that are looked for at once: a thread is asked for them all, which costs more than the look.
const LOOK: usize = 32;

/// Such looks under way.
const LOOKS_AHEAD: usize = 2;

/// Downloads begun for each request that the client allows, those that failed before not counted.
const AHEAD: usize = 2;

/// Downloads in all: as many as may wait for another attempt. Each takes some 5 kB.
const MOST_BEGUN: usize = 8192;

/// Downloads the picture of each image to `<folder>/<img_id>_<quality>.jpg`, or to a folder below that.
///
/// A file that is there is skipped without a request; one too small for a JPEG, as a full disk or another tool leaves
/// it, does not count and is replaced. Bytes go to a temporary name, are checked (length, a JPEG from its first to its
/// last marker), and then get their name; so a file under its name is a whole picture, and at the end it is on the
/// disk. Until then a marker says since when pictures may not be
/// there, and the next run looks into those that are younger. Where a URL has
/// ended or is refused, a fresh one is asked for, once, if the client has a
/// token. A picture that can't be had is counted in [`Written::failed`], one that Mapillary does not
/// have in [`Written::gone`]; both are told to the client's observer, and the
/// others go on. Rows that name one image make one file: one of them counts as
/// downloaded, and the others as already there.
///
/// A picture's file has the time of its capture, where that is known and past, or that of its download
/// ([`ImageSink::file_time`]). With [`ImageSink::exif`] it carries place, time, camera, author and licence.
///
/// ```
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// use futures::StreamExt;
/// use streetflow_sandbox::Sandbox;
/// use streetflow::sinks::{Exif, PictureLayout};
/// use streetflow::{
///     Client, FetchMetadata, Fields, Flow, Image, ImageSink, ListImages, Quality, RecordStream, Sequence,
///     SequenceId, Token,
/// };
///
/// let sandbox = Sandbox::start().await.unwrap();
/// let client = Client::builder().token(Token::new(Sandbox::TOKEN)?).graph_url(sandbox.graph_url()).build()?;
/// let seq_id = SequenceId::new(sandbox.world().sequences()[0].id())?;
/// let fields = Exif::FIELDS.into_iter().try_fold("thumb_256_url".parse::<Fields>()?, Fields::and)?;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let sink = ImageSink::new(&client, folder.path())
///     .quality(Quality::Q256)
///     .exif(Exif::Always)
///     .layout(PictureLayout::Sequence);
/// let report = Flow::from(futures::stream::iter([Ok(Sequence { seq_id, ..Sequence::default() })]))
///     .then(ListImages::new(&client))
///     .then(|images: RecordStream<Image>| images.take(3).boxed())
///     .then(FetchMetadata::new(&client).fields(&fields))
///     .into_sink(sink)
///     .await?;
/// assert_eq!(report.records, 3);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ImageSink {
    client: Client,
    folder: PathBuf,
    quality: Quality,
    exif: Exif,
    layout: PictureLayout,
    check_existing: bool,
    file_time: FileTime,
    too_small: Arc<Mutex<TooSmall>>,
    /// From the beginning of the drain.
    durable: Option<Arc<Durable>>,
}

impl ImageSink {
    /// Pictures 256 pixels wide, to a folder that is made if need be.
    pub fn new(client: &Client, folder: impl Into<PathBuf>) -> Self {
        Self {
            client: client.clone(),
            folder: or_here(&folder.into()).to_owned(),
            quality: Quality::default(),
            exif: Exif::default(),
            layout: PictureLayout::default(),
            check_existing: false,
            file_time: FileTime::default(),
            too_small: Arc::default(),
            durable: None,
        }
    }

    /// Pictures of another size.
    pub fn quality(mut self, quality: Quality) -> Self {
        self.quality = quality;
        self
    }

    /// Whether pictures carry what is known of them; without this they stay the bytes that came.
    ///
    /// Place, altitude and heading as recorded, time (UTC), camera, orientation, the ids of image and sequence,
    /// author and licence go into EXIF and XMP segments, as far as the records have them ([`Exif::FIELDS`]) and they
    /// are possible; panoramas are marked as such. No pixel is touched. An EXIF block that a picture brings is kept
    /// and added to: its maker's notes, its thumbnail, its own word on orientation, camera, author and rights stay;
    /// place and time are the record's. The same holds for an XMP packet. Where an EXIF block fills its segment of
    /// 64 KB, its thumbnail makes room; where that is not enough, XMP alone has what is new, and nothing in EXIF
    /// contradicts it. A picture with no room in either is told of as [`Event::ExifIncomplete`].
    /// A picture that is there is left as it is.
    pub fn exif(mut self, exif: Exif) -> Self {
        self.exif = exif;
        self
    }

    /// How pictures are laid out in folders; only there a picture is looked for.
    pub fn layout(mut self, layout: PictureLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Looks into files that are there, and downloads those anew that are no whole JPEG.
    pub fn check_existing(mut self) -> Self {
        self.check_existing = true;
        self
    }

    /// Which time the files of pictures have: that of the capture, unless this says otherwise.
    pub fn file_time(mut self, file_time: FileTime) -> Self {
        self.file_time = file_time;
        self
    }

    fn target(&self, image: &Metadata) -> PathBuf {
        let folder = self.folder.join(self.layout.folder(image));
        folder.join(format!("{}_{}.jpg", image.img_id, self.quality))
    }

    fn picture(&self, image: &Metadata, target: PathBuf) -> Picture {
        Picture {
            target,
            facts: self.exif.applies_to(self.quality).then(|| Facts::of(image, self.quality)),
            captured: self.file_time.of(image),
        }
    }

    /// The images, and whether the picture of each is there.
    fn look(self: &Arc<Self>, images: RecordStream<Metadata>) -> RecordStream<Looked> {
        let sink = Arc::clone(self);
        let looking = images.ready_chunks(LOOK).map(move |images| {
            let sink = Arc::clone(&sink);
            async move {
                let look = move || images.into_iter().map(|image| Ok(sink.looked(image?))).collect();
                spawn_blocking(look).await.unwrap_or_else(|panic| vec![Err(crashed(panic))])
            }
        });
        looking.buffered(LOOKS_AHEAD).flat_map(stream::iter).boxed()
    }

    fn looked(&self, image: Metadata) -> Looked {
        let target = self.target(&image);
        let is_there = picture_folder::is_there(&target, self.check_existing, &self.too_small);
        let is_there = is_there.map_err(|error| error.with_subject(image.img_id.as_str()));
        Looked { image, target, is_there }
    }

    /// Fetches a picture, and says which file it is.
    async fn make(
        self: Arc<Self>,
        image: Metadata,
        target: PathBuf,
        fresh: Arc<Option<FreshUrls>>,
        client: Client,
    ) -> (PathBuf, Result<u64>) {
        (target.clone(), self.fetch(image, target, fresh, client).await)
    }

    /// Makes a picture be there that is not; gives its length.
    ///
    /// Its client holds a place until a request fails.
    async fn fetch(
        self: Arc<Self>,
        image: Metadata,
        target: PathBuf,
        fresh: Arc<Option<FreshUrls>>,
        client: Client,
    ) -> Result<u64> {
        let picture = Arc::new(self.picture(&image, target));
        let url = self.quality.url(&image).ok_or_else(|| self.no_picture(&image))?;
        let refused = if is_expired(url) {
            let error = Error::new(ErrorKind::Rejected, "download image").with_subject(image.img_id.as_str());
            error.with_source("its URL has ended")
        } else {
            match self.download(&client, url, &image, &picture).await {
                Err(error) if matches!(error.status(), Some(403 | 404 | 410)) => error,
                downloaded => return downloaded,
            }
        };
        let Some(fresh) = &*fresh else {
            return Err(refused.with_hint("with a token in MAPILLARY_TOKEN, fresh URLs are asked for"));
        };
        let url = fresh.ask(&image).await?.ok_or_else(|| self.no_picture(&image))?;
        self.download(&client, &url, &image, &picture).await
    }

    fn no_picture(&self, image: &Metadata) -> Error {
        let why = format!("Mapillary has no such picture: its `{}` is empty", self.quality.field());
        Error::new(ErrorKind::Gone, "download image").with_subject(image.img_id.as_str()).with_source(why)
    }

    async fn download(
        self: &Arc<Self>,
        client: &Client,
        url: &str,
        image: &Metadata,
        picture: &Arc<Picture>,
    ) -> Result<u64> {
        let (sink, picture) = (Arc::clone(self), Arc::clone(picture));
        let receive = move |answer| {
            let (sink, picture) = (Arc::clone(&sink), Arc::clone(&picture));
            async move { sink.receive(answer, picture).await }
        };
        client.picture(url, image.img_id.to_string(), receive).await
    }

    /// Takes the bytes of one attempt and makes them the file, if they are a whole picture.
    async fn receive(&self, mut answer: ResponseBody, picture: Arc<Picture>) -> Result<u64> {
        let (begun, declared) = (milliseconds(), answer.declared_len());
        let mut stamper = Stamper::new(picture.facts.clone());
        // Of what is written, which is whole only if what came was.
        let mut check = JpegCheck::default();
        let (mut length, mut held) = (0, 0);
        let mut pieces = Vec::new();
        let mut file = None;
        while let Some(piece) = answer.chunk().await? {
            length += piece.len() as u64;
            let Some(piece) = stamper.push(piece) else { continue };
            check.push(&piece);
            held += piece.len();
            pieces.push(piece);
            if held >= PIECE {
                let (picture, pieces) = (Arc::clone(&picture), std::mem::take(&mut pieces));
                let append = move || append(file, &picture.target, &pieces);
                file = Some(spawn_blocking(append).await.map_err(crashed)??);
                held = 0;
            }
        }
        if let Some(rest) = stamper.finish() {
            check.push(&rest);
            pieces.push(rest);
        }
        let malformed = |why: String| Error::new(ErrorKind::Malformed, "").with_source(why);
        if let Some(declared) = declared.filter(|declared| *declared != length) {
            return Err(malformed(format!("{length} bytes came, {declared} were declared")));
        }
        check.finish().map_err(|why| malformed(why.to_owned()))?;
        if length < SMALLEST_JPEG {
            return Err(malformed(format!("{length} bytes are too few for a JPEG")));
        }
        let durable = self.durable.clone();
        let image = picture.facts.as_ref().map(|facts| facts.image().to_owned());
        let finish = move || -> Result<()> {
            let target = &picture.target;
            let failed = |error| output_error("write the picture", target, error);
            let naming =
                durable.as_ref().map(|durable| durable.announce(begun).map_err(failed)).transpose()?;
            let file = append(file, target, &pieces)?;
            if let Some(captured) = picture.captured {
                set_time(file.as_file(), target, captured);
            }
            file.persist(target).map_err(|PersistError { error, .. }| failed(error))?;
            if let Some(naming) = naming {
                naming.done(target);
            }
            Ok(())
        };
        spawn_blocking(finish).await.map_err(crashed)??;
        if let Some(image) = image.filter(|_| stamper.is_incomplete()) {
            let error =
                Error::new(ErrorKind::Io, "write all that is known into the picture").with_subject(image);
            let error = error.with_source("its EXIF and its XMP leave no room in their segments of 64 KB");
            self.client.observer().on_event(&Event::ExifIncomplete { step: Step::DOWNLOAD, error: &error });
        }
        self.client.emit_response(Class::Picture, usize::try_from(length).unwrap_or(usize::MAX));
        Ok(length)
    }

    fn warn(&self, warnings: &[Error]) {
        let observer = self.client.observer();
        for error in warnings {
            observer.on_event(&Event::Warning { error });
        }
        tell_refusals(observer);
    }
}

/// An image of which we know whether its picture is there.
struct Looked {
    image: Metadata,
    target: PathBuf,
    is_there: Result<bool>,
}

/// One picture on its way to the disk.
struct Picture {
    target: PathBuf,
    facts: Option<Facts>,
    captured: Option<SystemTime>,
}

fn append(file: Option<NamedTempFile>, target: &Path, pieces: &[Bytes]) -> Result<NamedTempFile> {
    let write = || {
        let (folder, name) = (parent(target), target.file_name().unwrap_or_default());
        let begin = || temporary(folder, &name.to_string_lossy());
        let mut file = match file {
            Some(file) => file,
            // Mostly the folder is there.
            None => begin().or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => fs::create_dir_all(folder).and_then(|()| begin()),
                _ => Err(error),
            })?,
        };
        pieces.iter().try_for_each(|piece| file.write_all(piece))?;
        Ok(file)
    };
    write().map_err(|error| output_error("write the picture", target, error))
}

/// The next image, once there is a place for it; nothing is lost if it is dropped meanwhile.
async fn with_place(
    places: &Arc<Semaphore>,
    images: &mut RecordStream<Looked>,
) -> (Option<OwnedSemaphorePermit>, Option<Result<Looked>>) {
    let place = Arc::clone(places).acquire_owned().await.ok();
    (place, images.next().await)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn crashed(panic: JoinError) -> Error {
    Error::new(ErrorKind::Io, "write the picture").with_source(panic.to_string())
}

#[async_trait]
impl Sink<Metadata> for ImageSink {
    async fn drain(self: Box<Self>, images: RecordStream<Metadata>) -> Result<Written> {
        let mut sink = *self;
        let (folder, file_time) = (sink.folder.clone(), sink.file_time);
        let taking = spawn_blocking(move || picture_folder::take(&folder, file_time));
        let mut durable = taking.await.map_err(crashed)??;
        sink.warn(&std::mem::take(&mut durable.warnings));
        let durable = Arc::new(durable);
        sink.durable = Some(Arc::clone(&durable));
        let sink = Arc::new(sink);
        let _syncing = durable.sync_now_and_then();
        let mut written = Written { paths: vec![sink.folder.clone()], ..Written::default() };
        let places =
            Arc::new(Semaphore::new(sink.client.concurrency().saturating_mul(AHEAD).min(MOST_BEGUN)));
        let fresh = Arc::new(FreshUrls::of(&sink.client, sink.quality));
        let mut images = sink.look(images);
        // A file that was made since its record was looked at was under way then, or its record was looked at too.
        let mut in_flight = InFlight::new(MOST_BEGUN + (LOOKS_AHEAD + 2) * LOOK);
        // Each request is in a task of its own, so these need none.
        let mut under_way = FuturesUnordered::new();
        let mut more = true;
        while more || !under_way.is_empty() {
            tokio::select! {
                biased;
                Some(ended) = under_way.next() => {
                    let (target, had): (PathBuf, Result<u64>) = ended;
                    // One image in several rows is one file.
                    if had.is_ok() {
                        for _ in 0..in_flight.made(&target) {
                            sink.count(&mut written, Ok(None))?;
                        }
                    } else if let Some(next) = in_flight.failed(&target) {
                        // The first row of this image failed already, so the next one waits outside the places of new images.
                        under_way.push(Arc::clone(&sink).make(next, target, Arc::clone(&fresh), sink.client.clone()));
                    }
                    sink.count(&mut written, had.map(Some))?;
                }
                (place, looked) = with_place(&places, &mut images), if more && under_way.len() + in_flight.waiting() < MOST_BEGUN => match looked.transpose()? {
                    Some(Looked { is_there: Ok(true), .. }) => sink.count(&mut written, Ok(None))?,
                    Some(Looked { is_there: Err(error), .. }) => sink.count(&mut written, Err(error))?,
                    Some(Looked { image, target, .. }) => match in_flight.claim(&target, image) {
                        Claim::Makes(image) => {
                            let client = place.map_or_else(|| sink.client.clone(), |place| sink.client.with_slot(place));
                            under_way.push(Arc::clone(&sink).make(image, target, Arc::clone(&fresh), client));
                        }
                        Claim::Made => sink.count(&mut written, Ok(None))?,
                        Claim::Waits => {}
                    },
                    None => more = false,
                },
            }
        }
        spawn_blocking(move || durable.finish()).await.map_err(crashed)??;
        let too_small = std::mem::take(&mut *sink.too_small.lock().unwrap_or_else(PoisonError::into_inner));
        sink.warn(too_small.warning().as_slice());
        Ok(written)
    }
}

impl ImageSink {
    /// Counts what became of an image; an error comes back only if it is the end of everything.
    fn count(&self, written: &mut Written, had: Result<Option<u64>>) -> Result<()> {
        let observer = self.client.observer();
        match had {
            Ok(Some(bytes)) => {
                observer.on_event(&Event::Record { step: Step::DOWNLOAD });
                written.records += 1;
                written.bytes += bytes;
            }
            Ok(None) => {
                observer.on_event(&Event::AlreadyExists { step: Step::DOWNLOAD });
                written.already_exists += 1;
            }
            // Stopped, not failed: the picture is not there and the next run will ask for it.
            Err(error) if error.kind() == ErrorKind::Interrupted => written.interrupted += 1,
            Err(error) if error.is_fatal() => return Err(error),
            Err(mut error) => {
                report_failure(observer, Step::DOWNLOAD, &mut error);
                match error.kind() {
                    ErrorKind::Gone => written.gone += 1,
                    _ => written.failed += 1,
                }
            }
        }
        Ok(())
    }
}
