//! The network side: one client through which all requests pass.
//!
//! - `send` is the one door: permit, pace, send, classify, retry
//! - `quota` says how fast requests of a class follow one another
//! - `retry` says which failures get another attempt, and when
//! - `classify` says what an answer means
//! - `wire` turns JSON into records
//! - `secret` holds the token
//! - `store` keeps the answers of an unfinished run, `kept` says what of them is trusted

mod build;
mod classify;
#[cfg(fuzzing)]
pub mod fuzzing;
mod kept;
mod quota;
mod retry;
mod secret;
mod send;
mod store;
mod wire;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

pub use self::build::ClientBuilder;
use self::kept::{Kept, has_fresh_urls};
pub use self::quota::Pace;
use self::quota::Quota;
use self::retry::Retry;
pub use self::secret::Token;
pub(crate) use self::send::Answer;
use self::send::{Ask, Timeouts};
pub use self::store::Store;
use self::wire::{Batch, IdPage, WireImage};
use crate::error::{Error, ErrorKind, Result};
use crate::geo::TileId;
use crate::model::{Image, ImageId, Metadata, SequenceId};
use crate::observe::{Event, Observer};
use crate::record::Fields;

const MIB: usize = 1 << 20;

/// No sequence comes near so many pages; none is known to have two.
const MOST_PAGES: usize = 1000;

/// How many images one batch request may name; more than the API's other users dare.
pub const MAX_BATCH: usize = 50;

/// How many requests may be under way at once, unless the builder says otherwise.
pub const DEFAULT_CONCURRENCY: usize = 64;

/// The Graph of Mapillary.
pub const GRAPH_URL: &str = "https://graph.mapillary.com";

/// The tile host of Mapillary.
pub const TILES_URL: &str = "https://tiles.mapillary.com";

/// The kinds of requests, each with its own pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// A vector tile.
    Tile,
    /// An image, or a batch of images, by id.
    Entity,
    /// The images of a sequence.
    Search,
    /// The bytes of a picture.
    Bytes,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tile => "tile",
            Self::Entity => "entity",
            Self::Search => "search",
            Self::Bytes => "bytes",
        })
    }
}

/// What asks Mapillary; cheap to clone, and all clones share their limits.
///
/// ```
/// use streetflow::{Client, Token};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let client = Client::new(Token::new("MLY|1234|abcd")?)?;
/// # let _ = client; Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    graph: reqwest::Client,
    tiles: reqwest::Client,
    images: reqwest::Client,
    token: Option<Token>,
    graph_url: Url,
    tiles_url: Url,
    concurrency: usize,
    permits: Semaphore,
    lanes: [Lane; 4],
    retry: Retry,
    timeouts: Timeouts,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
    store: Option<Store>,
}

/// What requests of one class share.
struct Lane {
    quota: Quota,
    block: Block,
}

/// The login page of a host, once it has come: why, and what to do.
#[derive(Default)]
struct Block(OnceLock<(String, Option<String>)>);

impl Block {
    fn set(&self, error: &Error) {
        let why = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
        self.0.get_or_init(|| (why, error.advice().map(str::to_owned)));
    }

    fn get(&self) -> Option<(String, Option<String>)> {
        self.0.get().cloned()
    }
}

impl Client {
    /// A client for Mapillary itself with all limits as documented.
    pub fn new(token: Token) -> Result<Self> {
        Self::builder().token(token).build()
    }

    /// A client with what the environment says: the token in `MAPILLARY_TOKEN`, other hosts in
    /// `MAPILLARY_GRAPH_URL` and `MAPILLARY_TILES_URL`.
    pub fn from_env() -> Result<Self> {
        ClientBuilder::from_env()?.build()
    }

    /// A client with other hosts, paces or limits.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// How many requests may be under way at once.
    pub fn concurrency(&self) -> usize {
        self.0.concurrency
    }

