//! Events of a run, for progress bars, logs and counts.

mod class;
mod counts;
mod event;
mod step;
mod tally;

pub use self::class::Class;
pub use self::counts::Counts;
pub use self::event::Event;
pub use self::step::Step;
pub use self::tally::Tally;
use crate::error::{Error, ErrorKind};

/// Receives the events of a run, from any thread.
///
/// Closures are observers. An observer must return quickly: it is called for every record.
///
/// ```
/// use std::sync::Arc;
/// use streetflow::{Client, Event};
///
/// let client = Client::builder()
///     .observer(Arc::new(|event: &Event<'_>| {
///         if let Event::Retry { class, error, .. } = event {
///             eprintln!("{class:?}: {error}");
///         }
///     }))
///     .build()?;
/// # drop(client);
/// # Ok::<(), streetflow::Error>(())
/// ```
pub trait Observer: Send + Sync {
    /// Handles an event.
    fn on_event(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Reports a failed record as [`Event::Gone`] or [`Event::Failed`], each error once. Fatal errors are not reported.
pub(crate) fn report_failure(observer: &dyn Observer, step: Step, error: &mut Error) {
    if !error.mark_reported() {
        return;
    }
    let error = &*error;
    match error.kind() {
        ErrorKind::Gone => observer.on_event(&Event::Gone { step, error }),
        kind if kind.is_fatal() => {}
        _ => observer.on_event(&Event::Failed { step, error }),
    }
}
