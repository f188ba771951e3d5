//! Shared parts of the benches: arguments, clocks, and the output of figures.
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

/// The command-line arguments.
pub(crate) struct Args {
    /// Small sizes, for `cargo test --benches`. `cargo bench` passes `--bench`.
    pub(crate) quick: bool,
    /// One round of each work, to write its files.
    once: bool,
    /// One JSON object per figure, for scripts.
    pub(crate) json: bool,
    /// Only works with this text in their name.
    only: Option<String>,
    /// Only the peak memory of decoding this tile.
    pub(crate) peak: Option<PathBuf>,
    /// Folder for files that other programs read too.
    pub(crate) folder: Option<PathBuf>,
    /// Number of rows instead of the usual one.
    rows: Option<usize>,
    /// Only the data for other programs, in these formats.
    pub(crate) prepare: Option<String>,
}

impl Args {
    /// Parses `--json`, `--once`, `--peak FILE`, `--only TEXT`, `--folder DIR`, `--rows N` and `--prepare FORMAT,…`.
    /// Ignores the arguments of Cargo.
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
            rows: after("--rows").map(|rows| rows.parse().unwrap()),
            prepare: after("--prepare"),
        }
    }

    /// Returns whether a work is selected.
    pub(crate) fn selects(&self, work: &str) -> bool {
        self.only.as_ref().is_none_or(|only| work.contains(only.as_str()))
    }

    /// Returns the full size, or a small one for a quick run.
    pub(crate) fn size(&self, full: usize) -> usize {
        let full = self.rows.unwrap_or(full);
        if self.quick { full.min(300) } else { full }
    }

    /// Prints the cost of a work for a number of items.
    pub(crate) fn print(&self, work: &str, items: usize, cost: Cost, bytes: Option<u64>) {
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

    /// Prints the header of the table of [`Args::print`].
    pub(crate) fn print_header(&self, items: &str) {
        if !self.json {
            let (by_cpu, by_wall) = (format!("M {items}/CPU-s"), format!("M {items}/s"));
            println!("{:<34} {by_cpu:>12} {by_wall:>12} {:>12}", "work", "bytes each");
        }
    }
}

/// The cost of one round of a work: CPU time of all threads, and wall time.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

/// Returns the minimum cost of at least three rounds and two seconds.
pub(crate) fn best<T>(args: &Args, mut work: impl FnMut() -> T) -> Cost {
    let (min_rounds, min_seconds) = if args.quick || args.once { (1, 0) } else { (3, 2) };
    let started = Instant::now();
    let mut best = Cost { cpu: Duration::MAX, wall: Duration::MAX };
    let mut rounds = 0;
    while rounds < min_rounds || (started.elapsed().as_secs() < min_seconds && rounds < 2000) {
        let (cpu, wall) = (cpu(), Instant::now());
        black_box(work());
        best.wall = best.wall.min(wall.elapsed());
        best.cpu = best.cpu.min(self::cpu().saturating_sub(cpu));
        rounds += 1;
    }
    best
}

/// Returns the CPU time of this process, including ended threads.
#[cfg(unix)]
pub(crate) fn cpu() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// Returns the wall time since the first call, because CPU time is not available.
#[cfg(not(unix))]
pub(crate) fn cpu() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}
