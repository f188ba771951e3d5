//! `streetflow.download`: pictures of a query, of a table, or of Arrow data of another library.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::client::{Client, within};
use crate::errors::{Failure, usage};
use crate::input::Input;
use crate::place::{TableFile, picture_sink};
use crate::query::counted;
use crate::records::images;
use crate::report::Report;
use crate::task::run_to_end;
use streetflow::sinks::{Exif, FileTime, PictureLayout, PictureStorage};
use streetflow::{
    FetchMetadata, Fields, Flow, Image, ImageSink, Metadata, Quality, Record, RecordStream, Result, Source,
};

/// How pictures are written.
struct Pictures {
    quality: Quality,
    exif: Exif,
    layout: PictureLayout,
    file_time: FileTime,
    check_existing: bool,
    /// The table rows of a shard, if pictures go into shards.
    shard_rows: Option<NonZeroU32>,
}

impl Pictures {
    /// The fields that a download needs.
    fn fields(&self) -> Vec<&'static str> {
        let exif = if self.exif.applies_to(self.quality) { &Exif::FIELDS[..] } else { &[] };
        let layout = self.layout.needs().filter(|column| *column != "seq_id");
        let time = ["captured_at"].into_iter().filter(|_| self.file_time == FileTime::default());
        exif.iter().copied().chain(layout).chain(time).chain([self.quality.field()]).collect()
    }

    /// The sink of a local folder, or of one in a bucket, with credentials from the environment.
    fn sink(&self, client: &streetflow::Client, folder: PathBuf) -> Result<ImageSink> {
        let sink = picture_sink(client, folder)?;
        let sink = sink.quality(self.quality).exif(self.exif).layout(self.layout).file_time(self.file_time);
        let sink = self.shard_rows.into_iter().fold(sink, ImageSink::shards);
        Ok(if self.check_existing { sink.check_existing() } else { sink })
    }
}

/// Downloads pictures to a folder.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "only the package calls it")]
pub(crate) fn download(
    py: Python<'_>,
    query: Option<&str>,
    table: Option<PathBuf>,
    stream: Option<&Bound<'_, PyCapsule>>,
    client: &Client,
    folder: PathBuf,
    quality: &str,
    exif: &str,
    layout: &str,
    file_time: &str,
    check_existing: bool,
    storage: &str,
    shard_rows: i64,
    skip: bool,
    report: Py<Report>,
    run: Py<PyAny>,
) -> PyResult<()> {
    let pictures = (|| -> Result<Pictures> {
        let layout = layout.parse()?;
        Ok(Pictures {
            quality: quality.parse()?,
            exif: exif.parse()?,
            layout,
            file_time: file_time.parse()?,
            check_existing,
            shard_rows: shards(storage.parse()?, shard_rows, layout)?,
        })
    })()
    .map_err(Failure::from)?;
    let table = table.map(|path| TableFile::fetch(py, path)).transpose()?;
    let input = Input::new("download", query, table.as_ref(), stream)?;
    let (client, counts) = (client.get()?.clone(), Arc::clone(&report.get().counts));
    report.get().events.listen(&counts);
    let work = async move {
        let flow = open(input, &pictures, &client).await?;
        let written = counted(flow, &counts, skip).into_sink(pictures.sink(&client, folder)?).await?.written;
        counts.set_pictures(written.records, written.already_exists);
        Ok(())
    };
    Ok(run_to_end(py, work, &report, &run)?)
}

/// The rows of a shard, if pictures go into shards.
fn shards(storage: PictureStorage, rows: i64, layout: PictureLayout) -> Result<Option<NonZeroU32>> {
    if storage == PictureStorage::Files {
        return Ok(None);
    }
    if layout != PictureLayout::Flat {
        return Err(usage("use `layout`", "shards have no directories")
            .with_hint("omit it, or choose `pictures=\"files\"`"));
    }
    let rows = within(rows, 1..=1_000_000).and_then(NonZeroU32::new);
    rows.map(Some).ok_or_else(|| usage("use `shard_rows`", "it must be 1 to 1,000,000"))
}

/// Opens the images. A table without picture URLs gets them from Mapillary.
async fn open(input: Input, pictures: &Pictures, client: &streetflow::Client) -> Result<Flow<Metadata>> {
    let needed = pictures.fields();
    // Shards contain the whole row.
    let is_whole = pictures.shard_rows.is_some();
    let fields = |header: &[String]| {
        let kept = header.iter().map(String::as_str).filter(|_| is_whole);
        needed.iter().try_fold(Fields::from_columns(kept), |fields, field| fields.with(field))
    };
    match input {
        Input::Query(mut query) => {
            query.fields = needed.iter().try_fold(query.fields, |fields, field| fields.with(field))?;
            images(*query, client.clone()).await
        }
        Input::Table(table) => {
            let header = table.header().to_vec();
            let fields = fields(&header)?;
            let table = if is_whole { table } else { table.only(&columns(&needed)) };
            Ok(with_urls(table, &header, pictures, fields, client))
        }
        Input::Arrow(source) => {
            let header = source.header().to_vec();
            let fields = fields(&header)?;
            let source = if is_whole { source } else { source.only(&columns(&needed)) };
            Ok(with_urls(source, &header, pictures, fields, client))
        }
    }
}

/// The columns of the fields, and those that every download reads.
fn columns(fields: &[&str]) -> Vec<&'static str> {
    let is_needed = |field: Option<&'static str>| field.is_some_and(|field| fields.contains(&field));
    let columns = Metadata::COLUMNS.iter().filter(|column| is_needed(column.field));
    ["seq_id", "captured_at"].into_iter().chain(columns.map(|column| column.name)).collect()
}

fn with_urls(
    source: impl Source<Item = Metadata>,
    header: &[String],
    pictures: &Pictures,
    fields: Fields,
    client: &streetflow::Client,
) -> Flow<Metadata> {
    let flow = Flow::from(source);
    if header.iter().any(|name| name == pictures.quality.field()) {
        return flow;
    }
    let to_image = |records: RecordStream<Metadata>| -> RecordStream<Image> {
        use futures::StreamExt;
        let image = |row: Metadata| Image { seq_id: row.seq_id, img_id: row.img_id };
        records.map(move |row| row.map(image)).boxed()
    };
    flow.then(to_image).then(FetchMetadata::new(client).fields(&fields))
}
