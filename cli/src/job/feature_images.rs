//! The images that saw the map features of a table.

use super::context::RunContext;
use super::input::Input;
use super::outputs::TableOutputs;
use super::pipeline::map_records;
use crate::args::InputArgs;
use streetflow::query::{images_of_features, to_image};
use streetflow::{
    Error, ErrorKind, Flow, Image, MapFeature, Metadata, RecordStream, Result, Sink, Step, TableSource,
    Written, async_trait,
};

/// A table of map features.
pub(crate) struct FeatureTable {
    pub(crate) source: TableSource<MapFeature>,
    pub(crate) input: Input,
}

impl FeatureTable {
    /// Opens the table that the arguments name. `-` is standard input.
    pub(crate) async fn open(table: &InputArgs, run: &RunContext) -> Result<Self> {
        let path = table
            .path()
            .ok_or_else(|| Error::new(ErrorKind::Usage, "open the table").with_source("it has no name"))?;
        let input = Input::named(path, table.input_format)?;
        Ok(Self { source: input.open(&run.stop).await?, input })
    }

    /// The images that saw the features, each once. Features are the inputs of the step `images`.
    pub(crate) fn images(self, run: &RunContext) -> Flow<Image> {
        run.monitor.stats.count_map_features();
        run.expect_rows(Step::IMAGES, &self.input, None);
        images_of_features(&run.client, self.source)
    }
}

/// Writes the table of images from metadata, in all formats, and passes the records on.
pub(crate) fn tap_images(flow: Flow<Metadata>, outputs: &TableOutputs<'_>, table: &str) -> Flow<Metadata> {
    outputs.image_sinks(table).into_iter().fold(flow, |flow, sink| flow.tap(ImageTable(sink)))
}

/// Writes the images of metadata to the table of images.
struct ImageTable(Box<dyn Sink<Image>>);

#[async_trait]
impl Sink<Metadata> for ImageTable {
    async fn drain(self: Box<Self>, records: RecordStream<Metadata>) -> Result<Written> {
        self.0.drain(map_records(to_image)(records)).await
    }
}
