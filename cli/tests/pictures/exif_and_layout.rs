//! Pictures: EXIF data, folders and file times.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use exif::{In, Tag, Value};
use streetflow::sinks::{Exif, PictureLayout};
use streetflow_sandbox::{Host, Sandbox};

use crate::support::pictures::{BOX, PICTURES, read_exif, requested_fields, rows, run_ok, text};
use crate::support::{command_on, eventually, names, output, read, run};

/// Returns the pictures below a folder by their relative path.
fn pictures(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.join(PICTURES)];
    while let Some(next) = folders.pop() {
        for name in names(&next) {
            let path = next.join(&name);
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(folder.join(PICTURES)).unwrap();
                found.insert(below.to_str().unwrap().replace('\\', "/"), path);
            }
        }
    }
    found
}

/// Returns the picture without added segments, and the number of EXIF segments.
fn strip_exif(picture: &[u8]) -> (Vec<u8>, usize) {
    let (mut strip_exif, mut path_of, mut blocks) = (picture[..2].to_vec(), 2, 0);
    while picture[path_of + 1] != 0xda {
        let to = path_of + 2 + usize::from(u16::from_be_bytes([picture[path_of + 2], picture[path_of + 3]]));
        if picture[path_of + 1] == 0xe1 {
            blocks += usize::from(picture[path_of + 4..].starts_with(b"Exif\0\0"));
        } else {
            strip_exif.extend(&picture[path_of..to]);
        }
        path_of = to;
    }
    strip_exif.extend(&picture[path_of..]);
    (strip_exif, blocks)
}

fn numbers(exif: &exif::Exif, tag: Tag) -> Vec<f64> {
    match exif.get_field(tag, In::PRIMARY).map(|field| &field.value) {
        Some(Value::Rational(numbers)) => numbers.iter().map(exif::Rational::to_f64).collect(),
        Some(Value::Byte(numbers)) => numbers.iter().copied().map(f64::from).collect(),
        Some(other) => panic!("{tag} is {other:?}"),
        None => Vec::new(),
    }
}

/// Returns an angle with its sign from the reference tag. `None` if the tag is missing.
fn degrees(exif: &exif::Exif, side: Tag, tag: Tag) -> Option<f64> {
    let [degrees, minutes, seconds] = numbers(exif, tag)[..] else { return None };
    let sign = if ["S", "W"].contains(&text(exif, side).as_str()) { -1.0 } else { 1.0 };
    Some(sign * (degrees + minutes / 60.0 + seconds / 3600.0))
}

fn is_near(actual: Option<f64>, cell: &str, tolerance: f64) -> bool {
    match (actual, cell.parse::<f64>().ok()) {
        (Some(actual), Some(expected)) => (actual - expected).abs() <= tolerance,
        (actual, expected) => actual.is_none() && expected.is_none(),
    }
}

