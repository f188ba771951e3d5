//! `--pictures tar`: shards that are complete or absent, and the same after any interruption.

use std::collections::BTreeMap;
use std::path::Path;

use streetflow::sinks::Shard;
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{names, read, run};

const CRAWL: &str = "crawl --bbox 33.33,35.15,33.39,35.19 --pictures tar --shard-rows 100";
const PICTURES: &str = "outputs/downloaded_images";

async fn crawl(sandbox: &Sandbox, folder: &Path, more: &str, expected: i32) -> String {
    sandbox.clear_requests();
    let (exit, text) = run(sandbox, folder, format!("{CRAWL} {more}").split_whitespace()).await;
    assert_eq!(exit, expected, "{text}");
    text
}

fn shards(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = folder.join(PICTURES);
    names(&folder)
        .into_iter()
        .map(|name| (name.clone(), std::fs::read(folder.join(&name)).unwrap()))
        .collect()
}

fn pictures(sandbox: &Sandbox) -> usize {
    sandbox.requests().iter().filter(|request| request.host == Host::Images).count()
}

/// The ids of the samples, by shard.
fn samples(folder: &Path) -> Vec<Vec<String>> {
    let of_shard = |name: &String| {
        let shard = Shard::open(folder.join(PICTURES).join(name)).unwrap();
        let names: Vec<_> = shard.names().map(str::to_owned).collect();
        let ids: Vec<_> =
            names.iter().filter_map(|name| name.strip_suffix(".jpg").map(str::to_owned)).collect();
        let sidecars: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".json")).collect();
        assert_eq!(ids, sidecars);
        ids
    };
    names(&folder.join(PICTURES))
        .iter()
        .filter(|name| name.strip_suffix(".tar").is_some())
        .map(of_shard)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_table_decide_the_shards_and_failed_pictures_are_added_later() {
    let sandbox = Sandbox::start().await.unwrap();
    let [calm, folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    crawl(&sandbox, calm.path(), "", 0).await;
    let table = read(calm.path(), "outputs/img_meta_dataset.csv");
    let rows: Vec<_> = table.lines().skip(1).map(|row| row.split(',').nth(1).unwrap().to_owned()).collect();
    let found = samples(calm.path());
    assert_eq!(found.len(), rows.len().div_ceil(100));
    for (shard, rows) in found.iter().zip(rows.chunks(100)) {
        assert!(shard.len() * 10 > rows.len() * 8, "{} of {} rows", shard.len(), rows.len());
        let expected: Vec<_> = rows.iter().filter(|id| shard.contains(id)).cloned().collect();
        assert_eq!(*shard, expected, "in the order of the table");
    }
    // Complete shards are read and not requested again.
    let before = shards(calm.path());
    crawl(&sandbox, calm.path(), "", 0).await;
    // Those that are gone are requested again, with two URLs at most.
    let gone = rows.len() - found.iter().map(Vec::len).sum::<usize>();
    assert!(pictures(&sandbox) <= 2 * gone && shards(calm.path()) == before);
    // Every seventh picture fails once.
    sandbox.add_rule(Rule::on(Host::Images).every_nth(7).fault(Fault::status(500, "")));
    crawl(&sandbox, folder.path(), "--attempts 1", 3).await;
    assert!(samples(folder.path()).iter().map(Vec::len).sum::<usize>() < found.iter().map(Vec::len).sum());
    sandbox.clear_rules();
    crawl(&sandbox, folder.path(), "", 0).await;
    assert!(pictures(&sandbox) < rows.len() / 4, "only the rest is requested");
    assert!(shards(folder.path()) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_another_quality_or_another_table_are_refused_and_unchanged() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    crawl(&sandbox, folder.path(), "", 0).await;
    let before = shards(folder.path());
    for more in ["--quality 1024", "--shard-rows 50", "--layout date"] {
        let args = format!("{} {more}", CRAWL.trim_end_matches(" --shard-rows 100"));
        let (exit, text) = run(&sandbox, folder.path(), args.split_whitespace()).await;
        assert_eq!(exit, 2, "{more}: {text}");
        assert!(shards(folder.path()) == before, "{more}");
    }
}
