//! Tiles are kept across runs, and nothing that becomes of them does harm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use streetflow::client::TileCache;
use streetflow::geo::TileId;
use streetflow::{Event, Tally};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox, World};
use tempfile::TempDir;

use crate::support::{builder, command_on, eventually, output};

const CYPRUS: &str = "--bbox=32.19,34.52,34.18,35.49";
const DAY: Duration = Duration::from_hours(24);

/// A run of `sequences` in a folder of its own that keeps tiles in `cache`.
fn sequences(sandbox: &Sandbox, cache: &Path, words: &str) -> (TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command_on(sandbox, folder.path());
    command.env("STREETFLOW_CACHE_DIR", cache).arg("sequences").args(words.split_whitespace());
    (folder, command)
}

async fn run(sandbox: &Sandbox, cache: &Path, words: &str) -> (i32, String, Option<Vec<u8>>) {
    let (folder, command) = sequences(sandbox, cache, words);
    let (exit, said) = output(command).await;
    (exit, said, fs::read(folder.path().join("outputs/seq_dataset.csv")).ok())
}

fn asked(sandbox: &Sandbox) -> usize {
    let asked = sandbox.requests_to(Host::Tiles).len();
    sandbox.clear_requests();
    asked
}

/// All files below a folder.
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

fn area(words: &str) -> String {
    format!("{CYPRUS} --tile-cache-age 24h {words}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_asks_for_no_tile_and_writes_the_same_table() {
    let sandbox = Sandbox::start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let (exit, said, plain) = run(&sandbox, cache.path(), CYPRUS).await;
    assert_eq!((exit, files(cache.path())), (0, vec![]), "off against another host than Mapillary's: {said}");
    let all = asked(&sandbox);
    let (exit, said, first) = run(&sandbox, cache.path(), &area("")).await;
    assert!(exit == 0 && !said.contains("cache"), "{said}");
    assert_eq!(asked(&sandbox), all);
    assert_eq!(tiles(cache.path()).len(), all);
    // A tile from the cache waits for no pace: with this one, the second would come in fifty minutes.
    let (exit, said, second) = run(&sandbox, cache.path(), &area("--tile-rate 0.02")).await;
    assert_eq!((exit, asked(&sandbox)), (0, 0), "{said}");
    let told = format!("{all} tiles from the cache of the last 24 h; `--tile-cache-age 0` asks anew");
    assert!(said.contains(&told), "{said}");
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
    assert!(asked(&sandbox) > 0);
    let owned = format!("--org-id {} --max-zoom 12", World::ORGANIZATION);
    for words in
        [area(&owned), "--bbox=32.9,34.9,33.6,35.3 --exhaustive --max-zoom 12 --tile-cache-age 1d".into()]
    {
        let (exit, said, cached) = run(&sandbox, cache.path(), &words).await;
        assert_eq!((exit, asked(&sandbox)), (0, 0), "{words}: {said}");
        let (_, _, plain) =
            run(&sandbox, cache.path(), &words.replace("-age 24h", "-age 0").replace("-age 1d", "-age 0"))
                .await;
        assert!(asked(&sandbox) > 0, "0 asks anew");
        assert!(plain.is_some() && cached == plain, "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_asked_for_again_and_zero_keeps_nothing() {
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
    assert_eq!((asked(&sandbox), files(folder.path())), (1, vec![]));
    let (client, tally) = with(DAY);
    let bytes = client.tile(tile).await.unwrap();
    assert!(!bytes.is_empty());
    assert_eq!(client.tile(tile).await.unwrap(), bytes);
    assert_eq!((asked(&sandbox), tally.tile_cache_hits()), (1, 1));
    let (client, tally) = with(Duration::from_millis(1));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(client.tile(tile).await.unwrap(), bytes);
    assert_eq!((asked(&sandbox), tally.tile_cache_hits()), (1, 0));
    let (client, _) = with(Duration::ZERO);
    client.tile(tile).await.unwrap();
    assert_eq!(asked(&sandbox), 1, "zero takes none either");
    assert_eq!(tiles(folder.path()).len(), 1, "and leaves what is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tile_where_nothing_is_is_kept_too() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let client = builder(&sandbox).tile_cache(&TileCache::open(folder.path(), DAY)).build().unwrap();
    let sea = TileId { z: 14, x: 3, y: 3 };
    for _ in 0..2 {
        assert!(client.tile(sea).await.unwrap().is_empty());
    }
    assert_eq!(asked(&sandbox), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_no_tiles_and_make_room_for_new_ones() {
    let sandbox = Sandbox::start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let (_, _, plain) = run(&sandbox, cache.path(), &area("")).await;
    let all = asked(&sandbox);
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
            // Whole, but another tile's.
            4 => bytes = fs::read(&kept[number - 4 + 5]).unwrap(),
            _ => bytes[20] ^= 1,
        }
        fs::write(path, bytes).unwrap();
    }
    let (exit, said, again) = run(&sandbox, cache.path(), &area("")).await;
    assert!(exit == 0 && !said.contains("warning"), "{said}");
    assert_eq!(asked(&sandbox), all);
    assert!(again == plain);
    let (_, _, third) = run(&sandbox, cache.path(), &area("")).await;
    assert_eq!(asked(&sandbox), 0, "they were replaced");
    assert!(third == plain);
    // Something that is no file stands in the way of one of them, and an odd file beside: both are left alone.
    fs::remove_file(&kept[0]).unwrap();
    fs::create_dir_all(kept[0].join("mine")).unwrap();
    fs::write(cache.path().join("tiles/notes.txt"), "mine").unwrap();
    let (exit, said, fourth) = run(&sandbox, cache.path(), &area("")).await;
    assert!(exit == 0 && !said.contains("warning"), "{said}");
    assert_eq!(asked(&sandbox), 1);
    assert!(
        fourth == plain && kept[0].join("mine").exists() && cache.path().join("tiles/notes.txt").exists()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_may_be_removed_while_a_run_uses_it() {
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
    let all = asked(&sandbox);
    let words = area("");
    let (one, two) = tokio::join!(run(&sandbox, cache.path(), &words), run(&sandbox, cache.path(), &words));
    for (exit, said, table) in [one, two] {
        assert!(exit == 0 && !said.contains("warning"), "{said}");
        assert!(table == plain);
    }
    assert!((all..=2 * all).contains(&asked(&sandbox)));
    let (_, _, third) = run(&sandbox, cache.path(), &words).await;
    assert_eq!(asked(&sandbox), 0);
    assert!(third == plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_tiles_go_when_there_are_too_many() {
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
    eventually("it was looked through", || folder.path().join("held").exists()).await;
    let old: Vec<_> = tiles(folder.path());
    assert_eq!(old.len(), 36, "all of them are below the bound");
    for path in &old {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_hours(2)).unwrap();
    }
    for y in 2..8 {
        for tile in row(y) {
            client.tile(tile).await.unwrap();
        }
        eventually("it is below the bound", || size() <= BOUND).await;
        assert!(size() > 0);
    }
    assert!(old.iter().all(|path| !path.exists()), "the oldest go first");
    assert_eq!(asked(&sandbox), 7 * 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_left_goes_with_time_and_nothing_else_does() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let client = builder(&sandbox).tile_cache(&TileCache::open(folder.path(), DAY)).build().unwrap();
    client.tile(TileId { z: 14, x: 1, y: 1 }).await.unwrap();
    eventually("it was looked through", || folder.path().join("held").exists()).await;
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
    // As if it had been looked through long ago; a clock that was wrong says the same.
    for note in ["4096 1000", "4096 99999999999", "nonsense"] {
        fs::write(folder.path().join("held"), note).unwrap();
        fs::write(&old, "half").unwrap();
        let file = fs::File::options().append(true).open(&old).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_hours(2)).unwrap();
        let client = builder(&sandbox).tile_cache(&TileCache::open(folder.path(), DAY)).build().unwrap();
        fs::remove_file(&tiles(folder.path())[0]).unwrap();
        client.tile(TileId { z: 14, x: 1, y: 1 }).await.unwrap();
        let told = || fs::read_to_string(folder.path().join("held")).unwrap_or_default();
        eventually("it was looked through", || told().ends_with('\n')).await;
        assert!(!old.exists(), "what was left is gone");
        assert!(new.exists() && other.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tile_that_failed_is_asked_for_again() {
    let sandbox = Sandbox::start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    let (_, _, plain) = run(&sandbox, cache.path(), CYPRUS).await;
    let last = sandbox.requests_to(Host::Tiles).last().unwrap().clone();
    let all = asked(&sandbox);
    let rule = || Rule::on(Host::Tiles).path(&last.path);
    for fault in [Fault::status(500, "{}"), Fault::status(200, "this is no tile"), Fault::Reset] {
        sandbox.script(rule().fault(fault));
        let (exit, said, _) = run(&sandbox, cache.path(), &area("--attempts 1")).await;
        assert_eq!(exit, 3, "{said}");
        assert_eq!(tiles(cache.path()).len(), all - 1);
        sandbox.clear_script();
    }
    asked(&sandbox);
    let (exit, said, table) = run(&sandbox, cache.path(), &area("")).await;
    assert_eq!((exit, asked(&sandbox)), (0, 1), "{said}");
    assert!(table == plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_cant_be_written_is_told_once_and_harmless() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (_, _, plain) = run(&sandbox, folder.path(), CYPRUS).await;
    // A file in the place of the folder: unlike a permission, it also stops the superuser.
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let (exit, said, table) = run(&sandbox, &blocked, &area("")).await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(said.matches("failed to keep tiles in").count(), 1, "{said}");
    assert!(said.contains("the run goes on without"), "{said}");
    assert!(table == plain);
    let told = Arc::new(AtomicU64::new(0));
    let counting = {
        let told = Arc::clone(&told);
        move |event: &Event<'_>| {
            told.fetch_add(matches!(event, Event::TileCacheDisabled { .. }).into(), Ordering::Relaxed);
        }
    };
    let cache = TileCache::open(blocked.join("tiles"), DAY);
    let client = builder(&sandbox).tile_cache(&cache).observer(Arc::new(counting)).build().unwrap();
    for x in 0..5 {
        client.tile(TileId { z: 14, x, y: 0 }).await.unwrap();
    }
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_run_keeps_the_tiles_that_came_from_the_cache() {
    let sandbox = Sandbox::start().await.unwrap();
    let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, cache.path(), &area("")).await;
    asked(&sandbox);
    let drive = sandbox.world().sequences()[3].id().to_owned();
    sandbox.script(Rule::on(Host::Graph).query("sequence_id", &drive).fault(Fault::status(500, "{}")));
    let crawl = || {
        let mut command = command_on(&sandbox, folder.path());
        let words = format!("crawl --no-download --attempts 1 {}", area(""));
        command.env("STREETFLOW_CACHE_DIR", cache.path()).args(words.split_whitespace());
        command
    };
    let (exit, said) = output(crawl()).await;
    assert_eq!((exit, asked(&sandbox)), (3, 0), "{said}");
    fs::remove_dir_all(cache.path()).unwrap();
    sandbox.clear_script();
    let (exit, said) = output(crawl()).await;
    assert_eq!((exit, asked(&sandbox)), (0, 0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_age_that_is_none_is_wrong_usage() {
    let sandbox = Sandbox::start().await.unwrap();
    let cache = tempfile::tempdir().unwrap();
    for age in ["24", "tomorrow", "-1h"] {
        let (exit, said, _) = run(&sandbox, cache.path(), &format!("{CYPRUS} --tile-cache-age={age}")).await;
        assert!(exit == 2 && said.contains("such as `90m`, `24h` or `7d`"), "{said}");
    }
    let (_folder, mut command) = sequences(&sandbox, cache.path(), &area(""));
    for name in ["STREETFLOW_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"] {
        command.env_remove(name);
    }
    let (exit, said) = output(command).await;
    assert!(exit == 2 && said.contains("name a folder with STREETFLOW_CACHE_DIR"), "{said}");
}
