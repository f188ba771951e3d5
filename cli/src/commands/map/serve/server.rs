//! A server on loopback.

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

use super::response::{Site, respond};
use crate::terminal::printer::Printer;
use streetflow::{Error, ErrorKind, Result};

/// Most connections at once. A browser opens six.
const MAX_CONNECTIONS: usize = 64;

/// A server that listens on this computer only.
pub(super) struct Server {
    listener: TcpListener,
    pub(super) port: u16,
}

impl Server {
    pub(super) async fn bind(port: Option<u16>) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Usage, "serve the page")
                .with_source(error)
                .with_hint("choose another port with `--port`")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Serves until the future is dropped.
    pub(super) async fn serve(self, site: Site) {
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
