use std::fs::{self, File};

use super::disk::per_file::PerFile;
use super::holes::BLOCK;
use super::marker::boot_id;
use super::*;

/// The smallest data that passes as a JPEG.
const WHOLE: &[u8] = b"\xff\xd8\xff\xda\x00\x02picture\xff\xd9";

const HOUR: u64 = 3_600_000;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The contents of the markers in a folder.
fn markers(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let markers = entries.filter(|path| path.to_string_lossy().contains(".unsynced."));
    markers.map(|path| fs::read_to_string(path).expect("a marker")).collect()
}

fn time(marker: &str) -> u64 {
    let words = marker.strip_prefix(marker::PREFIX).expect("our words");
    words.split(' ').next().expect("a word").parse().expect("a time")
}

fn write(durable: &DurableFolder, name: &str) -> PathBuf {
    let path = durable.folder.join(name);
    let rename = durable.begin_rename(now_ms()).expect("announced");
    fs::write(&path, WHOLE).expect("written");
    rename.finish(&path);
    path
}

fn set_time(path: &Path, time: u64) {
    let file = File::options().append(true).open(path).expect("a file");
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(time);
    file.set_modified(time).expect("a time");
}

/// The paths of the markers in a folder.
fn marker_paths(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.to_string_lossy().contains(".unsynced.")).collect()
}

/// Changes the markers in a folder to those of an earlier boot.
fn restart(folder: &Path) {
    for path in marker_paths(folder) {
        let text = fs::read_to_string(&path).expect("a marker");
        let (line, _) = text.rsplit_once(' ').expect("the id of a boot");
        fs::write(path, format!("{line} 11111111-2222-3333-4444-555555555555\n")).expect("written");
    }
}

/// A folder after a power cut during a run.
fn died(names: &[&str]) -> tempfile::TempDir {
    let folder = killed(names);
    restart(folder.path());
    folder
}

/// A folder after a killed run.
fn killed(names: &[&str]) -> tempfile::TempDir {
    let folder = folder();
    let durable = DurableFolder::open(folder.path()).expect("open");
    for name in names {
        write(&durable, name);
    }
    drop(durable);
    assert_eq!(markers(folder.path()).len(), 1);
    folder
}

