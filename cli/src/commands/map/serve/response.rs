//! The responses of the server.

use std::collections::HashMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use std::sync::Arc;

use super::live::LiveImages;
use super::pictures::PictureServer;
use streetflow::map::{Page, Served};
use streetflow::{ImageId, Result};

/// What the server sends.
pub(super) struct Site {
    html: Bytes,
    blocks: HashMap<String, Bytes>,
    pictures: PictureServer,
    /// The images of a running crawl.
    live: Option<Arc<LiveImages>>,
    /// The values of `Host` under which a browser on this computer reaches the server.
    hosts: [String; 2],
}

impl Site {
    pub(super) fn of_table(page: &Page, pictures: PictureServer, port: u16) -> Result<Self> {
        Self::new(page, pictures, None, port)
    }

    /// `page` is one without images.
    pub(super) fn of_crawl(
        page: &Page,
        pictures: PictureServer,
        live: Arc<LiveImages>,
        port: u16,
    ) -> Result<Self> {
        Self::new(page, pictures, Some(live), port)
    }

    fn new(page: &Page, pictures: PictureServer, live: Option<Arc<LiveImages>>, port: u16) -> Result<Self> {
        let blocks = page.blocks().map(|(name, bytes)| (name.to_owned(), Bytes::copy_from_slice(bytes)));
        let served = Served { has_all_pictures: pictures.has_all(), is_growing: live.is_some() };
        Ok(Self {
            html: page.served_html(served)?.into(),
            blocks: blocks.collect(),
            pictures,
            live,
            hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
        })
    }
}

/// Responds to a request. Paths are looked up among known names and ids; none is a path of a file.
pub(super) async fn respond<B>(site: &Site, request: &Request<B>) -> Response<Full<Bytes>> {
    // Another site can make its name point to this computer, and then read what this server sends.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(|host| site.hosts.iter().any(|known| known == host)) {
        return text(StatusCode::MISDIRECTED_REQUEST, "this server is only for this computer");
    }
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET");
    }
    let path = request.uri().path();
    if path == "/" {
        return found("text/html; charset=utf-8", site.html.clone());
    }
    if let Some(block) = path.strip_prefix("/columns/").and_then(|name| site.blocks.get(name)) {
        return found("application/octet-stream", block.clone());
    }
    match (&site.live, path) {
        (Some(live), "/state") => return found("application/json", live.state()),
        (Some(live), "/images") => {
            return match live.bundle().await {
                Ok(bundle) => found("application/octet-stream", bundle),
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the images can't be encoded"),
            };
        }
        _ => {}
    }
    if let Some(id) = path.strip_prefix("/picture/").and_then(|id| ImageId::new(id).ok())
        && let Some(picture) = site.pictures.picture(&id).await
    {
        return found("image/jpeg", picture);
    }
    text(StatusCode::NOT_FOUND, "not found")
}

fn found(content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    response
}

fn text(status: StatusCode, message: &'static str) -> Response<Full<Bytes>> {
    let mut response = found("text/plain; charset=utf-8", Bytes::from_static(message.as_bytes()));
    *response.status_mut() = status;
    response
}
