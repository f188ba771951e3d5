//! A mock server for the Mapillary API v4, on loopback, with faults on demand.
//!
//! It serves vector tiles, the Graph API and the image host from deterministic
//! mock data ([`MockData`]). Rules ([`Rule`]) make chosen requests fail with a
//! [`Fault`]. All requests are recorded ([`Sandbox::requests`]), so that tests
//! can check them. The server needs no network and no Mapillary account: it
//! accepts one token, [`Sandbox::TOKEN`].
//!
//! The tests, examples and benchmarks of `streetflow` use it, and
//! `streetflow crawl --sandbox` starts it.
//!
//! ```
//! use streetflow_sandbox::{Fault, Host, MockData, Rule, Sandbox};
//!
//! # #[tokio::main]
//! # async fn main() -> std::io::Result<()> {
//! let sandbox = Sandbox::start().await?;
//! println!("Graph API: {}, tiles: {}", sandbox.graph_url(), sandbox.tiles_url());
//!
//! let sequences = sandbox.mock_data().sequences().iter();
//! let owned = sequences.filter(|sequence| sequence.organization() == Some(MockData::ORGANIZATION));
//! assert_eq!(owned.count(), 26);
//!
//! // The eleventh tile request is redirected to the login page.
//! sandbox.add_rule(Rule::on(Host::Tiles).skip(10).times(1).fault(Fault::Redirect));
//! assert!(sandbox.requests().is_empty());
//! # Ok(())
//! # }
//! ```
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "drawing and tile maths on small numbers"
)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

mod api;
mod fault;
mod mock_data;
mod request_log;
mod rules;
mod server;

use streetflow::{Client, Token};

use api::picture_urls::PictureUrls;
use api::pictures;
use request_log::{RequestLog, lock};
use server::State;

pub use fault::Fault;
pub use mock_data::{MockData, MockDetection, MockFeature, MockImage, MockSequence};
pub use request_log::{Host, RecordedRequest};
pub use rules::Rule;

/// A running mock server. Dropping it stops the server.
pub struct Sandbox {
    state: Arc<State>,
    images_url: String,
    listeners: [AbortHandle; 2],
}

impl Sandbox {
    /// The only token that the server accepts.
    pub const TOKEN: &str = server::TOKEN;

    /// Starts a server with [`MockData::cyprus`] on free ports.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Returns a client that sends its requests to this server, with its token.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use streetflow_sandbox::Sandbox;
    /// use streetflow::{Bbox, CsvSink, Flow, TileSource};
    ///
    /// let sandbox = Sandbox::start().await?;
    /// let client = sandbox.client()?;
    /// let nicosia: Bbox = "33.33,35.15,33.39,35.19".parse()?;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sequences.csv");
    /// let report = Flow::from(TileSource::within(&client, nicosia)).into_sink(CsvSink::create(path)).await?;
    /// assert_eq!(report.records, 12);
    /// # Ok(()) }
    /// ```
    pub fn client(&self) -> streetflow::Result<Client> {
        let token = Token::new(Self::TOKEN)?;
        Client::builder().token(token).graph_url(self.graph_url()).tiles_url(self.tiles_url()).build()
    }

    /// Returns a builder to start a server with other settings.
    pub fn builder() -> Builder {
        Builder {
            data: None,
            port: 0,
            image_base: None,
            latency: Duration::ZERO,
            record_requests: true,
            picture_bytes: None,
            gone_fails_batch: false,
            detections_per_page: None,
        }
    }

    /// Returns the base URL of the Graph API.
    pub fn graph_url(&self) -> &str {
        &self.state.url
    }

    /// Returns the base URL of the tiles.
    pub fn tiles_url(&self) -> &str {
        &self.state.url
    }

    /// Returns the base URL of the image host, which has its own port.
    pub fn images_url(&self) -> &str {
        &self.images_url
    }

    /// Returns the data that the server serves.
    pub fn mock_data(&self) -> &MockData {
        &self.state.data
    }

    /// Returns the Graph API's JSON of an image with these fields, or `None` if the image does not exist.
    pub fn image_json(&self, image_id: &str, fields: &str) -> Option<String> {
        let image = self.state.data.image(image_id).filter(|image| !image.is_gone())?;
        Some(api::image_json(&image, fields, &lock(&self.state.picture_urls)))
    }

    /// Adds a rule. The first rule that matches a request decides.
    pub fn add_rule(&self, rule: Rule) {
        self.state.rules.add(rule);
    }