/// Converts `2024:06:28 17:00:28` and milliseconds to milliseconds since 1970.
fn milliseconds(exif: &exif::Exif) -> String {
    let (time, fraction) = (text(exif, Tag::DateTimeOriginal), text(exif, Tag::SubSecTimeOriginal));
    if time.is_empty() {
        return String::new();
    }
    assert_eq!(text(exif, Tag::OffsetTimeOriginal), "+00:00");
    let iso = format!("{}T{}.{fraction}Z", time[..10].replace(':', "-"), &time[11..]);
    streetflow::Kind::Time.parse(&iso).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn exif_data_matches_the_table_and_pixels_are_unchanged() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fields = Exif::FIELDS.join(",");
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --exif always --fields {fields}")).await;
    let (mut carried, mut without, mut spheres) = ([0; 4], [0; 4], 0);
    for row in rows(folder.path()).iter().filter(|row| !row["thumb_256_url"].is_empty()) {
        let id = &row["img_id"];
        let picture = fs::read(folder.path().join(PICTURES).join(format!("{id}_256.jpg"))).unwrap();
        let (strip_exif, blocks) = strip_exif(&picture);
        assert!(blocks == 1 && strip_exif == sandbox.mock_data().picture(id, Some(256)).unwrap(), "{row:?}");
        let exif = read_exif(&picture);
        let absurd = |column: &str, from: f64| row[column].parse::<f64>().is_ok_and(|value| value > from);
        let cell = |column: &str, from: f64| if absurd(column, from) { "" } else { row[column].as_str() };
        let altitude = numbers(&exif, Tag::GPSAltitude).first().copied();
        let heading = numbers(&exif, Tag::GPSImgDirection).first().copied();
        assert!(
            is_near(degrees(&exif, Tag::GPSLongitudeRef, Tag::GPSLongitude), &row["lon"], 3e-11),
            "{row:?}"
        );
        assert!(
            is_near(degrees(&exif, Tag::GPSLatitudeRef, Tag::GPSLatitude), &row["lat"], 3e-11),
            "{row:?}"
        );
        assert!(is_near(altitude, cell("altitude", 15_000.0), 0.0005), "{row:?}");
        assert!(is_near(heading, &row["compass_angle"], 5e-7), "{row:?}");
        let captured = milliseconds(&exif);
        assert_eq!(captured, cell("captured_at", 253_402_300_799_999.0));
        for (column, tag) in [("make", Tag::Make), ("model", Tag::Model), ("img_id", Tag::ImageUniqueID)] {
            assert_eq!(text(&exif, tag), row[column].trim(), "{row:?}");
        }
        assert_eq!(text(&exif, Tag::Artist), row["creator_username"]);
        let credit = format!("© {} / Mapillary, CC BY-SA 4.0", row["creator_username"]);
        assert_eq!(text(&exif, Tag::Copyright), credit);
        assert!(text(&exif, Tag::ImageDescription).contains(row["seq_id"].as_str()));
        let xmp = String::from_utf8_lossy(&picture);
        assert_eq!(xmp.contains("<GPano:ProjectionType>equirectangular<"), row["is_pano"] == "true");
        spheres += u32::from(row["is_pano"] == "true");
        let is_there = [!row["lon"].is_empty(), altitude.is_some(), heading.is_some(), !captured.is_empty()];
        for (path_of, is_there) in is_there.into_iter().enumerate() {
            if is_there { carried[path_of] += 1 } else { without[path_of] += 1 }
        }
    }
    assert!(carried.iter().all(|count| *count > 100) && spheres > 10, "{carried:?} {spheres}");
    assert!(
        without[1..3].iter().all(|count| *count > 0),
        "some have no altitude and no heading: {without:?}"
    );
}

