//! The images that saw the map features of a table.

use std::path::Path;

use super::context::RunContext;
use super::input::Input;
use streetflow::stages::ListFeatureImages;
use streetflow::{FetchFeatures, Flow, Format, Image, MapFeature, Result, TableSource};

/// A table of map features, and whether it has the images that saw them.
pub(crate) struct FeatureTable {
    pub(crate) source: TableSource<MapFeature>,
    has_images: bool,
    pub(crate) input: Input,
}

impl FeatureTable {
    /// Opens a table. `-` is standard input.
    pub(crate) async fn open(path: &Path, format: Option<Format>, run: &RunContext) -> Result<Self> {
        let input = Input::named(path, format)?;
        let source = input.open::<MapFeature>(&run.stop).await?;
        let has_images = source.header().iter().any(|name| name == "image_ids");
        Ok(Self { source: source.only(&["image_ids"]), has_images, input })
    }

    /// The records, and whether they have images.
    pub(crate) fn into_flow(self) -> (Flow<MapFeature>, bool) {
        (Flow::from(self.source), self.has_images)
    }
}

/// The images that saw map features, each once. Without their ids in the table, they are requested.
pub(crate) fn images_of_features(
    run: &RunContext,
    features: Flow<MapFeature>,
    has_images: bool,
) -> Flow<Image> {
    let features = if has_images { features } else { features.then(FetchFeatures::new(&run.client)) };
    features.then(ListFeatureImages::new(&run.client))
}
