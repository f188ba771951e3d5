//! The sink that ends a flow in a page.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::images::MapImages;
use super::page::{MapOptions, Page};
use super::pictures::Pictures;
use crate::error::Result;
use crate::model::Metadata;
use crate::sinks::{Encoder, FileSink, Sink, Written};
use crate::sources::RecordStream;

/// Writes a map page. All images of the page are in memory, about 50 bytes each, until the stream ends.
///
/// The page shows what the records contain. [`COLUMNS`](super::COLUMNS) lists the columns that it uses; only coordinates
/// are necessary.
#[derive(Debug, Clone)]
pub struct MapSink {
    path: PathBuf,
    options: MapOptions,
    pictures: Option<PathBuf>,
}

impl MapSink {
    /// Writes to a file at `path`.
    pub fn create(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), options: MapOptions::default(), pictures: None }
    }

    /// Sets title, coordinates, background and the rest.
    pub fn options(mut self, options: MapOptions) -> Self {
        self.options = options;
        self
    }

    /// Shows the pictures in a folder, which is read when the stream has ended.
    pub fn pictures(mut self, folder: impl Into<PathBuf>) -> Self {
        self.pictures = Some(folder.into());
        self
    }
}

#[async_trait]
impl Sink<Metadata> for MapSink {
    async fn drain(self: Box<Self>, images: RecordStream<Metadata>) -> Result<Written> {
        let Self { path, options, pictures } = *self;
        let page = path.parent().map(Path::to_owned).unwrap_or_default();
        let encoder = move |out| {
            let images = MapImages::new(options.geometry);
            let encoder = MapEncoder { out, images, options, pictures, page };
            Ok(Box::new(encoder) as Box<dyn Encoder<Metadata>>)
        };
        Box::new(FileSink::create(path, encoder)).drain(images).await
    }
}

struct MapEncoder<W> {
    out: W,
    images: MapImages,
    options: MapOptions,
    pictures: Option<PathBuf>,
    /// The folder of the page.
    page: PathBuf,
}

impl<W: Write + Send> Encoder<Metadata> for MapEncoder<W> {
    fn encode(&mut self, batch: &[Metadata]) -> io::Result<()> {
        for image in batch {
            self.images.push(image);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if let Some(folder) = &self.pictures {
            self.images.set_pictures(Pictures::find(folder, &self.page));
        }
        Page::new(&self.images, &self.options).map_err(io::Error::other)?.write(&mut self.out)?;
        self.out.flush()
    }
}
