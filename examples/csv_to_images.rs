//! From a metadata table to pictures: images taken in summer, 1024 pixels wide.
//!
//! Reads `outputs/img_meta_dataset.csv` with the columns `captured_at` and `thumb_1024_url`.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "an example")]

use streetflow::{Client, CsvSource, Flow, ImageSink, Metadata, OnError, Quality, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::from_env()?;
    let table = CsvSource::<Metadata>::open("outputs/img_meta_dataset.csv")?;

    let report = Flow::from(table)
        .filter(|image| image.captured_at.is_some_and(in_summer))
        .on_error(OnError::Skip)
        .into_sink(ImageSink::new(&client, "outputs/downloaded_images").quality(Quality::Q1024))
        .await?;
    let written = report.written;
    println!(
        "{} downloaded, {} already there, {} failed",
        written.records, written.already_exists, written.failed
    );
    Ok(())
}

/// Returns whether a time in milliseconds since 1970 is in June, July or August, accurate to a day.
fn in_summer(captured_at: i64) -> bool {
    const DAY: f64 = 86_400_000.0;
    let day_of_year = (captured_at as f64 / DAY).rem_euclid(365.2425);
    (151.0..243.0).contains(&day_of_year)
}
