//! Follows a run of another process: its responses while it runs, its table at its end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::live_map::LiveMap;
use super::server::open;
use crate::commands::map::args::MapArgs;
use crate::commands::map::find::{Found, PICTURES};
use crate::commands::map::load;
use crate::job::running_store;
use crate::terminal::format::path_text;
use crate::terminal::printer::Printer;
use crate::terminal::stdout;
use streetflow::client::StoredImages;
use streetflow::map::MapOptions;
use streetflow::{Error, ErrorKind, Result};

/// Pause between two looks at the responses.
const PAUSE: Duration = Duration::from_secs(1);

/// The store of the run that is followed.
#[derive(Default)]
struct Following {
    path: PathBuf,
    /// `None` until the run has opened its store.
    images: Option<StoredImages>,
}

/// Serves the images of the run in the folder of `args` until the future is dropped.
pub(in crate::commands::map) async fn follow(
    args: &MapArgs,
    options: MapOptions,
    printer: &Printer,
) -> Result<()> {
    let folder = &args.table;
    let pictures = args.pictures.clone().unwrap_or_else(|| folder.join(PICTURES));
    let live = LiveMap::start(options, Some(pictures), args.port).await?;
    let shown = path_text(folder);
    printer.note(&format!("a run is writing to {shown}; the map grows with it; press Ctrl-C to stop"));
    stdout::print(format!("{}\n", live.url()).as_bytes())?;
    if args.open {
        open(OsStr::new(live.url()), printer);
    }
    let mut following = Following::default();
    while let Some(store) = running_store(folder) {
        following = following.read(&live, store).await?;
        tokio::time::sleep(PAUSE).await;
    }
    match table(args, &live).await {
        Ok(()) => printer.note("the run has ended; the map shows its table"),
        // A run that was stopped before its first table.
        Err(error) => {
            let reason = error.chain();
            printer.warn(&format!("the run has ended; the map shows what it fetched: {reason}"));
        }
    }
    live.end();
    std::future::pending().await
}

impl Following {
    /// Adds the images that have come to the map.
    async fn read(mut self, live: &LiveMap, store: PathBuf) -> Result<Self> {
        let images = live.images();
        let read = move || {
            if self.images.is_none() || self.path != store {
                self.images = StoredImages::open(&store).ok();
                self.path = store;
            }
            while let Some(stored) = &mut self.images {
                let batch = stored.read();
                if batch.is_empty() {
                    break;
                }
                images.add(&batch);
            }
            self
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|panic| Error::new(ErrorKind::Io, "read the responses").with_source(panic))
    }
}

/// Replaces the images by those of the table that the run has written.
async fn table(args: &MapArgs, live: &LiveMap) -> Result<()> {
    let found = Found::resolve(args).await?;
    let loaded = load::images(&found, args, live.images().emptied()).await?;
    live.images().replace(loaded.images);
    Ok(())
}

/// Whether a run of another process writes to a folder.
pub(in crate::commands::map) fn is_running(folder: &Path) -> bool {
    folder.is_dir() && running_store(folder).is_some()
}
