//! Ctrl-C for threads that Python does not know: a consumer's worker thread waits for a batch, and the interpreter, which
//! handles the signal in the main thread, cannot reach it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::errors::Attempt;
use crate::runtime::runtime;

static COUNT: AtomicU64 = AtomicU64::new(0);
static LISTENS: AtomicBool = AtomicBool::new(false);

/// The number of interruptions since the first stream.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::Acquire)
}

/// Counts interruptions from now on, if Ctrl-C raises `KeyboardInterrupt` in this process. Python handles the signal too.
pub(crate) fn listen(py: Python<'_>) -> Attempt<()> {
    if LISTENS.load(Ordering::Acquire) {
        return Ok(());
    }
    let signal = py.import("signal")?;
    let handler = signal.call_method1("getsignal", (signal.getattr("SIGINT")?,))?;
    if !handler.is(&signal.getattr("default_int_handler")?) || LISTENS.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    runtime()?.spawn(count_signals());
    Ok(())
}

/// Counts signals. The listener calls the handler of Python that was there before.
#[cfg(unix)]
async fn count_signals() {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut signals) = signal(SignalKind::interrupt()) else { return };
    while signals.recv().await.is_some() {
        COUNT.fetch_add(1, Ordering::AcqRel);
    }
}

/// Counts signals.
#[cfg(not(unix))]
async fn count_signals() {
    while tokio::signal::ctrl_c().await.is_ok() {
        COUNT.fetch_add(1, Ordering::AcqRel);
    }
}
