//! One download: requests a picture, checks it and gives it its final name.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::{NamedTempFile, PersistError};
use tokio::task::spawn_blocking;

use super::fresh_urls::FreshUrls;
use super::options::{Options, Picture};
use super::panicked::panicked;
use super::place::{Place, check_len};
use super::target_folder::MIN_JPEG_LEN;
use crate::atomic_file::{output_error, temporary};
use crate::client::{Class, Client, ResponseBody, is_expired};
use crate::error::{Error, ErrorKind, Result};
use crate::file_system::{parent, set_time};
use crate::model::Metadata;
use crate::observe::{Event, Step};
use crate::sinks::JpegCheck;
use crate::sinks::durable::{DurableFolder, now_ms};
use crate::sinks::exif::HeadRewriter;
use crate::sync::lock;

/// A larger picture is written to disk in chunks, so that many downloads do not fill the memory.
const CHUNK_SIZE: usize = 1 << 20;

const DOING: &str = "download image";

/// Downloads pictures one by one.
pub(super) struct Downloader {
    pub(super) options: Options,
    pub(super) place: Place,
    /// `None` if the client has no token.
    pub(super) fresh_urls: Option<FreshUrls>,
}

impl Downloader {
    /// Downloads a picture; returns its file and length. A client with a slot holds it until a request fails.
    pub(super) async fn download(
        self: Arc<Self>,
        image: Metadata,
        target: PathBuf,
        client: Client,
    ) -> (PathBuf, Result<u64>) {
        let picture = Arc::new(self.options.picture(&image, target.clone()));
        (target, self.fetch(image, picture, client).await)
    }

    /// Downloads the picture of an image; returns the length of the response.
    ///
    /// Requests a new URL, once, if the URL of the record has expired or is rejected.
    pub(super) async fn fetch(
        self: Arc<Self>,
        image: Metadata,
        picture: Arc<Picture>,
        client: Client,
    ) -> Result<u64> {
        if let Some(source) = self.options.source.clone() {
            let id = image.img_id.clone();
            let taken = spawn_blocking(move || source.read(&id)).await.map_err(panicked)??;
            if let Some(content) = taken {
                return self.take(content.into(), picture).await;
            }
        }
        let quality = self.options.quality;
        let url = quality.url(&image).ok_or_else(|| self.no_picture(&image))?;
        let rejected = if is_expired(url) {
            let error = Error::new(ErrorKind::Rejected, DOING).with_subject(image.img_id.as_str());
            error.with_source("its URL has expired")
        } else {
            match self.request(&client, url, &image, &picture).await {
                Err(error) if matches!(error.status(), Some(403 | 404 | 410)) => error,
                result => return result,
            }
        };
        let Some(fresh_urls) = &self.fresh_urls else {
            return Err(rejected.with_hint("set MAPILLARY_TOKEN, so that new URLs can be requested"));
        };
        let url = fresh_urls.request(&image).await?.ok_or_else(|| self.no_picture(&image))?;
        self.request(&client, &url, &image, &picture).await
    }

    fn no_picture(&self, image: &Metadata) -> Error {
        let why = format!("Mapillary has no such picture: its `{}` is empty", self.options.quality.field());
        Error::new(ErrorKind::Gone, DOING).with_subject(image.img_id.as_str()).with_source(why)
    }

    async fn request(
        self: &Arc<Self>,
        client: &Client,
        url: &str,
        image: &Metadata,
        picture: &Arc<Picture>,
    ) -> Result<u64> {
        let (downloader, picture) = (Arc::clone(self), Arc::clone(picture));
        let receive = move |response| {
            let (downloader, picture) = (Arc::clone(&downloader), Arc::clone(&picture));
            async move { downloader.receive(response, picture).await }
        };
        client.picture(url, image.img_id.to_string(), receive).await
    }

    /// Writes the body of one response to the target, if it is a complete picture.
    async fn receive(&self, mut response: ResponseBody, picture: Arc<Picture>) -> Result<u64> {
        let (started, declared) = (now_ms(), response.declared_len());
        let mut rewriter = HeadRewriter::new(picture.metadata.clone());
        // Checks the rewritten bytes, which are complete only if the response was.
        let mut check = JpegCheck::default();
        let (mut length, mut buffered) = (0, 0);
        let mut chunks = Vec::new();
        let mut file = None;
        while let Some(chunk) = response.chunk().await? {
            length += chunk.len() as u64;
            let Some(chunk) = rewriter.push(chunk) else { continue };
            check.push(&chunk);
            buffered += chunk.len();
            chunks.push(chunk);
            if !matches!(self.place, Place::Folder(_)) {
                check_len(buffered)?;
                continue;
            }
            if buffered >= CHUNK_SIZE {
                let (picture, chunks) = (Arc::clone(&picture), std::mem::take(&mut chunks));
                let append = move || append(file, &picture.target, &chunks);
                file = Some(spawn_blocking(append).await.map_err(panicked)??);
                buffered = 0;
            }
        }
        if let Some(rest) = rewriter.finish() {
            check.push(&rest);
            chunks.push(rest);
        }
        let malformed = |why: String| Error::new(ErrorKind::Malformed, "").with_source(why);
        if let Some(declared) = declared.filter(|declared| *declared != length) {
            return Err(malformed(format!("{length} bytes came, {declared} were declared")));
        }
        check.finish().map_err(|why| malformed(why.to_owned()))?;
        if length < MIN_JPEG_LEN {
            return Err(malformed(format!("{length} bytes are too few for a JPEG")));
        }
        self.put(&picture, file, chunks, started).await?;
        self.report_incomplete(&picture, &rewriter);
        let client = &self.options.client;
        client.emit_response(Class::Picture, usize::try_from(length).unwrap_or(usize::MAX));
        Ok(length)
    }

