//! From a box to a GeoParquet file, and a line-delimited GeoJSON file of the panoramas.
//!
//! Needs `MAPILLARY_TOKEN` in the environment.

#![allow(clippy::print_stdout, reason = "an example")]

use streetflow::{
    Bbox, Client, FetchMetadata, Fields, Flow, GeoJsonSeqSink, GeometryChoice, ListImages, Metadata, OnError,
    ParquetSink, Result, TableSource, TileSource,
};

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::from_env()?;
    let cyprus: Bbox = "32.19,34.52,34.18,35.49".parse()?;
    let fields: Fields = "captured_at,geometry,computed_geometry,is_pano".parse()?;

    let table = ParquetSink::create("outputs/images.parquet").fields(&fields).geometry(GeometryChoice::Best);
    let report = Flow::from(TileSource::within(&client, cyprus))
        .then(ListImages::new(&client))
        .then(FetchMetadata::new(&client).fields(&fields))
        .on_error(OnError::Skip)
        .into_sink(table)
        .await?;
    println!("{} images in outputs/images.parquet, {} failed", report.records, report.failed);

    // Streetflow and other programs can read the file.
    let panoramas = Flow::from(TableSource::<Metadata>::open("outputs/images.parquet")?)
        .filter(|image: &Metadata| image.is_pano == Some(true))
        .into_sink(GeoJsonSeqSink::create("outputs/panoramas.geojsonl").fields(&fields))
        .await?;
    println!("{} of them are panoramas", panoramas.records);
    Ok(())
}