#[test]
fn the_marker_exists_while_a_picture_may_not_be_on_disk() {
    let folder = folder();
    let durable = DurableFolder::open(folder.path()).expect("open");
    durable.finish().expect("finished");
    assert!(markers(folder.path()).is_empty(), "nothing was written");
    let durable = DurableFolder::open(folder.path()).expect("open");
    let begun = now_ms();
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

/// Complete structure, with two unwritten blocks in the middle.
fn holed() -> Vec<u8> {
    [&WHOLE[..6], &[1; BLOCK - 6], &[0; 2 * BLOCK], &[1; 50], &WHOLE[6..]].concat()
}

#[test]
fn incomplete_pictures_of_a_dead_run_are_removed_and_suspicious_ones_set_aside() {
    let folder =
        died(&["1_256.jpg", "2_256.jpg", "3_original.jpg", "4_2048.jpg", "5_1024.jpg", "6_1024.jpg"]);
    let path = |name: &str| folder.path().join(name);
    fs::write(path("2_256.jpg"), "").expect("emptied");
    fs::write(path("3_original.jpg"), &WHOLE[..WHOLE.len() - 1]).expect("cut");
    fs::write(path("4_2048.jpg"), vec![0; 9000]).expect("zeroed");
    fs::write(path("5_1024.jpg"), holed()).expect("holed");
    // As many zeros, but not at block boundaries.
    let black = [&WHOLE[..6], &[1; 5000], &[0; 3 * BLOCK], &[1; 50], &WHOLE[6..]].concat();
    fs::write(path("6_1024.jpg"), &black).expect("written");
    fs::write(path("5_1024.jpg.aside"), "of an earlier run").expect("written");
    let others = ["notes.txt", "2.jpg", "2_512.jpg", "holiday_1024.jpg"];
    for name in others {
        fs::write(path(name), "").expect("another file");
    }
    fs::create_dir_all(path("a/b/c")).expect("made");
    fs::create_dir_all(path("mine")).expect("made");
    for name in ["a/b/c/7_256.jpg", "a/b/7_256.jpg", "mine/holiday_1024.jpg"] {
        fs::write(path(name), "").expect("another file");
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(path("2.jpg"), path("8_256.jpg")).expect("linked");
    let durable = DurableFolder::open(folder.path()).expect("open");
    let mut left = crate_names(&folder);
    left.retain(|name| name != "8_256.jpg");
    let whole = ["1_256.jpg", "2.jpg", "2_512.jpg", "5_1024.jpg.aside", "5_1024.jpg.aside-2", "6_1024.jpg"];
    assert_eq!(left, [&whole[..], &["a", "holiday_1024.jpg", "mine", "notes.txt"]].concat());
    assert_eq!(fs::read(path("5_1024.jpg.aside-2")).expect("a file"), holed());
    for name in ["a/b/c/7_256.jpg", "a/b/7_256.jpg", "mine/holiday_1024.jpg"] {
        assert!(path(name).exists(), "{name}");
    }
    #[cfg(unix)]
    assert!(path("8_256.jpg").is_symlink());
    let warnings: Vec<_> = durable.warnings.iter().map(Error::chain).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("failed to keep 3 pictures: ") && warnings[0].contains("2_256.jpg"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].starts_with("failed to trust 1 picture: ") && warnings[1].contains("5_1024.jpg"),
        "{warnings:?}"
    );
    assert_eq!(markers(folder.path()).len(), 1, "until all is on the disk");
    durable.finish().expect("finished");
    assert!(markers(folder.path()).is_empty());
    let again = DurableFolder::open(folder.path()).expect("open");
    assert!(again.warnings.is_empty() && path("5_1024.jpg.aside-2").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn after_a_kill_without_a_restart_nothing_is_checked() {
    let folder = killed(&["1_256.jpg", "2_256.jpg"]);
    fs::write(folder.path().join("2_256.jpg"), "").expect("emptied");
    let durable = DurableFolder::open(folder.path()).expect("open");
    assert_eq!(crate_names(&folder), ["1_256.jpg", "2_256.jpg"]);
    assert!(durable.warnings.is_empty());
    // With a marker of an earlier boot, both are checked.
    let (first, second) = (marker_paths(folder.path()).remove(0), folder.path().join(".unsynced.00000001"));
    let text = fs::read_to_string(first).expect("a marker");
    fs::write(second, text.replace(&boot_id().expect("an id"), "unknown")).expect("written");
    drop(durable);
    DurableFolder::open(folder.path()).expect("open").finish().expect("finished");
    assert_eq!(crate_names(&folder), ["1_256.jpg"]);
    assert!(markers(folder.path()).is_empty());
}

#[test]
fn files_that_only_begin_like_a_marker_are_ignored() {
    let folder = folder();
    let names = [".unsynced.list", ".unsynced.1", ".unsynced.0000000g", ".unsynced.00000001.bak"];
    for name in names {
        fs::write(folder.path().join(name), "mine").expect("written");
    }
    let durable = DurableFolder::open(folder.path()).expect("open");
    write(&durable, "1_256.jpg");
    durable.finish().expect("finished");
    assert!(names.iter().all(|name| folder.path().join(name).exists()));
    assert_eq!(markers(folder.path()).len(), names.len());
}

/// Mapillary serves progressive JPEGs for panoramas, with black areas for the ground.
#[test]
fn a_progressive_picture_with_long_runs_of_zeros_stays() {
    use jpeg_encoder::{ColorType, Encoder};

    const SIDE: u16 = 2048;
    let mut pixels = vec![0_u8; usize::from(SIDE) * usize::from(SIDE)];
    for (at, pixel) in pixels.iter_mut().take(usize::from(SIDE) * 100).enumerate() {
        *pixel = u8::try_from(at * 31 % 251).expect("a byte");
    }
    let mut picture = Vec::new();
    let mut encoder = Encoder::new(&mut picture, 90);
    encoder.set_progressive(true);
    encoder.encode(&pixels, SIDE, SIDE, ColorType::Luma).expect("encoded");
    let zeros = |block: &[u8]| block.len() == BLOCK && block.iter().all(|byte| *byte == 0);
    assert!(picture.chunks(BLOCK).any(zeros), "it has blocks of zeros in its {} bytes", picture.len());
    let folder = died(&["1_256.jpg"]);
    let path = folder.path().join("2_original.jpg");
    fs::write(&path, &picture).expect("written");
    let durable = DurableFolder::open(folder.path()).expect("open");
    assert_eq!(crate_names(&folder), ["1_256.jpg", "2_original.jpg"]);
    assert!(durable.warnings.is_empty() && fs::read(&path).expect("a file") == picture);
}

#[test]
fn the_end_waits_for_renames_and_rejects_later_ones() {
    let folder = folder();
    let durable = DurableFolder::open(folder.path()).expect("open");
    let rename = durable.begin_rename(now_ms()).expect("announced");
    std::thread::scope(|scope| {
        let ending = scope.spawn(|| durable.finish());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!ending.is_finished());
        assert_eq!(markers(folder.path()).len(), 1, "the picture is not on the disk");
        let path = folder.path().join("1_256.jpg");
        fs::write(&path, WHOLE).expect("written");
        rename.finish(&path);
        ending.join().expect("no panic").expect("finished");
    });
    assert!(markers(folder.path()).is_empty());
    assert!(durable.begin_rename(now_ms()).is_err(), "nothing would bring it to the disk");
    assert!(markers(folder.path()).is_empty());
}

#[test]
fn if_files_do_not_show_when_they_were_written_all_are_checked() {
    let folder = folder();
    let durable = DurableFolder::open(folder.path()).expect("open").without_write_times();
    write(&durable, "1_256.jpg");
    durable.sync().expect("synced");
    write(&durable, "2_256.jpg");
    assert_eq!(time(&markers(folder.path())[0]), 0);
    // Other files show it, whatever their modification time is.
    let path = folder.path().join("1_256.jpg");
    set_time(&path, 1_000_000_000_000);
    assert!(shows_write_time(&fs::metadata(&path).expect("a file")));
}

#[test]
fn a_slow_download_moves_the_marker_back_to_its_start() {
    let folder = folder();
    let durable = DurableFolder::open(folder.path()).expect("open");
    write(&durable, "1_256.jpg");
    durable.sync().expect("synced");
    let begun = now_ms() - 4 * SLACK_MS;
    drop(durable.begin_rename(begun).expect("announced"));
    assert_eq!(time(&markers(folder.path())[0]), begun);
}

fn crate_names(folder: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Writes a time into the marker of a dead run.
fn set_marker(folder: &Path, time: u64) {
    let marker = &marker_paths(folder)[0];
    fs::write(marker, format!("{}{time:020} unknown\n", marker::PREFIX)).expect("written");
}

#[test]
fn only_pictures_since_the_markers_time_and_of_the_future_are_checked() {
    let names = ["1_256.jpg", "2_256.jpg", "3_256.jpg", "4_256.jpg"];
    let folder = died(&names);
    // The change time of a file can't be set, so the marker is an hour ahead.
    let since = now_ms() + HOUR;
    set_marker(folder.path(), since);
    for (name, at) in names.iter().zip([since - HOUR, since - SLACK_MS / 2, since + 5, since + 1000 * HOUR]) {
        let path = folder.path().join(name);
        fs::write(&path, "").expect("emptied");
        set_time(&path, at);
    }
    DurableFolder::open(folder.path()).expect("open");
    assert_eq!(crate_names(&folder), ["1_256.jpg"]);
}

#[test]
fn a_picture_with_its_capture_time_counts_by_its_write_time() {
    let folder = died(&["1_256.jpg", "2_256.jpg"]);
    let below = folder.path().join("2001/09/09");
    fs::create_dir_all(&below).expect("made");
    for path in [folder.path().join("1_256.jpg"), below.join("3_256.jpg")] {
        fs::write(&path, "").expect("emptied");
        let captured = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        crate::file_system::set_time(
            &File::options().append(true).open(&path).expect("a file"),
            &path,
            captured,
        );
        assert_eq!(fs::metadata(&path).and_then(|found| found.modified()).expect("a time"), captured);
    }
    DurableFolder::open(folder.path()).expect("open");
    assert_eq!(crate_names(&folder), ["2001", "2_256.jpg"]);
    assert_eq!(fs::read_dir(below).expect("a folder").count(), 0);
}

#[test]
fn an_unreadable_marker_means_every_picture() {
    for nonsense in
        ["", "nonsense\n", &format!("{}99999999999999999999\n", marker::PREFIX), "\0".repeat(65).as_str()]
    {
        let folder = died(&["1_256.jpg", "2_256.jpg"]);
        let path = folder.path().join("1_256.jpg");
        fs::write(&path, "").expect("emptied");
        set_time(&path, 1000);
        fs::write(&marker_paths(folder.path())[0], nonsense).expect("written");
        DurableFolder::open(folder.path()).expect("open");
        assert_eq!(crate_names(&folder), ["2_256.jpg"], "{nonsense:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_moves_the_marker_back() {
    let folder = folder();
    let durable = DurableFolder::open(folder.path()).expect("open");
    write(&durable, "1_256.jpg");
    let now = now_ms();
    durable.move_marker_back(now - 1000).expect("marked");
    assert!(time(&markers(folder.path())[0]) >= now - 1000, "within the slack");
    durable.move_marker_back(now - HOUR).expect("marked");
    assert_eq!(time(&markers(folder.path())[0]), now - HOUR);
    // The clock is right again: the time moves with the next sync, not before.
    write(&durable, "2_256.jpg");
    assert_eq!(time(&markers(folder.path())[0]), now - HOUR);
    durable.sync().expect("synced");
    assert!(time(&markers(folder.path())[0]) >= now);
    // The clock was far ahead before.
    durable.since.store(now + HOUR, Ordering::Release);
    write(&durable, "3_256.jpg");
    assert!(time(&markers(folder.path())[0]) < now + HOUR / 2);
}

#[test]
fn runs_on_one_folder_ignore_each_others_markers() {
    let folder = folder();
    let one = DurableFolder::open(folder.path()).expect("open");
    write(&one, "1_256.jpg");
    let damaged = write(&one, "2_256.jpg");
    fs::write(&damaged, "").expect("emptied");
    let two = DurableFolder::open(folder.path()).expect("open");
    assert!(damaged.exists(), "the first is alive: its pictures are its own matter");
    write(&two, "1_1024.jpg");
    assert_eq!(markers(folder.path()).len(), 2);
    two.finish().expect("finished");
    assert_eq!(markers(folder.path()).len(), 1);
    drop(one);
    restart(folder.path());
    DurableFolder::open(folder.path()).expect("open").finish().expect("finished");
    assert!(!damaged.exists() && markers(folder.path()).is_empty());
}

#[test]
fn files_removed_before_a_sync_one_by_one_do_not_matter() {
    let folder = folder();
    let each = PerFile::open(folder.path()).expect("open");
    for name in ["1_256.jpg", "2_256.jpg"] {
        let path = folder.path().join(name);
        fs::write(&path, WHOLE).expect("written");
        each.add(&path);
    }
    fs::remove_file(folder.path().join("1_256.jpg")).expect("removed");
    each.sync(folder.path()).expect("synced");
    fs::create_dir(folder.path().join("3_256.jpg")).expect("made");
    each.add(&folder.path().join("3_256.jpg"));
    each.sync(folder.path()).expect_err("a folder can't be written to");
}
