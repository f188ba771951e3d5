//! What the benches share: words of the command line, clocks, and how a figure is printed.
#![allow(dead_code, reason = "each bench uses a part of it")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench")]

pub(crate) mod net;
pub(crate) mod plot;
pub(crate) mod table;
pub(crate) mod tile;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the command line says.
pub(crate) struct Args {
    /// `cargo test --benches` only wants to know that it runs; `cargo bench` says `--bench`.
    pub(crate) quick: bool,
    /// One turn of each, for the files that it leaves.
    once: bool,
    /// One JSON object a figure, for a script.
    pub(crate) json: bool,
    /// Only works whose name has this in it.
    only: Option<String>,
    /// A tile whose memory is asked for, and nothing else.
    pub(crate) peak: Option<PathBuf>,
    /// Where files go that others read too.
    pub(crate) folder: Option<PathBuf>,
}

impl Args {
    /// Reads `--json`, `--once`, `--peak FILE`, `--only TEXT` and `--folder DIR`; the rest is Cargo's.
    pub(crate) fn read() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let after = |name| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1).cloned());
        let has = |name: &str| args.iter().any(|arg| arg == name);
        Self {
            quick: !has("--bench") && !has("--json"),
            once: has("--once"),
            json: has("--json"),
            only: after("--only"),
            peak: after("--peak").map(PathBuf::from),
            folder: after("--folder").map(PathBuf::from),
        }
    }

    /// Whether a work is asked for.
    pub(crate) fn wants(&self, work: &str) -> bool {
        self.only.as_ref().is_none_or(|only| work.contains(only.as_str()))
    }

    /// So many, or few if it is only to run.
    pub(crate) fn size(&self, full: usize) -> usize {
        if self.quick { full.min(300) } else { full }
    }

    /// Prints what a work took for so many items.
    pub(crate) fn tell(&self, work: &str, items: usize, cost: Cost, bytes: Option<u64>) {
        let (cpu, wall) = (cost.cpu.as_secs_f64(), cost.wall.as_secs_f64());
        if self.json {
            let bytes = bytes.map_or_else(|| "null".to_owned(), |bytes| bytes.to_string());
            println!(
                "{{\"work\":\"{work}\",\"items\":{items},\"cpu\":{cpu:.6},\"wall\":{wall:.6},\"bytes\":{bytes}}}"
            );
        } else {
            let each = bytes.map_or_else(String::new, |bytes| format!("{:.1}", bytes as f64 / items as f64));
            let (by_cpu, by_wall) = (items as f64 / cpu / 1e6, items as f64 / wall / 1e6);
            println!("{work:<34} {by_cpu:>12.2} {by_wall:>12.2} {each:>12}");
        }
    }

    /// The head of what `tell` prints for people.
    pub(crate) fn head(&self, items: &str) {
        if !self.json {
            let (by_cpu, by_wall) = (format!("M {items}/CPU-s"), format!("M {items}/s"));
            println!("{:<34} {by_cpu:>12} {by_wall:>12} {:>12}", "work", "bytes each");
        }
    }
}

/// What one turn of a work took, in processor time of all threads and by the clock.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

/// The least of several turns: until they took two seconds, and three at least.
pub(crate) fn best<T>(args: &Args, mut work: impl FnMut() -> T) -> Cost {
    let (least, enough) = if args.quick || args.once { (1, 0) } else { (3, 2) };
    let begun = Instant::now();
    let mut best = Cost { cpu: Duration::MAX, wall: Duration::MAX };
    let mut turns = 0;
    while turns < least || (begun.elapsed().as_secs() < enough && turns < 2000) {
        let (cpu, wall) = (cpu(), Instant::now());
        black_box(work());
        best.wall = best.wall.min(wall.elapsed());
        best.cpu = best.cpu.min(self::cpu().saturating_sub(cpu));
        turns += 1;
    }
    best
}

/// Processor time of this process so far, threads that ended included.
#[cfg(unix)]
pub(crate) fn cpu() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// Elsewhere the time on the wall since the first call.
#[cfg(not(unix))]
pub(crate) fn cpu() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}
