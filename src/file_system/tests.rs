use super::*;

fn told(refusals: &Refusals) -> Vec<String> {
    let lines = Mutex::new(Vec::new());
    refusals.tell(&|event: &Event<'_>| {
        if let Event::Warning { error } = event {
            let hint = error.hint().unwrap_or_default();
            lines.lock().expect("a list").push(format!("{}; {hint}", error.chain()));
        }
    });
    lines.into_inner().expect("a list")
}

/// What each call may be refused with, and what always stays an error.
#[cfg(unix)]
#[test]
fn a_call_that_is_not_there_is_no_failure_and_a_broken_or_full_disk_is() {
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
    // A lock that somebody holds, and a file system that has become read-only, are something else.
    assert!(!is(Call::Lock, Errno::WOULDBLOCK) && !is(Call::Lock, Errno::ACCESS));
    assert!(!is(Call::SyncFile, Errno::ROFS) && !is(Call::SyncFolder, Errno::ROFS));
}

#[cfg(unix)]
#[test]
fn each_refusal_is_told_once_and_failures_stay_failures() {
    use rustix::io::Errno;

    let (refusals, path) = (Refusals::default(), Path::new("outputs"));
    let synced = |errno: Errno| refusals.allow(Call::SyncFolder, path, Err(errno.into()));
    for _ in 0..3 {
        synced(Errno::INVAL).expect("allowed");
        synced(Errno::BADF).expect("allowed");
    }
    synced(Errno::IO).expect_err("a broken disk");
    synced(Errno::NOSPC).expect_err("a full disk");
    let lines = told(&refusals);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("failed to sync the folder `outputs`: "), "{lines:?}");
    refusals.allow(Call::Lock, path, Err(Errno::NOLCK.into())).expect("allowed");
    synced(Errno::INVAL).expect("allowed");
    let lines = told(&refusals);
    assert!(lines.len() == 1 && lines[0].contains("two runs at once"), "{lines:?}");
    assert!(told(&refusals).is_empty());
}

#[test]
fn a_lock_is_ours_or_busy_or_not_there() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let other = File::options().write(true).open(file.path()).expect("a file");
    assert_eq!(try_lock(file.as_file(), file.path()).expect("tried"), Lock::Ours);
    assert_eq!(try_lock(&other, file.path()).expect("tried"), Lock::Busy);
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let judge = |errno: Errno| judge_lock(Err(TryLockError::Error(errno.into())));
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
fn a_folder_that_is_not_there_yet_has_the_room_of_its_disk() {
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
fn a_bare_name_lies_in_the_current_folder() {
    for (path, folder) in
        [("answers", "."), ("a/b", "a"), ("./a", "."), ("/a", "/"), ("/", "/"), ("", "."), ("..", ".")]
    {
        assert_eq!(parent(Path::new(path)), Path::new(folder), "{path}");
    }
}
