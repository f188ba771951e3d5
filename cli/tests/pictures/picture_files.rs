//! What counts as a picture that is there, and which time its file has.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use streetflow_sandbox::{Host, Sandbox};

use crate::support::pictures::{BOX, PICTURES, fine, rows};
use crate::support::{names, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_too_small_for_a_jpeg_does_not_count_and_is_replaced() {
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fine(&sandbox, folder.path(), &format!("crawl {BOX}")).await;
    let all = names(&folder.path().join(PICTURES));
    let path = |place: usize| folder.path().join(PICTURES).join(&all[place]);
    let truth = [3, 4, 5, 6].map(|place| fs::read(path(place)).unwrap());
    fs::write(path(3), "").unwrap();
    fs::write(path(4), "x").unwrap();
    fs::write(path(5), [0; 124]).unwrap();
    // As large as the smallest JPEG: only `--check-existing` looks into it.
    fs::write(path(6), [0; 125]).unwrap();
    let said = fine(&sandbox, folder.path(), "download").await;
    let asked: Vec<_> = sandbox.requests_to(Host::Images);
    assert_eq!(asked.iter().filter(|asked| asked.status == Some(200)).count(), 3, "{said}");
    assert!(said.contains(&format!("{} already exist", all.len() - 3)), "{said}");
    assert!(said.contains("warning: failed to use 3 picture files: too small for a JPEG"), "{said}");
    for (place, truth) in [3, 4, 5].into_iter().zip(&truth) {
        assert_eq!(fs::read(path(place)).unwrap(), *truth);
    }
    assert_eq!(fs::read(path(6)).unwrap(), [0; 125]);
    fine(&sandbox, folder.path(), "download --check-existing").await;
    assert_eq!(fs::read(path(6)).unwrap(), truth[3]);
    let said = fine(&sandbox, folder.path(), "download").await;
    assert!(!said.contains("warning"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_picture_file_is_that_of_its_capture_or_of_its_download() {
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let began = SystemTime::now() - Duration::from_secs(2);
    let words = [
        (format!("crawl {BOX} --fields captured_at,thumb_256_url"), true),
        (format!("crawl {BOX} --fields captured_at,thumb_256_url --file-time capture"), true),
        (format!("crawl {BOX} --fields captured_at,thumb_256_url --file-time download"), false),
    ];
    for (words, captured) in words {
        let folder = tempfile::tempdir().unwrap();
        fine(&sandbox, folder.path(), &words).await;
        let times: BTreeMap<_, _> = rows(folder.path())
            .into_iter()
            .map(|row| (format!("{}_256.jpg", row["img_id"]), row["captured_at"].parse::<u64>().ok()))
            .collect();
        let mut old = 0;
        for name in names(&folder.path().join(PICTURES)) {
            let found = fs::metadata(folder.path().join(PICTURES).join(&name)).unwrap().modified().unwrap();
            old += usize::from(found < began);
            if let Some(time) = times[&name].filter(|_| captured && found < began) {
                assert_eq!(found, SystemTime::UNIX_EPOCH + Duration::from_millis(time), "{name}");
            }
        }
        assert_eq!(old > 100, captured, "{words}: {old} files are old");
    }
    // With the environment, and a choice that there is not.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("streetflow.toml"), "file_time = \"download\"\n").unwrap();
    fine(&sandbox, folder.path(), &format!("crawl {BOX} --limit 5")).await;
    for name in names(&folder.path().join(PICTURES)) {
        let found = fs::metadata(folder.path().join(PICTURES).join(&name)).unwrap();
        assert!(found.modified().unwrap() >= began, "{name}");
    }
    let (exit, said) = run(&sandbox, folder.path(), ["download", "--file-time", "never"]).await;
    assert!(exit == 2 && said.contains("capture, download"), "{said}");
}

/// As root everything can be read, so then this shows only that nothing else goes wrong.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_read_is_skipped_with_a_warning() {
    use std::os::unix::fs::PermissionsExt;

    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fine(&sandbox, folder.path(), &format!("crawl {BOX} --limit 5")).await;
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
    // A marker of a dead run has all pictures looked into.
    fs::write(folder.path().join(PICTURES).join(".unsynced.00000001"), "").unwrap();
    let said = fine(&sandbox, folder.path(), "download").await;
    assert_eq!(said.contains("warning: failed to read 3 folders: "), binds, "{said}");
    assert!(said.contains("already exist"), "{said}");
    set_mode(0o700);
}
