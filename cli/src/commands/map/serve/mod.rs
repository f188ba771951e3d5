//! Serves the page on loopback: `/`, `/columns/<name>` and `/picture/<id>`, nothing else.

mod pictures;
mod response;

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use self::pictures::PictureServer;
use self::response::{Site, respond};
use super::args::MapArgs;
use crate::terminal::format::{grouped, plural};
use crate::terminal::printer::Printer;
use crate::terminal::stdout;
use streetflow::map::{MapImages, MapOptions, Page};
use streetflow::{Error, ErrorKind, Result};

/// Most connections at once. A browser opens six.
const MAX_CONNECTIONS: usize = 64;

/// Serves the page until the future is dropped.
pub(super) async fn run(
    images: MapImages,
    options: MapOptions,
    args: &MapArgs,
    printer: &Printer,
) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Usage, "serve the page")
            .with_source(error)
            .with_hint("choose another port with `--port`")
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port.unwrap_or(0))).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let (count, pictures) = (images.len() as u64, PictureServer::new(&images)?);
    let encoded = tokio::task::spawn_blocking(move || Page::new(&images, &options)).await;
    let page = encoded.map_err(|panic| Error::new(ErrorKind::Io, "encode the page").with_source(panic))??;
    let site = Arc::new(Site::new(&page, pictures, port)?);
    let url = format!("http://127.0.0.1:{port}/");
    let what = plural(count, "image", "images");
    printer.note(&format!("serving {} {what}; press Ctrl-C to stop", grouped(count)));
    stdout::print(format!("{url}\n").as_bytes())?;
    if args.open {
        open(OsStr::new(&url), printer);
    }
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted && connections.len() < MAX_CONNECTIONS {
                    connections.spawn(serve(stream, Arc::clone(&site)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move { Ok::<_, std::convert::Infallible>(respond(&site, &request).await) }
    });
    // Errors of a connection are caused by the browser.
    drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}

/// Opens a file or URL in the browser. If that fails, the user can do it.
pub(super) fn open(what: &OsStr, printer: &Printer) {
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
