//! The images of a running crawl: a tap collects them, and the page asks for those of the moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::TryStreamExt;
use serde_json::json;

use crate::sync::lock;
use streetflow::map::{ImageIds, MapImages, MapOptions, Page};
use streetflow::{Error, ErrorKind, ImageId, Metadata, RecordStream, Result, Sink, Written, async_trait};

/// The images of a crawl so far.
pub(super) struct LiveImages {
    options: MapOptions,
    images: Mutex<MapImages>,
    has_ended: AtomicBool,
    /// What was encoded last. Several pages cost one encoding.
    encoded: tokio::sync::Mutex<Option<Encoded>>,
}

/// The images of a moment.
struct Encoded {
    /// Numbers of images with and without a position.
    counts: [u64; 2],
    bundle: Bytes,
    ids: ImageIds,
}

impl LiveImages {
    pub(super) fn new(options: MapOptions) -> Self {
        let images = Mutex::new(MapImages::growing(options.geometry));
        Self { options, images, has_ended: AtomicBool::new(false), encoded: tokio::sync::Mutex::default() }
    }

    /// Adds images.
    pub(super) fn add(&self, images: &[Metadata]) {
        let mut all = lock(&self.images);
        for image in images {
            all.push(image);
        }
    }

    /// Starts again without images, but with the same numbers of users, organizations and cameras.
    pub(super) fn emptied(&self) -> MapImages {
        lock(&self.images).emptied()
    }

    /// Replaces all images by others with the same numbers.
    pub(super) fn replace(&self, images: MapImages) {
        *lock(&self.images) = images;
    }

    /// Says that no further images come.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// The numbers of images, which the page asks for again and again.
    pub(super) fn state(&self) -> Bytes {
        // The end is read first: the counts after it are final.
        let has_ended = self.has_ended.load(Ordering::Acquire);
        let [images, unplaced] = counts(&lock(&self.images));
        json!({ "images": images, "unplaced": unplaced, "ended": has_ended }).to_string().into()
    }

    /// The columns of all images so far.
    pub(super) async fn bundle(&self) -> Result<Bytes> {
        let mut encoded = self.encoded.lock().await;
        let counts_now = counts(&lock(&self.images));
        if let Some(known) = encoded.as_ref().filter(|known| known.counts == counts_now) {
            return Ok(known.bundle.clone());
        }
        let (images, options) = (lock(&self.images).clone(), self.options.clone());
        let encode = move || {
            let bundle = Page::new(&images, &options)?.bundle().into();
            Ok::<_, Error>(Encoded { counts: counts(&images), bundle, ids: images.ids() })
        };
        let made = tokio::task::spawn_blocking(encode).await;
        let made =
            made.map_err(|panic| Error::new(ErrorKind::Io, "encode the page").with_source(panic))??;
        Ok(encoded.insert(made).bundle.clone())
    }

    /// Whether a page has got the image.
    pub(super) async fn contains(&self, id: &ImageId) -> bool {
        self.encoded.lock().await.as_ref().is_some_and(|encoded| encoded.ids.contains(id))
    }
}

fn counts(images: &MapImages) -> [u64; 2] {
    [images.len() as u64, images.unplaced()]
}

/// A tap that collects the images of a flow.
pub(super) struct LiveSink(pub(super) Arc<LiveImages>);

#[async_trait]
impl Sink<Metadata> for LiveSink {
    async fn drain(self: Box<Self>, mut images: RecordStream<Metadata>) -> Result<Written> {
        while let Some(image) = images.try_next().await? {
            self.0.add(std::slice::from_ref(&image));
        }
        Ok(Written::default())
    }
}
