//! Serves the page on loopback: `/`, `/columns/<name>` and `/picture/<id>`, and `/state` and `/images` of a running crawl.

mod follow;
mod live;
mod live_map;
mod pictures;
mod response;
mod server;

use std::ffi::OsStr;

pub(super) use self::follow::{follow, is_running};
pub(crate) use self::live_map::LiveMap;
use self::pictures::PictureServer;
use self::response::Site;
use self::server::Server;
pub(crate) use self::server::open;
use super::args::MapArgs;
use crate::args::Bucket;
use crate::terminal::format::{grouped, plural};
use crate::terminal::printer::Printer;
use crate::terminal::stdout;
use streetflow::map::{MapImages, MapOptions, Page};
use streetflow::{Error, ErrorKind, Result};

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
