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

/// Counts interruptions from now on, if Ctrl-C raises `KeyboardInterrupt` in this process. Python handles the signal too:
/// the listener calls the handler that was there before.
#[cfg(unix)]
pub(crate) fn listen(py: Python<'_>) -> Attempt<()> {
    use tokio::signal::unix::{SignalKind, signal};

    if LISTENS.load(Ordering::Acquire) {
        return Ok(());
    }
    let module = py.import("signal")?;
    let number = module.getattr("SIGINT")?;
    let handler = module.call_method1("getsignal", (&number,))?;
    if !handler.is(&module.getattr("default_int_handler")?) || LISTENS.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let Ok(mut signals) = signal(SignalKind::interrupt()) else { return Ok(()) };
    // The listener lets the system restart calls after a signal. Python needs them to end, for example `Thread.join`.
    module.call_method1("siginterrupt", (number, true))?;
    runtime.spawn(async move {
        while signals.recv().await.is_some() {
            COUNT.fetch_add(1, Ordering::AcqRel);
        }
    });
    Ok(())
}

/// Counts interruptions from now on.
#[cfg(not(unix))]
pub(crate) fn listen(_: Python<'_>) -> Attempt<()> {
    if !LISTENS.swap(true, Ordering::AcqRel) {
        runtime()?.spawn(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                COUNT.fetch_add(1, Ordering::AcqRel);
            }
        });
    }
    Ok(())
}
