use super::disk::each::Each;
use super::*;

/// The smallest thing that passes for a JPEG.
const WHOLE: &[u8] = b"\xff\xd8\xff\xda\x00\x02picture\xff\xd9";

const HOUR: u64 = 3_600_000;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The markers in a folder, and what they say.
fn markers(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let markers = entries.filter(|path| path.to_string_lossy().contains(".unsynced."));
    markers.map(|path| fs::read_to_string(path).expect("a marker")).collect()
}

fn time(marker: &str) -> u64 {
    marker.trim_end().rsplit(' ').next().expect("a word").parse().expect("a time")
}

fn write(durable: &Durable, name: &str) -> PathBuf {
    let path = durable.folder.join(name);
    durable.announce().expect("announced");
    fs::write(&path, WHOLE).expect("written");
    durable.note(&path);
    path
}

fn set_time(path: &Path, time: u64) {
    let file = File::options().append(true).open(path).expect("a file");
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(time);
    file.set_modified(time).expect("a time");
}

/// A folder as a run leaves it that dies after some pictures.
fn died(names: &[&str]) -> tempfile::TempDir {
    let folder = folder();
    let durable = Durable::open(folder.path()).expect("open");
    for name in names {
        write(&durable, name);
    }
    drop(durable);
    assert_eq!(markers(folder.path()).len(), 1);
    folder
}

#[test]
fn the_marker_is_there_as_long_as_a_picture_may_not_be_on_the_disk() {
    let folder = folder();
    let durable = Durable::open(folder.path()).expect("open");
    durable.finish().expect("finished");
    assert!(markers(folder.path()).is_empty(), "nothing was written");
    let begun = milliseconds();
    write(&durable, "1_256.jpg");
    let first = markers(folder.path());
    assert!(first.len() == 1 && time(&first[0]) <= begun, "{first:?}");
    std::thread::sleep(Duration::from_millis(20));
    durable.sync().expect("synced");
    let second = markers(folder.path());
    assert!(time(&second[0]) > time(&first[0]), "{first:?} {second:?}");
    durable.sync().expect("synced");
    assert_eq!(markers(folder.path()), second, "nothing was written since");
    write(&durable, "2_256.jpg");
    durable.finish().expect("finished");
    assert!(markers(folder.path()).is_empty());
}

#[test]
fn pictures_of_a_dead_run_that_are_not_whole_are_removed() {
    let folder = died(&["1_256.jpg", "2_256.jpg", "3_original.jpg", "4_2048.jpg", "5_1024.jpg"]);
    let path = |name: &str| folder.path().join(name);
    fs::write(path("2_256.jpg"), "").expect("emptied");
    fs::write(path("3_original.jpg"), &WHOLE[..WHOLE.len() - 1]).expect("cut");
    fs::write(path("4_2048.jpg"), vec![0; 9000]).expect("zeroed");
    // Whole by its markers, but a piece in the middle never got to the disk.
    let holed = [&WHOLE[..6], &[1; 5000], &[0; 8192], &WHOLE[6..]].concat();
    fs::write(path("5_1024.jpg"), holed).expect("holed");
    let others = ["notes.txt", "2.jpg", "2_512.jpg"];
    for name in others {
        fs::write(path(name), "").expect("somebody else's");
    }
    let durable = Durable::open(folder.path()).expect("open");
    assert_eq!(crate_names(&folder), ["1_256.jpg", "2.jpg", "2_512.jpg", "notes.txt"]);
    assert_eq!(markers(folder.path()).len(), 1, "until all is on the disk");
    durable.finish().expect("finished");
    assert!(markers(folder.path()).is_empty());
}

