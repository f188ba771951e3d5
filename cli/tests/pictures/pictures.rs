//! Pictures that carry their place, their folders and their times.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use exif::{In, Tag, Value};
use streetflow::sinks::{Exif, PictureLayout};
use streetflow_sandbox::{Host, Sandbox};

use crate::support::pictures::{BOX, PICTURES, asked, exif_of, fine, rows, text};
use crate::support::{command_on, eventually, names, output, read, run};

/// The pictures below a folder, by their path in it.
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

/// The picture without the segments that were put into it, and how many of EXIF there were.
fn bare(picture: &[u8]) -> (Vec<u8>, usize) {
    let (mut bare, mut at, mut blocks) = (picture[..2].to_vec(), 2, 0);
    while picture[at + 1] != 0xda {
        let to = at + 2 + usize::from(u16::from_be_bytes([picture[at + 2], picture[at + 3]]));
        if picture[at + 1] == 0xe1 {
            blocks += usize::from(picture[at + 4..].starts_with(b"Exif\0\0"));
        } else {
            bare.extend(&picture[at..to]);
        }
        at = to;
    }
    bare.extend(&picture[at..]);
    (bare, blocks)
}

fn numbers(exif: &exif::Exif, tag: Tag) -> Vec<f64> {
    match exif.get_field(tag, In::PRIMARY).map(|field| &field.value) {
        Some(Value::Rational(numbers)) => numbers.iter().map(exif::Rational::to_f64).collect(),
        Some(Value::Byte(numbers)) => numbers.iter().copied().map(f64::from).collect(),
        Some(other) => panic!("{tag} is {other:?}"),
        None => Vec::new(),
    }
}

/// An angle with its side; none if it is not there.
fn degrees(exif: &exif::Exif, side: Tag, tag: Tag) -> Option<f64> {
    let [degrees, minutes, seconds] = numbers(exif, tag)[..] else { return None };
    let sign = if ["S", "W"].contains(&text(exif, side).as_str()) { -1.0 } else { 1.0 };
    Some(sign * (degrees + minutes / 60.0 + seconds / 3600.0))
}

fn near(got: Option<f64>, cell: &str, most: f64) -> bool {
    match (got, cell.parse::<f64>().ok()) {
        (Some(got), Some(expected)) => (got - expected).abs() <= most,
        (got, expected) => got.is_none() && expected.is_none(),
    }
}

/// `2024:06:28 17:00:28` and milliseconds, as milliseconds since 1970.
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
async fn pictures_say_what_the_table_says_and_no_pixel_is_touched() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fields = Exif::FIELDS.join(",");
    fine(&sandbox, folder.path(), &format!("crawl {BOX} --exif always --fields {fields}")).await;
    let (mut carried, mut without, mut spheres) = ([0; 4], [0; 4], 0);
    for row in rows(folder.path()).iter().filter(|row| !row["thumb_256_url"].is_empty()) {
        let id = &row["img_id"];
        let picture = fs::read(folder.path().join(PICTURES).join(format!("{id}_256.jpg"))).unwrap();
        let (bare, blocks) = bare(&picture);
        assert!(blocks == 1 && bare == sandbox.world().picture(id, Some(256)).unwrap(), "{row:?}");
        let exif = exif_of(&picture);
        let absurd = |column: &str, from: f64| row[column].parse::<f64>().is_ok_and(|value| value > from);
        let cell = |column: &str, from: f64| if absurd(column, from) { "" } else { row[column].as_str() };
        let altitude = numbers(&exif, Tag::GPSAltitude).first().copied();
        let heading = numbers(&exif, Tag::GPSImgDirection).first().copied();
        assert!(near(degrees(&exif, Tag::GPSLongitudeRef, Tag::GPSLongitude), &row["lon"], 3e-11), "{row:?}");
        assert!(near(degrees(&exif, Tag::GPSLatitudeRef, Tag::GPSLatitude), &row["lat"], 3e-11), "{row:?}");
        assert!(near(altitude, cell("altitude", 15_000.0), 0.0005), "{row:?}");
        assert!(near(heading, &row["compass_angle"], 5e-7), "{row:?}");
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
        for (at, is_there) in is_there.into_iter().enumerate() {
            if is_there { carried[at] += 1 } else { without[at] += 1 }
        }
    }
    assert!(carried.iter().all(|count| *count > 100) && spheres > 10, "{carried:?} {spheres}");
    assert!(
        without[1..3].iter().all(|count| *count > 0),
        "some have no altitude and no heading: {without:?}"
    );
}

