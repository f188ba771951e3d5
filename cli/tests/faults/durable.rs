//! Pictures and power: what a run leaves that dies is looked into, and no spoilt picture is taken for done.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, SystemTime};

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command_on, eventually, names, output};

const TABLES: &str = "crawl --bbox 33.33,35.15,33.39,35.19 --no-download --fields thumb_256_url";
const PICTURES: &str = "outputs/downloaded_images";

/// A sandbox, a folder with tables, and the pictures that they name.
async fn prepared() -> (Sandbox, tempfile::TempDir, Vec<String>) {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(4)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&sandbox, folder.path(), TABLES, 0).await;
    let table = fs::read_to_string(folder.path().join("outputs/img_meta_dataset.csv")).unwrap();
    let rows = table.lines().skip(1).filter(|row| !row.ends_with(','));
    let mut pictures: Vec<_> =
        rows.map(|row| format!("{}_256.jpg", row.split(',').nth(1).unwrap())).collect();
    pictures.sort();
    assert!(pictures.len() > 100);
    (sandbox, folder, pictures)
}

async fn run(sandbox: &Sandbox, folder: &Path, words: &str, exit: i32) -> String {
    sandbox.clear_requests();
    let mut command = command_on(sandbox, folder);
    command.args(words.split_whitespace());
    let (ended, said) = output(command).await;
    assert_eq!(ended, exit, "{said}");
    said
}

fn start(sandbox: &Sandbox, folder: &Path) -> Child {
    let mut command = command_on(sandbox, folder);
    command.args(["download", "--concurrency", "4", "-q"]).spawn().unwrap()
}

