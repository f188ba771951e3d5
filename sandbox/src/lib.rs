//! A small Mapillary on loopback: vector tiles, the Graph and the image host of a made-up world.
//!
//! The world is the same on every machine and every run. Faults come on
//! demand ([`Rule`]), and every request is on record ([`Sandbox::requests`]).
//! It needs no token of yours: [`Sandbox::TOKEN`] is the one it takes.
//!
//! ```
//! use streetflow_sandbox::{Fault, Host, Rule, Sandbox, World};
//!
//! # #[tokio::main]
//! # async fn main() -> std::io::Result<()> {
//! let sandbox = Sandbox::start().await?;
//! println!("the Graph is at {}, tiles at {}", sandbox.graph_url(), sandbox.tiles_url());
//!
//! let drives = sandbox.world().sequences().iter();
//! assert_eq!(drives.filter(|drive| drive.organization() == Some(World::ORGANIZATION)).count(), 26);
//!
//! sandbox.script(Rule::on(Host::Tiles).skip(10).times(1).fault(Fault::Redirect));
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

mod body;
mod fields;
mod graph;
mod ids;
mod json;
mod links;
mod mvt;
mod pictures;
mod places;
mod record;
mod script;
mod server;
mod tiles;
mod town;
mod world;

use links::Links;
use record::{Recorder, locked};
use server::State;

use streetflow::{Client, Token};

pub use record::{Host, RecordedRequest};
pub use script::{Fault, Rule};
pub use world::{MockImage, MockSequence, World};

/// Where its tiles are, before zoom, column and row.
const TILES_PATH: &str = "/maps/vtp/mly1_public/2/";

/// A Mapillary of one's own, on loopback, until it is dropped.
pub struct Sandbox {
    state: Arc<State>,
    images_url: String,
    listening: [AbortHandle; 2],
}

impl Sandbox {
    /// The one token that it takes.
    pub const TOKEN: &str = "MLY|1234567890123456|0123456789abcdef0123456789abcdef";

    /// Starts one with [`World::cyprus`] on free ports.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// A client that asks it and has its token.
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

    /// Starts one with other settings.
    pub fn builder() -> Builder {
        Builder {
            world: None,
            port: 0,
            image_base: None,
            latency: Duration::ZERO,
            record: true,
            picture_bytes: None,
            gone_fails_batch: false,
        }
    }

    /// The base of the Graph's URLs.
    pub fn graph_url(&self) -> &str {
        &self.state.url
    }

    /// The base of the tiles' URLs.
    pub fn tiles_url(&self) -> &str {
        &self.state.url
    }

    /// The base of the image host, which is another listener.
    pub fn images_url(&self) -> &str {
        &self.images_url
    }

    /// The world that it serves.
    pub fn world(&self) -> &World {
        &self.state.world
    }

    /// What the Graph answers for an image with these fields, or none if there is no such image.
    pub fn json(&self, image_id: &str, fields: &str) -> Option<String> {
        let shot = self.state.world.image(image_id).filter(|shot| !shot.is_gone())?;
        let mut out = String::new();
        fields::image(&mut out, &shot, &fields::parse(fields), &locked(&self.state.links));
        Some(out)
    }

    /// Adds a rule; the first rule that holds for a request decides.
    pub fn script(&self, rule: Rule) {
        self.state.script.add(rule);
    }

    /// Removes all rules.
    pub fn clear_script(&self) {
        self.state.script.clear();
    }

    /// From now on, image URLs end at this time (Unix seconds); those given out before keep theirs.
    pub fn expire_urls_at(&self, unix_seconds: u32) {
        locked(&self.state.links).expiry = unix_seconds;
    }

    /// What was asked so far, in the order of arrival.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state.recorder.all()
    }

    /// What was asked of one host so far.
    pub fn requests_to(&self, host: Host) -> Vec<RecordedRequest> {
        let mut requests = self.requests();
        requests.retain(|asked| asked.host == host);
        requests
    }

    /// The most requests that were ever under way on a host at once.
    pub fn max_in_flight(&self, host: Host) -> usize {
        self.state.recorder.max_in_flight(host)
    }

    /// Over how many connections requests for a host came since the start.
    pub fn connections(&self, host: Host) -> usize {
        self.state.recorder.connections(host)
    }

    /// Forgets what was asked, and the most in flight.
    pub fn clear_requests(&self) {
        self.state.recorder.clear();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.listening.iter().for_each(AbortHandle::abort);
    }
}

/// Settings of a [`Sandbox`] that is not started yet.
#[must_use]
pub struct Builder {
    world: Option<World>,
    port: u16,
    image_base: Option<String>,
    latency: Duration,
    record: bool,
    picture_bytes: Option<usize>,
    gone_fails_batch: bool,
}

impl Builder {
    /// Serves another world than [`World::cyprus`].
    pub fn world(mut self, world: World) -> Self {
        self.world = Some(world);
        self
    }

    /// The port of tiles and Graph; the image host takes the next one if it is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// What image URLs begin with, if the client reaches the image host by another name or through a proxy.
    pub fn image_base(mut self, url: impl Into<String>) -> Self {
        self.image_base = Some(url.into());
        self
    }

    /// How long every answer takes at least.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Whether requests are kept on record; for long benches, better not.
    pub fn record(mut self, record: bool) -> Self {
        self.record = record;
        self
    }

    /// Serves one picture of so many bytes for every image, which costs no drawing.
    pub fn picture_bytes(mut self, bytes: usize) -> Self {
        self.picture_bytes = Some(bytes);
        self
    }

    /// Whether one gone image makes its whole batch fail, rather than be missing from the answer.
    pub fn gone_fails_batch(mut self, fails: bool) -> Self {
        self.gone_fails_batch = fails;
        self
    }

    /// Binds the ports and begins to serve.
    pub async fn start(self) -> io::Result<Sandbox> {
        let world = self.world.unwrap_or_else(World::cyprus);
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
        let links = Links { base: base.unwrap_or_else(|| images_url.clone()), expiry: 0x7FFF_FFFF };
        let state = Arc::new(State {
            one_picture: self.picture_bytes.map(|bytes| pictures::padded(&world, bytes)),
            world: Arc::new(world),
            url: format!("http://{}", main.local_addr()?),
            links: links.into(),
            latency: self.latency,
            recorder: Arc::new(Recorder::new(self.record)),
            script: script::Script::default(),
            gone_fails_batch: self.gone_fails_batch,
            connections: 0.into(),
            drawing: server::drawing(),
        });
        let listening = [(main, false), (images, true)].map(|(listener, is_images)| {
            tokio::spawn(server::listen(listener, is_images, Arc::clone(&state))).abort_handle()
        });
        Ok(Sandbox { state, images_url, listening })
    }
}

#[cfg(test)]
mod tests;
