//! What runs beside the flow of a command: the progress display and the signals.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::context::RunContext;
use super::signals::{Signals, handle_signals};
use streetflow::{Error, ErrorKind, Result};

/// The end of the work of a run.
pub(crate) struct Ended<T> {
    pub(crate) result: Result<T>,
    /// A second signal ended it. Unfinished files are discarded.
    pub(crate) abandoned: bool,
}

/// Awaits the work, and meanwhile shows progress and handles signals: the first one stops the run, the second abandons
/// it.
pub(crate) async fn supervise<T>(run: &RunContext, work: impl Future<Output = Result<T>>) -> Ended<T> {
    let monitor = &run.monitor;
    monitor.stats.set_limits(&run.client);
    let drawing = tokio::spawn(Arc::clone(monitor).show_progress());
    let abandon = CancellationToken::new();
    let signals = tokio::spawn(handle_signals(
        Signals::listen(),
        run.stop.clone(),
        abandon.clone(),
        run.client.clone(),
        Arc::clone(monitor),
    ));
    let result = tokio::select! {
        result = work => result,
        () = abandon.cancelled() => {
            Err(Error::new(ErrorKind::Interrupted, "finish").with_source("the run was abandoned; unfinished files were discarded"))
        }
    };
    signals.abort();
    drawing.abort();
    monitor.progress.finish();
    Ended { result, abandoned: abandon.is_cancelled() }
}
