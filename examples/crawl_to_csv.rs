//! From a box to tables: the sequences of an organization, their images and metadata.
//!
//! Needs `MAPILLARY_TOKEN` in the environment.

#![allow(clippy::print_stdout, reason = "an example")]

use streetflow::{
    Bbox, Client, CsvSink, FetchMetadata, Fields, Flow, ListImages, OnError, OwnerId, Result, TileSource,
};

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::from_env()?;
    let cyprus: Bbox = "32.19,34.52,34.18,35.49".parse()?;
    let fields: Fields = "captured_at,compass_angle,geometry,thumb_1024_url".parse()?;

    let report = Flow::from(TileSource::within(&client, cyprus).owned_by(OwnerId::new("227409318565107")?))
        .tap(CsvSink::create("outputs/seq_dataset.csv"))
        .then(ListImages::new(&client))
        .tap(CsvSink::create("outputs/img_dataset.csv"))
        .then(FetchMetadata::new(&client).fields(&fields))
        .on_error(OnError::Skip)
        .into_sink(CsvSink::create("outputs/img_meta_dataset.csv").fields(&fields))
        .await?;
    println!("{} images, {} gone, {} failed", report.records, report.gone, report.failed);
    Ok(())
}