    /// Ends all requests under way, and every later one, with [`ErrorKind::Interrupted`].
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.0.observer.on_event(event);
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.0.observer
    }

    /// The bytes of a vector tile of `mly1_public`, uncompressed; empty where nothing is.
    pub async fn tile(&self, tile: TileId) -> Result<Vec<u8>> {
        self.tile_as(tile, |bytes| Ok(bytes.to_vec())).await
    }

    /// A tile as `parse` reads it; bytes that can't be read are asked for again.
    pub(crate) async fn tile_as<T: Send + 'static>(
        &self,
        tile: TileId,
        parse: impl Fn(&[u8]) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let url = below(&self.0.tiles_url, &format!("/maps/vtp/mly1_public/2/{tile}"))?;
        let ask = Ask { class: Class::Tile, url, doing: "read the tile", subject: tile.to_string() };
        let (client, parse) = (self.clone(), Arc::new(parse));
        in_task(async move {
            let key = format!("tile {tile}");
            if let Some(Kept::Answer(body)) = client.kept(&key).await
                && let Ok(parsed) = parse(&body)
            {
                return Ok(parsed);
            }
            let asking = client.clone();
            let answered = client.send(ask, move |answer| {
                let (client, parse) = (asking.clone(), Arc::clone(&parse));
                async move {
                    let body = unzip(answer.whole(Class::Tile).await?)?;
                    let parsed = parse(&body)?;
                    client.answered(Class::Tile, body.len());
                    Ok((parsed, body))
                }
            });
            let (parsed, body) = answered.await?;
            client.keep(&key, &body).await?;
            Ok(parsed)
        })
        .await
    }

    /// The ids of a sequence's images in capture order; none where the sequence exists no longer.
    pub async fn image_ids(&self, sequence: &SequenceId) -> Result<Vec<ImageId>> {
        let (client, sequence) = (self.clone(), sequence.clone());
        in_task(async move {
            let key = format!("images of {sequence}");
            if let Some(Kept::Answer(kept)) = client.kept(&key).await
                && let Ok(text) = std::str::from_utf8(&kept)
                && let Ok(ids) = text.lines().map(ImageId::check).collect()
            {
                return Ok(ids);
            }
            let ids = client.all_image_ids(&sequence).await?;
            // Not the answer itself: the address of its next page has the token in it.
            let lines = ids.iter().map(ImageId::as_str).collect::<Vec<_>>().join("\n");
            client.keep(&key, lines.as_bytes()).await?;
            Ok(ids)
        })
        .await
    }

    async fn all_image_ids(&self, sequence: &SequenceId) -> Result<Vec<ImageId>> {
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        let mut next = below(&self.0.graph_url, &format!("/image_ids?sequence_id={sequence}"))?;
        loop {
            let (page, _): (IdPage, _) = self
                .json(Class::Search, next.clone(), "list the images of sequence", sequence.to_string())
                .await?;
            let malformed = |why: &'static str| {
                Error::new(ErrorKind::Malformed, "list the images of sequence")
                    .subject(sequence.as_str())
                    .because(why)
            };
            let ids = wire::ids(page.data).map_err(malformed)?;
            let more = page.paging.0.and_then(|paging| paging.next.0).filter(|_| !ids.is_empty());
            all.extend(ids);
            let Some(more) = more else { return Ok(all) };
            seen.insert(next);
            next = self.same_host(&more).ok_or_else(|| malformed("its next page is on another host"))?;
            if seen.contains(&next) || seen.len() > MOST_PAGES {
                return Err(malformed("its pages never end"));
            }
        }
    }

    /// What the API knows of some images, at most [`MAX_BATCH`]: `None` for each that the answer lacks.
    pub async fn images(&self, images: &[Image], fields: &Fields) -> Result<Vec<Option<Metadata>>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        if images.len() > MAX_BATCH {
            let why = format!("{} are more than {MAX_BATCH} at a time", images.len());
            return Err(Error::new(ErrorKind::Usage, "fetch metadata of images").because(why));
        }
        let mut ids: Vec<_> = Vec::with_capacity(images.len());
        // A table may name an image twice; one answer serves both rows.
        for id in images.iter().map(|image| image.img_id.as_str()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let path = format!("/?ids={}&fields={}", ids.join(","), asked(fields));
        let url = below(&self.0.graph_url, &path)?;
        let subject = match ids[..] {
            [only] => only.to_owned(),
            _ => format!("{} and {} more", ids.first().unwrap_or(&"none"), ids.len().saturating_sub(1)),
        };
        let doing = "fetch metadata of images";
        let key = format!("images {} {}", asked(fields), ids.join(","));
        match self.kept(&key).await {
            Some(Kept::Answer(body)) => {
                if let Ok(batch) = serde_json::from_slice(&body)
                    && let found = in_order(images, batch)
                    && found.iter().flatten().all(has_fresh_urls)
                {
                    return Ok(found);
                }
            }
            Some(Kept::Refused(kind, why)) => {
                return Err(Error::new(kind, doing).subject(subject).because(why));
            }
            None => {}
        }
        let answered = self.json(Class::Entity, url, doing, subject).await;
        let (batch, body) = self.keep_refusal(&key, answered).await?;
        self.keep(&key, &body).await?;
        Ok(in_order(images, batch))
    }

    /// What the API knows of one image.
    pub async fn image(&self, image: &Image, fields: &Fields) -> Result<Metadata> {
        let url = below(&self.0.graph_url, &format!("/{}?fields={}", image.img_id, asked(fields)))?;
        let doing = "fetch metadata of image";
        let key = format!("image {} {}", asked(fields), image.img_id);
        match self.kept(&key).await {
            Some(Kept::Answer(body)) => {
                if let Ok(found) = serde_json::from_slice::<WireImage>(&body)
                    && let Some(found) = found.record(image)
                    && has_fresh_urls(&found)
                {
                    return Ok(found);
                }
            }
            // A failure is tried again by the next run; only what is gone stays gone.
            Some(Kept::Refused(ErrorKind::Gone, why)) => {
                return Err(Error::new(ErrorKind::Gone, doing).subject(image.img_id.as_str()).because(why));
            }
            _ => {}
        }
        let answered = self.json(Class::Entity, url, doing, image.img_id.to_string()).await;
        let (found, body): (WireImage, _) = self.keep_refusal(&key, answered).await?;
        let found = found.record(image).ok_or_else(|| {
            Error::new(ErrorKind::Malformed, doing)
                .subject(image.img_id.as_str())
                .because("the answer is not about this image")
                .answered(200)
        })?;
        self.keep(&key, &body).await?;
        Ok(found)
    }

    /// Fetches a picture; `read` takes the body of each attempt, and its failure is an attempt that failed.
    pub(crate) async fn picture<T, R, F>(&self, url: &str, subject: String, read: R) -> Result<T>
    where
        T: Send + 'static,
        R: FnMut(Answer) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        const DOING: &str = "download image";
        let refuse =
            |why: &'static str| Error::new(ErrorKind::Refused, DOING).subject(subject.clone()).because(why);
        let url = Url::parse(url).map_err(|_| refuse("its URL can't be read"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("its URL is neither `https:` nor `http:`"));
        }
        self.send(Ask { class: Class::Bytes, url, doing: DOING, subject }, read).await
    }

    pub(crate) fn answered(&self, class: Class, bytes: usize) {
        self.tell(&Event::Answer { class, bytes: bytes as u64 });
    }

    async fn json<T>(
        &self,
        class: Class,
        url: Url,
        doing: &'static str,
        subject: String,
    ) -> Result<(T, Bytes)>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
    {
        let client = self.clone();
        self.send(Ask { class, url, doing, subject }, move |answer| {
            let client = client.clone();
            async move {
                let body = answer.whole(class).await?;
                let parsed = serde_json::from_slice(&body)
                    .map_err(|error| Error::new(ErrorKind::Malformed, "").because(error).answered(200))?;
                client.answered(class, body.len());
                Ok((parsed, body))
            }
        })
        .await
    }

    /// A next page is followed only on the host that we asked: the header would go wherever it points.
    fn same_host(&self, next: &str) -> Option<Url> {
        // `blob:` has the origin of the address behind it.
        let same = |next: &Url| {
            next.origin() == self.0.graph_url.origin() && next.scheme() == self.0.graph_url.scheme()
        };
        Url::parse(next).ok().filter(same)
    }
}

