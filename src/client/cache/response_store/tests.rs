use super::index::RECORD;
use super::*;

fn filled(folder: &Path, count: u32) {
    let store = ResponseStore::open(folder, "a question").expect("a store");
    for number in 0..count {
        let answer = format!("answer {number} ").repeat(20);
        store.put(&format!("key {number}"), &[answer.as_bytes()]).expect("kept");
    }
    store.close().expect("closed");
}

fn right(store: &ResponseStore, number: u32) -> bool {
    store.get(&format!("key {number}")) == Some(format!("answer {number} ").repeat(20).into_bytes())
}

#[test]
fn what_was_kept_is_there_after_a_restart_and_gone_after_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path(), 100);
    let store = ResponseStore::open(folder.path(), "a question").expect("a store");
    assert!(store.len() == 100 && store.started_at().is_some());
    assert!((0..100).all(|number| right(&store, number) && store.has(&format!("key {number}"))));
    assert!(store.get("key 100").is_none() && !store.has("key 100"));
    store.clear().expect("cleared");
    assert!(!folder.path().exists());
}

#[test]
fn what_is_kept_is_in_the_files_at_once_without_an_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ResponseStore::open(folder.path(), "a question").expect("a store");
    for number in 0..50 {
        store.put(&format!("key {number}"), &[b"answer"]).expect("kept");
        let index = fs::metadata(folder.path().join(INDEX)).expect("an index");
        assert_eq!(index.len(), (number + 1) * RECORD as u64);
    }
}

#[test]
fn of_two_answers_the_newer_counts_unless_it_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ResponseStore::open(folder.path(), "a question").expect("a store");
    store.put("key", &[b"old"]).expect("kept");
    store.put("key", &[b"new"]).expect("kept");
    store.close().expect("closed");
    let get = || ResponseStore::open(folder.path(), "a question").expect("a store").get("key");
    assert_eq!(get().as_deref(), Some(&b"new"[..]));
    let path = folder.path().join(ANSWERS);
    let mut bytes = fs::read(&path).expect("answers");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(&path, bytes).expect("written");
    assert_eq!(get().as_deref(), Some(&b"old"[..]));
}

#[test]
fn cut_at_any_byte_it_has_what_was_whole_and_takes_more() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path(), 10);
    let whole = |name| fs::read(folder.path().join(name)).expect("a file");
    let (answers, index) = (whole(ANSWERS), whole(INDEX));
    for cut in (0..index.len()).step_by(7) {
        fs::write(folder.path().join(INDEX), &index[..cut]).expect("written");
        fs::write(folder.path().join(ANSWERS), &answers[..answers.len() - cut / 4]).expect("written");
        let store = ResponseStore::open(folder.path(), "a question").expect("a store");
        assert!(store.len() <= (cut / RECORD) as u64);
        assert!((0..10).all(|number| right(&store, number) || store.get(&format!("key {number}")).is_none()));
        store.close().expect("closed");
        filled(folder.path(), 12);
        let store = ResponseStore::open(folder.path(), "a question").expect("a store");
        assert!((0..12).all(|number| right(&store, number)), "cut at {cut}");
    }
}

#[test]
fn another_question_is_not_answered_and_its_answers_stand_aside() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("answers");
    filled(&folder, 3);
    let store = ResponseStore::open(&folder, "another question").expect("a store");
    assert!(store.is_empty() && store.get("key 1").is_none());
    let said = store.set_aside().expect("a word");
    assert!(said.contains("another run") && said.contains("answers.aside"), "{said}");
    store.close().expect("closed");
    let aside = ResponseStore::open(parent.path().join("answers.aside"), "a question").expect("a store");
    assert!((0..3).all(|number| right(&aside, number)));
    aside.close().expect("closed");
    store.clear().expect("cleared");
    assert_eq!(fs::read_dir(parent.path()).expect("a folder").count(), 0, "a finished run leaves nothing");
}

#[test]
fn a_bare_relative_name_is_a_folder_here() {
    let name = format!("answers-of-a-test-{:08x}", fastrand::u32(..));
    for name in [name.clone(), format!("./{name}"), format!("{name}/")] {
        let store = ResponseStore::open(&name, "a question").expect("a store");
        store.put("key", &[b"answer"]).expect("kept");
        store.close().expect("closed");
        let store = ResponseStore::open(&name, "another question").expect("a store");
        assert!(store.set_aside().is_some());
        store.clear().expect("cleared");
        assert!(!Path::new(&name).exists() && !aside(Path::new(&name)).exists());
    }
}

#[test]
fn files_of_somebody_else_are_moved_aside_and_never_removed_or_written_to() {
    for name in STORE_FILES {
        let parent = tempfile::tempdir().expect("a folder");
        let (folder, aside) = (parent.path().join("mine"), parent.path().join("mine.aside"));
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join(name), "my notes\n").expect("written");
        let store = ResponseStore::open(&folder, "a question").expect("a store");
        assert!(store.set_aside().is_some(), "{name}");
        store.put("key", &[b"answer"]).expect("kept");
        store.clear().expect("cleared");
        assert_eq!(fs::read_to_string(aside.join(name)).expect("a file"), "my notes\n");
        // The next time there is no room for another one aside.
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join(name), "more notes\n").expect("written");
        ResponseStore::open(&folder, "a question").expect_err("both are somebody's");
        assert_eq!(fs::read_to_string(aside.join(name)).expect("a file"), "my notes\n");
        assert_eq!(fs::read_to_string(folder.join(name)).expect("a file"), "more notes\n");
    }
}

#[test]
fn a_run_that_ended_before_its_first_answer_leaves_nothing_to_move_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(ResponseStore::open(folder.path(), "a question").expect("a store"));
    let store = ResponseStore::open(folder.path(), "another question").expect("a store");
    assert!(store.set_aside().is_none() && store.is_empty());
}

/// `/dev/full` takes no byte, as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_advice_and_nothing_is_kept_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(QUESTION), format!("{VERSION}\na question\n")).expect("written");
    std::os::unix::fs::symlink("/dev/full", folder.path().join(ANSWERS)).expect("a link");
    let store = ResponseStore::open(folder.path(), "a question").expect("a store");
    for _ in 0..2 {
        let error = store.put("key", &[b"answer"]).expect_err("full");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.hint().is_some_and(|advice| advice.contains("make room")), "{error:?}");
    }
    assert!(store.holds_nothing() && store.close().is_err());
}

/// `cargo test --release --locked --lib -- --ignored a_million_answers --nocapture`
#[test]
#[ignore = "writes 150 MB; prints how long it takes"]
#[allow(clippy::print_stdout, reason = "the figures are what it is for")]
fn a_million_answers_are_opened_in_a_moment() {
    const MILLION: u32 = 1_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let timed = |what: &str, since: std::time::Instant| println!("{what}: {:?}", since.elapsed());
    let began = std::time::Instant::now();
    let store = ResponseStore::open(folder.path(), "a question").expect("a store");
    for number in 0..MILLION {
        store.put(&format!("key {number}"), &[b"1008112840327216\n1020162146004439\n"]).expect("kept");
    }
    store.close().expect("closed");
    timed("a million answers kept", began);
    let began = std::time::Instant::now();
    let store = ResponseStore::open(folder.path(), "a question").expect("a store");
    timed("opened", began);
    assert!(began.elapsed() < Duration::from_secs(5), "it is to start at once");
    assert_eq!(store.len(), u64::from(MILLION));
    let began = std::time::Instant::now();
    for number in (0..MILLION).step_by(100) {
        assert!(store.get(&format!("key {number}")).is_some());
    }
    timed("ten thousand answers read", began);
}
