//! The map of a running crawl, with its server.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::live::{LiveImages, LiveSink};
use super::pictures::PictureServer;
use super::response::Site;
use super::server::Server;
use streetflow::map::{MapImages, MapOptions, Page};
use streetflow::{Metadata, Result, Sink};

/// The map of a running crawl. Its server runs until it is dropped.
pub(crate) struct LiveMap {
    images: Arc<LiveImages>,
    url: String,
    task: JoinHandle<()>,
}

impl LiveMap {
    /// Starts the server. `pictures` is the folder into which the crawl downloads.
    pub(crate) async fn start(
        options: MapOptions,
        pictures: Option<PathBuf>,
        port: Option<u16>,
    ) -> Result<Self> {
        let server = Server::bind(port).await?;
        let page = Page::new(&MapImages::new(options.geometry), &options)?;
        let images = Arc::new(LiveImages::new(options));
        let pictures = PictureServer::of_crawl(Arc::clone(&images), pictures);
        let site = Site::of_crawl(&page, pictures, Arc::clone(&images), server.port)?;
        let url = server.url();
        Ok(Self { images, url, task: tokio::spawn(server.serve(site)) })
    }

    /// The address of the page.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn images(&self) -> Arc<LiveImages> {
        Arc::clone(&self.images)
    }

    /// A tap that adds images to the map.
    pub(crate) fn sink(&self) -> impl Sink<Metadata> + use<> {
        LiveSink(Arc::clone(&self.images))
    }

    /// Says in the page that the crawl has ended.
    pub(crate) fn end(&self) {
        self.images.end();
    }
}

impl Drop for LiveMap {
    fn drop(&mut self) {
        self.task.abort();
    }
}
