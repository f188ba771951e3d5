//! The pictures of the server: from the disk, else fetched from Mapillary when a reader looks at them.

use bytes::Bytes;
use futures::stream;
use tempfile::TempDir;
use tokio::sync::Mutex;

use streetflow::map::{ImageIds, MapImages, Pictures};
use streetflow::{
    Client, Error, ErrorKind, Fields, Flow, Image, ImageId, ImageSink, Metadata, Quality, Result, Token,
};

/// The quality of fetched pictures.
const QUALITY: Quality = Quality::Q1024;

/// Largest picture that is sent, in bytes.
const MAX_PICTURE_LEN: u64 = 64 << 20;

/// The pictures of the images of a table.
pub(super) struct PictureServer {
    ids: ImageIds,
    pictures: Pictures,
    fetcher: Option<Fetcher>,
}

/// Fetches pictures, one at a time.
struct Fetcher {
    client: Client,
    /// Fetched pictures; removed at the end.
    folder: TempDir,
    turn: Mutex<()>,
}

impl PictureServer {
    /// Fetches pictures only if the environment has a token.
    pub(super) fn new(images: &MapImages) -> Result<Self> {
        // A client without a token can't request URLs.
        let has_token = matches!(Token::from_env(), Ok(Some(_)));
        let fetcher = match Client::from_env() {
            Ok(client) if has_token => {
                let folder = tempfile::tempdir().map_err(|error| {
                    Error::new(ErrorKind::Io, "create a folder for pictures").with_source(error)
                })?;
                Some(Fetcher { client, folder, turn: Mutex::new(()) })
            }
            _ => None, // Without a token, the page has a link and the embedded viewer.
        };
        Ok(Self { ids: images.ids(), pictures: images.pictures().clone(), fetcher })
    }

    /// Whether pictures that are not on the disk can be fetched.
    pub(super) fn can_fetch(&self) -> bool {
        self.fetcher.is_some()
    }

    /// The picture of an image of the table; `None` for other ids, and if there is no picture.
    pub(super) async fn picture(&self, id: &ImageId) -> Option<Bytes> {
        if !self.ids.contains(id) {
            return None;
        }
        let path = match (self.pictures.path(id), &self.fetcher) {
            (Some(path), _) => path,
            (None, Some(fetcher)) => fetcher.fetch(id).await?,
            (None, None) => return None,
        };
        let size = tokio::fs::metadata(&path).await.ok().filter(std::fs::Metadata::is_file)?.len();
        if size > MAX_PICTURE_LEN {
            return None;
        }
        tokio::fs::read(&path).await.ok().map(Bytes::from)
    }
}

impl Fetcher {
    /// Requests a fresh URL, because those of the table expire, and downloads the picture.
    async fn fetch(&self, id: &ImageId) -> Option<std::path::PathBuf> {
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
