//! The client's reading of answers for the fuzz targets in `fuzz/` and for `benches/`; no part of the interface.

use bytes::Bytes;

use crate::client::endpoints::id_list::IdPage;
use crate::client::transport::classify::Outside;
use crate::client::transport::image_hosts::{ImageHosts, has_ended};
use crate::client::wire::{Batch, Single};
use crate::client::{Class, Client};
use crate::error::{Error, Result};
use crate::model::{Image, ImageId, Metadata};

/// What is wrong with an answer, if something is.
pub fn classify(class: Class, status: u16, content_type: &str, body: &[u8]) -> Option<Error> {
    let outside = Outside { status, content_type: content_type.to_owned(), ..Outside::default() };
    crate::client::transport::classify::classify(class, &outside, body)
}

/// The answer to a batch, if it is one.
pub fn batch(images: &[Image], body: &[u8]) -> Option<Vec<Option<Metadata>>> {
    let mut batch: Batch = serde_json::from_slice(body).ok()?;
    Some(images.iter().map(|image| batch.take(image)).collect())
}

/// The answer about one image, if it is one.
pub fn image(image: &Image, body: &[u8]) -> Option<Metadata> {
    serde_json::from_slice::<Single>(body).ok()?.record(image)
}

/// A page of ids: the ids, how many entries are none, and the address of the next page.
pub fn id_page(body: &[u8]) -> Option<(Vec<ImageId>, usize, Option<String>)> {
    let IdPage { list, next } = IdPage::read(body).ok()?;
    Some((list.ids, list.refused.len(), next))
}

/// The next page, if the client would follow it.
pub fn next_page(client: &Client, next: &str) -> Option<String> {
    client.same_host(next).map(String::from)
}

/// A path below a base URL.
pub fn below(base: &str, path: &str) -> Option<String> {
    super::handle::below(&base.parse().ok()?, path).ok().map(String::from)
}

/// A server's words without tokens.
pub fn redact(text: &str) -> String {
    crate::text::redact(text)
}

/// Whether a signed URL would not be tried any more.
pub fn url_has_ended(url: &str) -> bool {
    has_ended(url)
}

/// The URL of a picture as it would be asked for, with the API at its own address.
pub fn image_url(url: &str) -> Option<String> {
    let api = super::GRAPH_URL.parse().ok()?;
    ImageHosts::new([&api, &api], Vec::new()).check(url).ok().map(String::from)
}

/// A tile's bytes, unpacked if they are packed.
pub fn unzip(body: &[u8]) -> Result<Vec<u8>> {
    super::endpoints::tiles::unzip(Bytes::copy_from_slice(body)).map(Vec::from)
}