/// Runs in a task of its own, so that an answer is kept as soon as it is there, and not when its turn comes.
async fn in_task<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    task.await.unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Unavailable, "finish a request").because(panic.to_string()))
    })
}

/// A record for each image that the answer knows; a table may name an image twice, and one answer serves both rows.
fn in_order(images: &[Image], mut batch: Batch) -> Vec<Option<Metadata>> {
    let mut found: Vec<Option<Metadata>> = Vec::with_capacity(images.len());
    for image in images {
        let record = if let Some(answer) = batch.remove(image.img_id.as_str()) {
            answer.0.and_then(|answer| answer.record(image))
        } else {
            let same = found.iter().flatten().find(|record| record.img_id == image.img_id);
            same.map(|record| Metadata { seq_id: image.seq_id.clone(), ..record.clone() })
        };
        found.push(record);
    }
    found
}

/// A path below a base URL, which may have a path of its own.
fn below(base: &Url, path: &str) -> Result<Url> {
    let whole = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Url::parse(&whole)
        .map_err(|error| Error::new(ErrorKind::Usage, "use the URL").subject(whole).because(error))
}

/// The `fields=` of a request; the id comes always.
fn asked(fields: &Fields) -> Cow<'static, str> {
    if fields.names().is_empty() { Cow::Borrowed("id") } else { Cow::Owned(fields.to_string()) }
}

/// Some clients met gzip that no header announced.
fn unzip(body: Bytes) -> Result<Bytes> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body);
    }
    let limit = 64 * MIB;
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&body[..])
        .take(limit as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| Error::new(ErrorKind::Malformed, "").because(error))?;
    if plain.len() > limit {
        return Err(Error::new(ErrorKind::Refused, "").because("the tile unpacks to more than 64 MiB"));
    }
    Ok(plain.into())
}