    /// Removes all rules.
    pub fn clear_rules(&self) {
        self.state.rules.clear();
    }

    /// Makes new picture URLs expire at this time (Unix seconds). URLs already served keep their expiry time.
    pub fn expire_urls_at(&self, unix_seconds: u32) {
        lock(&self.state.picture_urls).expiry = unix_seconds;
    }

    /// Returns the requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state.requests.all()
    }

    /// Returns the requests to one host so far, in order of arrival.
    pub fn requests_to(&self, host: Host) -> Vec<RecordedRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.host == host);
        requests
    }

    /// Returns the maximum number of requests in flight on a host at once.
    pub fn max_in_flight(&self, host: Host) -> usize {
        self.state.requests.max_in_flight(host)
    }

    /// Returns the number of connections to a host since the start.
    pub fn connections(&self, host: Host) -> usize {
        self.state.requests.connections(host)
    }

    /// Clears the recorded requests and [`Sandbox::max_in_flight`].
    pub fn clear_requests(&self) {
        self.state.requests.clear();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.listeners.iter().for_each(AbortHandle::abort);
    }
}

/// Builder of a [`Sandbox`].
#[must_use]
pub struct Builder {
    data: Option<MockData>,
    port: u16,
    image_base: Option<String>,
    latency: Duration,
    record_requests: bool,
    picture_bytes: Option<usize>,
    gone_fails_batch: bool,
    detections_per_page: Option<usize>,
}

impl Builder {
    /// Sets the data to serve. The default is [`MockData::cyprus`].
    pub fn mock_data(mut self, data: MockData) -> Self {
        self.data = Some(data);
        self
    }

    /// Sets the port of tiles and Graph API. The image host uses the next port if it is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the base of the picture URLs, for a client that reaches the image host under another name or by a proxy.
    pub fn image_base(mut self, url: impl Into<String>) -> Self {
        self.image_base = Some(url.into());
        self
    }

    /// Sets the minimum response time.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Sets whether requests are recorded, which needs memory for each. The default is true.
    pub fn record_requests(mut self, record: bool) -> Self {
        self.record_requests = record;
        self
    }

    /// Serves the same picture of this many bytes for every image, to save the time for drawing.
    pub fn picture_bytes(mut self, bytes: usize) -> Self {
        self.picture_bytes = Some(bytes);
        self
    }

    /// Sets whether a deleted image makes its batch fail. By default, it is missing from the response.
    pub fn gone_fails_batch(mut self, fails: bool) -> Self {
        self.gone_fails_batch = fails;
        self
    }

    /// Divides lists of detections into pages of this many. By default, all come at once.
    pub fn detections_per_page(mut self, rows: usize) -> Self {
        self.detections_per_page = Some(rows.max(1));
        self
    }

    /// Binds the ports and starts the server.
    pub async fn start(self) -> io::Result<Sandbox> {
        let data = self.data.unwrap_or_else(MockData::cyprus);
        let main = TcpListener::bind(("127.0.0.1", self.port)).await?;
        let images = match self.port.checked_add(1).filter(|next| *next > 1) {
            Some(next) => TcpListener::bind(("127.0.0.1", next)).await.ok(),
            None => None,
        };
        let images = match images {
            Some(images) => images,
            None => TcpListener::bind(("127.0.0.1", 0)).await?,
        };
        let images_url = format!("http://{}", images.local_addr()?);
        let base = self.image_base.map(|base| base.trim_end_matches('/').to_owned());
        let url = format!("http://{}", main.local_addr()?);
        let picture_urls = PictureUrls {
            base: base.unwrap_or_else(|| images_url.clone()),
            expiry: 0x7FFF_FFFF,
            graph: url.clone(),
            detections_per_page: self.detections_per_page,
        };
        let state = Arc::new(State {
            only_picture: self.picture_bytes.map(|bytes| pictures::draw_padded(&data, bytes)),
            data: Arc::new(data),
            url,
            picture_urls: picture_urls.into(),
            latency: self.latency,
            requests: Arc::new(RequestLog::new(self.record_requests)),
            rules: rules::Rules::default(),
            gone_fails_batch: self.gone_fails_batch,
            connections: 0.into(),
            drawing: server::drawing_permits(),
        });
        let listeners = [(main, false), (images, true)].map(|(listener, is_images)| {
            tokio::spawn(server::listen(listener, is_images, Arc::clone(&state))).abort_handle()
        });
        Ok(Sandbox { state, images_url, listeners })
    }
}

#[cfg(test)]
mod tests;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
