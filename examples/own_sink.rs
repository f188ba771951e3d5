//! A custom sink: counts the images by compass direction.
//!
//! Needs `MAPILLARY_TOKEN` in the environment.

#![allow(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an example"
)]

use std::collections::BTreeMap;

use futures::TryStreamExt;
use streetflow::{
    Client, FetchMetadata, Flow, ListImages, Metadata, OnError, RecordStream, Result, Sink, TileSource,
    Written, async_trait,
};

struct CompassRose;

#[async_trait]
impl Sink<Metadata> for CompassRose {
    async fn drain(self: Box<Self>, mut images: RecordStream<Metadata>) -> Result<Written> {
        let mut rose = BTreeMap::new();
        let mut written = Written::default();
        while let Some(image) = images.try_next().await? {
            let direction = match image.compass_angle {
                Some(angle) => ["north", "east", "south", "west"][((angle + 45.0) / 90.0) as usize % 4],
                None => "unknown",
            };
            *rose.entry(direction).or_insert(0) += 1;
            written.records += 1;
        }
        for (direction, count) in rose {
            println!("{direction}: {count}");
        }
        Ok(written)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::from_env()?;
    Flow::from(TileSource::within(&client, "33.30,35.13,33.40,35.20".parse()?))
        .then(ListImages::new(&client))
        .then(FetchMetadata::new(&client))
        .on_error(OnError::Skip)
        .into_sink(CompassRose)
        .await?;
    Ok(())
}
