//! What the steps of a crawl read and give.

use streetflow::Step;

/// Whether one input of the step gives many records: a tile gives sequences, a sequence gives images, an image gives
/// detections or crops.
pub(crate) fn gives_many(step: Step) -> bool {
    matches!(step, Step::SEQUENCES | Step::IMAGES | Step::DETECTIONS | Step::FEATURES | Step::CROPS)
}

/// Whether the step reads tables and pictures only, and sends no request.
pub(crate) fn is_offline(step: Step) -> bool {
    matches!(step, Step::OVERLAY | Step::CROPS | Step::DATASET)
}

/// Whether the step walks over tiles.
pub(crate) fn reads_tiles(step: Step) -> bool {
    matches!(step, Step::SEQUENCES | Step::FEATURES)
}

/// The unit of the step's input, singular and plural.
pub(crate) fn unit(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::SEQUENCES | Step::FEATURES => ("tile", "tiles"),
        Step::DETAILS => ("map feature", "map features"),
        Step::IMAGES => ("sequence", "sequences"),
        _ => ("image", "images"),
    }
}