/// Lets a download come so far, and kills it.
async fn killed_after(sandbox: &Sandbox, folder: &Path, pictures: usize) {
    let mut child = start(sandbox, folder);
    let there = || names(&folder.join(PICTURES)).iter().filter(|name| name.ends_with("_256.jpg")).count();
    eventually("so many pictures are there", || there() >= pictures).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

fn markers(folder: &Path) -> Vec<PathBuf> {
    let all = names(&folder.join(PICTURES));
    let markers = all.iter().filter(|name| name.starts_with(".unsynced"));
    markers.map(|name| folder.join(PICTURES).join(name)).collect()
}

/// Makes the markers those of runs before the last start of the system, as after a power cut.
fn restart(folder: &Path) {
    for path in markers(folder) {
        let text = fs::read_to_string(&path).unwrap();
        let (line, _) = text.rsplit_once(' ').unwrap();
        fs::write(path, format!("{line} 11111111-2222-3333-4444-555555555555\n")).unwrap();
    }
}

fn whole(sandbox: &Sandbox, folder: &Path, pictures: &[String]) {
    assert_eq!(names(&folder.join(PICTURES)), pictures, "all pictures, and nothing else");
    for name in pictures {
        let truth = sandbox.world().picture(name.strip_suffix("_256.jpg").unwrap(), Some(256)).unwrap();
        assert!(fs::read(folder.join(PICTURES).join(name)).unwrap() == truth, "{name}");
    }
}

fn set_time(path: &Path, time: SystemTime) {
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_the_spoilt_pictures_are_had_anew_and_only_these() {
    let (sandbox, folder, pictures) = prepared().await;
    killed_after(&sandbox, folder.path(), 40).await;
    assert_eq!(markers(folder.path()).len(), 1);
    let there: Vec<_> =
        names(&folder.path().join(PICTURES)).into_iter().filter(|name| name.ends_with("_256.jpg")).collect();
    for (number, name) in there.iter().take(10).enumerate() {
        let path = folder.path().join(PICTURES).join(name);
        let mut bytes = fs::read(&path).unwrap();
        match number % 3 {
            0 => bytes.clear(),
            1 => bytes.truncate(bytes.len() * 2 / 3),
            _ => bytes.fill(0),
        }
        fs::write(&path, bytes).unwrap();
    }
    restart(folder.path());
    let said = run(&sandbox, folder.path(), "download", 0).await;
    assert!(
        said.contains("warning: failed to keep 10 pictures: an earlier run ended in a power cut"),
        "{said}"
    );
    let missing = pictures.len() - there.len();
    assert_eq!(sandbox.requests_to(Host::Images).len(), missing + 10, "{said}");
    assert!(said.contains(&format!("{} already exist", there.len() - 10)), "{said}");
    whole(&sandbox, folder.path(), &pictures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspicious_picture_is_set_aside_with_a_warning_and_other_peoples_files_stay() {
    let (sandbox, folder, pictures) = prepared().await;
    killed_after(&sandbox, folder.path(), 20).await;
    restart(folder.path());
    let below = |name: &str| folder.path().join(PICTURES).join(name);
    let first =
        names(&folder.path().join(PICTURES)).into_iter().find(|name| name.ends_with("_256.jpg")).unwrap();
    // A whole structure with two blocks that were never written.
    let head = b"\xff\xd8\xff\xda\x00\x02";
    let holed = [&head[..], &[1; 4096 - 6], &[0; 8192], b"picture\xff\xd9"].concat();
    fs::write(below(&first), &holed).unwrap();
    fs::create_dir_all(below("mine")).unwrap();
    fs::create_dir_all(below("a/b/c")).unwrap();
    let others =
        ["mine/holiday_1024.jpg", "a/b/c/.thesis.partial", "a/b/c/7_256.jpg", ".thesis.abcdef.partial"];
    for name in others {
        fs::write(below(name), "mine").unwrap();
    }
    let said = run(&sandbox, folder.path(), "download", 0).await;
    assert!(said.contains("warning: failed to trust 1 picture") && said.contains(&first), "{said}");
    assert_eq!(fs::read(below(&format!("{first}.aside"))).unwrap(), holed);
    for name in others {
        assert_eq!(fs::read(below(name)).unwrap(), b"mine", "{name}");
        fs::remove_file(below(name)).unwrap();
    }
    fs::remove_file(below(&format!("{first}.aside"))).unwrap();
    fs::remove_dir_all(below("a")).unwrap();
    fs::remove_dir(below("mine")).unwrap();
    whole(&sandbox, folder.path(), &pictures);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_on_a_system_that_runs_on_nothing_is_looked_into() {
    let (sandbox, folder, pictures) = prepared().await;
    killed_after(&sandbox, folder.path(), 20).await;
    let first =
        names(&folder.path().join(PICTURES)).into_iter().find(|name| name.ends_with("_256.jpg")).unwrap();
    let path = folder.path().join(PICTURES).join(&first);
    let truth = fs::read(&path).unwrap();
    fs::write(&path, &truth[..truth.len() / 2]).unwrap();
    let said = run(&sandbox, folder.path(), "download", 0).await;
    assert!(!said.contains("power cut"), "{said}");
    assert_eq!(fs::read(&path).unwrap().len(), truth.len() / 2, "nobody looked into it");
    assert!(markers(folder.path()).is_empty());
    fs::write(&path, truth).unwrap();
    whole(&sandbox, folder.path(), &pictures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_alone_costs_no_picture() {
    let (sandbox, folder, pictures) = prepared().await;
    let mut asked = 0;
    for count in [20, 50, 80] {
        sandbox.clear_requests();
        killed_after(&sandbox, folder.path(), count).await;
        asked += sandbox.requests_to(Host::Images).len();
        assert!(!markers(folder.path()).is_empty());
    }
    run(&sandbox, folder.path(), "download", 0).await;
    asked += sandbox.requests_to(Host::Images).len();
    assert!(asked <= pictures.len() + 3 * 4, "{asked} requests for {} pictures", pictures.len());
    whole(&sandbox, folder.path(), &pictures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_with_nonsense_in_it_means_that_all_are_looked_into() {
    let (sandbox, folder, pictures) = prepared().await;
    run(&sandbox, folder.path(), "download", 0).await;
    whole(&sandbox, folder.path(), &pictures);
    let spoilt = folder.path().join(PICTURES).join(&pictures[7]);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for (marker, asked) in [(None, 0), (Some("nonsense"), 1), (Some(""), 1)] {
        let truth = fs::read(&spoilt).unwrap();
        fs::write(&spoilt, &truth[..truth.len() - 2]).unwrap();
        set_time(&spoilt, long_ago);
        if let Some(text) = marker {
            fs::write(folder.path().join(PICTURES).join(".unsynced.00000001"), text).unwrap();
        }
        run(&sandbox, folder.path(), "download", 0).await;
        assert_eq!(sandbox.requests_to(Host::Images).len(), asked, "{marker:?}");
        if asked == 0 {
            fs::write(&spoilt, truth).unwrap();
        }
        whole(&sandbox, folder.path(), &pictures);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_in_whatever_way_but_dying_leaves_no_marker() {
    let (sandbox, folder, pictures) = prepared().await;
    sandbox.script(Rule::on(Host::Images).every_nth(5).fault(Fault::status(503, "busy")));
    run(&sandbox, folder.path(), "download --attempts 1", 3).await;
    assert!(markers(folder.path()).is_empty());
    sandbox.clear_script();
    run(&sandbox, folder.path(), "download", 0).await;
    whole(&sandbox, folder.path(), &pictures);
    // With a marker of a run that is dead and nothing to do, too.
    fs::write(folder.path().join(PICTURES).join(".unsynced.00000001"), "").unwrap();
    run(&sandbox, folder.path(), "download", 0).await;
    whole(&sandbox, folder.path(), &pictures);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_download_leaves_no_marker() {
    let (sandbox, folder, pictures) = prepared().await;
    let mut child = start(&sandbox, folder.path());
    eventually("pictures come", || names(&folder.path().join(PICTURES)).len() > 10).await;
    let interrupt = format!("kill -INT {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    let exit = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(exit.code(), Some(130));
    assert!(markers(folder.path()).is_empty());
    run(&sandbox, folder.path(), "download", 0).await;
    whole(&sandbox, folder.path(), &pictures);
}