fn crate_names(folder: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Sets the marker of a dead run to a time.
fn set_marker(folder: &Path, time: u64) {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let marker =
        entries.filter(|path| path.to_string_lossy().contains(".unsynced.")).last().expect("a marker");
    fs::write(marker, format!("{}{time:020}\n", marker::WORDS)).expect("written");
}

#[test]
fn only_pictures_since_the_markers_time_are_looked_into_and_those_of_the_future() {
    let names = ["1_256.jpg", "2_256.jpg", "3_256.jpg", "4_256.jpg"];
    let folder = died(&names);
    // Nobody can set the time at which a file was changed; so it is the marker that is an hour ahead.
    let since = milliseconds() + HOUR;
    set_marker(folder.path(), since);
    for (name, at) in names.iter().zip([since - HOUR, since - SLACK / 2, since + 5, since + 1000 * HOUR]) {
        let path = folder.path().join(name);
        fs::write(&path, "").expect("emptied");
        set_time(&path, at);
    }
    Durable::open(folder.path()).expect("open");
    assert_eq!(crate_names(&folder), ["1_256.jpg"]);
}

#[test]
fn a_picture_with_the_time_of_its_capture_is_as_young_as_it_is() {
    let folder = died(&["1_256.jpg", "2_256.jpg"]);
    let below = folder.path().join("2001/09/09");
    fs::create_dir_all(&below).expect("made");
    for path in [folder.path().join("1_256.jpg"), below.join("3_256.jpg")] {
        fs::write(&path, "").expect("emptied");
        let captured = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        super::set_time(&File::options().append(true).open(&path).expect("a file"), captured);
        assert_eq!(fs::metadata(&path).and_then(|found| found.modified()).expect("a time"), captured);
    }
    Durable::open(folder.path()).expect("open");
    assert_eq!(crate_names(&folder), ["2001", "2_256.jpg"]);
    assert_eq!(fs::read_dir(below).expect("a folder").count(), 0);
}

#[test]
fn a_marker_with_nonsense_in_it_means_every_picture() {
    for nonsense in
        ["", "nonsense\n", &format!("{}99999999999999999999\n", marker::WORDS), "\0".repeat(65).as_str()]
    {
        let folder = died(&["1_256.jpg", "2_256.jpg"]);
        let path = folder.path().join("1_256.jpg");
        fs::write(&path, "").expect("emptied");
        set_time(&path, 1000);
        let found =
            fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let marker = found.filter(|path| path.to_string_lossy().contains(".unsynced.")).last();
        fs::write(marker.expect("a marker"), nonsense).expect("written");
        Durable::open(folder.path()).expect("open");
        assert_eq!(crate_names(&folder), ["2_256.jpg"], "{nonsense:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_sets_the_marker_back() {
    let folder = folder();
    let durable = Durable::open(folder.path()).expect("open");
    write(&durable, "1_256.jpg");
    let now = milliseconds();
    durable.mark(now - 1000).expect("marked");
    assert!(time(&markers(folder.path())[0]) >= now - 1000, "within the slack");
    durable.mark(now - HOUR).expect("marked");
    assert_eq!(time(&markers(folder.path())[0]), now - HOUR);
    // The clock is right again: the time moves on when all is on the disk, not before.
    write(&durable, "2_256.jpg");
    assert_eq!(time(&markers(folder.path())[0]), now - HOUR);
    durable.sync().expect("synced");
    assert!(time(&markers(folder.path())[0]) >= now);
    // The clock was wrong before, and far ahead.
    durable.since.store(now + HOUR, Ordering::Release);
    write(&durable, "3_256.jpg");
    assert!(time(&markers(folder.path())[0]) < now + HOUR / 2);
}

#[test]
fn runs_on_one_folder_leave_each_others_markers_alone() {
    let folder = folder();
    let one = Durable::open(folder.path()).expect("open");
    write(&one, "1_256.jpg");
    let spoilt = write(&one, "2_256.jpg");
    fs::write(&spoilt, "").expect("emptied");
    let two = Durable::open(folder.path()).expect("open");
    assert!(spoilt.exists(), "the first is alive: its pictures are its own matter");
    write(&two, "1_1024.jpg");
    assert_eq!(markers(folder.path()).len(), 2);
    two.finish().expect("finished");
    assert_eq!(markers(folder.path()).len(), 1);
    drop(one);
    Durable::open(folder.path()).expect("open").finish().expect("finished");
    assert!(!spoilt.exists() && markers(folder.path()).is_empty());
}

#[test]
fn where_files_are_synced_one_by_one_those_that_are_gone_do_not_matter() {
    let folder = folder();
    let each = Each::open(folder.path()).expect("open");
    for name in ["1_256.jpg", "2_256.jpg"] {
        let path = folder.path().join(name);
        fs::write(&path, WHOLE).expect("written");
        each.note(&path);
    }
    fs::remove_file(folder.path().join("1_256.jpg")).expect("removed");
    each.sync(folder.path()).expect("synced");
    fs::create_dir(folder.path().join("3_256.jpg")).expect("made");
    each.note(&folder.path().join("3_256.jpg"));
    each.sync(folder.path()).expect_err("a folder can't be written to");
}
