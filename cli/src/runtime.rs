//! The runtime of the command. It starts all threads before the command, so that a thread limit of the system is an error
//! at the start and not in the middle of a crawl.
//!
//! Tokio starts blocking threads on demand; if the system refuses one, it panics or waits forever.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::sync::lock;
use streetflow::{Error, ErrorKind, Result};

/// Maximum number of blocking threads, for example for writing files: one per request by default.
const MAX_BLOCKING: usize = 64;

/// Minimum number of blocking threads. With fewer, the writers of all tables could occupy the pool.
const MIN_BLOCKING: usize = 16;

/// Threads outside the pools: for reading tables and for syncing the response store.
const OTHER_THREADS: usize = 6;

/// How long all threads may take to start: microseconds, or more on an overloaded machine.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle blocking threads stay alive for the whole run.
const KEEP_ALIVE: Duration = Duration::from_hours(365 * 24);

/// The number of threads of each pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    workers: usize,
    blocking: usize,
}

impl Plan {
    /// The largest pools within a number of threads, or `None` if that is too few.
    fn within(threads: usize, cores: usize) -> Option<Self> {
        let for_runtime = threads.checked_sub(OTHER_THREADS)?;
        let workers = cores.min((for_runtime / 4).max(1));
        let blocking = for_runtime.saturating_sub(workers).min(MAX_BLOCKING);
        (blocking >= MIN_BLOCKING).then_some(Self { workers, blocking })
    }

    fn threads(self) -> usize {
        self.workers + self.blocking
    }
}

/// Runs a few requests on this thread, before the runtime of the command starts.
///
/// Connections must not be used after it.
pub(crate) fn block_on_current<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::thread_refused)?;
    runtime.block_on(work)
}

/// Starts a runtime with all its threads. If the system refuses them, the error contains the limit.
pub(crate) fn start() -> Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let wanted = cores + MAX_BLOCKING + OTHER_THREADS;
    let mut refusal = None;
    for attempt in 0..3 {
        let (granted, refused) = count_granted(wanted);
        let Some(plan) = Plan::within(granted, cores) else {
            return Err(refused.map_or_else(
                || too_few(granted),
                |error| {
                    Error::thread_refused(error).with_location(format!(
                        "{} of {}",
                        granted + 1,
                        MIN_BLOCKING + OTHER_THREADS + 1
                    ))
                },
            ));
        };
        if refused.is_some() {
            // A joined thread may count towards the limit for a moment.
            thread::sleep(Duration::from_millis(10 << attempt));
        }
        match start_plan(plan) {
            Ok(runtime) => return Ok(runtime),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(|| too_few(0)))
}

fn too_few(granted: usize) -> Error {
    Error::thread_refused(io::Error::other(format!("only {granted} could be started")))
}

/// Starts up to `wanted` threads at once and ends them. Returns how many started, and the error of the next one.
fn count_granted(wanted: usize) -> (usize, Option<io::Error>) {
    let gate = Arc::new(Mutex::new(()));
    let closed = lock(&gate);
    let (mut threads, mut refused) = (Vec::with_capacity(wanted), None);
    for _ in 0..wanted {
        let gate = Arc::clone(&gate);
        let wait = move || drop(gate.lock());
        match thread::Builder::new().spawn(wait) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    drop(closed);
    let granted = threads.len();
    for thread in threads {
        thread.join().ok();
    }
    (granted, refused)
}

/// Starts a runtime and waits until all its threads run.
fn start_plan(plan: Plan) -> Result<Runtime> {
    let to_error = |error: io::Error| Error::thread_refused(error);
    let started = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&started);
    let mut builder = Builder::new_multi_thread();
    builder
        .enable_all()
        .worker_threads(plan.workers)
        .max_blocking_threads(plan.blocking)
        .thread_keep_alive(KEEP_ALIVE)
        .on_thread_start(move || {
            counting.fetch_add(1, Ordering::Relaxed);
        });
    // Tokio panics if the system refuses the first thread.
    let warm = || -> io::Result<Runtime> {
        let runtime = builder.build()?;
        let gate = Arc::new(Mutex::new(()));
        let closed = lock(&gate);
        for _ in 0..plan.blocking {
            let gate = Arc::clone(&gate);
            drop(runtime.spawn_blocking(move || drop(gate.lock())));
        }
        let start = Instant::now();
        while started.load(Ordering::Relaxed) < plan.threads() {
            if start.elapsed() > START_TIMEOUT {
                drop(closed);
                runtime.shutdown_background();
                return Err(io::Error::other(format!(
                    "only {} of {} could be started",
                    started.load(Ordering::Relaxed),
                    plan.threads()
                )));
            }
            thread::sleep(Duration::from_micros(100));
        }
        drop(closed);
        Ok(runtime)
    };
    panic::catch_unwind(AssertUnwindSafe(warm))
        .unwrap_or_else(|_| Err(io::Error::other("the system refused a thread")))
        .map_err(to_error)
}

/// Runs a future. A panic becomes an error, instead of a deadlock of the other threads.
pub(crate) fn block_on<T>(runtime: &Runtime, work: impl Future<Output = T>) -> Result<T> {
    panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work))).map_err(|_| {
        Error::new(ErrorKind::Io, "continue")
            .with_source("a thread panicked, see the message above")
            .with_hint("this is a bug in streetflow, please report it; run the same command again to resume")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_needs_no_more_threads_than_granted() {
        for cores in [1, 2, 8, 256] {
            for threads in 0..500 {
                let Some(plan) = Plan::within(threads, cores) else {
                    assert!(threads < 29, "{threads} threads are enough");
                    continue;
                };
                assert!(plan.threads() + OTHER_THREADS <= threads, "{plan:?} of {threads}");
                assert!((1..=cores).contains(&plan.workers) && plan.blocking >= MIN_BLOCKING, "{plan:?}");
            }
        }
        assert_eq!(Plan::within(1000, 8), Some(Plan { workers: 8, blocking: MAX_BLOCKING }));
    }

    #[test]
    fn more_work_than_threads_is_finished() {
        let plan = Plan { workers: 1, blocking: MIN_BLOCKING };
        let runtime = start_plan(plan).expect("threads");
        let done = runtime.block_on(async {
            let works: Vec<_> = (0..200).map(|_| tokio::task::spawn_blocking(|| ())).collect();
            futures::future::join_all(works).await
        });
        assert!(done.into_iter().all(|work| work.is_ok()));
    }

    #[test]
    fn a_panic_is_an_error() {
        let runtime = start_plan(Plan { workers: 1, blocking: MIN_BLOCKING }).expect("threads");
        let error = block_on(&runtime, async { panic!("on purpose") }).expect_err("a panic");
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
