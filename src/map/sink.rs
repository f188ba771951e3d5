//! The sink that ends a flow in a page.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::images::MapImages;
use super::page::{MapOptions, Page};
use super::pictures::Pictures;
use crate::error::Result;
use crate::model::Metadata;
use crate::sinks::{Encoder, FileSink, Sink, Written};
use crate::sources::RecordStream;
use crate::storage::{Destination, Target};

/// Writes a map page. All images of the page are in memory, about 50 bytes each, until the stream ends.
///
/// The page shows what the records contain. [`COLUMNS`](super::COLUMNS) lists the columns that it uses; only coordinates
/// are necessary.
#[derive(Debug, Clone)]
pub struct MapSink {
    destination: Target,
    options: MapOptions,
    pictures: Option<PictureFinder>,
}

/// Finds the pictures at the end of the stream.
#[derive(Clone)]
struct PictureFinder(Arc<dyn Fn() -> Pictures + Send + Sync>);

impl fmt::Debug for PictureFinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PictureFinder")
    }
}

impl MapSink {
    /// Writes to a file at a path, or to another [destination](crate::storage).
    pub fn create(destination: impl Into<Target>) -> Self {
        Self { destination: destination.into(), options: MapOptions::default(), pictures: None }
    }

    /// Sets title, coordinates, background and the rest.
    pub fn options(mut self, options: MapOptions) -> Self {
        self.options = options;
        self
    }

    /// Shows the pictures in a folder, which is read when the stream has ended.
    pub fn pictures(self, folder: impl Into<PathBuf>) -> Self {
        let folder: PathBuf = folder.into();
        let page = self.destination.path().parent().map(Path::to_owned).unwrap_or_default();
        self.find_pictures(move || Pictures::find(&folder, &page))
    }

    /// Shows the pictures that `find` returns. It is called when the stream has ended, on a thread that may block.
    pub fn find_pictures(mut self, find: impl Fn() -> Pictures + Send + Sync + 'static) -> Self {
        self.pictures = Some(PictureFinder(Arc::new(find)));
        self
    }
}

#[async_trait]
impl Sink<Metadata> for MapSink {
    async fn drain(self: Box<Self>, images: RecordStream<Metadata>) -> Result<Written> {
        let Self { destination, options, pictures } = *self;
        let encoder = move |out| {
            let images = MapImages::new(options.geometry);
            let encoder = MapEncoder { out, images, options, pictures };
            Ok(Box::new(encoder) as Box<dyn Encoder<Metadata>>)
        };
        Box::new(FileSink::create(destination, encoder)).drain(images).await
    }
}

struct MapEncoder<W> {
    out: W,
    images: MapImages,
    options: MapOptions,
    pictures: Option<PictureFinder>,
}

impl<W: Write + Send> Encoder<Metadata> for MapEncoder<W> {
    fn encode(&mut self, batch: &[Metadata]) -> io::Result<()> {
        for image in batch {
            self.images.push(image);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if let Some(PictureFinder(find)) = &self.pictures {
            self.images.set_pictures(find());
        }
        Page::new(&self.images, &self.options).map_err(io::Error::other)?.write(&mut self.out)?;
        self.out.flush()
    }
}
