//! The response store: metadata without it, written to it and read from it, and opening a full store.
//!
//! The mock server runs in the same process, so only differences are meaningful. See README.md in this folder.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::unwrap_used, reason = "a bench")]

mod support;

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use streetflow::client::ResponseStore;
use streetflow::{Client, FetchMetadata, Image, Stage};
use streetflow_sandbox::{MockData, Sandbox};
use support::{Args, Cost, best, net};

fn open(folder: &Path) -> ResponseStore {
    ResponseStore::open(folder, "a bench").unwrap()
}

fn main() {
    let args = Args::read();
    let count = args.size(100_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let data = MockData::with_image_count(count as u64 + 1000, 1);
    let sandbox =
        runtime.block_on(Sandbox::builder().mock_data(data).record_requests(false).start()).unwrap();
    let images = net::images(sandbox.mock_data(), count);
    let fetch = |client: &Client| runtime.block_on(fetch(client, &images));
    println!("| {count} images | CPU µs per image | Wall µs per image |\n|---|--:|--:|");
    let tell = |what: &str, cost: Cost| {
        let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / count as f64;
        println!("| {what} | {:.3} | {:.3} |", each(cost.cpu), each(cost.wall));
    };
    let plain = net::client(&sandbox, 64).build().unwrap();
    tell("without a store", best(&args, || fetch(&plain)));
    let cost = best(&args, || {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let found = fetch(&net::client(&sandbox, 64).response_store(&store).build().unwrap());
        store.close().unwrap();
        found
    });
    tell("written to a store", cost);
    let folder = tempfile::tempdir().unwrap();
    let full = open(folder.path());
    let found = fetch(&net::client(&sandbox, 64).response_store(&full).build().unwrap());
    full.close().unwrap();
    let bytes: u64 =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    sandbox.clear_requests();
    let cost = best(&args, || {
        let store = open(folder.path());
        let stored = fetch(&net::client(&sandbox, 64).response_store(&store).build().unwrap());
        assert_eq!(stored, found);
    });
    tell("read from a store", cost);
    tell("open the store", best(&args, || open(folder.path())));
    println!("{} responses, {:.0} bytes per image", open(folder.path()).len(), bytes as f64 / count as f64);
}

async fn fetch(client: &Client, images: &[Image]) -> usize {
    let images: Vec<_> = images.iter().cloned().map(Ok).collect();
    let found = FetchMetadata::new(client).apply(stream::iter(images).boxed());
    // Some images of the mock data are deleted.
    found
        .filter(|found| std::future::ready(found.is_ok()))
        .try_fold(0, |count, _| async move { Ok(count + 1) })
        .await
        .unwrap()
}
