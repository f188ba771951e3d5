//! The table that a command reads.

use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::outputs::table_path;
use crate::args::InputArgs;
use crate::terminal::format::path_text;
use streetflow::sinks::ShardTable;
use streetflow::{Error, ErrorKind, Format, Record, Result, TableSource};

/// The table that a command reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin(Format),
    File(PathBuf, Format),
    /// The rows of shards of pictures.
    Shards(ShardTable),
}

impl Input {
    /// The table that the flags name, else the table `previous` of the output directory, in any format.
    pub(crate) fn find(args: &InputArgs, output: &Path, previous: &str) -> Result<Self> {
        match args.path() {
            Some(path) => Self::named(path, args.input_format),
            None => Self::of_previous_step(output, previous, args.input_format),
        }
    }

    /// The table with this name; `-` is standard input.
    pub(crate) fn named(path: &Path, format: Option<Format>) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdin(format.unwrap_or(Format::Csv)));
        }
        if path.is_dir() {
            return ShardTable::in_folder(path).map(Self::Shards);
        }
        let format = match format {
            Some(format) => format,
            None if path.extension().is_some_and(|extension| extension == "tar") => {
                return ShardTable::open([path.to_owned()]).map(Self::Shards);
            }
            // A pipe such as `/dev/fd/63`: most programs write CSV.
            None if path.extension().is_none() => Format::Csv,
            None => Format::from_path(path).map_err(|error| {
                error.with_hint("set it with `--input-format` csv, parquet, geojson or geojsonseq")
            })?,
        };
        Ok(Self::File(path.to_owned(), format))
    }

    /// The table `table` of an output directory, in any format.
    pub(crate) fn of_previous_step(output: &Path, table: &str, format: Option<Format>) -> Result<Self> {
        let is_allowed = |known: &Format| format.is_none_or(|format| format == *known);
        let candidates = Format::ALL.iter().copied().filter(is_allowed).filter_map(|format| {
            let path = table_path(output, table, format);
            let modified = std::fs::metadata(&path).ok()?.modified().ok()?;
            Some((path, format, modified))
        });
        let candidates: Vec<_> = candidates.collect();
        let Some((path, format, modified)) = candidates.first() else {
            let path = table_path(output, table, format.unwrap_or(Format::Csv));
            #[cfg(not(feature = "parquet"))]
            if path.with_extension("parquet").exists() {
                return Format::from_path(&path.with_extension("parquet")).map(|_| Self::Stdin(Format::Csv));
            }
            return Err(Error::new(ErrorKind::Usage, "open the table")
                .with_subject(path.display().to_string())
                .with_source("the file does not exist, in any format")
                .with_hint("run the previous step first, or set a table with `--input`"));
        };
        // The files of one run have the same time. Others may have other content.
        if candidates.iter().any(|(_, _, time)| time != modified) {
            let names: Vec<_> = candidates.iter().map(|(path, _, _)| path_text(path)).collect();
            return Err(Error::new(ErrorKind::Usage, "choose the table to read")
                .with_source(format!("{} were written at different times", names.join(" and ")))
                .with_hint("choose one with `--input`, or remove the outdated one"));
        }
        Ok(Self::File(path.clone(), *format))
    }

    /// Opens the table and reads its header.
    pub(crate) async fn open<T: Record>(&self, stop: &CancellationToken) -> Result<TableSource<T>> {
        let input = self.clone();
        let open = move || match input {
            Self::Stdin(format) => TableSource::read("standard input", io::stdin(), format),
            Self::File(path, format) => TableSource::open_as(path, format),
            Self::Shards(table) => table.source(),
        };
        open_in_background("open the table", open, stop).await
    }

    /// The number of rows; for formats with line ends in cells, a guess. `None` for a pipe, which is read only once.
    pub(crate) fn rows(&self) -> Option<u64> {
        match self {
            Self::Stdin(_) => None,
            Self::File(path, format) => streetflow::sources::count_rows(path, *format),
            Self::Shards(table) => Some(table.rows()),
        }
    }
}

/// Opens a table on a thread, because a pipe may block. A stop signal ends the wait.
pub(super) async fn open_in_background<T: Record>(
    operation: &'static str,
    open: impl FnOnce() -> Result<TableSource<T>> + Send + 'static,
    stop: &CancellationToken,
) -> Result<TableSource<T>> {
    let opened = tokio::task::spawn_blocking(open);
    let interrupted = || Error::new(ErrorKind::Interrupted, operation);
    tokio::select! {
        opened = opened => opened.unwrap_or_else(|panic| Err(interrupted().with_source(panic))),
        () = stop.cancelled() => Err(interrupted().with_source("the run was stopped")),
    }
}