    /// Writes a picture from a shard to the target, if it is complete.
    async fn take(&self, content: Bytes, picture: Arc<Picture>) -> Result<u64> {
        let (started, length) = (now_ms(), content.len() as u64);
        let mut rewriter = HeadRewriter::new(picture.metadata.clone());
        let mut check = JpegCheck::default();
        let chunks: Vec<_> = rewriter.push(content).into_iter().chain(rewriter.finish()).collect();
        for chunk in &chunks {
            check.push(chunk);
        }
        check.finish().map_err(|why| {
            let image = picture.target.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Error::new(ErrorKind::Malformed, "take the picture from its shard")
                .with_subject(image)
                .with_source(why)
        })?;
        self.put(&picture, None, chunks, started).await?;
        self.report_incomplete(&picture, &rewriter);
        Ok(length)
    }

    /// Gives a picture its final name, or keeps it for its shard.
    async fn put(
        &self,
        picture: &Arc<Picture>,
        file: Option<NamedTempFile>,
        chunks: Vec<Bytes>,
        started: u64,
    ) -> Result<()> {
        match &self.place {
            Place::Folder(durable) => {
                let (durable, picture) = (Arc::clone(durable), Arc::clone(picture));
                let finish = move || finish(&durable, &picture, file, &chunks, started);
                spawn_blocking(finish).await.map_err(panicked)??;
            }
            Place::Shards(folder) => {
                let folder = folder.clone();
                let held = spawn_blocking(move || folder.hold(&chunks)).await.map_err(panicked)?;
                let failed =
                    |error| Error::new(ErrorKind::Io, "write a temporary picture").with_source(error);
                *lock(&picture.content) = Some(held.map_err(failed)?);
            }
            #[cfg(feature = "object-store")]
            Place::Bucket(folder) => folder.put(&picture.target, chunks).await?,
        }
        Ok(())
    }

    /// Reports that the metadata of a picture has no room.
    fn report_incomplete(&self, picture: &Picture, rewriter: &HeadRewriter) {
        let image = picture.metadata.as_ref().map(|metadata| metadata.image().to_owned());
        if let Some(image) = image.filter(|_| rewriter.is_incomplete()) {
            let error = Error::new(ErrorKind::Io, "write all metadata into the picture").with_subject(image);
            let error = error.with_source("its EXIF and XMP segments of 64 KB have no space left");
            let observer = self.options.client.observer();
            observer.on_event(&Event::ExifIncomplete { step: Step::DOWNLOAD, error: &error });
        }
    }
}

/// Writes the last chunks of a picture and gives it its final name.
fn finish(
    durable: &DurableFolder,
    picture: &Picture,
    file: Option<NamedTempFile>,
    chunks: &[Bytes],
    started: u64,
) -> Result<()> {
    let target = &picture.target;
    let failed = |error| output_error("write the picture", target, error);
    let rename = durable.begin_rename(started).map_err(failed)?;
    let file = append(file, target, chunks)?;
    if let Some(modified) = picture.modified {
        set_time(file.as_file(), target, modified);
    }
    file.persist(target).map_err(|PersistError { error, .. }| failed(error))?;
    rename.finish(target);
    Ok(())
}

/// Appends chunks to the temporary file of a picture, which is created with the first ones.
fn append(file: Option<NamedTempFile>, target: &Path, chunks: &[Bytes]) -> Result<NamedTempFile> {
    let write = || {
        let (folder, name) = (parent(target), target.file_name().unwrap_or_default());
        let create = || temporary(folder, &name.to_string_lossy());
        let mut file = match file {
            Some(file) => file,
            // The folder usually exists.
            None => create().or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => fs::create_dir_all(folder).and_then(|()| create()),
                _ => Err(error),
            })?,
        };
        chunks.iter().try_for_each(|chunk| file.write_all(chunk))?;
        Ok(file)
    };
    write().map_err(|error| output_error("write the picture", target, error))
}
