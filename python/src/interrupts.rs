//! Ctrl-C for threads that Python does not know: a consumer's worker thread waits for a batch, and the interpreter, which
//! handles the signal in the main thread, cannot reach it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use pyo3::prelude::*;

#[cfg(unix)]
use crate::errors::Failure;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The thread in which Python handles signals.
static MAIN: OnceLock<ThreadId> = OnceLock::new();

/// The number of interruptions since the first stream.
pub(crate) fn count() -> u64 {
    #[cfg(unix)]
    unix::drain();
    COUNT.load(Ordering::Acquire)
}

/// Whether this is the thread in which Python handles signals.
pub(crate) fn is_main_thread() -> bool {
    MAIN.get() == Some(&thread::current().id())
}

/// Counts interruptions from now on. Returns whether Python made this thread; consumers have others.
///
/// Each stream calls this when it is made, because only the main thread can, and a consumer may start the stream in another.
///
/// On Unix, Python itself passes signals on: its own handler writes their numbers to a descriptor. A handler of ours would
/// be lost as soon as something in the process sets Python's handler again, as IPython does after each prompt.
#[pyfunction]
pub(crate) fn listen(py: Python<'_>) -> PyResult<bool> {
    #[cfg(unix)]
    let descriptor = unix::descriptor().map_err(Failure::from)?;
    #[cfg(not(unix))]
    let descriptor = elsewhere::listen()?;
    let (is_main, is_owned): (bool, bool) =
        py.import("streetflow._signals")?.call_method1("listen", (descriptor,))?.extract()?;
    if is_main {
        MAIN.get_or_init(|| thread::current().id());
    }
    Ok(is_owned)
}

#[cfg(unix)]
mod unix {
    use std::io::{self, Read};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::sync::OnceLock;
    use std::sync::atomic::Ordering;

    use crate::interrupts::COUNT;
    use streetflow::{Error, ErrorKind};

    /// Number of the signal, on every Unix.
    const SIGINT: u8 = 2;

    /// The process, the end that is read, and the end into which Python writes. They are open as long as the process.
    static ENDS: OnceLock<(u32, UnixStream, UnixStream)> = OnceLock::new();

    /// The descriptor into which Python writes the numbers of signals. A forked process has none: its parent reads it.
    pub(super) fn descriptor() -> streetflow::Result<Option<i32>> {
        if ENDS.get().is_none() {
            let open = || -> io::Result<_> {
                let (read, written) = UnixStream::pair()?;
                read.set_nonblocking(true)?;
                written.set_nonblocking(true)?;
                Ok((std::process::id(), read, written))
            };
            let failed = |error| Error::new(ErrorKind::Io, "open a socket for signals").with_source(error);
            // Another thread may have been faster.
            ENDS.set(open().map_err(failed)?).ok();
        }
        Ok(ends().map(|(_, written)| written.as_raw_fd()))
    }

    fn ends() -> Option<(&'static UnixStream, &'static UnixStream)> {
        let (process, read, written) = ENDS.get()?;
        (*process == std::process::id()).then_some((read, written))
    }

    /// Counts the signals that have arrived.
    pub(super) fn drain() {
        let Some((mut read, _)) = ends() else { return };
        let mut numbers = [0; 64];
        while let Ok(count @ 1..) = read.read(&mut numbers) {
            if numbers[..count].contains(&SIGINT) {
                COUNT.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::errors::Attempt;
    use crate::interrupts::COUNT;

    /// Counts interruptions in a task. There is no descriptor.
    pub(super) fn listen() -> Attempt<Option<i32>> {
        static LISTENS: AtomicBool = AtomicBool::new(false);

        if !LISTENS.swap(true, Ordering::AcqRel) {
            crate::runtime::runtime()?.spawn(async {
                while tokio::signal::ctrl_c().await.is_ok() {
                    COUNT.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        Ok(None)
    }
}
