//! Names of the steps of a run.

use std::fmt;

/// The name of a step: what an event, a count or a progress bar belongs to.
///
/// A crawl has the four steps of [`Step::ALL`]. A program with stages of its own adds steps with [`Step::new`].
///
/// ```
/// use streetflow::Step;
///
/// const BLUR: Step = Step::new("blur");
/// assert_eq!(BLUR.name(), "blur");
/// assert_eq!(Step::METADATA.to_string(), "metadata");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step(&'static str);

impl Step {
    /// Finding sequences, by [`TileSource`](crate::TileSource) and [`UserSource`](crate::UserSource).
    pub const SEQUENCES: Self = Self("sequences");
    /// Listing the images of sequences, by [`ListImages`](crate::ListImages).
    pub const IMAGES: Self = Self("images");
    /// Fetching metadata of images, by [`FetchMetadata`](crate::FetchMetadata).
    pub const METADATA: Self = Self("metadata");
    /// Fetching detections of images.
    pub const DETECTIONS: Self = Self("detections");
    /// Finding map features, by [`FeatureSource`](crate::FeatureSource).
    pub const FEATURES: Self = Self("features");
    /// Fetching the details of map features, by [`FetchFeatures`](crate::FetchFeatures).
    pub const DETAILS: Self = Self("details");
    /// Downloading pictures, by [`ImageSink`](crate::ImageSink).
    pub const DOWNLOAD: Self = Self("download");
    /// Drawing detections on pictures, by `overlay::Overlay`.
    pub const OVERLAY: Self = Self("overlay");
    /// Cutting detections out of pictures, by `overlay::Crops`.
    pub const CROPS: Self = Self("crops");
    /// Building a training set, by [`TrainingSet`](crate::training::TrainingSet).
    pub const DATASET: Self = Self("dataset");

    /// The steps of a crawl that always belong to it, in their order.
    pub const ALL: [Self; 4] = [Self::SEQUENCES, Self::IMAGES, Self::METADATA, Self::DOWNLOAD];

    /// The steps of this library, in the order in which a run lists them.
    pub const BUILT_IN: [Self; 10] = [
        Self::SEQUENCES,
        Self::IMAGES,
        Self::METADATA,
        Self::DETECTIONS,
        Self::FEATURES,
        Self::DETAILS,
        Self::DOWNLOAD,
        Self::OVERLAY,
        Self::CROPS,
        Self::DATASET,
    ];

    /// Names a step of your own.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
