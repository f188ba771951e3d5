//! Pictures of images, in a folder.

#[cfg(feature = "object-store")]
mod bucket_folder;
mod download;
mod earlier_shard;
mod fresh_urls;
mod in_flight;
mod options;
mod panicked;
mod place;
mod run;
mod shard_folder;
mod shard_series;
mod shards;
mod sidecar;
mod target_folder;

use std::path::PathBuf;

use async_trait::async_trait;

use self::options::Options;
use self::run::Run;
use super::{Exif, FileTime, PictureLayout, Quality, Sink, Written};
use crate::client::Client;
use crate::error::Result;
use crate::file_system::or_here;
use crate::model::Metadata;
use crate::sources::RecordStream;

/// Downloads the picture of each image to `<folder>/<img_id>_<quality>.jpg`, or to a folder below that.
///
/// - **Existing files.** A picture that already exists is skipped without a request. A file that is too small for a
///   JPEG, as a full disk leaves it, is replaced.
/// - **Complete files.** A picture is written to a temporary file, checked (length, and JPEG structure up to the end
///   marker) and renamed. A file with the final name is always a complete picture.
/// - **Durability.** Pictures are synced to disk every 15 seconds and at the end. A marker file records the time of
///   the last sync. After a power cut, the next run checks the pictures that are younger than the marker.
/// - **Expired URLs.** If a URL has expired or is rejected, one new URL is requested, if the client has a token.
/// - **Failures.** A picture that can't be downloaded is counted in [`Written::failed`], one that does not exist on
///   Mapillary in [`Written::gone`]. Both are reported to the client's observer, and the other downloads continue.
/// - **Duplicates.** Rows with the same image make one file. One row counts as downloaded, the others as existing.
///
/// The modification time of a file is the capture time ([`ImageSink::file_time`]). With [`ImageSink::exif`], pictures
/// carry coordinates, time, camera, author and licence.
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
/// let seq_id = SequenceId::new(sandbox.mock_data().sequences()[0].id())?;
/// let fields = Exif::FIELDS.into_iter().try_fold("thumb_256_url".parse::<Fields>()?, Fields::with)?;
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
pub struct ImageSink(Options);

impl ImageSink {
    /// Downloads pictures 256 pixels wide to a folder, which is created if necessary.
    pub fn new(client: &Client, folder: impl Into<PathBuf>) -> Self {
        Self(Options {
            client: client.clone(),
            folder: or_here(&folder.into()).to_owned(),
            #[cfg(feature = "object-store")]
            bucket: None,
            quality: Quality::default(),
            exif: Exif::default(),
            layout: PictureLayout::default(),
            check_existing: false,
            source: None,
            shard_rows: None,
            file_time: FileTime::default(),
        })
    }

    /// Downloads pictures 256 pixels wide to a folder of a bucket.
    ///
    /// Each picture is written by a single request. Existing pictures are found by listing the folder once. Objects
    /// have no time to set, so [`file_time`](Self::file_time) and [`check_existing`](Self::check_existing) have no effect.
    #[cfg(feature = "object-store")]
    pub fn to_bucket(client: &Client, bucket: &crate::storage::Bucket) -> Self {
        let mut sink = Self::new(client, "");
        sink.0.folder = PathBuf::new();
        sink.0.bucket = Some(bucket.clone());
        sink
    }

    /// Sets the size of pictures.
    pub fn quality(mut self, quality: Quality) -> Self {
        self.0.quality = quality;
        self
    }

    /// Sets which pictures get EXIF and XMP metadata. The default is none: files have the bytes of the response.
    ///
    /// Written are coordinates, altitude and heading as recorded, capture time (UTC), camera, orientation, ids of image
    /// and sequence, author and licence, as far as the records have valid values ([`Exif::FIELDS`]). Panoramas are
    /// marked as such. Pixels do not change.
    ///
    /// EXIF that a picture already has is extended: maker notes, thumbnail, orientation, camera, author and rights stay;
    /// coordinates and time are replaced. The same holds for XMP. If EXIF does not fit into its segment of 64 KB, its
    /// thumbnail is removed; if that is not enough, only XMP gets the new values and conflicting EXIF values are
    /// removed. If neither has enough space, [`Event::ExifIncomplete`](crate::Event::ExifIncomplete) is reported.
    ///
    /// Existing pictures do not change.
    pub fn exif(mut self, exif: Exif) -> Self {
        self.0.exif = exif;
        self
    }

    /// Writes pictures into shards instead of files: tar archives of `rows` table rows, as `WebDataset` reads them.
    ///
    /// Shard `pictures-000000.tar` has the pictures of the first rows, and so on. A sample is `<img_id>.json`, the row
    /// without signed URLs, and `<img_id>.jpg`. A row without a picture has no sample. The shards of a repeated run are
    /// those of the run before: complete shards stay, and a shard that lacks pictures is written again with them. A shard
    /// is complete or absent, and its bytes depend only on rows and pictures. The index `shards.parquet` says where each
    /// picture is. 64 MiB of pictures that are not next in order wait in memory, others in temporary files.
    ///
    /// The layout of folders has no effect. Shards of another size of pictures, or of another table, are a usage error.
    pub fn shards(mut self, rows: std::num::NonZeroU32) -> Self {
        self.0.shard_rows = Some(rows);
        self
    }

    /// Takes the pictures that are in shards from there, without a request.
    pub fn take_from(mut self, pictures: super::ShardPictures) -> Self {
        self.0.source = Some(std::sync::Arc::new(pictures));
        self
    }

    /// Sets the folders below the target folder. Existing pictures are only found in this layout.
    pub fn layout(mut self, layout: PictureLayout) -> Self {
        self.0.layout = layout;
        self
    }

    /// Reads existing files, and downloads again those that are not complete JPEGs.
    pub fn check_existing(mut self) -> Self {
        self.0.check_existing = true;
        self
    }

    /// Sets the modification time of files. The default is the capture time.
    pub fn file_time(mut self, file_time: FileTime) -> Self {
        self.0.file_time = file_time;
        self
    }
}

#[async_trait]
impl Sink<Metadata> for ImageSink {
    async fn drain(self: Box<Self>, images: RecordStream<Metadata>) -> Result<Written> {
        Run::start(self.0).await?.drain(images).await
    }
}
