//! Durability: pictures of a killed run are checked, and no damaged picture counts as existing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, SystemTime};

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command_on, eventually, names, output};

const TABLES: &str = "crawl --bbox 33.33,35.15,33.39,35.19 --no-download --fields thumb_256_url";
const PICTURES: &str = "outputs/downloaded_images";

/// Returns a mock server, a folder with tables, and the names of their pictures.
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

async fn run(sandbox: &Sandbox, folder: &Path, args: &str, exit: i32) -> String {
    sandbox.clear_requests();
    let mut command = command_on(sandbox, folder);
    command.args(args.split_whitespace());
    let (ended, stderr) = output(command).await;
    assert_eq!(ended, exit, "{stderr}");
    stderr
}

fn start(sandbox: &Sandbox, folder: &Path) -> Child {
    let mut command = command_on(sandbox, folder);
    command.args(["download", "--concurrency", "4", "-q"]).spawn().unwrap()
}

/// Kills a download after this many pictures.
async fn killed_after(sandbox: &Sandbox, folder: &Path, pictures: usize) {
    let mut child = start(sandbox, folder);
    let existing = || names(&folder.join(PICTURES)).iter().filter(|name| name.ends_with("_256.jpg")).count();
    eventually("enough pictures exist", || existing() >= pictures).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

fn markers(folder: &Path) -> Vec<PathBuf> {
    let all = names(&folder.join(PICTURES));
    let markers = all.iter().filter(|name| name.starts_with(".unsynced"));
    markers.map(|name| folder.join(PICTURES).join(name)).collect()
}

/// Changes the markers to those of a run before the last system start, as after a power cut.
fn restart(folder: &Path) {
    for path in markers(folder) {
        let text = fs::read_to_string(&path).unwrap();
        let (line, _) = text.rsplit_once(' ').unwrap();
        fs::write(path, format!("{line} 11111111-2222-3333-4444-555555555555\n")).unwrap();
    }
}

fn check_pictures(sandbox: &Sandbox, folder: &Path, pictures: &[String]) {
    assert_eq!(names(&folder.join(PICTURES)), pictures, "all pictures, and nothing else");
    for name in pictures {
        let original =
            sandbox.mock_data().picture(name.strip_suffix("_256.jpg").unwrap(), Some(256)).unwrap();
        assert!(fs::read(folder.join(PICTURES).join(name)).unwrap() == original, "{name}");
    }
}

fn set_time(path: &Path, time: SystemTime) {
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_only_damaged_pictures_are_downloaded_again() {
    let (sandbox, folder, pictures) = prepared().await;
    killed_after(&sandbox, folder.path(), 40).await;
    assert_eq!(markers(folder.path()).len(), 1);
    let existing: Vec<_> =
        names(&folder.path().join(PICTURES)).into_iter().filter(|name| name.ends_with("_256.jpg")).collect();
    for (number, name) in existing.iter().take(10).enumerate() {
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
    let stderr = run(&sandbox, folder.path(), "download", 0).await;
    assert!(
        stderr.contains("warning: failed to keep 10 pictures: an earlier run ended in a power cut"),
        "{stderr}"
    );
    let missing = pictures.len() - existing.len();
    assert_eq!(sandbox.requests_to(Host::Images).len(), missing + 10, "{stderr}");
    assert!(stderr.contains(&format!("{} already exist", existing.len() - 10)), "{stderr}");
    check_pictures(&sandbox, folder.path(), &pictures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_picture_is_set_aside_with_a_warning_and_foreign_files_stay() {
    let (sandbox, folder, pictures) = prepared().await;
    killed_after(&sandbox, folder.path(), 20).await;
    restart(folder.path());
    let below = |name: &str| folder.path().join(PICTURES).join(name);
    let first =
        names(&folder.path().join(PICTURES)).into_iter().find(|name| name.ends_with("_256.jpg")).unwrap();
    // A valid structure with two blocks of zeros.
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
    let stderr = run(&sandbox, folder.path(), "download", 0).await;
    assert!(stderr.contains("warning: failed to trust 1 picture") && stderr.contains(&first), "{stderr}");
    assert_eq!(fs::read(below(&format!("{first}.aside"))).unwrap(), holed);
    for name in others {
        assert_eq!(fs::read(below(name)).unwrap(), b"mine", "{name}");
        fs::remove_file(below(name)).unwrap();
    }
    fs::remove_file(below(&format!("{first}.aside"))).unwrap();
    fs::remove_dir_all(below("a")).unwrap();
    fs::remove_dir(below("mine")).unwrap();
    check_pictures(&sandbox, folder.path(), &pictures);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_without_a_restart_no_picture_is_checked() {
    let (sandbox, folder, pictures) = prepared().await;
    killed_after(&sandbox, folder.path(), 20).await;
    let first =
        names(&folder.path().join(PICTURES)).into_iter().find(|name| name.ends_with("_256.jpg")).unwrap();
    let path = folder.path().join(PICTURES).join(&first);
    let original = fs::read(&path).unwrap();
    fs::write(&path, &original[..original.len() / 2]).unwrap();
    let stderr = run(&sandbox, folder.path(), "download", 0).await;
    assert!(!stderr.contains("power cut"), "{stderr}");
    assert_eq!(fs::read(&path).unwrap().len(), original.len() / 2, "the file was not checked");
    assert!(markers(folder.path()).is_empty());
    fs::write(&path, original).unwrap();
    check_pictures(&sandbox, folder.path(), &pictures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_complete_picture() {
    let (sandbox, folder, pictures) = prepared().await;
    let mut sent = 0;
    for count in [20, 50, 80] {
        sandbox.clear_requests();
        killed_after(&sandbox, folder.path(), count).await;
        sent += sandbox.requests_to(Host::Images).len();
        assert!(!markers(folder.path()).is_empty());
    }
    run(&sandbox, folder.path(), "download", 0).await;
    sent += sandbox.requests_to(Host::Images).len();
    assert!(sent <= pictures.len() + 3 * 4, "{sent} requests for {} pictures", pictures.len());
    check_pictures(&sandbox, folder.path(), &pictures);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_marker_causes_a_check_of_all_pictures() {
    let (sandbox, folder, pictures) = prepared().await;
    run(&sandbox, folder.path(), "download", 0).await;
    check_pictures(&sandbox, folder.path(), &pictures);
    let spoilt = folder.path().join(PICTURES).join(&pictures[7]);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for (marker, sent) in [(None, 0), (Some("nonsense"), 1), (Some(""), 1)] {
        let original = fs::read(&spoilt).unwrap();
        fs::write(&spoilt, &original[..original.len() - 2]).unwrap();
        set_time(&spoilt, long_ago);
        if let Some(text) = marker {
            fs::write(folder.path().join(PICTURES).join(".unsynced.00000001"), text).unwrap();
        }
        run(&sandbox, folder.path(), "download", 0).await;
        assert_eq!(sandbox.requests_to(Host::Images).len(), sent, "{marker:?}");
        if sent == 0 {
            fs::write(&spoilt, original).unwrap();
        }
        check_pictures(&sandbox, folder.path(), &pictures);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_killed_run_leaves_a_marker() {
    let (sandbox, folder, pictures) = prepared().await;
    sandbox.add_rule(Rule::on(Host::Images).every_nth(5).fault(Fault::status(503, "busy")));
    run(&sandbox, folder.path(), "download --attempts 1", 3).await;
    assert!(markers(folder.path()).is_empty());
    sandbox.clear_rules();
    run(&sandbox, folder.path(), "download", 0).await;
    check_pictures(&sandbox, folder.path(), &pictures);
    // Also with the marker of a killed run and nothing to do.
    fs::write(folder.path().join(PICTURES).join(".unsynced.00000001"), "").unwrap();
    run(&sandbox, folder.path(), "download", 0).await;
    check_pictures(&sandbox, folder.path(), &pictures);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_download_leaves_no_marker() {
    let (sandbox, folder, pictures) = prepared().await;
    let mut child = start(&sandbox, folder.path());
    eventually("pictures arrive", || names(&folder.path().join(PICTURES)).len() > 10).await;
    let interrupt = format!("kill -INT {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    let exit = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(exit.code(), Some(130));
    assert!(markers(folder.path()).is_empty());
    run(&sandbox, folder.path(), "download", 0).await;
    check_pictures(&sandbox, folder.path(), &pictures);
}
