//! A run that was killed goes on: the same command again gives the same files, and asks for little twice.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox};

use crate::support::{command_on, eventually, names, output};

const WORDS: &str = "crawl --bbox 32.19,34.52,34.18,35.49 --no-download --tile-rate 1000000 --concurrency 16 \
    --format csv,parquet,geojson";
const IN_FLIGHT: usize = 16;

async fn slow() -> Sandbox {
    Sandbox::builder().latency(Duration::from_millis(5)).start().await.unwrap()
}

fn start(sandbox: &Sandbox, folder: &Path) -> Child {
    let mut command = command_on(sandbox, folder);
    command.args(WORDS.split_whitespace()).arg("-q").spawn().unwrap()
}

async fn again(sandbox: &Sandbox, folder: &Path) -> (i32, String) {
    let mut command = command_on(sandbox, folder);
    command.args(WORDS.split_whitespace());
    output(command).await
}

/// Where the answers of the run in a folder are.
fn kept(folder: &Path) -> PathBuf {
    let folder = folder.join("outputs/.streetflow");
    let own: Vec<_> = names(&folder).into_iter().filter(|name| name.starts_with("crawl-")).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    folder.join(&own[0])
}

/// All tables of a folder, by name.
fn tables(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let folder = folder.join("outputs");
    let tables = names(&folder).into_iter().filter(|name| name.contains("_dataset."));
    tables.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// What a run that nobody disturbs asks for and writes.
async fn undisturbed(sandbox: &Sandbox) -> (usize, Vec<(String, Vec<u8>)>) {
    let folder = tempfile::tempdir().unwrap();
    sandbox.clear_requests();
    let (exit, said) = again(sandbox, folder.path()).await;
    assert_eq!(exit, 0, "{said}");
    (sandbox.requests().len(), tables(folder.path()))
}

/// Lets a run make so many requests, and kills it.
async fn killed_after(sandbox: &Sandbox, folder: &Path, requests: usize) {
    sandbox.clear_requests();
    let mut child = start(sandbox, folder);
    eventually("so many requests are made", || sandbox.requests().len() >= requests).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_crawl_goes_on_and_ends_with_the_same_bytes() {
    let sandbox = slow().await;
    let (all, expected) = undisturbed(&sandbox).await;
    let folder = tempfile::tempdir().unwrap();
    let mut asked = 0;
    for kill in [all / 6, all / 5, all / 4] {
        killed_after(&sandbox, folder.path(), kill).await;
        asked += sandbox.requests().len();
        let kept = kept(folder.path());
        assert!(kept.join("index").metadata().unwrap().len() > 0);
        for name in names(&kept) {
            let bytes = fs::read(kept.join(&name)).unwrap();
            let secret = Sandbox::TOKEN.rsplit('|').next().unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(secret), "the token in {name}");
        }
    }
    sandbox.clear_requests();
    let (exit, said) = again(&sandbox, folder.path()).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("going on from"), "{said}");
    asked += sandbox.requests().len();
    assert!(asked <= all + 3 * IN_FLIGHT, "{asked} requests, {all} are needed");
    assert!(tables(folder.path()) == expected);
    assert!(!folder.path().join("outputs/.streetflow").exists(), "a finished run leaves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_damaged_or_of_another_question_are_never_trusted() {
    let sandbox = slow().await;
    let (all, expected) = undisturbed(&sandbox).await;
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        killed_after(&sandbox, folder.path(), all / 2).await;
        let kept = kept(folder.path());
        let damage = |name: &str, random: &mut fastrand::Rng| {
            let mut bytes = fs::read(kept.join(name)).unwrap();
            for _ in 0..20 {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.u8(..8);
            }
            fs::write(kept.join(name), bytes).unwrap();
        };
        match round {
            0 => damage("answers", &mut random),
            1 => damage("index", &mut random),
            2 => damage("question", &mut random),
            3 => fs::File::options().write(true).open(kept.join("answers")).unwrap().set_len(1000).unwrap(),
            4 => fs::File::options().write(true).open(kept.join("index")).unwrap().set_len(100).unwrap(),
            _ => fs::write(kept.join("question"), "streetflow answers 0\nanything\n").unwrap(),
        }
        let (exit, said) = again(&sandbox, folder.path()).await;
        assert_eq!(exit, 0, "{round}: {said}");
        assert_eq!(said.contains("are of no use"), [2, 5].contains(&round), "{round}: {said}");
        assert!(tables(folder.path()) == expected, "{round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_all_that_the_next_run_asks_for() {
    let sandbox = Sandbox::start().await.unwrap();
    let (_, expected) = undisturbed(&sandbox).await;
    let folder = tempfile::tempdir().unwrap();
    let world = sandbox.world();
    let drive = &world.sequences()[3];
    sandbox.script(Rule::on(Host::Graph).query("sequence_id", drive.id()).fault(Fault::status(500, "{}")));
    let mut command = command_on(&sandbox, folder.path());
    command.args(WORDS.split_whitespace()).args(["--attempts", "2"]);
    let (exit, said) = output(command).await;
    assert_eq!(exit, 3, "{said}");
    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = again(&sandbox, folder.path()).await;
    assert_eq!(exit, 0, "{said}");
    assert!(tables(folder.path()) == expected);
    let asked = sandbox.requests();
    // Its own images, and the rest of a batch that its images now share with the ones behind them.
    let batches = drive.image_count() as usize / 50 + 3;
    // An empty list is not kept: that one is asked four times, twice beside one with images.
    assert!(asked.len() <= 1 + batches + 6, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_on_the_same_folder_says_so_and_stops() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(300)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut first = start(&sandbox, folder.path());
    eventually("the first is at work", || !sandbox.requests().is_empty()).await;
    let (exit, said) = again(&sandbox, folder.path()).await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("another streetflow is at work in it"), "{said}");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_and_another_box_begin_anew() {
    let sandbox = slow().await;
    let (all, expected) = undisturbed(&sandbox).await;
    let folder = tempfile::tempdir().unwrap();
    killed_after(&sandbox, folder.path(), all / 2).await;
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    command.args(WORDS.split_whitespace()).arg("--restart");
    let (exit, said) = output(command).await;
    assert!(exit == 0 && !said.contains("going on"), "{said}");
    // What the killed one had under way may arrive a little later.
    assert!((all..=all + IN_FLIGHT).contains(&sandbox.requests().len()), "{}", sandbox.requests().len());
    assert!(tables(folder.path()) == expected);
    killed_after(&sandbox, folder.path(), all / 2).await;
    let mut command = command_on(&sandbox, folder.path());
    command.args("crawl --bbox 32.40,35.02,32.44,35.05 --no-download --tile-rate 1000000 --yes".split(' '));
    let (exit, said) = output(command).await;
    assert!(exit == 0 && said.contains("has the answers of another unfinished `crawl`"), "{said}");
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    command.args(WORDS.split_whitespace()).arg("--yes");
    let (exit, said) = output(command).await;
    assert!(exit == 0 && said.contains("going on from"), "another box in between costs nothing: {said}");
    assert!(sandbox.requests().len() <= all - all / 2 + IN_FLIGHT, "{}", sandbox.requests().len());
    assert!(tables(folder.path()) == expected);
    assert!(!folder.path().join("outputs/.streetflow").exists());
}

/// Runs a crawl that is killed on its way, then the same with other words; what it asks then, and the whole need.
async fn changed(words: &str, other: &str) -> (Vec<RecordedRequest>, Vec<RecordedRequest>) {
    let sandbox = slow().await;
    let run = async |folder: &Path, words: &str| {
        let mut command = command_on(&sandbox, folder);
        command.args(words.split_whitespace());
        let (exit, said) = output(command).await;
        assert_eq!(exit, 0, "{said}");
        sandbox.requests()
    };
    let fresh = tempfile::tempdir().unwrap();
    let needed = run(fresh.path(), other).await;
    let folder = tempfile::tempdir().unwrap();
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    let mut child = command.args(words.split_whitespace()).arg("-q").spawn().unwrap();
    let most = needed.len() * 4 / 5;
    eventually("so many requests are made", || sandbox.requests().len() >= most).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let before: HashSet<_> = sandbox.requests().into_iter().map(|asked| (asked.path, asked.query)).collect();
    sandbox.clear_requests();
    let asked = run(folder.path(), other).await;
    let twice =
        asked.iter().filter(|asked| before.contains(&(asked.path.clone(), asked.query.clone()))).count();
    assert!(twice <= IN_FLIGHT, "{twice} requests are made again");
    assert!(tables(folder.path()) == tables(fresh.path()), "{words} → {other}");
    (asked, needed)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_format_or_quality_goes_on_from_the_same_answers() {
    const BOX: &str = "crawl --no-download --bbox 32.19,34.52,34.18,35.49 --concurrency 16";
    let words = format!("{BOX} --fields captured_at,thumb_256_url,width");
    // The same fields: nothing of them is asked for twice, in whatever order and format.
    let other =
        format!("{BOX} --fields width,thumb_256_url,captured_at --format csv,geojsonseq --geometry original");
    let (asked, needed) = changed(&words, &other).await;
    assert!(asked.len() <= needed.len(), "{} of {}", asked.len(), needed.len());
    // What an unfinished run did not ask for is asked for alone.
    let of_old = asked.iter().filter(|asked| asked.param("fields").as_deref() == Some("geometry")).count();
    assert!(of_old > 5, "{of_old} requests for the place alone");
    let other = format!("{BOX} --fields captured_at,thumb_256_url,width,thumb_1024_url");
    let (asked, _) = changed(&words, &other).await;
    let of_old =
        asked.iter().filter(|asked| asked.param("fields").as_deref() == Some("thumb_1024_url")).count();
    assert!(of_old > 5, "{of_old} requests for the new URL alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_step_goes_on_too() {
    let sandbox = slow().await;
    let (_, expected) = undisturbed(&sandbox).await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    for (step, table) in [
        ("sequences --bbox 32.19,34.52,34.18,35.49 --tile-rate 1000000", "seq_dataset.csv"),
        ("images", "img_dataset.csv"),
        ("metadata", "img_meta_dataset.csv"),
    ] {
        sandbox.clear_requests();
        let command = || {
            let mut command = command_on(&sandbox, folder.path());
            command.args(step.split(' ')).args(["--concurrency", "4"]);
            command
        };
        let mut child = command().arg("-q").spawn().unwrap();
        eventually("so many requests are made", || sandbox.requests().len() >= 25).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!outputs.join(table).exists(), "{step}");
        let before = sandbox.requests().len();
        let (exit, said) = output(command()).await;
        assert!(exit == 0 && said.contains("going on from"), "{step}: {said}");
        let answered: Vec<_> =
            sandbox.requests().into_iter().map(|asked| (asked.path, asked.query)).collect();
        let distinct: HashSet<_> = answered.iter().collect();
        assert!(
            // A sequence that is gone is asked for four times, at the end beside one that is there.
            answered.len() - distinct.len() <= 4 + 5,
            "{step}: {} of {before}",
            answered.len() - distinct.len()
        );
        let truth = expected.iter().find(|(name, _)| name == table).unwrap();
        assert!(fs::read(outputs.join(table)).unwrap() == truth.1, "{step}");
    }
}
