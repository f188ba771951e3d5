//! Serves the page on loopback: `/`, `/columns/<name>` and `/picture/<id>`, and `/state` and `/images` of a running crawl.

mod live;
mod pictures;
mod response;

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use self::live::{LiveImages, LiveSink};
use self::pictures::PictureServer;
use self::response::{Site, respond};
use super::args::MapArgs;
use crate::args::Bucket;
use crate::terminal::format::{grouped, plural};
use crate::terminal::printer::Printer;
use crate::terminal::stdout;
use streetflow::map::{MapImages, MapOptions, Page};
use streetflow::{Error, ErrorKind, Metadata, Result, Sink};

/// Most connections at once. A browser opens six.
const MAX_CONNECTIONS: usize = 64;

/// Serves the page of a table until the future is dropped. `bucket` contains its pictures, if they are not on the disk.
pub(super) async fn run(
    images: MapImages,
    options: MapOptions,
    bucket: Option<Bucket>,
    args: &MapArgs,
    printer: &Printer,
) -> Result<()> {
    let server = Server::bind(args.port).await?;
    let (count, pictures) = (images.len() as u64, PictureServer::of_table(&images, bucket)?);
    let encoded = tokio::task::spawn_blocking(move || Page::new(&images, &options)).await;
    let page = encoded.map_err(|panic| Error::new(ErrorKind::Io, "encode the page").with_source(panic))??;
    let (site, url) = (Site::of_table(&page, pictures, server.port)?, server.url());
    let what = plural(count, "image", "images");
    printer.note(&format!("serving {} {what}; press Ctrl-C to stop", grouped(count)));
    stdout::print(format!("{url}\n").as_bytes())?;
    if args.open {
        open(OsStr::new(&url), printer);
    }
    server.serve(site).await;
    Ok(())
}

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

/// A server that listens on this computer only.
struct Server {
    listener: TcpListener,
    port: u16,
}

impl Server {
    async fn bind(port: Option<u16>) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Usage, "serve the page")
                .with_source(error)
                .with_hint("choose another port with `--port`")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Serves until the future is dropped.
    async fn serve(self, site: Site) {
        let site = Arc::new(site);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    if let Ok((stream, _)) = accepted && connections.len() < MAX_CONNECTIONS {
                        connections.spawn(answer(stream, Arc::clone(&site)));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn answer(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move { Ok::<_, std::convert::Infallible>(respond(&site, &request).await) }
    });
    // Errors of a connection are caused by the browser.
    drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}

/// Opens a file or URL in the browser. If that fails, the user can do it.
pub(crate) fn open(what: &OsStr, printer: &Printer) {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        Command::new("explorer")
    } else {
        Command::new("xdg-open")
    };
    let command = command.arg(what).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.spawn() {
        printer.warn(&format!("can't open the browser: {error}; open the page yourself"));
    }
}
