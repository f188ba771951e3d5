//! What the steps of a crawl read and give.

use streetflow::Step;

/// Whether one input of the step gives many records: a tile gives sequences, a sequence gives images.
pub(crate) fn gives_many(step: Step) -> bool {
    matches!(step, Step::SEQUENCES | Step::IMAGES)
}

/// The unit of the step's input, singular and plural.
pub(crate) fn unit(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::SEQUENCES => ("tile", "tiles"),
        Step::IMAGES => ("sequence", "sequences"),
        _ => ("image", "images"),
    }
}