/// Leaves only so many rows in the table.
fn shorten(folder: &Path, rows: usize) {
    let path = folder.join("outputs/img_meta_dataset.csv");
    let table = fs::read_to_string(&path).unwrap();
    let short: Vec<_> = table.lines().take(rows + 1).collect();
    fs::write(path, short.join("\n") + "\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn originals_carry_it_unless_told_otherwise_and_thumbs_only_if_told() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ours =
        |folder: &Path| pictures(folder).values().filter(|path| bare(&fs::read(path).unwrap()).1 > 0).count();
    fine(&sandbox, folder.path(), &format!("crawl {BOX}")).await;
    assert!(pictures(folder.path()).len() > 100);
    assert_eq!(ours(folder.path()), 0, "thumbs stay the bytes that came");
    assert!(!asked(&sandbox).contains("make"), "and cost no field more");

    fine(&sandbox, folder.path(), &format!("crawl {BOX} --no-download --quality original")).await;
    assert!(!asked(&sandbox).contains("make"), "without pictures nobody needs it");

    let fields = "metadata --fields thumb_original_url,make,geometry";
    fine(&sandbox, folder.path(), fields).await;
    shorten(folder.path(), 12);
    fs::remove_dir_all(folder.path().join(PICTURES)).unwrap();
    let said = fine(&sandbox, folder.path(), "download --quality original").await;
    let there = pictures(folder.path());
    assert!(there.len() > 5 && ours(folder.path()) == there.len(), "{there:?}");
    let hint = "the table has no altitude, compass_angle, captured_at, model, exif_orientation, is_pano, camera_type, \
                creator, so pictures go without; `streetflow metadata --fields thumb_original_url,make,geometry,altitude,";
    assert_eq!(said.matches(hint).count(), 1, "{said}");
    for (name, path) in &there {
        let truth = sandbox.world().picture(name.strip_suffix("_original.jpg").unwrap(), None).unwrap();
        let picture = fs::read(path).unwrap();
        assert!(bare(&picture).0 == truth, "{name}");
        assert!(degrees(&exif_of(&picture), Tag::GPSLatitudeRef, Tag::GPSLatitude).is_some());
    }
    fs::remove_dir_all(folder.path().join(PICTURES)).unwrap();
    let said = fine(&sandbox, folder.path(), "download --quality original --exif never").await;
    assert!(!said.contains("go without"), "{said}");
    assert_eq!((pictures(folder.path()).len(), ours(folder.path())), (there.len(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crawl_asks_for_the_sake_of_pictures_stands_in_no_table() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let crawl = format!("crawl {BOX} --exif always --layout date --fields width --format csv,geojsonseq");
    fine(&sandbox, folder.path(), &crawl).await;
    assert!(Exif::FIELDS.iter().all(|field| asked(&sandbox).contains(*field)), "{:?}", asked(&sandbox));
    let table = read(folder.path(), "outputs/img_meta_dataset.csv");
    assert_eq!(table.lines().next(), Some("seq_id,img_id,width,thumb_256_url"));
    assert!(!read(folder.path(), "outputs/img_meta_dataset.geojsonl").contains("GoPro"));
}

/// When a picture was taken, if it can be known, and its file can have that time.
fn captured(row: &BTreeMap<String, String>) -> Option<SystemTime> {
    let time = row["captured_at"].parse().ok().filter(|time| (1..253_402_300_800_000).contains(time))?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_millis(time)).filter(|time| *time < SystemTime::now())
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_lie_where_the_layout_says_with_the_time_of_their_capture_and_are_found_again() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut folders_used = Vec::new();
    for layout in PictureLayout::ALL {
        let folder = tempfile::tempdir().unwrap();
        let began = SystemTime::now() - Duration::from_mins(1);
        let crawl = format!("crawl {BOX} --layout {layout} --exif always");
        fine(&sandbox, folder.path(), &crawl).await;
        let there = pictures(folder.path());
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
                    let day = milliseconds(&exif_of(&fs::read(&there[&at(&there, id)]).unwrap()));
                    assert_eq!(day, row["captured_at"]);
                    at(&there, id).rsplit_once('/').unwrap().0.to_owned() + "/"
                }
            };
            let name = format!("{below}{id}_256.jpg");
            let time = fs::metadata(&there[&name]).unwrap().modified().unwrap();
            match captured(row) {
                Some(captured) => assert_eq!(time, captured, "{row:?}"),
                None => assert!(time >= began, "{row:?}"),
            }
            expected.insert(name);
        }
        assert_eq!(there.keys().cloned().collect::<BTreeSet<_>>(), expected, "{layout}");
        let folders: BTreeSet<_> =
            there.keys().map(|name| name.rsplit_once('/').map(|(folder, _)| folder)).collect();
        folders_used.push(folders.len());
        for again in [&crawl, &format!("download --layout {layout}")] {
            let said = fine(&sandbox, folder.path(), again).await;
            assert!(sandbox.requests_to(Host::Images).is_empty(), "{again}: {said}");
            assert_eq!(pictures(folder.path()), there);
        }
    }
    assert_eq!(folders_used[0], 1);
    assert!(folders_used[1] > 5 && folders_used[2] > 3 && folders_used[3] > 200, "{folders_used:?}");
}

