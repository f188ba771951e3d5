//! The threads of a run: all that it needs for long are started before its work begins, so that a limit of the system is
//! met then, with a word on it, and not in the middle of a crawl.
//!
//! The runtime starts threads when it needs them, and panics, or waits for ever, where the system refuses one.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use streetflow::{Error, ErrorKind, Result};

/// So many threads for work that blocks, such as writing and naming files: one for each request by default.
const MOST_BLOCKING: usize = 64;

/// With fewer, the writers of all tables could keep the pool from everything else.
const LEAST_BLOCKING: usize = 16;

/// So many are left for threads of their own: those that read tables, and the one that syncs the store.
const OTHERS: usize = 6;

/// Started threads are there within microseconds; on a machine that is overloaded it may take longer.
const LONGEST_START: Duration = Duration::from_secs(5);

/// No thread of the pool ends before the process.
const FOREVER: Duration = Duration::from_hours(365 * 24);

/// How many threads there are of each sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    workers: usize,
    blocking: usize,
}

impl Plan {
    /// As many as there can be; none where that is too few.
    fn within(threads: usize, cores: usize) -> Option<Self> {
        let for_runtime = threads.checked_sub(OTHERS)?;
        let workers = cores.min((for_runtime / 4).max(1));
        let blocking = for_runtime.saturating_sub(workers).min(MOST_BLOCKING);
        (blocking >= LEAST_BLOCKING).then_some(Self { workers, blocking })
    }

    fn threads(self) -> usize {
        self.workers + self.blocking
    }
}

/// A runtime with all of its threads running; an error that names the limit where the system refuses them.
pub(crate) fn start() -> Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let wanted = cores + MOST_BLOCKING + OTHERS;
    let mut refusal = None;
    for attempt in 0..3 {
        let (granted, refused) = granted(wanted);
        let Some(plan) = Plan::within(granted, cores) else {
            return Err(refused.map_or_else(
                || too_few(granted),
                |error| {
                    Error::thread_refused(error).with_location(format!(
                        "{} of {}",
                        granted + 1,
                        LEAST_BLOCKING + OTHERS + 1
                    ))
                },
            ));
        };
        if refused.is_some() {
            // A thread that has been joined may count for a moment longer.
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

/// How many threads the system grants, up to so many, and why no more.
fn granted(wanted: usize) -> (usize, Option<io::Error>) {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Makes a runtime and waits until all of its threads run.
fn start_plan(plan: Plan) -> Result<Runtime> {
    let refuse = |error: io::Error| Error::thread_refused(error);
    let started = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&started);
    let mut builder = Builder::new_multi_thread();
    builder
        .enable_all()
        .worker_threads(plan.workers)
        .max_blocking_threads(plan.blocking)
        .thread_keep_alive(FOREVER)
        .on_thread_start(move || {
            counting.fetch_add(1, Ordering::Relaxed);
        });
    // It panics where a first thread is refused.
    let warm = || -> io::Result<Runtime> {
        let runtime = builder.build()?;
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..plan.blocking {
            let gate = Arc::clone(&gate);
            drop(runtime.spawn_blocking(move || drop(gate.lock())));
        }
        let begun = Instant::now();
        while started.load(Ordering::Relaxed) < plan.threads() {
            if begun.elapsed() > LONGEST_START {
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
        .unwrap_or_else(|_| Err(io::Error::other("the system refused one")))
        .map_err(refuse)
}

/// Runs what a command does; a panic ends it with an error instead of leaving threads that wait for one another.
pub(crate) fn block_on<T>(runtime: &Runtime, work: impl Future<Output = T>) -> Result<T> {
    panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work))).map_err(|_| {
        Error::new(ErrorKind::Io, "go on").with_source("a part of the program gave up, as told above").with_hint(
            "this is a fault of streetflow: please report it; the same command goes on from what was done",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_keeps_within_what_is_granted() {
        for cores in [1, 2, 8, 256] {
            for threads in 0..500 {
                let Some(plan) = Plan::within(threads, cores) else {
                    assert!(threads < 29, "{threads} threads are enough");
                    continue;
                };
                assert!(plan.threads() + OTHERS <= threads, "{plan:?} of {threads}");
                assert!((1..=cores).contains(&plan.workers) && plan.blocking >= LEAST_BLOCKING, "{plan:?}");
            }
        }
        assert_eq!(Plan::within(1000, 8), Some(Plan { workers: 8, blocking: MOST_BLOCKING }));
    }

    #[test]
    fn more_work_than_threads_is_done_all_the_same() {
        let plan = Plan { workers: 1, blocking: LEAST_BLOCKING };
        let runtime = start_plan(plan).expect("threads");
        let done = runtime.block_on(async {
            let works: Vec<_> = (0..200).map(|_| tokio::task::spawn_blocking(|| ())).collect();
            futures::future::join_all(works).await
        });
        assert!(done.into_iter().all(|work| work.is_ok()));
    }

    #[test]
    fn a_panic_is_an_error() {
        let runtime = start_plan(Plan { workers: 1, blocking: LEAST_BLOCKING }).expect("threads");
        let error = block_on(&runtime, async { panic!("on purpose") }).expect_err("a panic");
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