/// Shortens the table to this many rows.
fn shorten(folder: &Path, rows: usize) {
    let path = folder.join("outputs/img_meta_dataset.csv");
    let table = fs::read_to_string(&path).unwrap();
    let short: Vec<_> = table.lines().take(rows + 1).collect();
    fs::write(path, short.join("\n") + "\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn originals_get_exif_by_default_and_thumbnails_only_on_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ours = |folder: &Path| {
        pictures(folder).values().filter(|path| strip_exif(&fs::read(path).unwrap()).1 > 0).count()
    };
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX}")).await;
    assert!(pictures(folder.path()).len() > 100);
    assert_eq!(ours(folder.path()), 0, "thumbnails are unchanged");
    assert!(!requested_fields(&sandbox).contains("make"), "no additional field is requested");

    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --no-download --quality original")).await;
    assert!(!requested_fields(&sandbox).contains("make"), "not needed without pictures");

    let fields = "metadata --fields thumb_original_url,make,geometry";
    run_ok(&sandbox, folder.path(), fields).await;
    shorten(folder.path(), 12);
    fs::remove_dir_all(folder.path().join(PICTURES)).unwrap();
    let stderr = run_ok(&sandbox, folder.path(), "download --quality original").await;
    let existing = pictures(folder.path());
    assert!(existing.len() > 5 && ours(folder.path()) == existing.len(), "{existing:?}");
    let hint = "the table has no altitude, compass_angle, captured_at, model, exif_orientation, is_pano, camera_type, \
                creator, so the pictures will not contain them; `streetflow metadata --fields thumb_original_url,make,geometry,altitude,";
    assert_eq!(stderr.matches(hint).count(), 1, "{stderr}");
    for (name, path) in &existing {
        let original =
            sandbox.mock_data().picture(name.strip_suffix("_original.jpg").unwrap(), None).unwrap();
        let picture = fs::read(path).unwrap();
        assert!(strip_exif(&picture).0 == original, "{name}");
        assert!(degrees(&read_exif(&picture), Tag::GPSLatitudeRef, Tag::GPSLatitude).is_some());
    }
    fs::remove_dir_all(folder.path().join(PICTURES)).unwrap();
    let stderr = run_ok(&sandbox, folder.path(), "download --quality original --exif never").await;
    assert!(!stderr.contains("go without"), "{stderr}");
    assert_eq!((pictures(folder.path()).len(), ours(folder.path())), (existing.len(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_requested_for_exif_are_not_in_the_table() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let crawl = format!("crawl {BOX} --exif always --layout date --fields width --format csv,geojsonseq");
    run_ok(&sandbox, folder.path(), &crawl).await;
    assert!(
        Exif::FIELDS.iter().all(|field| requested_fields(&sandbox).contains(*field)),
        "{:?}",
        requested_fields(&sandbox)
    );
    let table = read(folder.path(), "outputs/img_meta_dataset.csv");
    assert_eq!(table.lines().next(), Some("seq_id,img_id,width,thumb_256_url"));
    assert!(!read(folder.path(), "outputs/img_meta_dataset.geojsonl").contains("GoPro"));
}

/// Returns the capture time of a picture, if it is known and valid as a file time.
fn captured(row: &BTreeMap<String, String>) -> Option<SystemTime> {
    let time = row["captured_at"].parse().ok().filter(|time| (1..253_402_300_800_000).contains(time))?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_millis(time)).filter(|time| *time < SystemTime::now())
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_follow_the_layout_have_the_capture_time_and_are_found_by_the_next_run() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut folders_used = Vec::new();
    for layout in PictureLayout::ALL {
        let folder = tempfile::tempdir().unwrap();
        let started = SystemTime::now() - Duration::from_mins(1);
        let crawl = format!("crawl {BOX} --layout {layout} --exif always");
        run_ok(&sandbox, folder.path(), &crawl).await;
        let existing = pictures(folder.path());
        let mut expected = BTreeSet::new();
        for row in rows(folder.path()).iter().filter(|row| !row["thumb_256_url"].is_empty()) {
            let id = &row["img_id"];
            let known = row["captured_at"].parse().is_ok_and(|time: i64| time < 253_402_300_800_000);
            let below = match layout {
                PictureLayout::Flat => String::new(),
                PictureLayout::Sequence => format!("{}/", row["seq_id"]),
                PictureLayout::Prefix => format!("{}/", &id[id.len() - 3..]),
                PictureLayout::Date if !known => "unknown-date/".to_owned(),
                PictureLayout::Date => {
                    let day =
                        milliseconds(&read_exif(&fs::read(&existing[&path_of(&existing, id)]).unwrap()));
                    assert_eq!(day, row["captured_at"]);
                    path_of(&existing, id).rsplit_once('/').unwrap().0.to_owned() + "/"
                }
            };
            let name = format!("{below}{id}_256.jpg");
            let time = fs::metadata(&existing[&name]).unwrap().modified().unwrap();
            match captured(row) {
                Some(captured) => assert_eq!(time, captured, "{row:?}"),
                None => assert!(time >= started, "{row:?}"),
            }
            expected.insert(name);
        }
        assert_eq!(existing.keys().cloned().collect::<BTreeSet<_>>(), expected, "{layout}");
        let folders: BTreeSet<_> =
            existing.keys().map(|name| name.rsplit_once('/').map(|(folder, _)| folder)).collect();
        folders_used.push(folders.len());
        for args in [&crawl, &format!("download --layout {layout}")] {
            let stderr = run_ok(&sandbox, folder.path(), args).await;
            assert!(sandbox.requests_to(Host::Images).is_empty(), "{args}: {stderr}");
            assert_eq!(pictures(folder.path()), existing);
        }
    }
    assert_eq!(folders_used[0], 1);
    assert!(folders_used[1] > 5 && folders_used[2] > 3 && folders_used[3] > 200, "{folders_used:?}");
}

/// Returns the path of the picture of an image.
fn path_of(existing: &BTreeMap<String, PathBuf>, id: &str) -> String {
    let name = format!("{id}_256.jpg");
    existing.keys().find(|path| path.rsplit('/').next() == Some(&name)).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn date_folders_use_the_capture_day_in_utc() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --no-download")).await;
    let rows: Vec<_> =
        rows(folder.path()).into_iter().filter(|row| !row["thumb_256_url"].is_empty()).collect();
    let times = [
        ("1703980799999", "2023/12/30"),
        ("1703980800000", "2023/12/31"),
        ("1709164800000", "2024/02/29"),
        ("4102444800000", "2100/01/01"),
        ("", "unknown-date"),
        ("0", "unknown-date"),
        ("-1", "unknown-date"),
        ("10000000000000000", "unknown-date"),
    ];
    let line = |(row, (time, _)): (&BTreeMap<String, String>, (&str, &str))| {
        format!("{},{time},\"{}\"\n", row["img_id"], row["thumb_256_url"])
    };
    let lines: String = rows.iter().zip(times).map(line).collect::<Vec<_>>().concat();
    let table = format!("img_id,captured_at,thumb_256_url\n{lines}");
    fs::write(folder.path().join("days.csv"), table).unwrap();
    run_ok(&sandbox, folder.path(), "download -i days.csv --layout date --exif always").await;
    let existing = pictures(folder.path());
    for (row, (_, day)) in rows.iter().zip(times) {
        assert!(existing.contains_key(&format!("{day}/{}_256.jpg", row["img_id"])), "{day}: {existing:?}");
    }
    let future = fs::metadata(&existing[&format!("2100/01/01/{}_256.jpg", rows[3]["img_id"])]).unwrap();
    assert!(future.modified().unwrap() <= SystemTime::now(), "no file time is in the future");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_partial_picture_and_loses_no_complete_one() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(4)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_ok(
        &sandbox,
        folder.path(),
        &format!("crawl {BOX} --no-download --fields captured_at,thumb_256_url,geometry"),
    )
    .await;
    let args = "download --concurrency 4 --layout prefix --exif always";
    let wanted = rows(folder.path()).iter().filter(|row| !row["thumb_256_url"].is_empty()).count();
    let is_picture = |name: &String| name.ends_with("_256.jpg");
    sandbox.clear_requests();
    for count in [20, 60, 100] {
        let mut command = command_on(&sandbox, folder.path());
        let mut child = command.args(args.split_whitespace()).arg("-q").spawn().unwrap();
        let existing = || pictures(folder.path()).keys().filter(|name| is_picture(name)).count();
        eventually("enough pictures exist", || existing() >= count).await;
        child.kill().unwrap();
        child.wait().unwrap();
        for (name, path) in pictures(folder.path()).iter().filter(|(name, _)| is_picture(name)) {
            whole(&sandbox, name, path);
        }
    }
    // As after a power cut, in a folder below that of the marker.
    let spoilt: Vec<_> =
        pictures(folder.path()).into_iter().filter(|(name, _)| is_picture(name)).take(5).collect();
    for (_, path) in &spoilt {
        let time = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, "").unwrap();
        fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }
    let killed = sandbox.requests_to(Host::Images).len();
    let stderr = run_ok(&sandbox, folder.path(), args).await;
    let requested_fields = killed + sandbox.requests_to(Host::Images).len();
    assert!(
        requested_fields <= wanted + spoilt.len() + 3 * 4,
        "{requested_fields} requests for {wanted} pictures: {stderr}"
    );
    let existing = pictures(folder.path());
    assert_eq!(
        existing.keys().filter(|name| is_picture(name)).count(),
        existing.len(),
        "nothing else is left"
    );
    assert_eq!(existing.len(), wanted);
    for (name, path) in &existing {
        whole(&sandbox, name, path);
    }
}

fn whole(sandbox: &Sandbox, name: &str, path: &Path) {
    let id = name.rsplit('/').next().unwrap().strip_suffix("_256.jpg").unwrap();
    let (strip_exif, blocks) = strip_exif(&fs::read(path).unwrap());
    assert!(blocks == 1 && strip_exif == sandbox.mock_data().picture(id, Some(256)).unwrap(), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_without_its_columns_is_an_error_before_any_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.csv"), "img_id,thumb_256_url\n7,https://x/y\n").unwrap();
    for (layout, column) in [("date", "captured_at"), ("sequence", "seq_id")] {
        let args = format!("download -i t.csv --layout {layout}");
        let (exit, stderr) = run(&sandbox, folder.path(), args.split_whitespace()).await;
        assert!(exit == 2 && stderr.contains(column) && stderr.contains("--layout"), "{exit}: {stderr}");
    }
    for args in ["--layout nested", "--exif maybe"] {
        let (exit, stderr) = output({
            let mut command = command_on(&sandbox, folder.path());
            command.arg("download").args(args.split_whitespace());
            command
        })
        .await;
        assert!(exit == 2 && stderr.contains("use one of"), "{exit}: {stderr}");
    }
    assert!(sandbox.requests().is_empty());
}