/// Where the picture of an image lies.
fn at(there: &BTreeMap<String, PathBuf>, id: &str) -> String {
    let name = format!("{id}_256.jpg");
    there.keys().find(|path| path.rsplit('/').next() == Some(&name)).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_of_a_folder_is_that_of_the_capture_in_utc() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fine(&sandbox, folder.path(), &format!("crawl {BOX} --no-download")).await;
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
    fine(&sandbox, folder.path(), "download -i days.csv --layout date --exif always").await;
    let there = pictures(folder.path());
    for (row, (_, day)) in rows.iter().zip(times) {
        assert!(there.contains_key(&format!("{day}/{}_256.jpg", row["img_id"])), "{day}: {there:?}");
    }
    let future = fs::metadata(&there[&format!("2100/01/01/{}_256.jpg", rows[3]["img_id"])]).unwrap();
    assert!(future.modified().unwrap() <= SystemTime::now(), "no file is of the future");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_half_picture_in_any_folder_and_costs_none_that_is_whole() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(4)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fine(
        &sandbox,
        folder.path(),
        &format!("crawl {BOX} --no-download --fields captured_at,thumb_256_url,geometry"),
    )
    .await;
    let words = "download --concurrency 4 --layout prefix --exif always";
    let wanted = rows(folder.path()).iter().filter(|row| !row["thumb_256_url"].is_empty()).count();
    let is_picture = |name: &String| name.ends_with("_256.jpg");
    sandbox.clear_requests();
    for count in [20, 60, 100] {
        let mut command = command_on(&sandbox, folder.path());
        let mut child = command.args(words.split_whitespace()).arg("-q").spawn().unwrap();
        let there = || pictures(folder.path()).keys().filter(|name| is_picture(name)).count();
        eventually("so many pictures are there", || there() >= count).await;
        child.kill().unwrap();
        child.wait().unwrap();
        for (name, path) in pictures(folder.path()).iter().filter(|(name, _)| is_picture(name)) {
            whole(&sandbox, name, path);
        }
    }
    // As a power cut leaves it, in a folder below that of the marker.
    let spoilt: Vec<_> =
        pictures(folder.path()).into_iter().filter(|(name, _)| is_picture(name)).take(5).collect();
    for (_, path) in &spoilt {
        let time = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, "").unwrap();
        fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }
    let killed = sandbox.requests_to(Host::Images).len();
    let said = fine(&sandbox, folder.path(), words).await;
    let asked = killed + sandbox.requests_to(Host::Images).len();
    assert!(asked <= wanted + spoilt.len() + 3 * 4, "{asked} requests for {wanted} pictures: {said}");
    let there = pictures(folder.path());
    assert_eq!(there.keys().filter(|name| is_picture(name)).count(), there.len(), "nothing else is left");
    assert_eq!(there.len(), wanted);
    for (name, path) in &there {
        whole(&sandbox, name, path);
    }
}

fn whole(sandbox: &Sandbox, name: &str, path: &Path) {
    let id = name.rsplit('/').next().unwrap().strip_suffix("_256.jpg").unwrap();
    let (bare, blocks) = bare(&fs::read(path).unwrap());
    assert!(blocks == 1 && bare == sandbox.world().picture(id, Some(256)).unwrap(), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_that_the_table_can_not_fill_is_told_before_any_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.csv"), "img_id,thumb_256_url\n7,https://x/y\n").unwrap();
    for (layout, column) in [("date", "captured_at"), ("sequence", "seq_id")] {
        let words = format!("download -i t.csv --layout {layout}");
        let (exit, said) = run(&sandbox, folder.path(), words.split_whitespace()).await;
        assert!(exit == 2 && said.contains(column) && said.contains("--layout"), "{exit}: {said}");
    }
    for words in ["--layout nested", "--exif maybe"] {
        let (exit, said) = output({
            let mut command = command_on(&sandbox, folder.path());
            command.arg("download").args(words.split_whitespace());
            command
        })
        .await;
        assert!(exit == 2 && said.contains("use one of"), "{exit}: {said}");
    }
    assert!(sandbox.requests().is_empty());
}
