//! The tile cache across runs, and damage to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use streetflow::client::TileCache;
use streetflow::geo::TileId;
use streetflow::{Event, Tally};
use streetflow_sandbox::{Fault, Host, MockData, Rule, Sandbox};
use tempfile::TempDir;

use crate::support::{builder, command_on, eventually, output};

const CYPRUS: &str = "--bbox=32.19,34.52,34.18,35.49";
const DAY: Duration = Duration::from_hours(24);

/// Returns the command `sequences` in a new folder with a tile cache in `cache`.
fn sequences(sandbox: &Sandbox, cache: &Path, args: &str) -> (TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command_on(sandbox, folder.path());
    command.env("STREETFLOW_CACHE_DIR", cache).arg("sequences").args(args.split_whitespace());
    (folder, command)
}

async fn run(sandbox: &Sandbox, cache: &Path, args: &str) -> (i32, String, Option<Vec<u8>>) {
    let (folder, command) = sequences(sandbox, cache, args);
    let (exit, stderr) = output(command).await;
    (exit, stderr, fs::read(folder.path().join("outputs/seq_dataset.csv")).ok())
}

fn take_tile_requests(sandbox: &Sandbox) -> usize {
    let take_tile_requests = sandbox.requests_to(Host::Tiles).len();
    sandbox.clear_requests();
    take_tile_requests
}

/// Returns all files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

fn tiles(folder: &Path) -> Vec<PathBuf> {
    let mut tiles = files(folder);
    tiles.retain(|path| path.extension().is_some_and(|ending| ending == "tile"));
    tiles
}

