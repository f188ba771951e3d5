//! Counts of a flow while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts of a flow, while it runs and at its end. All copies show the same flow.
///
/// A flow that is read as a stream has no report at its end, so take its counts before:
///
/// ```
/// use futures::{TryStreamExt, stream};
/// use streetflow::{Error, ErrorKind, Flow, Image, ImageId, OnError, SequenceId};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let image = |id| Ok(Image { seq_id: SequenceId::new("abc")?, img_id: ImageId::new(id)? });
/// let failed = Err(Error::new(ErrorKind::Rejected, "read an image"));
/// let flow = Flow::from(stream::iter([image("1"), image("2"), failed]))
///     .filter(|image| image.img_id.as_str() != "2")
///     .on_error(OnError::Skip);
/// let counts = flow.counts();
/// let images: Vec<_> = flow.try_collect().await?;
/// assert_eq!((counts.records(), counts.filtered(), counts.failed()), (1, 1, 1));
/// # assert_eq!(images.len(), 1); Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    records: AtomicU64,
    gone: AtomicU64,
    failed: AtomicU64,
    filtered: AtomicU64,
    stopped: AtomicBool,
}

impl Counts {
    /// Records that left the flow.
    pub fn records(&self) -> u64 {
        self.0.records.load(Ordering::Relaxed)
    }

    /// Sequences and images that were deleted on Mapillary.
    pub fn gone(&self) -> u64 {
        self.0.gone.load(Ordering::Relaxed)
    }

    /// Records that failed.
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Records that a filter dropped, duplicates included.
    pub fn filtered(&self) -> u64 {
        self.0.filtered.load(Ordering::Relaxed)
    }

    /// Whether the flow was ended early by its signal.
    pub fn stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn add_record(&self) {
        self.0.records.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_gone(&self) {
        self.0.gone.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_failed(&self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a record that a stage dropped. Own stages call it from [`Stage::apply_counted`](crate::Stage::apply_counted).
    pub fn add_filtered(&self) {
        self.0.filtered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_stopped(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}
