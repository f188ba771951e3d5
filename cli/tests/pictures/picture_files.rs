//! Which files count as existing pictures, and the time of picture files.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use streetflow_sandbox::{Host, Sandbox};

use crate::support::pictures::{BOX, PICTURES, rows, run_ok};
use crate::support::{names, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_too_small_for_a_jpeg_is_replaced() {
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX}")).await;
    let all = names(&folder.path().join(PICTURES));
    let path = |place: usize| folder.path().join(PICTURES).join(&all[place]);
    let original = [3, 4, 5, 6].map(|place| fs::read(path(place)).unwrap());
    fs::write(path(3), "").unwrap();
    fs::write(path(4), "x").unwrap();
    fs::write(path(5), [0; 124]).unwrap();
    // As large as the smallest JPEG: only `--check-existing` reads it.
    fs::write(path(6), [0; 125]).unwrap();
    let stderr = run_ok(&sandbox, folder.path(), "download").await;
    let requests: Vec<_> = sandbox.requests_to(Host::Images);
    assert_eq!(requests.iter().filter(|request| request.status == Some(200)).count(), 3, "{stderr}");
    assert!(stderr.contains(&format!("{} already exist", all.len() - 3)), "{stderr}");
    assert!(stderr.contains("warning: failed to use 3 picture files: too small for a JPEG"), "{stderr}");
    for (place, original) in [3, 4, 5].into_iter().zip(&original) {
        assert_eq!(fs::read(path(place)).unwrap(), *original);
    }
    assert_eq!(fs::read(path(6)).unwrap(), [0; 125]);
    run_ok(&sandbox, folder.path(), "download --check-existing").await;
    assert_eq!(fs::read(path(6)).unwrap(), original[3]);
    let stderr = run_ok(&sandbox, folder.path(), "download").await;
    assert!(!stderr.contains("warning"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_picture_file_is_the_capture_or_download_time() {
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let started = SystemTime::now() - Duration::from_secs(2);
    let args = [
        (format!("crawl {BOX} --fields captured_at,thumb_256_url"), true),
        (format!("crawl {BOX} --fields captured_at,thumb_256_url --file-time capture"), true),
        (format!("crawl {BOX} --fields captured_at,thumb_256_url --file-time download"), false),
    ];
    for (args, captured) in args {
        let folder = tempfile::tempdir().unwrap();
        run_ok(&sandbox, folder.path(), &args).await;
        let times: BTreeMap<_, _> = rows(folder.path())
            .into_iter()
            .map(|row| (format!("{}_256.jpg", row["img_id"]), row["captured_at"].parse::<u64>().ok()))
            .collect();
        let mut old = 0;
        for name in names(&folder.path().join(PICTURES)) {
            let found = fs::metadata(folder.path().join(PICTURES).join(&name)).unwrap().modified().unwrap();
            old += usize::from(found < started);
            if let Some(time) = times[&name].filter(|_| captured && found < started) {
                assert_eq!(found, SystemTime::UNIX_EPOCH + Duration::from_millis(time), "{name}");
            }
        }
        assert_eq!(old > 100, captured, "{args}: {old} files are old");
    }
    // From the environment, and an invalid choice.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("streetflow.toml"), "file_time = \"download\"\n").unwrap();
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --limit 5")).await;
    for name in names(&folder.path().join(PICTURES)) {
        let found = fs::metadata(folder.path().join(PICTURES).join(&name)).unwrap();
        assert!(found.modified().unwrap() >= started, "{name}");
    }
    let (exit, stderr) = run(&sandbox, folder.path(), ["download", "--file-time", "never"]).await;
    assert!(exit == 2 && stderr.contains("capture, download"), "{stderr}");
}

/// Root can read everything, so as root this test only shows that the run succeeds.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_folder_is_skipped_with_a_warning() {
    use std::os::unix::fs::PermissionsExt;

    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --limit 5")).await;
    let locked = ["lost+found", "abc", "2024"].map(|name| folder.path().join(PICTURES).join(name));
    let set_mode = |mode| {
        for path in &locked {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    for path in &locked {
        fs::create_dir(path).unwrap();
    }
    set_mode(0o000);
    let binds = fs::read_dir(&locked[0]).is_err();
    // The marker of a killed run causes a check of all pictures.
    fs::write(folder.path().join(PICTURES).join(".unsynced.00000001"), "").unwrap();
    let stderr = run_ok(&sandbox, folder.path(), "download").await;
    assert_eq!(stderr.contains("warning: failed to read 3 folders: "), binds, "{stderr}");
    assert!(stderr.contains("already exist"), "{stderr}");
    set_mode(0o700);
}