fn area(args: &str) -> String {
    format!("{CYPRUS} --tile-cache-age 24h {args}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_requests_no_tile_and_writes_the_same_table() {
    let sandbox = Sandbox::start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let (exit, stderr, plain) = run(&sandbox, cache.path(), CYPRUS).await;
    assert_eq!(
        (exit, files(cache.path())),
        (0, vec![]),
        "off against another host than Mapillary's: {stderr}"
    );
    let all = take_tile_requests(&sandbox);
    let (exit, stderr, first) = run(&sandbox, cache.path(), &area("")).await;
    assert!(exit == 0 && !stderr.contains("cache"), "{stderr}");
    assert_eq!(take_tile_requests(&sandbox), all);
    assert_eq!(tiles(cache.path()).len(), all);
    // Cached tiles do not wait for the rate limit: here, the second request would wait for fifty minutes.
    let (exit, stderr, second) = run(&sandbox, cache.path(), &area("--tile-rate 0.02")).await;
    assert_eq!((exit, take_tile_requests(&sandbox)), (0, 0), "{stderr}");
    let reported =
        format!("{all} tiles from the cache of the last 24 h; `--tile-cache-age 0` requests them again");
    assert!(stderr.contains(&reported), "{stderr}");
    assert!(plain.is_some() && first == plain && second == plain);
    for file in files(cache.path()) {
        let bytes = fs::read(&file).unwrap();
        let secret = Sandbox::TOKEN.rsplit('|').next().unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "the token in {}", file.display());
        assert!(!file.to_str().unwrap().contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_serve_any_box_and_any_owner() {
    let sandbox = Sandbox::start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    run(&sandbox, cache.path(), &area("--exhaustive --max-zoom 12")).await;
    run(&sandbox, cache.path(), &area("--max-zoom 12")).await;
    assert!(take_tile_requests(&sandbox) > 0);
    let owned = format!("--org-id {} --max-zoom 12", MockData::ORGANIZATION);
    for args in
        [area(&owned), "--bbox=32.9,34.9,33.6,35.3 --exhaustive --max-zoom 12 --tile-cache-age 1d".into()]
    {
        let (exit, stderr, cached) = run(&sandbox, cache.path(), &args).await;
        assert_eq!((exit, take_tile_requests(&sandbox)), (0, 0), "{args}: {stderr}");
        let (_, _, plain) =
            run(&sandbox, cache.path(), &args.replace("-age 24h", "-age 0").replace("-age 1d", "-age 0"))
                .await;
        assert!(take_tile_requests(&sandbox) > 0, "0 asks anew");
        assert!(plain.is_some() && cached == plain, "{args}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_tiles_are_requested_again_and_age_zero_disables_the_cache() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tile = TileId { z: 8, x: 151, y: 101 };
    let with = |age| {
        let tally = Arc::new(Tally::default());
        let cache = TileCache::open(folder.path(), age);
        let client = builder(&sandbox).tile_cache(&cache).observer(Arc::clone(&tally) as _).build().unwrap();
        (client, tally)
    };
    let (client, _) = with(Duration::ZERO);
    client.tile(tile).await.unwrap();
    assert_eq!((take_tile_requests(&sandbox), files(folder.path())), (1, vec![]));
    let (client, tally) = with(DAY);
    let bytes = client.tile(tile).await.unwrap();
    assert!(!bytes.is_empty());
    assert_eq!(client.tile(tile).await.unwrap(), bytes);
    assert_eq!((take_tile_requests(&sandbox), tally.tile_cache_hits()), (1, 1));
    let (client, tally) = with(Duration::from_millis(1));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(client.tile(tile).await.unwrap(), bytes);
    assert_eq!((take_tile_requests(&sandbox), tally.tile_cache_hits()), (1, 0));
    let (client, _) = with(Duration::ZERO);
    client.tile(tile).await.unwrap();
    assert_eq!(take_tile_requests(&sandbox), 1, "zero disables reading too");
    assert_eq!(tiles(folder.path()).len(), 1, "existing files are unchanged");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_tile_is_cached_too() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let client = builder(&sandbox).tile_cache(&TileCache::open(folder.path(), DAY)).build().unwrap();
    let sea = TileId { z: 14, x: 3, y: 3 };
    for _ in 0..2 {
        assert!(client.tile(sea).await.unwrap().is_empty());
    }
    assert_eq!(take_tile_requests(&sandbox), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_cache_files_are_ignored_and_replaced() {
    let sandbox = Sandbox::start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let (_, _, plain) = run(&sandbox, cache.path(), &area("")).await;
    let all = take_tile_requests(&sandbox);
    let kept = tiles(cache.path());
    for (number, path) in kept.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        match number % 6 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.clear(),
            2 => {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
            }
            3 => bytes = b"<!doctype html>".to_vec(),
            // Valid, but of another tile.
            4 => bytes = fs::read(&kept[(number + 1) % kept.len()]).unwrap(),
            _ => bytes[20] ^= 1,
        }
        fs::write(path, bytes).unwrap();
    }
    let (exit, stderr, repeated) = run(&sandbox, cache.path(), &area("")).await;
    assert!(exit == 0 && !stderr.contains("warning"), "{stderr}");
    assert_eq!(take_tile_requests(&sandbox), all);
    assert!(repeated == plain);
    let (_, _, third) = run(&sandbox, cache.path(), &area("")).await;
    assert_eq!(take_tile_requests(&sandbox), 0, "they were replaced");
    assert!(third == plain);
    // A folder in the place of a tile, and a foreign file beside it: both stay.
    fs::remove_file(&kept[0]).unwrap();
    fs::create_dir_all(kept[0].join("mine")).unwrap();
    fs::write(cache.path().join("tiles/notes.txt"), "mine").unwrap();
    let (exit, stderr, fourth) = run(&sandbox, cache.path(), &area("")).await;
    assert!(exit == 0 && !stderr.contains("warning"), "{stderr}");
    assert_eq!(take_tile_requests(&sandbox), 1);
    assert!(
        fourth == plain && kept[0].join("mine").exists() && cache.path().join("tiles/notes.txt").exists()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_can_be_removed_during_a_run() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(3)).start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let (_, _, plain) = run(&sandbox, cache.path(), CYPRUS).await;
    for _ in 0..3 {
        let (folder, mut command) = sequences(&sandbox, cache.path(), &area(""));
        let mut child = command.spawn().unwrap();
        let mut removed = 0;
        let exit = loop {
            if let Some(exit) = child.try_wait().unwrap() {
                break exit;
            }
            removed += usize::from(!tiles(cache.path()).is_empty());
            fs::remove_dir_all(cache.path().join("tiles")).ok();
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert!(exit.success() && removed > 0, "{removed}");
        assert!(fs::read(folder.path().join("outputs/seq_dataset.csv")).ok() == plain);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_share_a_cache() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(3)).start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let (_, _, plain) = run(&sandbox, cache.path(), CYPRUS).await;
    let all = take_tile_requests(&sandbox);
    let args = area("");
    let (one, two) = tokio::join!(run(&sandbox, cache.path(), &args), run(&sandbox, cache.path(), &args));
    for (exit, stderr, table) in [one, two] {
        assert!(exit == 0 && !stderr.contains("warning"), "{stderr}");
        assert!(table == plain);
    }
    assert!((all..=2 * all).contains(&take_tile_requests(&sandbox)));
    let (_, _, third) = run(&sandbox, cache.path(), &args).await;
    assert_eq!(take_tile_requests(&sandbox), 0);
    assert!(third == plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_tiles_are_removed_above_the_size_limit() {
    const BOUND: u64 = 40 * 4096;
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cache = TileCache::open(folder.path(), DAY).max_bytes(BOUND);
    let client = builder(&sandbox).tile_cache(&cache).build().unwrap();
    let size = || {
        tiles(folder.path())
            .iter()
            .map(|path| path.metadata().map_or(0, |found| found.len().div_ceil(4096) * 4096))
            .sum::<u64>()
    };
    let row = |y: u32| (0..36).map(move |x| TileId { z: 14, x, y });
    for tile in row(1) {
        client.tile(tile).await.unwrap();
    }
    eventually("the cache was cleaned up", || folder.path().join("held").exists()).await;
    let old: Vec<_> = tiles(folder.path());
    assert_eq!(old.len(), 36, "everything is below the limit");
    for path in &old {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_hours(2)).unwrap();
    }
    for y in 2..8 {
        for tile in row(y) {
            client.tile(tile).await.unwrap();
        }
        eventually("the cache is below the limit", || size() <= BOUND).await;
        assert!(size() > 0);
    }
    assert!(old.iter().all(|path| !path.exists()), "the oldest tiles are removed first");
    assert_eq!(take_tile_requests(&sandbox), 7 * 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_leftovers_of_killed_runs_are_removed_and_nothing_else() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let client = builder(&sandbox).tile_cache(&TileCache::open(folder.path(), DAY)).build().unwrap();
    client.tile(TileId { z: 14, x: 1, y: 1 }).await.unwrap();
    eventually("the cache was cleaned up", || folder.path().join("held").exists()).await;
    let column = tiles(folder.path())[0].parent().unwrap().to_owned();
    let (new, old, other) =
        (column.join(".n1N2n3.partial"), column.join(".o1O2o3.partial"), column.join(".mine.partial"));
    for path in [&new, &old, &other] {
        fs::write(path, "half").unwrap();
    }
    for path in [&old, &other] {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_hours(2)).unwrap();
    }
    // As if the last cleanup was long ago, or the clock was wrong.
    for note in ["4096 1000", "4096 99999999999", "nonsense"] {
        fs::write(folder.path().join("held"), note).unwrap();
        fs::write(&old, "half").unwrap();
        let file = fs::File::options().append(true).open(&old).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_hours(2)).unwrap();
        let client = builder(&sandbox).tile_cache(&TileCache::open(folder.path(), DAY)).build().unwrap();
        fs::remove_file(&tiles(folder.path())[0]).unwrap();
        client.tile(TileId { z: 14, x: 1, y: 1 }).await.unwrap();
        let reported = || fs::read_to_string(folder.path().join("held")).unwrap_or_default();
        eventually("the cache was cleaned up", || reported().ends_with('\n')).await;
        assert!(!old.exists(), "the leftovers are removed");
        assert!(new.exists() && other.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_tile_is_requested_again() {
    let sandbox = Sandbox::start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let (_, _, plain) = run(&sandbox, cache.path(), CYPRUS).await;
    let requests = sandbox.requests_to(Host::Tiles);
    let last = requests.iter().rfind(|request| request.path.contains("/2/14/")).unwrap().clone();
    let all = take_tile_requests(&sandbox);
    let rule = || Rule::on(Host::Tiles).path(&last.path);
    for fault in [Fault::status(500, "{}"), Fault::status(200, "this is no tile"), Fault::Reset] {
        sandbox.add_rule(rule().fault(fault));
        let (exit, stderr, _) = run(&sandbox, cache.path(), &area("--attempts 1")).await;
        assert_eq!(exit, 3, "{stderr}");
        assert_eq!(tiles(cache.path()).len(), all - 1);
        sandbox.clear_rules();
    }
    take_tile_requests(&sandbox);
    let (exit, stderr, table) = run(&sandbox, cache.path(), &area("")).await;
    assert_eq!((exit, take_tile_requests(&sandbox)), (0, 1), "{stderr}");
    assert!(table == plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_cache_gives_one_warning() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (_, _, plain) = run(&sandbox, folder.path(), CYPRUS).await;
    // A file in the place of the folder also affects root, unlike a permission.
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let (exit, stderr, table) = run(&sandbox, &blocked, &area("")).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(stderr.matches("failed to cache tiles in").count(), 1, "{stderr}");
    assert!(stderr.contains("the run continues without"), "{stderr}");
    assert!(table == plain);
    let reported = Arc::new(AtomicU64::new(0));
    let counting = {
        let reported = Arc::clone(&reported);
        move |event: &Event<'_>| {
            reported.fetch_add(matches!(event, Event::TileCacheDisabled { .. }).into(), Ordering::Relaxed);
        }
    };
    let cache = TileCache::open(blocked.join("tiles"), DAY);
    let client = builder(&sandbox).tile_cache(&cache).observer(Arc::new(counting)).build().unwrap();
    for x in 0..5 {
        client.tile(TileId { z: 14, x, y: 0 }).await.unwrap();
    }
    assert_eq!(reported.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_run_stores_tiles_from_the_cache() {
    let sandbox = Sandbox::start().await.unwrap();
    let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, cache.path(), &area("")).await;
    take_tile_requests(&sandbox);
    let sequence = sandbox.mock_data().sequences()[3].id().to_owned();
    sandbox.add_rule(Rule::on(Host::Graph).query("sequence_id", &sequence).fault(Fault::status(500, "{}")));
    let crawl = || {
        let mut command = command_on(&sandbox, folder.path());
        let args = format!("crawl --no-download --attempts 1 {}", area(""));
        command.env("STREETFLOW_CACHE_DIR", cache.path()).args(args.split_whitespace());
        command
    };
    let (exit, stderr) = output(crawl()).await;
    assert_eq!((exit, take_tile_requests(&sandbox)), (3, 0), "{stderr}");
    fs::remove_dir_all(cache.path()).unwrap();
    sandbox.clear_rules();
    let (exit, stderr) = output(crawl()).await;
    assert_eq!((exit, take_tile_requests(&sandbox)), (0, 0), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_age_is_a_usage_error() {
    let sandbox = Sandbox::start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    for age in ["24", "tomorrow", "-1h"] {
        let (exit, stderr, _) =
            run(&sandbox, cache.path(), &format!("{CYPRUS} --tile-cache-age={age}")).await;
        assert!(exit == 2 && stderr.contains("such as `90m`, `24h` or `7d`"), "{stderr}");
    }
    let (_folder, mut command) = sequences(&sandbox, cache.path(), &area(""));
    for name in ["STREETFLOW_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"] {
        command.env_remove(name);
    }
    let (exit, stderr) = output(command).await;
    assert!(exit == 2 && stderr.contains("set STREETFLOW_CACHE_DIR to a directory"), "{stderr}");
}
