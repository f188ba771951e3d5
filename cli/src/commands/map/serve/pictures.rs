//! The pictures of the server: from the disk, else fetched from Mapillary when a reader looks at them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use tempfile::TempDir;

use super::live::LiveImages;
use crate::args::Bucket;
use crate::sync::lock;
use streetflow::map::{ImageIds, MapImages, Pictures};
use streetflow::{
    Client, Error, ErrorKind, Fields, Flow, Image, ImageId, ImageSink, Metadata, Quality, Result, Token,
};

/// The quality of fetched pictures.
const QUALITY: Quality = Quality::Q1024;

/// Largest picture that is sent, in bytes.
const MAX_PICTURE_LEN: u64 = 64 << 20;

/// How long a list of the pictures that a crawl downloads is used.
const MAX_AGE: Duration = Duration::from_secs(3);

/// The pictures of the images of a page.
pub(super) enum PictureServer {
    Table {
        ids: ImageIds,
        pictures: Pictures,
        /// Where the pictures are, if they are not on the disk.
        bucket: Option<Bucket>,
        fetcher: Option<Box<Fetcher>>,
    },
    Crawl {
        images: Arc<LiveImages>,
        /// The folder of downloads, if there are any.
        folder: Option<PathBuf>,
        found: Mutex<Option<(Instant, Arc<Pictures>)>>,
    },
}

/// Fetches pictures, one at a time.
pub(super) struct Fetcher {
    client: Client,
    /// Fetched pictures; removed at the end.
    folder: TempDir,
    turn: tokio::sync::Mutex<()>,
}

impl PictureServer {
    /// Fetches pictures only if the environment has a token.
    pub(super) fn of_table(images: &MapImages, bucket: Option<Bucket>) -> Result<Self> {
        // A client without a token can't request URLs.
        let has_token = matches!(Token::from_env(), Ok(Some(_)));
        let fetcher = match Client::from_env() {
            Ok(client) if has_token => {
                let folder = tempfile::tempdir().map_err(|error| {
                    Error::new(ErrorKind::Io, "create a folder for pictures").with_source(error)
                })?;
                Some(Box::new(Fetcher { client, folder, turn: tokio::sync::Mutex::new(()) }))
            }
            _ => None, // Without a token, the page has a link and the embedded viewer.
        };
        Ok(Self::Table { ids: images.ids(), pictures: images.pictures().clone(), bucket, fetcher })
    }

    /// The pictures that a crawl downloads into a folder.
    pub(super) fn of_crawl(images: Arc<LiveImages>, folder: Option<PathBuf>) -> Self {
        Self::Crawl { images, folder, found: Mutex::default() }
    }

    /// Whether the page may ask for any picture.
    pub(super) fn has_all(&self) -> bool {
        match self {
            Self::Table { fetcher, .. } => fetcher.is_some(),
            Self::Crawl { folder, .. } => folder.is_some(),
        }
    }

    /// The picture of an image of the page; `None` for other ids, and if there is no picture.
    pub(super) async fn picture(&self, id: &ImageId) -> Option<Bytes> {
        match self {
            Self::Table { ids, .. } if !ids.contains(id) => None,
            Self::Table { pictures, bucket, fetcher, .. } => match (pictures.path(id), bucket, fetcher) {
                (Some(name), Some(bucket), _) => {
                    bucket.get(&name.to_str()?.replace('\\', "/"), MAX_PICTURE_LEN).await.ok()?
                }
                (Some(path), None, _) => read(path).await,
                (None, _, Some(fetcher)) => read(fetcher.fetch(id).await?).await,
                (None, _, None) => None,
            },
            Self::Crawl { images, .. } if !images.contains(id).await => None,
            Self::Crawl { folder, found, .. } => {
                read(downloaded(folder.clone()?, found).await?.path(id)?).await
            }
        }
    }
}

/// The pictures in a folder that fills up.
async fn downloaded(
    folder: PathBuf,
    found: &Mutex<Option<(Instant, Arc<Pictures>)>>,
) -> Option<Arc<Pictures>> {
    if let Some((time, pictures)) = &*lock(found)
        && time.elapsed() < MAX_AGE
    {
        return Some(Arc::clone(pictures));
    }
    let find = move || Arc::new(Pictures::find(&folder, &folder));
    let pictures = tokio::task::spawn_blocking(find).await.ok()?;
    *lock(found) = Some((Instant::now(), Arc::clone(&pictures)));
    Some(pictures)
}

async fn read(path: PathBuf) -> Option<Bytes> {
    let size = tokio::fs::metadata(&path).await.ok().filter(std::fs::Metadata::is_file)?.len();
    if size > MAX_PICTURE_LEN {
        return None;
    }
    tokio::fs::read(&path).await.ok().map(Bytes::from)
}

impl Fetcher {
    /// Requests a fresh URL, because those of the table expire, and downloads the picture.
    async fn fetch(&self, id: &ImageId) -> Option<PathBuf> {
        let path = self.folder.path().join(format!("{id}_{QUALITY}.jpg"));
        // Two requests for the same picture fetch it once.
        let _turn = self.turn.lock().await;
        if path.is_file() {
            return Some(path);
        }
        let fields: Fields = QUALITY.field().parse().ok()?;
        let image = Image { img_id: id.clone(), ..Image::default() };
        let metadata: Metadata = self.client.image(&image, &fields).await.ok()?;
        let sink = ImageSink::new(&self.client, self.folder.path()).quality(QUALITY);
        Flow::from(stream::iter([Ok(metadata)])).into_sink(sink).await.ok()?;
        path.is_file().then_some(path)
    }
}
