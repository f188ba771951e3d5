//! The mock server with pictures of one size for `compare`. Runs until its standard input ends.
//!
//! `cargo bench --bench serve -- --images 1300 --picture-bytes 217000 --latency 0` prints the environment to set.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench")]

use std::io::Read;
use std::time::Duration;

use streetflow_sandbox::{MockData, Sandbox};

fn number(name: &str, default: u64) -> u64 {
    let args: Vec<String> = std::env::args().collect();
    let at = args.iter().position(|arg| arg == name);
    at.and_then(|at| args.get(at + 1)).map_or(default, |number| number.parse().unwrap())
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` only checks that the bench starts.
    if !std::env::args().any(|arg| arg == "--images") {
        return;
    }
    let sandbox = Sandbox::builder()
        .mock_data(MockData::with_image_count(number("--images", 1300), 1))
        .picture_bytes(usize::try_from(number("--picture-bytes", 217_000)).unwrap())
        .latency(Duration::from_millis(number("--latency", 0)))
        .record_requests(false)
        .start()
        .await
        .unwrap();
    println!("MAPILLARY_GRAPH_URL={}", sandbox.graph_url());
    println!("MAPILLARY_TILES_URL={}", sandbox.tiles_url());
    println!("MAPILLARY_TOKEN={}", Sandbox::TOKEN);
    let wait = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    wait.await.unwrap().unwrap();
}
