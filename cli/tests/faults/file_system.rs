//! File systems without some system calls, like network and FUSE mounts: a preloaded library makes the calls fail.
//! Without a C compiler, these tests print that they are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use streetflow_sandbox::Sandbox;

use crate::support::{command_on, eventually, names, output, read, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";
const PICTURES: &str = "outputs/downloaded_images";

const EPERM: &str = "1";
const EIO: &str = "5";
const EBADF: &str = "9";
const EINVAL: &str = "22";
const ENOSPC: &str = "28";
const ENOLCK: &str = "37";
const ENOSYS: &str = "38";
const ENOTSUP: &str = "95";

/// Builds the library that makes calls fail. `None` without a C compiler.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/refuse.c");
        let library =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("refuse-{}.so", std::process::id()));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-Wall", "-o"]).arg(&library).arg(source).arg("-ldl");
        match compiler.output() {
            Ok(ended) if ended.status.success() => Some(library),
            Ok(ended) => panic!("{}", String::from_utf8_lossy(&ended.stderr)),
            Err(_) => None,
        }
    });
    if built.is_none() {
        #[allow(clippy::print_stderr, reason = "a test that does nothing has to say so")]
        {
            eprintln!("left out: there is no C compiler `cc`");
        }
    }
    built.as_deref()
}

/// Returns the command on a file system without a call.
fn command_without(sandbox: &Sandbox, folder: &Path, library: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = command_on(sandbox, folder);
    command.env("LD_PRELOAD", library).envs(variables.iter().copied());
    command
}

