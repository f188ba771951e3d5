//! The runtime of the process, and waiting on it so that Ctrl-C works and other Python threads run.

use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use pyo3::Python;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::errors::{Attempt, Failure};
use streetflow::Error;

/// The longest time between two checks for signals. Ctrl-C must end a call within 0.2 s.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// The runtime and the process that started it. Its threads do not exist in a forked process.
static RUNTIME: OnceLock<(u32, Runtime)> = OnceLock::new();

/// Returns the runtime, and starts it on first use. After a fork of a process that used it, there is none.
pub(crate) fn runtime() -> Attempt<&'static Runtime> {
    if let Some((process, runtime)) = RUNTIME.get() {
        return if *process == std::process::id() { Ok(runtime) } else { Err(Failure::Forked) };
    }
    let started = Builder::new_multi_thread()
        .enable_all()
        .thread_name("streetflow")
        .build()
        .map_err(Error::thread_refused)?;
    // Two threads may start one each; the runtime that loses has no tasks.
    if let Err((_, spare)) = RUNTIME.set((std::process::id(), started)) {
        spare.shutdown_background();
    }
    runtime()
}

/// Whether this process is a fork of the one that started the runtime.
pub(crate) fn is_forked() -> bool {
    RUNTIME.get().is_some_and(|(process, _)| *process != std::process::id())
}

/// Waits for a future. Other Python threads run meanwhile; signals and `on_tick` are handled every [`TICK`].
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    future: impl Future<Output = T> + Send,
    mut on_tick: impl FnMut(Python<'_>) -> Attempt<()>,
) -> Attempt<T> {
    let runtime = runtime()?;
    let mut future = pin!(future);
    loop {
        let ready = py.detach(|| runtime.block_on(async { timeout(TICK, &mut future).await }));
        py.check_signals()?;
        on_tick(py)?;
        if let Ok(output) = ready {
            return Ok(output);
        }
    }
}

/// A value that is dropped only in the process that made it.
///
/// Dropping tasks and sockets of the parent in a forked process could wait for threads that do not exist there.
pub(crate) struct Owned<T>(Option<T>);

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Returns the value, if this process made it.
    pub(crate) fn get(&self) -> Attempt<&T> {
        self.0.as_ref().filter(|_| !is_forked()).ok_or(Failure::Forked)
    }

    /// Returns the value for changes, if this process made it.
    pub(crate) fn get_mut(&mut self) -> Attempt<&mut T> {
        self.0.as_mut().filter(|_| !is_forked()).ok_or(Failure::Forked)
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if is_forked() {
            std::mem::forget(self.0.take());
        }
    }
}
