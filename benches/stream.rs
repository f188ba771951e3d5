//! Not a bench: reads the images of the whole world to the end of the flow, for `python/benches/run.py`.
//!
//! `cargo bench --bench stream --features internals -- --fields captured_at,geometry` takes hosts and token from the
//! environment, and prints rows, seconds, peak memory in MiB and seconds of CPU time as JSON.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench")]

mod support;

use std::time::Instant;

use futures::StreamExt;
use streetflow::{Bbox, Client, Query};

#[tokio::main]
async fn main() {
    // `cargo test --benches` only checks that the bench starts.
    let args: Vec<String> = std::env::args().collect();
    let Some(at) = args.iter().position(|arg| arg == "--fields") else { return };
    let mut query = Query::within("-180,-85,180,85".parse::<Bbox>().unwrap());
    query.fields = args[at + 1].parse().unwrap();
    let client = Client::from_env().unwrap();

    let (start, cpu) = (Instant::now(), support::cpu());
    let mut images = query.metadata(&client).await.unwrap();
    let mut rows = 0_u64;
    while let Some(image) = images.next().await {
        // Deleted images are in the mock data.
        rows += u64::from(image.is_ok());
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), support::cpu().saturating_sub(cpu).as_secs_f64());
    println!("[{rows}, {wall}, {}, {cpu}]", peak_memory());
}

/// Peak memory in MiB, or 0 where the system does not tell it in this way.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
