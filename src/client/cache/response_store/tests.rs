use super::index::RECORD_LEN;
use super::*;

fn fill(folder: &Path, count: u32) {
    let store = ResponseStore::open(folder, "a query").expect("a store");
    for number in 0..count {
        let response = format!("response {number} ").repeat(20);
        store.put(&format!("key {number}"), &[response.as_bytes()]).expect("stored");
    }
    store.close().expect("closed");
}

fn is_correct(store: &ResponseStore, number: u32) -> bool {
    store.get(&format!("key {number}")) == Some(format!("response {number} ").repeat(20).into_bytes())
}

#[test]
fn stored_responses_exist_after_a_restart_until_the_store_is_cleared() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), 100);
    let store = ResponseStore::open(folder.path(), "a query").expect("a store");
    assert!(store.len() == 100 && store.started_at().is_some());
    assert!((0..100).all(|number| is_correct(&store, number) && store.has(&format!("key {number}"))));
    assert!(store.get("key 100").is_none() && !store.has("key 100"));
    store.clear().expect("cleared");
    assert!(!folder.path().exists());
}

#[test]
fn a_stored_response_is_in_the_files_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ResponseStore::open(folder.path(), "a query").expect("a store");
    for number in 0..50 {
        store.put(&format!("key {number}"), &[b"response"]).expect("stored");
        let index = fs::metadata(folder.path().join(INDEX)).expect("an index");
        assert_eq!(index.len(), (number + 1) * RECORD_LEN as u64);
    }
}

#[test]
fn of_two_responses_the_newer_counts_unless_it_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ResponseStore::open(folder.path(), "a query").expect("a store");
    store.put("key", &[b"old"]).expect("stored");
    store.put("key", &[b"new"]).expect("stored");
    store.close().expect("closed");
    let get = || ResponseStore::open(folder.path(), "a query").expect("a store").get("key");
    assert_eq!(get().as_deref(), Some(&b"new"[..]));
    let path = folder.path().join(RESPONSES);
    let mut bytes = fs::read(&path).expect("responses");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(&path, bytes).expect("written");
    assert_eq!(get().as_deref(), Some(&b"old"[..]));
}

#[test]
fn a_store_cut_at_any_byte_has_its_complete_responses_and_accepts_more() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), 10);
    let whole = |name| fs::read(folder.path().join(name)).expect("a file");
    let (responses, index) = (whole(RESPONSES), whole(INDEX));
    for cut in (0..index.len()).step_by(7) {
        fs::write(folder.path().join(INDEX), &index[..cut]).expect("written");
        fs::write(folder.path().join(RESPONSES), &responses[..responses.len() - cut / 4]).expect("written");
        let store = ResponseStore::open(folder.path(), "a query").expect("a store");
        assert!(store.len() <= (cut / RECORD_LEN) as u64);
        assert!(
            (0..10).all(|number| is_correct(&store, number) || store.get(&format!("key {number}")).is_none())
        );
        store.close().expect("closed");
        fill(folder.path(), 12);
        let store = ResponseStore::open(folder.path(), "a query").expect("a store");
        assert!((0..12).all(|number| is_correct(&store, number)), "cut at {cut}");
    }
}

#[test]
fn responses_of_another_query_are_set_aside() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("responses");
    fill(&folder, 3);
    let store = ResponseStore::open(&folder, "another query").expect("a store");
    assert!(store.is_empty() && store.get("key 1").is_none());
    let reason = store.set_aside().expect("a reason");
    assert!(reason.contains("another run") && reason.contains("responses.aside"), "{reason}");
    store.close().expect("closed");
    let aside = ResponseStore::open(parent.path().join("responses.aside"), "a query").expect("a store");
    assert!((0..3).all(|number| is_correct(&aside, number)));
    aside.close().expect("closed");
    store.clear().expect("cleared");
    assert_eq!(fs::read_dir(parent.path()).expect("a folder").count(), 0, "a finished run leaves nothing");
}

#[test]
fn a_relative_name_is_a_folder_in_the_current_directory() {
    let name = format!("responses-of-a-test-{:08x}", fastrand::u32(..));
    for name in [name.clone(), format!("./{name}"), format!("{name}/")] {
        let store = ResponseStore::open(&name, "a query").expect("a store");
        store.put("key", &[b"response"]).expect("stored");
        store.close().expect("closed");
        let store = ResponseStore::open(&name, "another query").expect("a store");
        assert!(store.set_aside().is_some());
        store.clear().expect("cleared");
        assert!(!Path::new(&name).exists() && !aside(Path::new(&name)).exists());
    }
}

#[test]
fn files_of_other_programs_are_set_aside_and_never_deleted_or_changed() {
    for name in STORE_FILES {
        let parent = tempfile::tempdir().expect("a folder");
        let (folder, aside) = (parent.path().join("mine"), parent.path().join("mine.aside"));
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join(name), "my notes\n").expect("written");
        let store = ResponseStore::open(&folder, "a query").expect("a store");
        assert!(store.set_aside().is_some(), "{name}");
        store.put("key", &[b"response"]).expect("stored");
        store.clear().expect("cleared");
        assert_eq!(fs::read_to_string(aside.join(name)).expect("a file"), "my notes\n");
        // The next time the `.aside` folder is taken.
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join(name), "more notes\n").expect("written");
        ResponseStore::open(&folder, "a query").expect_err("both folders have files of other programs");
        assert_eq!(fs::read_to_string(aside.join(name)).expect("a file"), "my notes\n");
        assert_eq!(fs::read_to_string(folder.join(name)).expect("a file"), "more notes\n");
    }
}

#[test]
fn a_run_without_responses_leaves_nothing_to_set_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(ResponseStore::open(folder.path(), "a query").expect("a store"));
    let store = ResponseStore::open(folder.path(), "another query").expect("a store");
    assert!(store.set_aside().is_none() && store.is_empty());
}

/// `/dev/full` takes no byte, as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_with_a_hint_and_nothing_is_stored_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(QUERY), format!("{VERSION}\na query\n")).expect("written");
    std::os::unix::fs::symlink("/dev/full", folder.path().join(RESPONSES)).expect("a link");
    let store = ResponseStore::open(folder.path(), "a query").expect("a store");
    for _ in 0..2 {
        let error = store.put("key", &[b"response"]).expect_err("full");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.hint().is_some_and(|hint| hint.contains("make room")), "{error:?}");
    }
    assert!(store.holds_nothing() && store.close().is_err());
}

/// `cargo test --release --locked --lib -- --ignored a_million_responses --nocapture`
#[test]
#[ignore = "writes 150 MB; prints how long it takes"]
#[allow(clippy::print_stdout, reason = "its purpose is to print the times")]
fn a_million_responses_open_within_seconds() {
    const MILLION: u32 = 1_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let timed = |what: &str, since: std::time::Instant| println!("{what}: {:?}", since.elapsed());
    let started = std::time::Instant::now();
    let store = ResponseStore::open(folder.path(), "a query").expect("a store");
    for number in 0..MILLION {
        store.put(&format!("key {number}"), &[b"1008112840327216\n1020162146004439\n"]).expect("stored");
    }
    store.close().expect("closed");
    timed("a million responses stored", started);
    let started = std::time::Instant::now();
    let store = ResponseStore::open(folder.path(), "a query").expect("a store");
    timed("opened", started);
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "it must start at once");
    assert_eq!(store.len(), u64::from(MILLION));
    let started = std::time::Instant::now();
    for number in (0..MILLION).step_by(100) {
        assert!(store.get(&format!("key {number}")).is_some());
    }
    timed("ten thousand responses read", started);
}
