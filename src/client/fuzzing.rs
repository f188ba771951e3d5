//! Parsers of the client for the fuzz targets in `fuzz/` and for `benches/`. Not part of the public API.

use bytes::Bytes;
use url::Url;

use super::Client;
use super::builder::GRAPH_URL;
use super::endpoints::id_list::IdPage;
use super::transport::classify::ResponseHead;
use super::transport::image_hosts::ImageHosts;
use super::wire::batch::{Batch, Single};
use super::wire::detections::WireDetections;
use super::wire::parse_json;
use super::wire::signed_url::is_expired;
use crate::error::{Error, Result};
use crate::model::{Detection, Image, ImageId, Metadata};
use crate::observe::Class;

/// Returns the error in a response, if there is one.
pub fn classify(class: Class, status: u16, content_type: &str, body: &[u8]) -> Option<Error> {
    let head = ResponseHead { status, content_type: content_type.to_owned(), ..ResponseHead::default() };
    super::transport::classify::classify(class, &head, body)
}

/// Parses the response to a batch request.
pub fn batch(images: &[Image], body: &[u8]) -> Option<Vec<Option<Metadata>>> {
    let mut batch: Batch = serde_json::from_slice(body).ok()?;
    Some(images.iter().map(|image| batch.take(image)).collect())
}

/// Parses the response to a request for one image.
pub fn image(image: &Image, body: &[u8]) -> Option<Metadata> {
    serde_json::from_slice::<Single>(body).ok()?.into_record(image)
}

/// Parses the response to a batch request for detections. Returns those of the images that it has, in the order of `ids`.
pub fn detections(ids: &[ImageId], body: &[u8]) -> Option<Vec<Detection>> {
    let mut batch: Batch<WireDetections> = parse_json(body).ok()?;
    let mut all = Vec::new();
    for id in ids {
        if let Some(image) = batch.take_object(id) {
            all.append(&mut image.into_records(id, Vec::new()).detections);
        }
    }
    Some(all)
}

/// Parses a page of ids. Returns the ids, the number of invalid entries, and the link to the next page.
pub fn id_page(body: &[u8]) -> Option<(Vec<ImageId>, usize, Option<String>)> {
    let IdPage { list, next } = IdPage::parse(body).ok()?;
    Some((list.ids, list.invalid.len(), next))
}

/// Returns the URL of the next page, if the client would follow the link.
pub fn next_page(client: &Client, link: &str) -> Option<String> {
    client.next_page(link).map(String::from)
}

/// Appends a path to a base URL.
pub fn endpoint_url(base: &str, path: &str) -> Option<String> {
    super::endpoints::url::endpoint_url(&base.parse().ok()?, path).ok().map(String::from)
}

/// Removes tokens from a text.
pub fn redact(text: &str) -> String {
    crate::text::redact(text)
}

/// Whether a signed URL counts as expired.
pub fn is_url_expired(url: &str) -> bool {
    is_expired(url)
}

/// Returns the URL of a picture, if the client would request it with the default API hosts.
pub fn image_url(url: &str) -> Option<String> {
    let api: Url = GRAPH_URL.parse().ok()?;
    ImageHosts::new([&api, &api], Vec::new()).check(url).ok().map(String::from)
}

/// Decompresses a tile if necessary.
pub fn gunzip(body: &[u8]) -> Result<Vec<u8>> {
    super::endpoints::tiles::gunzip(Bytes::copy_from_slice(body)).map(Vec::from)
}
