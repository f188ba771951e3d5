use super::*;

fn reported(unsupported: &UnsupportedCalls) -> Vec<String> {
    let lines = Mutex::new(Vec::new());
    unsupported.report(&|event: &Event<'_>| {
        if let Event::Warning { error } = event {
            let hint = error.hint().unwrap_or_default();
            lines.lock().expect("a list").push(format!("{}; {hint}", error.chain()));
        }
    });
    lines.into_inner().expect("a list")
}

/// The errors that mean unsupported, by call, and errors that stay errors.
#[cfg(unix)]
#[test]
fn an_unsupported_call_is_no_failure_and_a_broken_or_full_disk_is() {
    use rustix::io::Errno;

    let is = |call, errno: Errno| is_unsupported(call, &io::Error::from(errno));
    for call in Call::ALL {
        for errno in [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP] {
            assert!(is(call, errno), "{call:?} {errno:?}");
        }
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::NOENT, Errno::STALE, Errno::MFILE] {
            assert!(!is(call, errno), "{call:?} {errno:?}");
        }
    }
    assert!(is(Call::Lock, Errno::NOLCK) && is(Call::Lock, Errno::BADF));
    assert!(is(Call::SyncFolder, Errno::BADF) && is(Call::SyncFolder, Errno::ACCESS));
    assert!(is(Call::SetTime, Errno::PERM) && is(Call::SyncAll, Errno::PERM));
    // A lock that is held and a file system that became read-only are errors.
    assert!(!is(Call::Lock, Errno::WOULDBLOCK) && !is(Call::Lock, Errno::ACCESS));
    assert!(!is(Call::SyncFile, Errno::ROFS) && !is(Call::SyncFolder, Errno::ROFS));
}

#[cfg(unix)]
#[test]
fn each_unsupported_call_is_reported_once_and_failures_stay_failures() {
    use rustix::io::Errno;

    let (unsupported, path) = (UnsupportedCalls::default(), Path::new("outputs"));
    let synced = |errno: Errno| unsupported.allow(Call::SyncFolder, path, Err(errno.into()));
    for _ in 0..3 {
        synced(Errno::INVAL).expect("allowed");
        synced(Errno::BADF).expect("allowed");
    }
    synced(Errno::IO).expect_err("a broken disk");
    synced(Errno::NOSPC).expect_err("a full disk");
    let lines = reported(&unsupported);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("failed to sync the folder `outputs`: "), "{lines:?}");
    unsupported.allow(Call::Lock, path, Err(Errno::NOLCK.into())).expect("allowed");
    synced(Errno::INVAL).expect("allowed");
    let lines = reported(&unsupported);
    assert!(lines.len() == 1 && lines[0].contains("two runs at once"), "{lines:?}");
    assert!(reported(&unsupported).is_empty());
}

#[test]
fn a_lock_is_ours_busy_or_unknown() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let other = File::options().write(true).open(file.path()).expect("a file");
    assert_eq!(try_lock(file.as_file(), file.path()).expect("tried"), Lock::Ours);
    assert_eq!(try_lock(&other, file.path()).expect("tried"), Lock::Busy);
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let judge = |errno: Errno| lock_state(Err(TryLockError::Error(errno.into())));
        assert_eq!(judge(Errno::ACCESS).expect("judged"), Lock::Busy);
        judge(Errno::NOLCK).expect_err("not there");
        judge(Errno::PERM).expect_err("not there");
    }
}

#[cfg(unix)]
#[test]
fn a_disk_without_blocks_is_unknown_and_a_full_one_is_full() {
    assert_eq!(free_bytes(0, 0, [4096, 4096]), None);
    assert_eq!(free_bytes(0, 7, [4096, 4096]), None);
    assert_eq!(free_bytes(100, 0, [4096, 4096]), Some(0));
    assert_eq!(free_bytes(100, 3, [512, 4096]), Some(1536));
    assert_eq!(free_bytes(100, 3, [0, 4096]), Some(12288), "some mounts tell no fragment size");
    assert_eq!(free_bytes(100, 3, [0, 0]), None);
    assert_eq!(free_bytes(u64::MAX, u64::MAX, [4096, 4096]), Some(u64::MAX));
}

#[cfg(unix)]
#[test]
fn a_missing_folder_has_the_free_space_of_its_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let free_at = |path: &Path| free_space(path).expect("a disk");
    assert!(free_at(folder.path()) > 0);
    assert!(free_at(&folder.path().join("not/there")) > 0);
    assert!(free_at(Path::new("outputs-of-nobody")) > 0);
    assert!(free_at(Path::new("")) > 0);
    if Path::new("/proc/self").exists() {
        assert_eq!(free_space(Path::new("/proc")), None, "it has no blocks, as some mounts have none");
    }
}

#[test]
fn a_bare_name_is_in_the_current_folder() {
    for (path, folder) in
        [("answers", "."), ("a/b", "a"), ("./a", "."), ("/a", "/"), ("/", "/"), ("", "."), ("..", ".")]
    {
        assert_eq!(parent(Path::new(path)), Path::new(folder), "{path}");
    }
}
