//! A run that was killed goes on: the same command again gives the same files, and asks for little twice.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use streetflow::sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command_on, eventually, names, output};

const WORDS: &str = "crawl --bbox 32.19,34.52,34.18,35.49 --no-download --tile-rate 1000000 --concurrency 16 \
    --format csv,parquet,geojson";
const IN_FLIGHT: usize = 16;
const KEPT: &str = "outputs/.streetflow/crawl";

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

/// All tables of a folder, by name.
fn tables(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let folder = folder.join("outputs");
    // The report has times in it, and what is gone is named as it is found out.
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
        assert!(folder.path().join(KEPT).join("index").metadata().unwrap().len() > 0);
        for name in names(&folder.path().join(KEPT)) {
            let bytes = fs::read(folder.path().join(KEPT).join(&name)).unwrap();
            let secret = Sandbox::TOKEN.rsplit('|').next().unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(secret), "the token in {name}");
        }
    }
    sandbox.clear_requests();
    let (exit, said) = again(&sandbox, folder.path()).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("going on from"), "{said}");
    asked += sandbox.requests().len();
    // In flight are requests, answers that are being read, and answers that wait for the disk.
    assert!(asked <= all + 3 * 3 * IN_FLIGHT, "{asked} requests, {all} are needed");
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
        let kept = folder.path().join(KEPT);
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
        assert_eq!(said.contains("were thrown away"), [2, 5].contains(&round), "{round}: {said}");
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
    let tiles = sandbox.requests_to(Host::Tiles).len();
    assert_eq!(tiles, 0, "no tile is asked for again");
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
    assert_eq!(sandbox.requests().len(), all);
    assert!(tables(folder.path()) == expected);
    killed_after(&sandbox, folder.path(), all / 2).await;
    let mut command = command_on(&sandbox, folder.path());
    command.args("crawl --bbox 32.40,35.02,32.44,35.05 --no-download --tile-rate 1000000".split(' '));
    let (exit, said) = output(command).await;
    assert!(exit == 0 && said.contains("they belong to another run"), "{said}");
}