fn warnings(stderr: &str) -> usize {
    stderr.matches("warning: ").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsupported_system_call_gives_one_warning_and_a_complete_run() {
    let Some(library) = library() else { return };
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let undisturbed = tempfile::tempdir().unwrap();
    let (exit, stderr) = output(with(command_on(&sandbox, undisturbed.path()), ["crawl", NICOSIA])).await;
    assert_eq!((exit, warnings(&stderr)), (0, 0), "{stderr}");
    for (call, errno, args) in [
        ("REFUSE_FOLDER_FSYNC", EINVAL, "failed to sync the folder"),
        ("REFUSE_FOLDER_FSYNC", EBADF, "failed to sync the folder"),
        ("REFUSE_FOLDER_FSYNC", ENOTSUP, "failed to sync the folder"),
        ("REFUSE_FSYNC", EINVAL, "failed to sync the file"),
        ("REFUSE_FLOCK", ENOLCK, "two runs at once"),
        ("REFUSE_FLOCK", ENOSYS, "two runs at once"),
        ("REFUSE_FLOCK", ENOTSUP, "two runs at once"),
        ("REFUSE_FUTIMENS", EPERM, "failed to set the time"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let command = command_without(&sandbox, folder.path(), library, &[(call, errno)]);
        let (exit, stderr) = output(with(command, ["crawl", NICOSIA])).await;
        assert_eq!((exit, warnings(&stderr)), (0, 1), "{call} {errno}: {stderr}");
        assert!(stderr.contains(args), "{call} {errno}: {stderr}");
        let all = |folder: &Path| (names(&folder.join("outputs")), names(&folder.join(PICTURES)));
        assert_eq!(all(folder.path()), all(undisturbed.path()), "{call} {errno}");
        for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
            let table = format!("outputs/{table}");
            assert_eq!(
                read(folder.path(), &table).lines().count(),
                read(undisturbed.path(), &table).lines().count()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_or_full_disk_is_an_error() {
    let Some(library) = library() else { return };
    let sandbox = Sandbox::start().await.unwrap();
    for (call, errno) in
        [("REFUSE_FOLDER_FSYNC", EIO), ("REFUSE_FSYNC", EIO), ("REFUSE_FSYNC", ENOSPC), ("REFUSE_FLOCK", EIO)]
    {
        let folder = tempfile::tempdir().unwrap();
        let command = command_without(&sandbox, folder.path(), library, &[(call, errno)]);
        let (exit, stderr) = output(with(command, ["sequences", NICOSIA])).await;
        assert_eq!(exit, 1, "{call} {errno}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_warns_too() {
    let Some(library) = library() else { return };
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "seq_id,img_id\nabc,1\n").unwrap();
    let command = command_without(&sandbox, folder.path(), library, &[("REFUSE_FOLDER_FSYNC", EINVAL)]);
    let (exit, stderr) = output(with(command, ["convert", "a.csv", "b.geojsonseq"])).await;
    assert_eq!((exit, warnings(&stderr)), (0, 1), "{stderr}");
    assert_eq!(names(folder.path()), ["a.csv", "b.geojsonseq"]);
}

/// As on NFS, where an exclusive lock needs a writable handle.
#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_removed_if_only_writable_files_can_be_locked() {
    let Some(library) = library() else { return };
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(PICTURES)).unwrap();
    let leftovers =
        ["outputs/.img_dataset.csv.a1B2c3.partial", "outputs/downloaded_images/.7_256.jpg.a1B2c3.partial"];
    for name in leftovers {
        fs::write(folder.path().join(name), "half").unwrap();
    }
    let command = command_without(&sandbox, folder.path(), library, &[("REFUSE_FLOCK_READ_ONLY", EBADF)]);
    let (exit, stderr) = output(with(command, ["crawl", NICOSIA])).await;
    assert_eq!((exit, warnings(&stderr)), (0, 0), "{stderr}");
    assert!(leftovers.iter().all(|name| !folder.path().join(name).exists()));
}

/// Without locks, leftovers stay: they can belong to a running process.
#[tokio::test(flavor = "multi_thread")]
async fn leftovers_stay_if_there_are_no_locks() {
    let Some(library) = library() else { return };
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("outputs")).unwrap();
    let leftover = folder.path().join("outputs/.seq_dataset.csv.a1B2c3.partial");
    fs::write(&leftover, "half").unwrap();
    let command = command_without(&sandbox, folder.path(), library, &[("REFUSE_FLOCK", ENOLCK)]);
    let (exit, stderr) = output(with(command, ["sequences", NICOSIA])).await;
    assert_eq!((exit, warnings(&stderr)), (0, 1), "{stderr}");
    assert!(stderr.contains("`.partial` files of killed runs"), "{stderr}");
    assert!(leftover.exists() && !folder.path().join("outputs/.streetflow").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_interrupt_no_picture_is_renamed_after_the_last_sync() {
    let Some(library) = library() else { return };
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) =
        output(with(command_on(&sandbox, folder.path()), ["crawl", NICOSIA, "--no-download"])).await;
    assert_eq!(exit, 0, "{stderr}");
    let log = folder.path().join("log");
    let variables = [("SLOW_FUTIMENS", "300"), ("LOG", log.to_str().unwrap())];
    let mut command = command_without(&sandbox, folder.path(), library, &variables);
    let child = command.args(["download", "--concurrency=8"]).stderr(Stdio::piped()).spawn().unwrap();
    let is_picture = |name: &String| !name.starts_with('.');
    eventually("pictures arrive", || names(&folder.path().join(PICTURES)).iter().any(is_picture)).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{stderr}");
    let log = fs::read_to_string(log).unwrap();
    let (before, after) = log.split_once("marker removed\n").expect("the marker goes");
    assert!(before.contains("time set"), "{log}");
    assert!(!after.contains("time set"), "a picture was renamed after the last sync: {log}");
    assert!(names(&folder.path().join(PICTURES)).iter().all(is_picture));
}

/// Returns the modification time of a file.
fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn if_file_times_cannot_be_set_files_have_the_download_time() {
    let Some(library) = library() else { return };
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let started = SystemTime::now() - Duration::from_secs(2);
    let command = command_without(&sandbox, folder.path(), library, &[("REFUSE_FUTIMENS", EPERM)]);
    let (exit, stderr) = output(with(command, ["crawl", NICOSIA])).await;
    assert_eq!((exit, warnings(&stderr)), (0, 1), "{stderr}");
    for name in names(&folder.path().join(PICTURES)) {
        assert!(modified(&folder.path().join(PICTURES).join(&name)) >= started, "{name}");
    }
}
